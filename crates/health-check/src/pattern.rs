use std::fmt;

use bytes::Bytes;

/// What the bytes of an answer must have: one piece, or several in this order with anything between them, as in the health checks of Envoy.
///
/// ```
/// use portcullis_health_check::Pattern;
///
/// let greeting = Pattern::starts_with("220 ").then("SMTP");
/// assert!(greeting.matches(b"220 mx.example.org ESMTP ready"));
/// assert!(!greeting.matches(b"554 no SMTP here"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// The first piece must be at the very beginning.
    anchored: bool,
    pieces: Vec<Bytes>,
}

/// Looks for a pattern in bytes that come bit by bit, and looks at each of them once.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pattern: &'a Pattern,
    /// The piece that is looked for.
    piece: usize,
    /// Where it can begin at the earliest.
    from: usize,
}

/// How a search stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// All pieces are there; more bytes change nothing.
    All,
    /// More bytes may bring it.
    NotYet,
    /// The beginning is another; more bytes change nothing.
    Never,
}

// === impl Pattern ===

impl Pattern {
    /// Something that has this piece anywhere.
    #[must_use]
    pub fn contains(piece: impl Into<Bytes>) -> Self {
        Self {
            anchored: false,
            pieces: vec![piece.into()],
        }
    }

    /// Something that begins with this piece.
    #[must_use]
    pub fn starts_with(piece: impl Into<Bytes>) -> Self {
        Self {
            anchored: true,
            ..Self::contains(piece)
        }
    }

    /// Adds a piece that must come after the others, at once or later.
    #[must_use]
    pub fn then(mut self, piece: impl Into<Bytes>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    /// Says whether these bytes have all pieces.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.search().look(bytes) == Found::All
    }

    pub(crate) const fn search(&self) -> Search<'_> {
        Search {
            pattern: self,
            piece: 0,
            from: 0,
        }
    }
}

/// The pieces, each in quotes, with dots where anything may stand.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 || !self.anchored {
                f.write_str("..")?;
            }
            write!(f, "\"{}\"", piece.escape_ascii())?;
        }
        f.write_str("..")
    }
}

// === impl Search ===

impl Search<'_> {
    /// Goes on with all bytes that came until now: those of before, and more.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Found {
        while let Some(piece) = self.pattern.pieces.get(self.piece) {
            let rest = bytes.get(self.from..).unwrap_or_default();
            if self.pattern.anchored && self.piece == 0 {
                let known = rest.len().min(piece.len());
                if rest.get(..known) != piece.get(..known) {
                    return Found::Never;
                }
                if known < piece.len() {
                    return Found::NotYet;
                }
                self.found(0, piece.len());
                continue;
            }
            match find(rest, piece) {
                Some(at) => self.found(at, piece.len()),
                None => {
                    // It may have begun in the last bytes.
                    let may_begin = rest.len().saturating_sub(piece.len().saturating_sub(1));
                    self.from += may_begin;
                    return Found::NotYet;
                }
            }
        }
        Found::All
    }

    const fn found(&mut self, at: usize, length: usize) {
        self.from += at + length;
        self.piece += 1;
    }
}

fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    bytes
        .windows(piece.len())
        .position(|window| window == piece)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_are_found_in_their_order() {
        let ab = || Pattern::contains("a").then("b");
        for (row, pattern, bytes, expected) in [
            (
                "there",
                Pattern::contains("ok"),
                "{\"status\":\"ok\"}",
                Found::All,
            ),
            (
                "not there",
                Pattern::contains("ok"),
                "{\"status\":\"o",
                Found::NotYet,
            ),
            ("in order", ab(), "xaxbx", Found::All),
            ("not in order", ab(), "xbxax", Found::NotYet),
            (
                "not twice the same byte",
                Pattern::contains("a").then("a"),
                "xa",
                Found::NotYet,
            ),
            (
                "at the beginning",
                Pattern::starts_with("220"),
                "220 hi",
                Found::All,
            ),
            (
                "another beginning",
                Pattern::starts_with("220"),
                "55",
                Found::Never,
            ),
            (
                "too short",
                Pattern::starts_with("220"),
                "22",
                Found::NotYet,
            ),
            ("nothing asked", Pattern::contains(""), "", Found::All),
        ] {
            assert_eq!(pattern.search().look(bytes.as_bytes()), expected, "{row}");
        }
        let shown = Pattern::starts_with("220 ").then("\r\n").to_string();
        assert_eq!(shown, r#""220 ".."\r\n".."#);
        assert_eq!(Pattern::contains("ok").to_string(), r#".."ok".."#);
    }

    proptest! {
        /// What comes bit by bit is found as if it had come at once.
        #[test]
        fn bytes_may_come_in_any_bits(bytes in "[ab]{0,24}", pieces in prop::collection::vec("[ab]{0,3}", 1..4), anchored in any::<bool>(), cut in 1_usize..5) {
            let pattern = Pattern { anchored, pieces: pieces.into_iter().map(Bytes::from).collect() };
            let bytes = bytes.as_bytes();

            let at_once = pattern.search().look(bytes);

            let mut search = pattern.search();
            let mut last = search.look(&[]);
            for end in (0..bytes.len()).step_by(cut).chain([bytes.len()]) {
                last = search.look(&bytes[..end]);
            }
            prop_assert_eq!(last, at_once);
        }
    }
}
