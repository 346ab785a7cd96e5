use std::fmt;

use portcullis_gateway_error::GrpcCode;

/// A set of gRPC status codes, as small as a number.
///
/// ```
/// use portcullis_gateway_error::GrpcCode;
/// use portcullis_retry_on_gateway_error::GrpcCodes;
///
/// let codes = GrpcCodes::from_iter([GrpcCode::Unavailable, GrpcCode::Aborted]);
/// assert!(codes.contains(GrpcCode::Unavailable));
/// assert_eq!(format!("{codes:?}"), "{ABORTED, UNAVAILABLE}");
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct GrpcCodes {
    /// The bit of this place stands for the code of this number.
    mask: u32,
}

// === impl GrpcCodes ===

impl GrpcCodes {
    /// The set without a code. It is the default.
    pub const EMPTY: Self = Self { mask: 0 };

    /// Says whether the code is one of them.
    #[must_use]
    pub const fn contains(self, code: GrpcCode) -> bool {
        self.mask & bit(code) != 0
    }

    /// Says whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.mask == 0
    }

    /// Returns them in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = GrpcCode> {
        GrpcCode::ALL
            .into_iter()
            .filter(move |code| self.contains(*code))
    }
}

impl FromIterator<GrpcCode> for GrpcCodes {
    fn from_iter<I: IntoIterator<Item = GrpcCode>>(codes: I) -> Self {
        let mask = codes.into_iter().fold(0, |mask, code| mask | bit(code));
        Self { mask }
    }
}

impl fmt::Debug for GrpcCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for code in self.iter() {
            set.entry(&format_args!("{}", code.name()));
        }
        set.finish()
    }
}

const fn bit(code: GrpcCode) -> u32 {
    1 << code as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        for inside in GrpcCode::ALL {
            let codes = GrpcCodes::from_iter([inside, inside]);

            for code in GrpcCode::ALL {
                assert_eq!(codes.contains(code), code == inside, "{code} in {codes:?}");
            }
            assert_eq!(codes.iter().collect::<Vec<_>>(), [inside]);
            assert_eq!(format!("{codes:?}"), format!("{{{inside}}}"));
        }
        let all: GrpcCodes = GrpcCode::ALL.into_iter().collect();
        assert!(all.iter().eq(GrpcCode::ALL));
        assert!(GrpcCodes::EMPTY.is_empty() && !all.is_empty());
        assert_eq!(GrpcCodes::default(), GrpcCodes::EMPTY);
    }
}
