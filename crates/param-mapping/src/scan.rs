//! One pass over a JSON text: whether it is valid, and where that stands which the rules name. Nothing else is kept of it.

use std::ops::Range;
use std::sync::LazyLock;

use crate::json::{self, Invalid, MAX_DEPTH};
use crate::trie::Trie;

mod items;
mod plain;
pub(crate) mod tape;

use self::items::Items;
pub use self::plain::plain;
use self::tape::Tape;

/// What the pass found at one place of a [`Trie`]: spans in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// There is something at this place.
    pub(crate) is_there: bool,
    /// It is an object or an array, and was looked into.
    pub(crate) is_open: bool,
    /// An earlier member of the same name, which the last one takes the place of.
    pub(crate) is_shadowed: bool,
    /// Where the key starts; in an array, where the element does.
    pub(crate) key: usize,
    pub(crate) value: Range<usize>,
    /// Where the item before it ends, or the bracket; where the item behind it starts, if there is one.
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// Inside it: where the first item starts and the last one ends, behind the bracket where there is none.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// The entries inside it and beside it, in the order of the text.
    pub(crate) child: Option<usize>,
    pub(crate) next: Option<usize>,
}

/// Why a text was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    Invalid(Invalid),
    /// The member at this node of the trie is given twice.
    Twice(usize),
}

/// Stops at the first byte that is wrong; the reason is found again, slowly, by whoever tells it.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    trie: &'a Trie,
    entries: Vec<Entry>,
}

/// Looks through a text as far down as the trie has places, from the one with this index; the rest is only checked.
/// There is an entry for each node, with the node's index; shadowed ones follow.
pub(crate) fn scan(text: &str, trie: &Trie, root: usize) -> Result<Vec<Entry>, Stop> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
        trie,
        entries: vec![Entry::default(); trie.nodes.len()],
    };
    let outcome = scanner.document(root);
    match outcome {
        Ok(()) => Ok(scanner.entries),
        Err(Stop::Invalid(Invalid::Syntax { .. })) => {
            Err(Stop::Invalid(json::syntax(text, scanner.at)))
        }
        Err(stop) => Err(stop),
    }
}

/// Checks a text in which nothing is looked for; returns where in it the document is, and tells the tape of its brackets.
pub(crate) fn check(text: &str, tape: &mut impl Tape) -> Result<Range<usize>, Invalid> {
    static NOTHING: LazyLock<Trie> = LazyLock::new(|| Trie::new("", true));
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
        trie: &NOTHING,
        entries: Vec::new(),
    };
    scanner.space();
    let start = scanner.at;
    let outcome = scanner.skip_to(0, tape);
    let end = scanner.at;
    scanner.space();
    match outcome {
        Ok(()) if scanner.at == text.len() => Ok(start..end),
        Ok(()) | Err(Stop::Invalid(Invalid::Syntax { .. }) | Stop::Twice(_)) => {
            Err(json::syntax(text, scanner.at))
        }
        Err(Stop::Invalid(invalid)) => Err(invalid),
    }
}

// === impl Scanner ===

impl Scanner<'_> {
    fn document(&mut self, root: usize) -> Result<(), Stop> {
        self.space();
        let start = self.at;
        self.value(root, 0)?;
        let value = start..self.at;
        self.space();
        if self.at < self.bytes.len() {
            return Err(SYNTAX);
        }
        self.place(root, |entry| {
            entry.is_there = true;
            entry.value = value;
        });
        Ok(())
    }

    /// A value at a place that rules name.
    fn value(&mut self, node: usize, depth: usize) -> Result<(), Stop> {
        let is_leaf = self.trie.is_leaf(node);
        match self.peek() {
            Some(b'{') if !is_leaf => self.object(node, deeper(depth)?),
            Some(b'[') if !is_leaf => self.array(node, deeper(depth)?),
            _ => self.skip(depth),
        }
    }

    fn object(&mut self, node: usize, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        let mut items = Items::new(self.at);
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            items.close(self, node);
            return Ok(());
        }
        loop {
            let start = self.at;
            let escaped = self.key_text()?;
            let name = start + 1..self.at - 1;
            self.colon()?;
            let child = self.trie.member(node, self.bytes.get(name), escaped);
            items.item(self, node, start, child, depth)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b'}') => break,
                _ => return Err(SYNTAX),
            }
        }
        self.at += 1;
        items.close(self, node);
        Ok(())
    }

    fn array(&mut self, node: usize, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        let mut items = Items::new(self.at);
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            items.close(self, node);
            return Ok(());
        }
        let mut position = 0;
        loop {
            let child = self.trie.element(node, position);
            position += 1;
            items.item(self, node, self.at, child, depth)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b']') => break,
                _ => return Err(SYNTAX),
            }
        }
        self.at += 1;
        items.close(self, node);
        Ok(())
    }

    /// A value that no rule looks into.
    fn skip(&mut self, depth: usize) -> Result<(), Stop> {
        self.skip_to(depth, &mut ())
    }

    fn skip_to(&mut self, depth: usize, tape: &mut impl Tape) -> Result<(), Stop> {
        // One bit for each open bracket: whether it is that of an object.
        let mut kinds = 0_u128;
        let mut open = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(bracket @ (b'{' | b'[')) => {
                    deeper(depth + open)?;
                    tape.open(self.at);
                    self.at += 1;
                    self.space();
                    let is_object = bracket == b'{';
                    // `]` and `}` are two behind their openers.
                    if self.peek() == Some(bracket + 2) {
                        self.at += 1;
                        tape.close(self.at);
                    } else {
                        kinds = kinds << 1 | u128::from(is_object);
                        open += 1;
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(SYNTAX),
            }
            // Behind a value.
            loop {
                if open == 0 {
                    return Ok(());
                }
                self.space();
                let is_object = kinds & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if is_object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return Err(SYNTAX),
                }
                self.at += 1;
                tape.close(self.at);
                kinds >>= 1;
                open -= 1;
            }
        }
    }

    fn key(&mut self) -> Result<(), Stop> {
        self.key_text()?;
        self.colon()
    }

    fn key_text(&mut self) -> Result<bool, Stop> {
        if self.peek() != Some(b'"') {
            return Err(SYNTAX);
        }
        self.string()
    }

    fn colon(&mut self) -> Result<(), Stop> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(SYNTAX);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// A string, from its first quote to behind the last one. Says whether there is an escape in it.
    fn string(&mut self) -> Result<bool, Stop> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(SYNTAX),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.code_unit(self.at + 2)?;
                self.at += 6;
                match unit {
                    0xD800..0xDC00 => {
                        let pair = self.bytes.get(self.at..self.at + 2);
                        if pair != Some(b"\\u") {
                            return Err(Stop::Invalid(Invalid::Surrogate));
                        }
                        let second = self.code_unit(self.at + 2)?;
                        if !(0xDC00..0xE000).contains(&second) {
                            return Err(Stop::Invalid(Invalid::Surrogate));
                        }
                        self.at += 6;
                        Ok(())
                    }
                    0xDC00..0xE000 => Err(Stop::Invalid(Invalid::Surrogate)),
                    _ => Ok(()),
                }
            }
            _ => Err(SYNTAX),
        }
    }

    fn code_unit(&self, at: usize) -> Result<u32, Stop> {
        let digits = self.bytes.get(at..at + 4).ok_or(SYNTAX)?;
        digits.iter().try_fold(0, |unit, byte| {
            let digit = char::from(*byte).to_digit(16).ok_or(SYNTAX)?;
            Ok(unit << 4 | digit)
        })
    }

    fn number(&mut self) -> Result<(), Stop> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(SYNTAX),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(SYNTAX)
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(SYNTAX);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn place(&mut self, index: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(index) {
            change(entry);
        }
    }

    /// Lets the last of several members of one name take the place of an earlier one, which stays known as a span to be left out.
    fn shadow(&mut self, parent: usize, node: usize) {
        let new = self.entries.len();
        let Some(entry) = self.entries.get_mut(node) else {
            return;
        };
        let mut earlier = std::mem::take(entry);
        earlier.is_shadowed = true;
        earlier.child = None;
        self.entries.push(earlier);
        self.forget(node);
        // It keeps its place among its siblings.
        let mut link = self.entries.get_mut(parent).map(|entry| &mut entry.child);
        while let Some(Some(index)) = link {
            if *index == node {
                *index = new;
                return;
            }
            let index = *index;
            link = self.entries.get_mut(index).map(|entry| &mut entry.next);
        }
    }

    fn forget(&mut self, node: usize) {
        let trie = self.trie;
        for child in trie.children(node) {
            self.place(*child, |entry| *entry = Entry::default());
            self.forget(*child);
        }
    }
}

const fn deeper(depth: usize) -> Result<usize, Stop> {
    if depth >= MAX_DEPTH {
        return Err(Stop::Invalid(Invalid::Depth));
    }
    Ok(depth + 1)
}

/// Its place is found by who tells it.
const SYNTAX: Stop = Stop::Invalid(Invalid::Syntax { line: 0, column: 0 });

#[cfg(test)]
mod tests;
