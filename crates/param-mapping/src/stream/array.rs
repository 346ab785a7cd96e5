//! One JSON array whose elements are events.
//!
//! Only as much of JSON is read as shows where an element ends; whether it is valid is for whoever reads it.

use memchr::memchr2;

use super::parser::{End, Kind};

/// Reads on where the last chunk ended.
#[derive(Clone, Debug)]
pub(crate) struct ArrayScanner {
    place: Place,
    /// What came before the element: spaces and a comma.
    lead: usize,
    /// Brackets and braces that are open within the element.
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Before the `[`.
    Before,
    /// After the `[`: an element or the end.
    First,
    /// After an element: a comma or the end.
    After,
    /// After a comma: an element.
    Next,
    /// Within an object or an array.
    Nested,
    /// Within a string of a nested value, or one that is the element.
    Text,
    /// After a backslash in a string.
    Escape,
    /// Within a number, `true`, `false` or `null`.
    Scalar,
    /// After the `]`.
    Closed,
}

/// The bytes are no array, at this place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

// === impl ArrayScanner ===

impl ArrayScanner {
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::Before,
            lead: 0,
            depth: 0,
        }
    }

    /// Whether it has begun and has not ended.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.place, Place::Before | Place::Closed)
    }

    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<End>, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.place {
                Place::Text => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(stop) = memchr2(b'"', b'\\', rest) else {
                        return Ok(None);
                    };
                    at += stop + 1;
                    if rest.get(stop) == Some(&b'\\') {
                        self.place = Place::Escape;
                    } else if self.depth == 0 {
                        return Ok(Some(self.element(at)));
                    } else {
                        self.place = Place::Nested;
                    }
                    continue;
                }
                Place::Escape => self.place = Place::Text,
                Place::Nested => match byte {
                    b'"' => self.place = Place::Text,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Ok(Some(self.element(at + 1)));
                        }
                    }
                    _ => {}
                },
                // What ends it is no part of it.
                Place::Scalar if is_space(byte) || matches!(byte, b',' | b']') => {
                    return Ok(Some(self.element(at)));
                }
                Place::Scalar => {}
                _ if is_space(byte) => self.lead += 1,
                Place::Before if byte == b'[' => {
                    return Ok(Some(self.bracket(at, Place::First, Kind::Filler)));
                }
                Place::Before => {
                    return Err(Malformed {
                        at,
                        expected: "`[`",
                    });
                }
                Place::First | Place::After if byte == b']' => {
                    return Ok(Some(self.bracket(at, Place::Closed, Kind::Close)));
                }
                Place::After if byte == b',' => {
                    self.lead += 1;
                    self.place = Place::Next;
                }
                Place::After => {
                    return Err(Malformed {
                        at,
                        expected: "`,` or `]`",
                    });
                }
                Place::First | Place::Next => match byte {
                    b'"' => self.place = Place::Text,
                    b'{' | b'[' => {
                        self.depth = 1;
                        self.place = Place::Nested;
                    }
                    b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.place = Place::Scalar,
                    _ => {
                        return Err(Malformed {
                            at,
                            expected: "a value",
                        });
                    }
                },
                Place::Closed => {
                    return Err(Malformed {
                        at,
                        expected: "nothing after `]`",
                    });
                }
            }
            at += 1;
        }
        Ok(None)
    }

    fn element(&mut self, end: usize) -> End {
        let lead = std::mem::take(&mut self.lead);
        self.place = Place::After;
        self.depth = 0;
        End::new(end, Kind::Element { lead })
    }

    fn bracket(&mut self, at: usize, place: Place, kind: Kind) -> End {
        self.lead = 0;
        self.place = place;
        End::new(at + 1, kind)
    }
}

pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
