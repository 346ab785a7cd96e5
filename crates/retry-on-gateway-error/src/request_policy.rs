use std::num::NonZeroU32;

use crate::{Backoff, Hedging, RetryOn, StatusCodes};

/// In a request's extensions: replaces parts of the layer's policy for this one request.
///
/// What it does not name stays as the layer has it. [`Idempotent`](crate::Idempotent) says whether the request may be sent twice at all.
///
/// ```
/// use http::Request;
/// use portcullis_retry_on_gateway_error::{RetryOn, RetryPolicy};
///
/// let mut request = Request::get("/").body(())?;
/// request.extensions_mut().insert(RetryPolicy::off());
/// # let five = 5.try_into()?;
/// request.extensions_mut().insert(RetryPolicy::new().max_attempts(five).retry_on(RetryOn::CONNECT_FAILURE));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a policy does nothing until it is in the extensions of a request"]
pub struct RetryPolicy {
    pub(crate) off: bool,
    pub(crate) max_attempts: Option<NonZeroU32>,
    pub(crate) retry_on: Option<RetryOn>,
    pub(crate) retriable_status_codes: Option<StatusCodes>,
    /// On top of these two, what a trusted hop names.
    pub(crate) also_retry_on: Option<RetryOn>,
    pub(crate) also_codes: Option<StatusCodes>,
    pub(crate) backoff: Option<Backoff>,
    /// Some(None): not hedged.
    pub(crate) hedging: Option<Option<Hedging>>,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// A policy that leaves everything as the layer has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// One attempt, whatever comes of it, and nothing kept for another.
    pub fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// Replaces how many attempts there are, the original included.
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Replaces what is retried.
    pub const fn retry_on(mut self, classes: RetryOn) -> Self {
        self.retry_on = Some(classes);
        self
    }

    /// Replaces the statuses of [`RetryOn::RETRIABLE_STATUS_CODES`].
    pub fn retriable_status_codes(mut self, codes: StatusCodes) -> Self {
        self.retriable_status_codes = Some(codes);
        self
    }

    /// Replaces the wait before an attempt.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Replaces how a second attempt starts beside the first; `None`: it does not.
    pub fn hedging(mut self, hedging: Option<Hedging>) -> Self {
        self.hedging = Some(hedging);
        self
    }

    /// This policy, and from the other what this one does not name.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            off: self.off || other.off,
            max_attempts: self.max_attempts.or(other.max_attempts),
            retry_on: self.retry_on.or(other.retry_on),
            retriable_status_codes: self.retriable_status_codes.or(other.retriable_status_codes),
            also_retry_on: self.also_retry_on.or(other.also_retry_on),
            also_codes: self.also_codes.or(other.also_codes),
            backoff: self.backoff.or(other.backoff),
            hedging: self.hedging.or(other.hedging),
        }
    }
}
