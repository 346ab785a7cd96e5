//! JSON as text: what is valid, and where its members stand. Nothing is decoded that no rule asks for.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

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
pub(crate) struct Item {
    /// With its quotes; empty at the value's start in an array.
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Walks over an array or an object, and keeps nothing of it.
pub(crate) struct Items<'a> {
    cursor: Cursor<'a>,
    is_object: bool,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Checks that the bytes are one valid JSON text.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, Invalid> {
    let text = str::from_utf8(bytes).map_err(|_| Invalid::Utf8)?;
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(Invalid::Syntax {
            line: error.line(),
            column: error.column(),
        });
    }
    // What `IgnoredAny` does not look at.
    let mut bytes = text.bytes();
    let mut depth = 0_usize;
    let mut in_string = false;
    // The last escape was the first half of a pair.
    let mut half = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let unit = match bytes.next() {
                    Some(b'u') => code_unit(&mut bytes),
                    _ => 0,
                };
                let second = (0xDC00..0xE000).contains(&unit);
                if half != second {
                    return Err(Invalid::Surrogate);
                }
                half = (0xD800..0xDC00).contains(&unit);
                continue;
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Invalid::Depth);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if half {
            return Err(Invalid::Surrogate);
        }
    }
    Ok(text)
}

/// The members of an object or the elements of an array, one by one; `None` for a scalar. The text is valid JSON without space around it.
pub(crate) fn items(text: &str) -> Option<Items<'_>> {
    let is_object = match text.as_bytes().first() {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return None,
    };
    let cursor = Cursor {
        bytes: text.as_bytes(),
        at: 1,
    };
    Some(Items { cursor, is_object })
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
    serde_json::Value::from(text).to_string()
}

/// What kind of value a valid JSON text holds, in words.
pub(crate) fn type_name(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A part of a text by its place.
pub(crate) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

fn code_unit(bytes: &mut std::str::Bytes<'_>) -> u32 {
    bytes.take(4).fold(0, |unit, byte| {
        unit << 4 | char::from(byte).to_digit(16).unwrap_or(0)
    })
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
        cursor.skip_value();
        let value = start..cursor.at;
        Some(Item { key, value })
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
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_valid_json_is_taken() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (text, expected) in [
            (&b"{}"[..], Ok(())),
            (b" [1e400, -0.0, 18446744073709551616] ", Ok(())),
            (br#""\ud83d\ude00 [{""#, Ok(())),
            (nested(128).as_bytes(), Ok(())),
            (nested(129).as_bytes(), Err(Invalid::Depth)),
            (nested(1_000_000).as_bytes(), Err(Invalid::Depth)),
            (br#"{"a\ud83d": 1}"#, Err(Invalid::Surrogate)),
            (br#""\ude00""#, Err(Invalid::Surrogate)),
            (br#""\ud83d\n\ude00""#, Err(Invalid::Surrogate)),
            (b"\"\xff\"", Err(Invalid::Utf8)),
            (b"", Err(Invalid::Syntax { line: 1, column: 0 })),
            (b"{\n01}", Err(Invalid::Syntax { line: 2, column: 1 })),
            (b"{} {}", Err(Invalid::Syntax { line: 1, column: 4 })),
            (b"\"a\nb\"", Err(Invalid::Syntax { line: 1, column: 2 })),
            (b"NaN", Err(Invalid::Syntax { line: 1, column: 1 })),
            (
                b"\xef\xbb\xbf{}",
                Err(Invalid::Syntax { line: 1, column: 1 }),
            ),
        ] {
            let name = String::from_utf8_lossy(text.get(..60).unwrap_or(text));
            assert_eq!(check(text).map(|_| ()), expected, "{name}");
        }
    }

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

        #[test]
        fn what_serde_json_rejects_is_rejected(bytes in r#"["\\{}\[\]:, a0u1d8e.-]{0,20}"#) {
            if check(bytes.as_bytes()).is_ok() {
                let value = serde_json::from_str::<Value>(&bytes);
                // Only a number that no `f64` holds is more than a tree can take.
                prop_assert!(value.is_ok() || bytes.contains('e'), "{bytes}: {value:?}");
            }
        }
    }
}
