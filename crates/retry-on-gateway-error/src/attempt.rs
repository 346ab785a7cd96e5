use std::num::NonZeroU32;

/// Which attempt a request is, in the request's extensions. The first attempt carries none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attempt(NonZeroU32);

/// In a request's extensions: the caller vouches that sending this request twice does no harm, or says that it does.
///
/// It decides for its request whatever the method is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Idempotent(pub bool);

// === impl Attempt ===

impl Attempt {
    pub(crate) const fn new(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Returns the number of the attempt; the original is 1.
    #[must_use]
    pub const fn number(self) -> NonZeroU32 {
        self.0
    }
}
