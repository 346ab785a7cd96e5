//! Text that is written: parts of the input, which are not copied, between small pieces that are.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::{Mapped, json};

/// JSON text that came from the input or was made, without space around it.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Where in the input it stands, if it does.
    pub(crate) origin: Option<usize>,
}

/// What is written, piece by piece.
#[derive(Debug)]
pub(crate) struct Out {
    pieces: Vec<Piece>,
    /// All that is no part of the input, one piece behind the other.
    made: String,
    /// Shorter parts of the input are copied: a piece of its own costs more.
    copied_below: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    Input(Range<usize>),
    Made(Range<usize>),
}

/// How much was written, to go back to.
#[derive(Debug)]
pub(crate) struct Mark {
    pieces: usize,
    last: Option<Piece>,
    made: usize,
}

// === impl Text ===

impl<'a> Text<'a> {
    pub(crate) const fn made(text: String) -> Self {
        Self {
            text: Cow::Owned(text),
            origin: None,
        }
    }

    pub(crate) const fn constant(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            origin: None,
        }
    }

    /// A part of a text, which keeps its place in the input.
    pub(crate) fn part(text: &'a str, origin: Option<usize>, range: Range<usize>) -> Self {
        Self {
            origin: origin.map(|origin| origin + range.start),
            text: Cow::Borrowed(json::slice(text, range)),
        }
    }
}

// === impl Out ===

impl Out {
    /// For the output of an input of this length.
    pub(crate) fn new(input: usize) -> Self {
        let is_short = input <= COPIED_WHOLE;
        Self {
            pieces: Vec::with_capacity(if is_short { 1 } else { PIECES }),
            made: String::with_capacity(if is_short {
                input + input / 8 + 128
            } else {
                MADE
            }),
            copied_below: if is_short { usize::MAX } else { COPIED_BELOW },
        }
    }

    /// One that makes a text.
    pub(crate) const fn text() -> Self {
        Self {
            pieces: Vec::new(),
            made: String::new(),
            copied_below: usize::MAX,
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        let start = self.made.len();
        self.made.push_str(text);
        let end = self.made.len();
        match self.pieces.last_mut() {
            Some(Piece::Made(range)) if range.end == start => range.end = end,
            _ if start == end => {}
            _ => self.pieces.push(Piece::Made(start..end)),
        }
    }

    /// Writes a part of a text, which stands in the input if it has an origin.
    pub(crate) fn push_part(&mut self, text: &str, origin: Option<usize>, range: Range<usize>) {
        if let Some(origin) = origin {
            let start = origin + range.start;
            let end = origin + range.end;
            match self.pieces.last_mut() {
                Some(Piece::Input(last)) if last.end == start => {
                    last.end = end;
                    return;
                }
                _ if end - start >= self.copied_below => {
                    self.pieces.push(Piece::Input(start..end));
                    return;
                }
                _ => {}
            }
        }
        self.push(json::slice(text, range));
    }

    pub(crate) fn push_text(&mut self, text: &Text<'_>) {
        self.push_part(&text.text, text.origin, 0..text.text.len());
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            pieces: self.pieces.len(),
            last: self.pieces.last().cloned(),
            made: self.made.len(),
        }
    }

    /// Forgets what was written behind the mark.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.pieces.truncate(mark.pieces);
        if let (Some(last), Some(was)) = (self.pieces.last_mut(), mark.last) {
            *last = was;
        }
        self.made.truncate(mark.made);
    }

    /// Of one made by [`Self::text`].
    pub(crate) fn into_text(self) -> String {
        self.made
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        let length = |piece: &Piece| match piece {
            Piece::Input(range) | Piece::Made(range) => range.len(),
        };
        self.pieces.iter().map(length).sum()
    }

    /// How many of them are no part of the input.
    pub(crate) const fn made(&self) -> usize {
        self.made.len()
    }

    /// Whether nothing but this input, whole, was written.
    pub(crate) fn is_all_of(&self, input: &str) -> bool {
        match &*self.pieces {
            [] => input.is_empty(),
            [Piece::Input(range)] => *range == (0..input.len()),
            [Piece::Made(range)] => json::slice(&self.made, range.clone()) == input,
            pieces => {
                // A rule may write what was there already.
                let mut at = 0;
                pieces.iter().all(|piece| {
                    let text = match piece {
                        Piece::Input(range) => json::slice(input, range.clone()),
                        Piece::Made(range) => json::slice(&self.made, range.clone()),
                    };
                    let is_same = matches!(piece, Piece::Input(range) if range.start == at)
                        || input.get(at..).is_some_and(|rest| rest.starts_with(text));
                    at += text.len();
                    is_same
                }) && at == input.len()
            }
        }
    }

    pub(crate) fn finish(self, input: &Bytes) -> Mapped {
        if let [Piece::Made(_)] = &*self.pieces {
            return Mapped::one(Bytes::from(self.made));
        }
        let made = Bytes::from(self.made);
        let slice = |piece| match piece {
            Piece::Input(range) => input.slice(range),
            Piece::Made(range) => made.slice(range),
        };
        Mapped::many(self.pieces.into_iter().map(slice).collect())
    }
}

/// How much may be made of an input of this length.
pub(crate) fn limit_of_output(input: usize) -> usize {
    MAX_MADE.max(input.saturating_mul(4))
}

/// How much rules may make of one message: 64 MiB, or four times what came where that is more.
pub(crate) const MAX_MADE: usize = 64 * 1024 * 1024;

/// An input of this length is copied whole, into one piece: many pieces cost more than that.
const COPIED_WHOLE: usize = 4096;

const COPIED_BELOW: usize = 256;

/// What is made beside the input, as far as it is known before.
const MADE: usize = 1024;

const PIECES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_parts_of_the_input_are_not_copied_and_neighbours_become_one_piece() {
        let input = Bytes::from(vec![b'x'; 10_000]);
        let text = str::from_utf8(&input).unwrap();
        let mut out = Out::new(input.len());

        out.push_part(text, Some(0), 0..4000);
        out.push_part(text, Some(0), 4000..4001);
        out.push("a");
        out.push_part(text, Some(0), 5000..5010);
        let mark = out.mark();
        out.push("gone");
        out.push_part(text, Some(0), 6000..7000);
        out.back_to(mark);
        out.push_part(text, Some(0), 9000..10_000);

        let mapped = out.finish(&input);
        let lengths: Vec<_> = mapped.chunks().map(Bytes::len).collect();
        assert_eq!(lengths, [4001, 11, 1000]);
        let first = mapped.chunks().next().unwrap();
        assert_eq!(first.as_ptr(), input.as_ptr());
    }
}
