//! Forms: their fields found and changed, while all other bytes stay as they are.

mod content_type;
mod error;
mod multipart;
mod splice;
mod urlencoded;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

pub use content_type::{Boundary, FormFormat};
pub use error::FormError;

use splice::Splice;

/// A form that was read: where its fields are in the body.
///
/// ```
/// # use bytes::Bytes;
/// # use portcullis_param_mapping::{Form, FormEdit, FormFormat};
/// let body = Bytes::from_static(b"q=a+cat&n=1&x=%7e");
/// let form = Form::parse(body, &FormFormat::UrlEncoded)?;
/// assert_eq!(form.fields().next().unwrap().text()?, "a cat");
///
/// let chunks = form.edit(&[
///     FormEdit::Rename { from: "q", to: "prompt" },
///     FormEdit::Set { name: "n", value: b"2" },
/// ])?;
/// assert_eq!(chunks.concat(), b"prompt=a+cat&n=2&x=%7e");
/// # Ok::<_, portcullis_param_mapping::FormError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Form {
    input: Bytes,
    format: FormFormat,
    fields: Vec<Field>,
    /// What follows the fields: the last boundary of a multipart body, and what comes after it.
    tail: Range<usize>,
}

/// One field of a form.
#[derive(Clone, Debug)]
pub struct Field {
    /// All of it: the pair, or the part with its boundary and the line end before the next.
    whole: Range<usize>,
    /// What the name is written as, with its quotes.
    raw_name: Range<usize>,
    raw_value: Range<usize>,
    name: Bytes,
    value: Bytes,
    kind: FieldKind,
}

/// One change of a form. Names are those of the form as it came, so the order of changes has no meaning but among additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormEdit<'a> {
    /// Takes all fields with this name away. It wins over a rename of the same name.
    Remove(&'a str),
    /// Gives all fields with one name another; values, and the headers of parts, stay.
    Rename {
        /// The name as it came.
        from: &'a str,
        /// The new name.
        to: &'a str,
    },
    /// Gives the first field with this name this value and takes the others away; without one, adds it. The headers
    /// of a part stay.
    Set {
        /// The name as it came.
        name: &'a str,
        /// The new value, not encoded.
        value: &'a [u8],
    },
    /// Adds a field at the end.
    Add {
        /// The name.
        name: &'a str,
        /// The value, not encoded.
        value: &'a [u8],
    },
    /// Adds a field in front of all; the one that was added last comes first.
    AddFirst {
        /// The name.
        name: &'a str,
        /// The value, not encoded.
        value: &'a [u8],
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldKind {
    Pair,
    Text,
    File,
}

/// More fields than this are refused: no form that people fill in has them.
const MAX_FIELDS: usize = 1000;

// === impl Form ===

impl Form {
    /// Finds the fields of a body.
    ///
    /// `application/x-www-form-urlencoded` is read as WHATWG URL, section 5.1, says, which knows no malformed body. `multipart/form-data` is
    /// read strictly, after RFC 7578 and RFC 2046: what two parsers could read differently is refused.
    ///
    /// # Errors
    /// Where a multipart body is malformed, or there are more than 1000 fields.
    pub fn parse(input: Bytes, format: &FormFormat) -> Result<Self, FormError> {
        let (fields, tail) = match format {
            FormFormat::UrlEncoded => urlencoded::fields(&input)?,
            FormFormat::Multipart(boundary) => multipart::fields(&input, boundary)?,
        };
        Ok(Self {
            input,
            format: format.clone(),
            fields,
            tail,
        })
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }

    /// The first field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// What the body becomes: parts of it where nothing changes, and small pieces between them.
    ///
    /// # Errors
    /// Where a name holds what the header of a part cannot (quotes, backslashes, control characters), or a value holds the
    /// boundary.
    pub fn edit(&self, edits: &[FormEdit<'_>]) -> Result<Vec<Bytes>, FormError> {
        if let FormFormat::Multipart(boundary) = &self.format {
            multipart::check(edits, boundary)?;
        }
        let mut output = Splice::new(&self.input);
        let first = self
            .fields
            .first()
            .map_or(self.tail.start, |field| field.whole.start);
        output.keep(0..first);
        let mut is_first = true;
        for edit in edits.iter().rev() {
            if let FormEdit::AddFirst { name, value } = edit {
                self.add(name, value, &mut output, &mut is_first);
            }
        }
        let mut done: Vec<&str> = Vec::new();
        for field in &self.fields {
            let is_set = |edit: &&FormEdit<'_>| matches!(edit, FormEdit::Set { name, .. } if field.name == *name);
            let set = edits.iter().rev().find(is_set);
            let is_gone = edits
                .iter()
                .any(|edit| matches!(edit, FormEdit::Remove(name) if field.name == *name));
            match set {
                None if is_gone => continue,
                Some(FormEdit::Set { name, .. }) if done.contains(name) => continue,
                Some(FormEdit::Set { name, .. }) => done.push(name),
                _ => {}
            }
            self.separate(&mut output, &mut is_first, field.whole.start);
            output.keep(field.whole.start..field.raw_name.start);
            let renamed = edits.iter().rev().find_map(|edit| match edit {
                FormEdit::Rename { from, to } if field.name == *from => Some(to),
                _ => None,
            });
            match renamed {
                Some(to) => output.put(&self.name(to)),
                None => output.keep(field.raw_name.clone()),
            }
            match set {
                Some(FormEdit::Set { value, .. }) => {
                    if field.raw_value.start == field.raw_name.end && field.kind == FieldKind::Pair
                    {
                        output.put(b"=");
                    }
                    output.keep(field.raw_name.end..field.raw_value.start);
                    output.put(&self.value(value));
                    output.keep(field.raw_value.end..field.whole.end);
                }
                _ => output.keep(field.raw_name.end..field.whole.end),
            }
        }
        for edit in edits {
            let (name, value) = match edit {
                FormEdit::Add { name, value } => (name, value),
                FormEdit::Set { name, value } if !done.contains(name) => {
                    done.push(name);
                    (name, value)
                }
                _ => continue,
            };
            self.add(name, value, &mut output, &mut is_first);
        }
        output.keep(self.tail.clone());
        Ok(output.finish())
    }

    fn add(&self, name: &str, value: &[u8], output: &mut Splice<'_>, is_first: &mut bool) {
        self.separate(output, is_first, usize::MAX);
        if let FormFormat::Multipart(boundary) = &self.format {
            output.put(&boundary.part_head(name));
            output.put(value);
            output.put(b"\r\n");
        } else {
            output.put(&self.name(name));
            output.put(b"=");
            output.put(&self.value(value));
        }
    }

    /// Writes the `&` between two pairs, the one that is there where that can be.
    fn separate(&self, output: &mut Splice<'_>, is_first: &mut bool, start: usize) {
        if std::mem::take(is_first) || self.format != FormFormat::UrlEncoded {
            return;
        }
        match start.checked_sub(1) {
            Some(before) if start < usize::MAX => output.keep(before..start),
            _ => output.put(b"&"),
        }
    }

    fn name<'a>(&self, name: &'a str) -> Cow<'a, [u8]> {
        match self.format {
            FormFormat::UrlEncoded => urlencoded::encode(name.as_bytes()).into(),
            FormFormat::Multipart(_) => format!("\"{name}\"").into_bytes().into(),
        }
    }

    fn value<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        match self.format {
            FormFormat::UrlEncoded => urlencoded::encode(value).into(),
            FormFormat::Multipart(_) => value.into(),
        }
    }
}

// === impl Field ===

impl Field {
    /// The decoded name. It may be no UTF-8.
    #[must_use]
    pub const fn name(&self) -> &Bytes {
        &self.name
    }

    /// The decoded value: of a part, its bytes, be they text or a file.
    #[must_use]
    pub const fn value(&self) -> &Bytes {
        &self.value
    }

    /// Whether this is a part with a file name.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == FieldKind::File
    }

    /// The value as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub fn text(&self) -> Result<&str, FormError> {
        std::str::from_utf8(&self.value).map_err(|_| FormError::not_utf8())
    }
}

#[cfg(test)]
mod tests;
