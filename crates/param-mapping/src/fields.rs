//! What becomes of the fields of a form.

use std::borrow::Cow;

use bytes::Bytes;

use crate::head::{Edits, Write};
use crate::refusal::Refusal;
use crate::trie::Mode;
use crate::{Form, FormEdit, FormFormat, Mapped};

/// Collected first and applied at the end, as changes of the head are.
#[derive(Debug, Default)]
pub(crate) struct FieldEdits<'a> {
    pub(crate) edits: Edits<&'a str, Value<'a>>,
    /// One of the values came by a `move` or the like.
    pub(crate) brings: bool,
}

/// A value for a field, not encoded, and the field that it is of, if it is of one.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) from: Option<&'a str>,
}

type Written<'a> = Write<&'a str, Value<'a>>;

// === impl FieldEdits ===

impl<'a> FieldEdits<'a> {
    /// Whether there is something to write.
    pub(crate) const fn writes(&self) -> bool {
        !self.edits.writes.is_empty()
    }

    /// Whether the list of what is allowed leaves a field out.
    pub(crate) fn leave_out(&self, form: &Form) -> bool {
        let Edits {
            removed, allowed, ..
        } = &self.edits;
        let is_named = |name: &Bytes| allowed.iter().chain(removed).any(|known| name == *known);
        !allowed.is_empty() && !form.fields().all(|field| is_named(field.name()))
    }

    /// A form with nothing in it but what is written.
    pub(crate) fn new_form(&mut self) -> Result<Mapped, Refusal> {
        let form = Form::parse(Bytes::new(), &FormFormat::UrlEncoded);
        let chunks = form.and_then(|form| form.edit(&self.of(&form)));
        let chunks = chunks.map_err(|error| Refusal::form(&error))?;
        Ok(Mapped::many(chunks))
    }

    /// The form with these changes; `None` where they change nothing.
    pub(crate) fn apply(&mut self, form: &Form, body: &Bytes) -> Result<Option<Mapped>, Refusal> {
        if self.edits.is_empty() {
            return Ok(None);
        }
        let is_named = |name: &Bytes| str::from_utf8(name).is_ok();
        if !self.edits.allowed.is_empty() && !form.fields().all(|field| is_named(field.name())) {
            let detail = "the name of a field is not UTF-8".to_owned();
            return Err(Refusal::bad(&"form:", detail));
        }
        let chunks = form.edit(&self.of(form));
        let chunks = chunks.map_err(|error| Refusal::form(&error))?;
        let mut rest = &**body;
        let is_same = chunks.iter().all(|chunk| {
            let after = rest.strip_prefix(&**chunk);
            rest = after.unwrap_or_default();
            after.is_some()
        });
        Ok((!is_same || !rest.is_empty()).then(|| Mapped::many(chunks)))
    }

    /// The changes of this form, one by one.
    fn of<'e>(&'e mut self, form: &'e Form) -> Vec<FormEdit<'e>> {
        let Edits {
            removed,
            allowed,
            writes,
        } = &mut self.edits;
        // What replaces a field comes first, then what stands beside it, then what fills a gap.
        writes.sort_by_key(|write| match write.mode {
            Mode::Set | Mode::Replace => 0,
            Mode::Append | Mode::Prepend | Mode::Merge => 1,
            Mode::Add | Mode::Default => 2,
        });
        let writes: &'e [Written<'a>] = writes;
        let is_gone = |name: &str| {
            removed.contains(&name) || (!allowed.is_empty() && !allowed.contains(&name))
        };
        let replaces = |write: &Written<'a>| matches!(write.mode, Mode::Set | Mode::Replace);
        // Of two rules for one field the later one counts.
        let counts = |index: usize, write: &Written<'a>| {
            let mut later = writes.iter().skip(index + 1);
            !replaces(write) || !later.any(|later| replaces(later) && later.name == write.name)
        };

        let mut edits = Vec::new();
        // A field that was moved as it is keeps its place, and its part all headers.
        let mut renamed: Vec<&str> = Vec::new();
        let mut is_renamed = vec![false; writes.len()];
        for ((index, write), is_renamed) in writes.iter().enumerate().zip(&mut is_renamed) {
            let from = write.values.first().and_then(|value| value.from);
            if let Some(from) = from
                && replaces(write)
                && counts(index, write)
                && removed.contains(&from)
                && !renamed.contains(&from)
            {
                renamed.push(from);
                edits.push(FormEdit::Rename {
                    from,
                    to: write.name,
                });
                *is_renamed = true;
            }
        }
        let mut gone: Vec<&str> = Vec::new();
        let mut written: Vec<&str> = Vec::new();
        for field in form.fields() {
            if let Ok(name) = str::from_utf8(field.name())
                && is_gone(name)
            {
                gone.push(name);
            }
        }
        for ((index, write), is_renamed) in writes.iter().enumerate().zip(is_renamed) {
            let name = write.name;
            let is_there = || {
                let is_left = !gone.contains(&name) && !renamed.contains(&name);
                written.contains(&name) || (is_left && form.field(name).is_some())
            };
            if !counts(index, write) || (write.mode.is_fill() && is_there()) {
                continue;
            }
            written.push(name);
            if is_renamed {
                gone.push(name);
                continue;
            }
            let add = |value: &'e Value<'a>| {
                let value = &*value.bytes;
                if write.mode == Mode::Prepend {
                    FormEdit::AddFirst { name, value }
                } else {
                    FormEdit::Add { name, value }
                }
            };
            match &*write.values {
                [value] if replaces(write) && !renamed.contains(&name) => {
                    let value = &*value.bytes;
                    edits.push(FormEdit::Set { name, value });
                }
                values => {
                    if replaces(write) {
                        gone.push(name);
                    }
                    if write.mode == Mode::Prepend {
                        // The last one first, so that they stand in their order.
                        edits.extend(values.iter().rev().map(add));
                    } else {
                        edits.extend(values.iter().map(add));
                    }
                }
            }
        }
        // What got another name is not there any more.
        gone.retain(|name| !renamed.contains(name));
        edits.extend(gone.into_iter().map(FormEdit::Remove));
        edits
    }
}
