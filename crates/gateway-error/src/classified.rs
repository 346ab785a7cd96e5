use std::error::Error;
use std::fmt;

use crate::Failure;

/// An error that carries its classification with it.
///
/// Wrap an error in it where you know more than its type says: the classifiers look for it in the whole chain of sources, and believe it.
#[derive(Debug)]
pub struct Classified {
    failure: Failure,
    source: Box<dyn Error + Send + Sync>,
}

// === impl Classified ===

impl Classified {
    /// Attaches a classification to an error.
    pub fn new(
        failure: impl Into<Failure>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            failure: failure.into(),
            source: source.into(),
        }
    }

    /// Returns the classification.
    pub const fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for Classified {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
