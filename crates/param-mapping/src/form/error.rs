use std::error::Error;
use std::fmt;

/// Says what is wrong with a form, or with a change of it. It holds no name and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError {
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    TooMany { limit: usize },
    NotUtf8,
    Boundary,
    Malformed { part: usize, reason: &'static str },
    Name,
    Value,
}

// === impl FormError ===

impl FormError {
    pub(crate) const fn too_many(limit: usize) -> Self {
        Self {
            fault: Fault::TooMany { limit },
        }
    }

    pub(crate) const fn not_utf8() -> Self {
        Self {
            fault: Fault::NotUtf8,
        }
    }

    pub(crate) const fn boundary() -> Self {
        Self {
            fault: Fault::Boundary,
        }
    }

    pub(crate) const fn malformed(part: usize, reason: &'static str) -> Self {
        Self {
            fault: Fault::Malformed { part, reason },
        }
    }

    pub(crate) const fn name() -> Self {
        Self { fault: Fault::Name }
    }

    pub(crate) const fn value() -> Self {
        Self {
            fault: Fault::Value,
        }
    }

    /// Whether a limit was reached: what 413 is for.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooMany { .. })
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::TooMany { limit } => write!(f, "the form has more than {limit} fields"),
            Fault::NotUtf8 => f.write_str("a field of the form is not UTF-8"),
            Fault::Boundary => f.write_str(
                "the content type of the form must have one boundary of 1 to 70 characters",
            ),
            Fault::Malformed { part: 0, reason } => write!(f, "the form is malformed: {reason}"),
            Fault::Malformed { part, reason } => {
                write!(f, "part {part} of the form is malformed: {reason}")
            }
            Fault::Name => f.write_str(
                "the name of a part cannot hold quotes, backslashes or control characters",
            ),
            Fault::Value => f.write_str("the value of a part holds the boundary of the form"),
        }
    }
}

impl Error for FormError {}
