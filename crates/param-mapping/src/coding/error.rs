use std::error::Error;
use std::fmt;

use super::Coding;

/// Says why a body could not be decoded. It holds nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodingError {
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Unsupported,
    TooLarge { limit: usize },
    Ratio { limit: u32 },
    Broken(Coding),
    CutOff(Coding),
    Trailing(Coding),
}

// === impl CodingError ===

impl CodingError {
    pub(crate) const fn unsupported() -> Self {
        Self {
            fault: Fault::Unsupported,
        }
    }

    pub(crate) const fn too_large(limit: usize) -> Self {
        Self {
            fault: Fault::TooLarge { limit },
        }
    }

    pub(crate) const fn ratio(limit: u32) -> Self {
        Self {
            fault: Fault::Ratio { limit },
        }
    }

    pub(crate) const fn broken(coding: Coding) -> Self {
        Self {
            fault: Fault::Broken(coding),
        }
    }

    pub(crate) const fn cut_off(coding: Coding) -> Self {
        Self {
            fault: Fault::CutOff(coding),
        }
    }

    pub(crate) const fn trailing(coding: Coding) -> Self {
        Self {
            fault: Fault::Trailing(coding),
        }
    }

    /// Whether the codings themselves are the fault: what 415 is for.
    #[must_use]
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.fault, Fault::Unsupported)
    }

    /// Whether a limit was reached: what 413 is for.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooLarge { .. } | Fault::Ratio { .. })
    }
}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Unsupported if cfg!(feature = "zstd") => {
                f.write_str("content-encoding must be at most three of gzip, deflate, br and zstd")
            }
            Fault::Unsupported => {
                f.write_str("content-encoding must be at most three of gzip, deflate and br")
            }
            Fault::TooLarge { limit } => {
                write!(f, "the decoded body is longer than {limit} bytes")
            }
            Fault::Ratio { limit } => {
                write!(f, "the body decodes to more than {limit} times its size")
            }
            Fault::Broken(coding) => write!(f, "the body is not valid {}", coding.name()),
            Fault::CutOff(coding) => write!(f, "the {} body breaks off", coding.name()),
            Fault::Trailing(coding) => {
                write!(f, "the body goes on after its {} data", coding.name())
            }
        }
    }
}

impl Error for CodingError {}
