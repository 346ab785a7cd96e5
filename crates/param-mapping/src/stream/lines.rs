//! One JSON text per line.

use memchr::{memchr, memrchr};

use super::parser::{End, Kind};

/// Reads on where the last chunk ended.
#[derive(Clone, Debug)]
pub(crate) struct LineScanner {
    /// Nothing but spaces was seen since the last line end.
    is_blank: bool,
    is_idle: bool,
}

// === impl LineScanner ===

impl LineScanner {
    pub(crate) const fn new() -> Self {
        Self {
            is_blank: true,
            is_idle: true,
        }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.is_idle
    }

    pub(crate) const fn is_in_event(&self) -> bool {
        !self.is_blank
    }

    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<End> {
        let end = memchr(b'\n', bytes);
        let line = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
        self.is_blank &= line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let Some(end) = end else {
            self.is_idle &= line.is_empty();
            return None;
        };
        let kind = if self.is_blank {
            Kind::Filler
        } else {
            Kind::Event
        };
        *self = Self::new();
        Some(End::new(end + 1, kind))
    }
}

/// The length of the longest beginning of these bytes that ends with a line end; 0 where there is none.
pub(crate) fn last_end(bytes: &[u8]) -> usize {
    memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}
