use std::error::Error;
use std::fmt;

use crate::refusal::Refusal;

/// Why a document is not mapped. It names an address and never a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MapError {
    refusal: Refusal,
}

// === impl MapError ===

impl MapError {
    pub(crate) const fn new(refusal: Refusal) -> Self {
        Self { refusal }
    }

    /// Returns the address at fault: `body:/a`, or `body:` for the whole.
    #[must_use]
    pub fn param(&self) -> &str {
        &self.refusal.param
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.refusal.detail)
    }
}

impl Error for MapError {}
