//! How a document is written anew around what the rules do to it.

use crate::env::{Env, Frame};
use crate::json;
use crate::out::{Out, Text, limit_of_output};
use crate::patch;
use crate::plan::{Program, Unmapped};
use crate::refusal::Refusal;
use crate::report::ChangeKind;
use crate::run::Outcome;
use crate::scan::{Entry, Stop};
use crate::trie::{Each, Mode, Node, Trie};

/// Writes one document. At each place removals come first, then what is written, from the outside inwards, then what fills gaps.
pub(crate) struct Emitter<'e> {
    pub(crate) program: &'e Program,
    /// What each step has to write this time.
    pub(crate) outcomes: &'e [Outcome<'e>],
    pub(crate) env: &'e Env<'e>,
}

// === impl Emitter ===

impl<'e> Emitter<'e> {
    /// Writes the place with this index, of which the frame holds what is there. Says whether anything is there then.
    pub(crate) fn emit(
        &self,
        index: usize,
        base: Option<&Frame<'_>>,
        out: &mut Out,
    ) -> Result<bool, Refusal> {
        let Some(node) = self.trie().node(index) else {
            return Ok(false);
        };
        let original = base.and_then(|frame| Some((frame, frame.entry(index)?)));
        if node.writes.is_empty() && node.removed.is_empty() && node.each.is_none() {
            return match original {
                Some((frame, entry)) => self.inside(index, node, frame, entry, out).map(|()| true),
                None => self.create(node, None, out),
            };
        }

        let is_edited = node.writes.iter().any(|write| {
            matches!(write.mode, Mode::Append | Mode::Prepend | Mode::Merge)
                && self.value(write.step).is_some()
        });
        let written = self.written(node, |mode| mode == Mode::Set);
        let is_lost = self.env.notes.is_some() && original.is_some() && self.is_lost(node);
        let original = original.filter(|_| !self.is_active(&node.removed));
        let (is_missing, is_null) = match (written, original) {
            (Some(text), _) => (false, text.text == "null"),
            (None, Some((frame, entry))) => (false, frame.slice(entry.value.clone()) == "null"),
            (None, None) => (true, false),
        };
        let filled = if is_missing || is_null {
            self.written(node, |mode| {
                mode == Mode::Default || (mode == Mode::Add && is_missing)
            })
        } else {
            None
        };
        let made = filled.or(written);
        if is_lost && made.is_none() {
            self.env.note(ChangeKind::Dropped, &node.address);
        }
        if let Some(text) = made
            && !is_edited
            && node.children.is_empty()
            && node.each.is_none()
        {
            // Nothing is done inside it, so nobody must look.
            out.push_text(text);
            return Ok(true);
        }

        let made = made.map(|text| self.look(index, text)).transpose()?;
        let place = match &made {
            Some(frame) => frame.entry(index).map(|entry| (frame, entry)),
            None => original,
        };
        if is_edited {
            return self.edit(index, node, place, out).map(|()| true);
        }
        match place {
            Some((frame, entry)) => self.inside(index, node, frame, entry, out).map(|()| true),
            None => self.create(node, None, out),
        }
    }

    /// Writes what is there, with what is done to its elements and below it.
    fn inside(
        &self,
        index: usize,
        node: &Node,
        frame: &Frame<'_>,
        entry: &Entry,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        if let Some(each) = &node.each
            && self.is_active(&[each.step])
            && matches!(frame.bytes().get(entry.value.start), Some(b'[' | b'{'))
        {
            let text = Text::part(frame.text, frame.origin, entry.value.clone());
            return self.each(each, &text, out);
        }
        if entry.is_open {
            return self.splice(index, node, frame, entry, out);
        }
        if let Some(below) = node.children.iter().find_map(|child| self.writer(*child)) {
            let found = json::type_name(frame.slice(entry.value.clone()));
            return Err(not_writable(
                self.trie().address(below),
                &node.address,
                found,
            ));
        }
        frame.copy(entry.value.clone(), out);
        Ok(())
    }

    /// Makes an object of what is written below, if anything is.
    fn create(
        &self,
        node: &Node,
        base: Option<&Frame<'_>>,
        out: &mut Out,
    ) -> Result<bool, Refusal> {
        if node.children.is_empty() {
            return Ok(false);
        }
        let mark = out.mark();
        out.push("{");
        if !self.add_missing(node, base, true, out)? {
            out.back_to(mark);
            return Ok(false);
        }
        out.push("}");
        Ok(true)
    }

    /// Copies an object or an array and changes what the children name; all else stays, the space between members too.
    fn splice(
        &self,
        index: usize,
        node: &Node,
        frame: &Frame<'_>,
        entry: &Entry,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let only = self.is_active(&node.only);
        let unmapped = if only {
            Unmapped::Drop
        } else if node.is_on_the_way() || index == 0 {
            self.program.unmapped
        } else {
            Unmapped::Pass
        };
        let open = entry.value.start + 1;
        let lead = open..entry.first;
        // The text before `at` is written or dropped, and the next item starts at `next`.
        let (mut at, mut next) = (open, entry.first);
        // Whoever is written first has no comma before it, whatever it had.
        let mut is_first = true;
        let unnamed = |out: &mut Out, is_first: &mut bool, at: usize, next: usize, end: usize| {
            if end <= at {
                return Ok(());
            }
            match unmapped {
                Unmapped::Drop => {
                    self.env.note(ChangeKind::Dropped, &node.address);
                    return Ok(());
                }
                Unmapped::Reject => return Err(unnamed_member(&node.address)),
                Unmapped::Pass => {}
            }
            if *is_first {
                frame.copy(lead.clone(), out);
                frame.copy(next..end, out);
            } else {
                frame.copy(at..end, out);
            }
            *is_first = false;
            Ok(())
        };
        frame.copy(entry.value.start..open, out);
        let mut child = entry.child;
        while let Some(named) = child.and_then(|child| frame.entries.get(child)) {
            let index = child.unwrap_or_default();
            unnamed(out, &mut is_first, at, next, named.before)?;
            let mark = out.mark();
            if is_first {
                frame.copy(lead.clone(), out);
            } else {
                frame.copy(named.before..named.key, out);
            }
            frame.copy(named.key..named.value.start, out);
            let is_there = if named.is_shadowed {
                false
            } else if only && !self.is_allowed(index) {
                let is_there = self.emit(index, None, out)?;
                if let Some(child) = self.trie().node(index)
                    && !is_there
                    && !self.is_active(&child.removed)
                {
                    self.env.note(ChangeKind::Dropped, &child.address);
                }
                is_there
            } else {
                self.emit(index, Some(frame), out)?
            };
            if is_there {
                is_first = false;
            } else {
                out.back_to(mark);
            }
            (at, next) = (named.value.end, named.after);
            child = named.next;
        }
        unnamed(out, &mut is_first, at, next, entry.last)?;

        if frame.bytes().get(entry.value.start) == Some(&b'{') {
            self.add_missing(node, Some(frame), is_first, out)?;
        } else {
            let mut missing = node
                .children
                .iter()
                .filter(|child| frame.entry(**child).is_none());
            if let Some(below) = missing.find_map(|child| self.writer(*child)) {
                return Err(not_writable(
                    self.trie().address(below),
                    &node.address,
                    "an array",
                ));
            }
        }
        frame.copy(entry.last..entry.value.end, out);
        Ok(())
    }

    /// Writes the members that are not in the frame, and says whether there was one.
    fn add_missing(
        &self,
        node: &Node,
        frame: Option<&Frame<'_>>,
        mut is_first: bool,
        out: &mut Out,
    ) -> Result<bool, Refusal> {
        let mut added = false;
        for index in node.children.iter().copied() {
            if frame.is_some_and(|frame| frame.entry(index).is_some()) {
                continue;
            }
            if self.writer(index).is_none() {
                continue;
            }
            let Some(child) = self.trie().node(index) else {
                continue;
            };
            let mark = out.mark();
            if !is_first {
                out.push(",");
            }
            out.push(&child.key);
            if self.emit(index, None, out)? {
                (is_first, added) = (false, true);
            } else {
                out.back_to(mark);
            }
        }
        Ok(added)
    }

    /// Changes an array or object that is there, or makes one.
    fn edit(
        &self,
        index: usize,
        node: &Node,
        place: Option<(&Frame<'_>, &Entry)>,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let edits = || {
            node.writes
                .iter()
                .filter_map(|write| Some((write.mode, self.value(write.step)?)))
        };
        if node.children.is_empty()
            && node.each.is_none()
            && let Some((frame, entry)) = place
            && frame.bytes().get(entry.value.start) == Some(&b'[')
            && edits().all(|(mode, _)| mode != Mode::Merge)
        {
            // Between its brackets nothing is copied.
            let inner = entry.value.start + 1..entry.value.end - 1;
            let is_empty = frame.slice(inner.clone()).trim_ascii().is_empty();
            out.push("[");
            let mut comma = false;
            // The last one to be put in front stands in front of all.
            let before: Vec<_> = edits().filter(|(mode, _)| *mode == Mode::Prepend).collect();
            for (_, text) in before.iter().rev() {
                separate(&mut comma, out);
                out.push_text(text);
            }
            if !is_empty {
                separate(&mut comma, out);
                frame.copy(inner, out);
            }
            for (_, text) in edits().filter(|(mode, _)| *mode == Mode::Append) {
                separate(&mut comma, out);
                out.push_text(text);
            }
            out.push("]");
            return Ok(());
        }

        let mut text = Out::text();
        let is_there = match place {
            Some((frame, entry)) => {
                let plain = Frame {
                    origin: None,
                    entries: frame.entries.clone(),
                    text: frame.text,
                };
                self.inside(index, node, &plain, entry, &mut text)?;
                true
            }
            None => self.create(node, None, &mut text)?,
        };
        let mut text = is_there.then(|| text.into_text());
        for (mode, value) in edits() {
            let changed = match mode {
                Mode::Append => patch::insert(text.as_deref(), &value.text, false),
                Mode::Prepend => patch::insert(text.as_deref(), &value.text, true),
                Mode::Merge => Some(patch::merge(text.as_deref(), &value.text, json::MAX_DEPTH)),
                Mode::Set | Mode::Replace | Mode::Add | Mode::Default => continue,
            };
            let Some(changed) = changed else {
                let found = text.as_deref().map_or("missing", json::type_name);
                let detail = format!("{} must be an array, is {found}", node.address);
                return Err(Refusal::bad(&node.address, detail));
            };
            text = Some(changed);
        }
        out.push(&text.unwrap_or_default());
        Ok(())
    }

    /// Writes an array or object, with each of its items mapped.
    pub(crate) fn each(&self, each: &Each, text: &Text<'_>, out: &mut Out) -> Result<(), Refusal> {
        let Some(items) = json::items(&text.text) else {
            out.push_text(text);
            return Ok(());
        };
        let length = if each.program.needs_length {
            json::items(&text.text).map_or(0, Iterator::count)
        } else {
            0
        };
        let part = |range| Text::part(&text.text, text.origin, range);
        let (mut is_first, mut lead) = (true, None);
        let mut end = 1;
        let limit = limit_of_output(text.text.len()).saturating_add(out.made());
        out.push_text(&part(0..1));
        for (position, item) in items.enumerate() {
            let lead = lead.get_or_insert(1..item.key.start).clone();
            let mark = out.mark();
            if is_first {
                out.push_text(&part(lead));
            } else {
                out.push_text(&part(end..item.key.start));
            }
            out.push_text(&part(item.key.start..item.value.start));
            let key = json::decode_string(json::slice(&text.text, item.key.clone()));
            let element = part(item.value.clone());
            let env = self
                .env
                .at_item((!item.key.is_empty()).then_some(&*key), position, length);
            if each.program.map_item(&element, &env, out)? {
                is_first = false;
            } else {
                out.back_to(mark);
            }
            if out.made() > limit {
                return Err(Refusal::too_much(&"for_each"));
            }
            end = item.value.end;
        }
        out.push_text(&part(end..text.text.len()));
        Ok(())
    }

    /// Looks into a text that takes the place of the node with this index.
    fn look<'t>(&self, index: usize, text: &'t Text<'_>) -> Result<Frame<'t>, Refusal> {
        Frame::at(index, text, self.trie()).map_err(|stop| match stop {
            Stop::Twice(node) => twice(self.trie().address(node)),
            Stop::Invalid(invalid) => invalid.into(),
        })
    }

    /// The last of the values that are written at a node in such a mode.
    fn written(&self, node: &Node, is_so: impl Fn(Mode) -> bool) -> Option<&'e Text<'e>> {
        let mut writes = node.writes.iter().rev().filter(|write| {
            // Whether there was something to replace is known by who made the value.
            is_so(if write.mode == Mode::Replace {
                Mode::Set
            } else {
                write.mode
            })
        });
        writes.find_map(|write| self.value(write.step))
    }

    fn value(&self, step: usize) -> Option<&'e Text<'e>> {
        match self.outcomes.get(step) {
            Some(Outcome::Value(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the document is taken away as a whole.
    pub(crate) fn is_removed(&self) -> bool {
        let root = self.trie().node(0);
        root.is_some_and(|root| self.is_active(&root.removed))
    }

    /// Whether one of these steps is applied this time.
    fn is_active(&self, steps: &[usize]) -> bool {
        steps
            .iter()
            .any(|step| !matches!(self.outcomes.get(*step), None | Some(Outcome::Idle)))
    }

    /// Whether a rule takes it away that puts it nowhere.
    fn is_lost(&self, node: &Node) -> bool {
        let is_removal = |step: &usize| {
            let step = self.program.steps.get(*step);
            step.is_some_and(|step| step.is_removal)
        };
        let mut removed = node.removed.iter().filter(|step| is_removal(step));
        removed.any(|step| self.is_active(std::slice::from_ref(step)))
    }

    fn is_allowed(&self, index: usize) -> bool {
        let node = self.trie().node(index);
        node.is_some_and(|node| self.is_active(&node.kept) || self.is_active(&node.only))
    }

    /// The place, here or below, that would be written if it were missing.
    fn writer(&self, index: usize) -> Option<usize> {
        let node = self.trie().node(index)?;
        if node
            .writes
            .iter()
            .any(|write| self.value(write.step).is_some())
        {
            return Some(index);
        }
        node.children.iter().find_map(|child| self.writer(*child))
    }

    const fn trie(&self) -> &'e Trie {
        &self.program.trie
    }
}

pub(crate) fn twice(address: &str) -> Refusal {
    Refusal::bad(&address, format!("{address} is given twice"))
}

fn separate(comma: &mut bool, out: &mut Out) {
    if std::mem::replace(comma, true) {
        out.push(",");
    }
}

fn unnamed_member(address: &str) -> Refusal {
    Refusal::bad(
        &address,
        format!("{address} holds a member that no rule names"),
    )
}

fn not_writable(below: &str, here: &str, found: &str) -> Refusal {
    Refusal::bad(
        &below,
        format!("{below} cannot be written: {here} is {found}"),
    )
}
