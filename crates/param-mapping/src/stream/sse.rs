//! Event streams after WHATWG HTML, section 9.2.5: where a piece ends.

use memchr::{memchr2, memrchr2};

use super::parser::{End, Kind};

/// Reads on where the last chunk ended, so that no byte is looked at twice.
#[derive(Clone, Debug)]
pub(crate) struct SseScanner {
    /// How much of a byte order mark was seen; [`NO_BOM`] once the stream has begun.
    bom: u8,
    /// The last byte was a CR: a LF that comes next belongs to it.
    after_cr: bool,
    /// Something of a piece was seen.
    in_piece: bool,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// The next byte begins a line; no field of an event was seen.
    Between,
    /// Within a comment that is no part of an event.
    Comment,
    /// The next byte begins a line of an event.
    Start,
    /// Within a line of an event.
    Within,
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
const NO_BOM: u8 = u8::MAX;

// === impl SseScanner ===

impl SseScanner {
    pub(crate) const fn new() -> Self {
        Self {
            bom: 0,
            after_cr: false,
            in_piece: false,
            line: Line::Between,
        }
    }

    /// Whether a piece begins with the next byte, whatever it is.
    pub(crate) fn is_idle(&self) -> bool {
        self.bom == NO_BOM && !self.after_cr && !self.in_piece
    }

    /// Whether what was seen since the last end is part of an event, which is not complete.
    pub(crate) fn is_in_event(&self) -> bool {
        matches!(self.line, Line::Start | Line::Within) || matches!(self.bom, 1..=3)
    }

    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<End> {
        let mut at = 0;
        if self.bom != NO_BOM {
            while let Some(byte) = bytes.get(at) {
                if BOM.get(usize::from(self.bom)) != Some(byte) {
                    self.begin();
                    break;
                }
                at += 1;
                self.bom += 1;
                if usize::from(self.bom) == BOM.len() {
                    self.bom = NO_BOM;
                    return Some(End::new(at, Kind::Filler));
                }
            }
        }
        loop {
            let byte = *bytes.get(at)?;
            if self.after_cr {
                self.after_cr = false;
                if byte == b'\n' {
                    at += 1;
                    if !self.in_piece {
                        return Some(End::new(at, Kind::Tail));
                    }
                    continue;
                }
            }
            self.in_piece = true;
            match (self.line, byte) {
                (Line::Between, b'\n' | b'\r') => {
                    return Some(self.end(bytes, at, Kind::Filler));
                }
                (Line::Start, b'\n' | b'\r') => return Some(self.end(bytes, at, Kind::Event)),
                (Line::Between, b':') => self.line = Line::Comment,
                (Line::Between | Line::Start, _) => self.line = Line::Within,
                (Line::Comment | Line::Within, _) => {}
            }
            at += memchr2(b'\n', b'\r', bytes.get(at..)?)?;
            if self.line == Line::Comment {
                return Some(self.end(bytes, at, Kind::Filler));
            }
            self.line = Line::Start;
            self.after_cr = bytes.get(at) == Some(&b'\r');
            at += 1;
        }
    }

    /// No byte order mark: what was taken for one is the beginning of a line.
    fn begin(&mut self) {
        if self.bom > 0 {
            self.in_piece = true;
            self.line = Line::Within;
        }
        self.bom = NO_BOM;
    }

    /// Ends a piece with the line end that begins here, and as much of it as is there.
    fn end(&mut self, bytes: &[u8], at: usize, kind: Kind) -> End {
        self.line = Line::Between;
        self.in_piece = false;
        let mut end = at + 1;
        if bytes.get(at) == Some(&b'\r') {
            match bytes.get(end) {
                Some(b'\n') => end += 1,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
        End::new(end, kind)
    }
}

/// The length of the longest beginning of these bytes that ends with an empty line; 0 where there is none.
///
/// Where the empty line ends is seen from the bytes around it alone: a CR before a LF always belongs to it. A CR at the
/// very end does not count, since a LF may follow.
pub(crate) fn last_end(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(at) = memrchr2(b'\n', b'\r', rest) {
        let before = rest.get(..at).unwrap_or_default();
        let is_cr = rest.get(at) == Some(&b'\r');
        let line = match before.split_last() {
            Some((b'\r', line)) if !is_cr => line,
            _ => before,
        };
        let is_whole = !is_cr || bytes.get(at + 1).is_some();
        if is_whole && (line.is_empty() || line.ends_with(b"\n") || line.ends_with(b"\r")) {
            return at + 1;
        }
        rest = line;
    }
    0
}
