//! Valid JSON as text: where its members stand, and what its scalars are. Nothing is decoded that no rule asks for.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::number;
use crate::scan::tape::{Jump, Jumps, Tape};
use crate::scan::{check, plain};

/// How deep arrays and objects may be nested.
pub(crate) const MAX_DEPTH: usize = 128;

/// Why some bytes are not a JSON text for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Invalid {
    Utf8,
    Syntax {
        line: usize,
        column: usize,
    },
    /// Half of a surrogate pair, which no text can hold.
    Surrogate,
    Depth,
}

/// One member of an object or element of an array, as places in the text of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// With its quotes; empty at the value's start in an array.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

/// Walks over an array or an object, and keeps nothing of it.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
    is_object: bool,
    /// Where the objects and arrays in it end, as far as that is known.
    jumps: &'a [Jump],
}

#[derive(Clone, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl Invalid ===

impl Invalid {
    /// What is wrong with this, in words.
    pub(crate) fn told(self, what: &str) -> String {
        match self {
            Self::Utf8 => format!("{what} is not UTF-8"),
            Self::Syntax { line, column } => {
                format!("{what} is not valid JSON at line {line}, column {column}")
            }
            Self::Surrogate => format!("{what} holds half of a surrogate pair"),
            Self::Depth => format!("{what} is nested deeper than {MAX_DEPTH} levels"),
        }
    }
}

/// Where a text that is no JSON goes wrong, counted as `serde_json` does.
#[cold]
pub(crate) fn syntax(text: &str, at: usize) -> Invalid {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Invalid::Syntax {
            line: error.line(),
            column: error.column(),
        };
    }
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
    Invalid::Syntax { line, column }
}

/// The members of an object or the elements of an array, one by one; `None` for a scalar. The text is valid JSON without space around it.
#[must_use]
pub fn items(text: &str) -> Option<Items<'_>> {
    let is_object = match text.as_bytes().first() {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return None,
    };
    let cursor = Cursor {
        bytes: text.as_bytes(),
        at: 1,
    };
    Some(Items {
        cursor,
        is_object,
        jumps: &[],
    })
}

/// The same, where is known where the objects and arrays in it end.
#[must_use]
pub fn items_by<'a>(text: &'a str, jumps: &'a [Jump]) -> Option<Items<'a>> {
    let items = items(text)?;
    Some(Items { jumps, ..items })
}

/// The text of a JSON string, which stands in its quotes.
pub(crate) fn decode_string(text: &str) -> Cow<'_, str> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if inner.contains('\\') {
        serde_json::from_str(text).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

/// A text as a JSON string.
pub(crate) fn encode_string(text: &str) -> String {
    Value::from(text).to_string()
}

/// What kind of value a valid JSON text holds, in words.
#[must_use]
pub fn type_name(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Where in a text that is at the end of these tokens; of twins the last one.
pub(crate) fn find(text: &str, tokens: &[String]) -> Option<Range<usize>> {
    let Some((token, rest)) = tokens.split_first() else {
        return Some(0..text.len());
    };
    let is_object = text.starts_with('{');
    let index = token.parse().ok();
    let named = items(text)?.enumerate().filter(|(position, item)| {
        if is_object {
            decode_string(slice(text, item.key.clone())) == *token
        } else {
            index == Some(*position)
        }
    });
    let value = named.last()?.1.value;
    let inner = find(slice(text, value.clone()), rest)?;
    Some(value.start + inner.start..value.start + inner.end)
}

/// The JSON document that these bytes are, without the space around it; `what` they are is for the words of the error.
///
/// # Errors
/// When they are not UTF-8, not JSON, or nested deeper than 128 levels.
pub fn read<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    read_to(bytes, what, &mut ())
}

/// The same, and where its objects and arrays end.
///
/// # Errors
/// As [`read`].
pub fn read_jumps<'a>(bytes: &'a [u8], what: &str, jumps: &mut Jumps) -> Result<&'a str, String> {
    read_to(bytes, what, jumps)
}

fn read_to<'a>(bytes: &'a [u8], what: &str, tape: &mut impl Tape) -> Result<&'a str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::Utf8.told(what))?;
    let document = check(text, tape).map_err(|invalid| invalid.told(what))?;
    Ok(slice(text, document))
}

/// A text that holds one valid JSON document, without the space around it.
pub(crate) fn document(text: &str) -> Option<&str> {
    Some(slice(text, check(text, &mut ()).ok()?))
}

/// Whether a text stands for this value. Numbers are compared as numbers, and the order of members does not count.
pub(crate) fn equals(text: &str, value: &Value) -> bool {
    match value {
        Value::Null => text == "null",
        Value::Bool(flag) => text == if *flag { "true" } else { "false" },
        Value::Number(number) => {
            type_name(text) == "a number"
                && number::compare(text, &number.to_string()) == Ordering::Equal
        }
        Value::String(string) => text.starts_with('"') && decode_string(text) == *string,
        Value::Array(elements) => {
            let Some(mut items) = items(text).filter(|_| text.starts_with('[')) else {
                return false;
            };
            let mut elements = elements.iter();
            let mut is_same = |item: Item| {
                let element = elements.next();
                element.is_some_and(|element| equals(slice(text, item.value), element))
            };
            items.by_ref().all(&mut is_same) && elements.next().is_none()
        }
        Value::Object(members) => {
            let Some(mut items) = items(text).filter(|_| text.starts_with('{')) else {
                return false;
            };
            let mut count = 0;
            let mut is_same = |item: Item| {
                count += 1;
                let member = members.get(&*decode_string(slice(text, item.key)));
                member.is_some_and(|member| equals(slice(text, item.value), member))
            };
            items.by_ref().all(&mut is_same) && count == members.len()
        }
    }
}

/// A part of a text by its place.
pub(crate) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

// === impl Items ===

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let cursor = &mut self.cursor;
        cursor.skip_space();
        if cursor.peek() == Some(b',') {
            cursor.at += 1;
            cursor.skip_space();
        }
        if matches!(cursor.peek(), None | Some(b']' | b'}')) {
            return None;
        }
        let start = cursor.at;
        if self.is_object {
            cursor.skip_value();
        }
        let key = start..cursor.at;
        if self.is_object {
            cursor.skip_space();
            // The colon.
            cursor.at += 1;
            cursor.skip_space();
        }
        let start = cursor.at;
        match (cursor.peek(), self.jumps.split_first()) {
            (Some(b'{' | b'['), Some((jump, behind))) => {
                cursor.at += jump.len;
                self.jumps = behind.get(jump.inner..).unwrap_or_default();
            }
            _ => cursor.skip_value(),
        }
        let value = start..cursor.at;
        Some(Item { key, value })
    }
}

impl<'a> Items<'a> {
    /// Where the objects and arrays end in what comes next, and behind it.
    #[must_use]
    pub const fn jumps(&self) -> &'a [Jump] {
        self.jumps
    }
}

// === impl Cursor ===

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_value(&mut self) {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'[' | b'{') => self.skip_nested(),
            // A number or a word ends where nothing of it can stand. One byte at least, so that no text holds us up.
            _ => {
                self.at += 1;
                while !matches!(
                    self.peek(),
                    None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                ) {
                    self.at += 1;
                }
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(rest) = self.bytes.get(self.at..) {
            self.at += plain(rest);
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                Some(_) => self.at += 1,
                None => return,
            }
        }
    }

    fn skip_nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_and_elements_are_found_where_they_stand() {
        let show = |text| {
            Some(
                items(text)?
                    .map(|item| [slice(text, item.key), slice(text, item.value)])
                    .collect::<Vec<_>>(),
            )
        };

        assert_eq!(
            show(r#"{ "a" : [1, "]"] ,"b\"":{"c":{}},"d":-1e5}"#),
            Some(vec![
                [r#""a""#, r#"[1, "]"]"#],
                [r#""b\"""#, r#"{"c":{}}"#],
                [r#""d""#, "-1e5"]
            ])
        );
        assert_eq!(
            show("[true , [ ],\n\"x\"]"),
            Some(vec![["", "true"], ["", "[ ]"], ["", "\"x\""]])
        );
        assert_eq!(show("{ }"), Some(vec![]));
        assert_eq!(show("7"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_cursor_panic_or_hang(text in r#"[\[{]["\\{}\[\]:, a0]{0,40}"#) {
            let _ = items(&text).map(Iterator::count);
        }
    }
}
