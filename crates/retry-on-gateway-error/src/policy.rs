use std::num::NonZeroU32;
use std::time::Duration;

use http::request::Parts as RequestParts;
use http::{HeaderMap, Method};
use portcullis_gateway_error::{Decision, Delivery, ErrorKind, Failure, StopReason, WaitReason};

use crate::chance::Chance;
use crate::{Backoff, Idempotent, Step};

/// Decides what happens after a failed attempt.
///
/// [`StandardPolicy`] is the one that [`RetryLayer`](crate::RetryLayer) has from the start; implement the trait for rules of your own. It is asked with the
/// facts of one attempt and holds no state of an exchange.
pub trait Policy {
    /// Says whether there may be another attempt at all after this many.
    ///
    /// Asked before the first attempt, a `false` means that nothing has to be kept for another.
    fn allows_attempt(&self, attempts: NonZeroU32) -> bool;

    /// Decides after a failed attempt.
    fn decide(&self, facts: &Facts<'_>) -> Decision;
}

/// What is known after a failed attempt.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The head of the request, as the caller sent it.
    pub request: &'a RequestParts,
    /// How many attempts were made, this one included.
    pub attempts: NonZeroU32,
    /// What failed, and how far it got.
    pub failure: &'a Failure,
    /// The time that the upstream asks to wait, where its answer says so.
    pub retry_after: Option<Duration>,
    /// Whether the body can be sent again as the caller sent it.
    pub replayable: bool,
    /// The time until the deadline of the exchange, where it has one.
    pub remaining: Option<Duration>,
}

/// The policy of a careful engineer: gateway errors, when it is safe, a few times, with backoff.
///
/// See the [crate docs](crate) for the table of what is retried.
#[derive(Clone, Debug)]
pub struct StandardPolicy {
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) backoff: Backoff,
    pub(crate) max_retry_after: Duration,
    pub(crate) assume_idempotent: bool,
    pub(crate) chance: Chance,
}

// === impl StandardPolicy ===

impl StandardPolicy {
    /// Whether doing the request twice does no harm (RFC 9110, section 9.2.2), by the caller's word, the method or the key.
    fn is_idempotent(&self, request: &RequestParts) -> bool {
        match request.extensions.get() {
            Some(Idempotent(idempotent)) => *idempotent,
            None => {
                self.assume_idempotent
                    || is_idempotent_method(&request.method)
                    || has_idempotency_key(&request.headers)
            }
        }
    }

    fn wait(&self, facts: &Facts<'_>) -> Option<(Duration, WaitReason)> {
        let backoff = self
            .backoff
            .wait(Step::new(facts.attempts, None), &self.chance);
        match facts.retry_after {
            // Never earlier than the upstream said, and never shorter than asked because of a cap.
            Some(hint) if hint > self.max_retry_after => None,
            Some(hint) if hint >= backoff => Some((hint, WaitReason::RetryAfter)),
            _ => Some((backoff, WaitReason::Backoff)),
        }
    }
}

impl Policy for StandardPolicy {
    fn allows_attempt(&self, attempts: NonZeroU32) -> bool {
        attempts < self.max_attempts
    }

    fn decide(&self, facts: &Facts<'_>) -> Decision {
        let failure = facts.failure;
        if !is_retriable(failure) {
            return Decision::Stop(StopReason::NotRetriable);
        }
        if failure.delivery() != Delivery::NotSent && !self.is_idempotent(facts.request) {
            return Decision::Stop(StopReason::NotSafe);
        }
        if !self.allows_attempt(facts.attempts) {
            return Decision::Stop(StopReason::AttemptsExhausted);
        }
        if !facts.replayable {
            return Decision::Stop(StopReason::BodyTooLarge);
        }
        let Some((wait, reason)) = self.wait(facts) else {
            return Decision::Stop(StopReason::WaitTooLong);
        };
        if facts.remaining.is_some_and(|remaining| wait >= remaining) {
            return Decision::Stop(StopReason::Deadline);
        }
        Decision::Retry { wait, reason }
    }
}

/// Three attempts, 25 ms doubling to 250 ms with full jitter.
impl Default for StandardPolicy {
    fn default() -> Self {
        Self {
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            backoff: Backoff::default(),
            max_retry_after: DEFAULT_MAX_RETRY_AFTER,
            assume_idempotent: false,
            chance: Chance::random(),
        }
    }
}

pub(crate) const DEFAULT_MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
pub(crate) const DEFAULT_MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

// === impl Facts ===

impl<'a> Facts<'a> {
    /// Facts about a first attempt whose body can be sent again, with nothing else known.
    #[must_use]
    pub const fn new(request: &'a RequestParts, failure: &'a Failure) -> Self {
        Self {
            request,
            attempts: NonZeroU32::MIN,
            failure,
            retry_after: None,
            replayable: true,
            remaining: None,
        }
    }
}

/// Whether another attempt can bring something else.
const fn is_retriable(failure: &Failure) -> bool {
    let Some(kind) = failure.kind() else {
        // The upstream answered with a gateway error and gave no reason.
        return true;
    };
    if !failure.is_local() {
        // An upstream's own word on a gateway error: whatever the reason is there, it may be gone.
        return true;
    }
    match kind {
        ErrorKind::DnsTimeout
        | ErrorKind::DnsError
        | ErrorKind::DestinationIpUnroutable
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionTerminated
        | ErrorKind::ConnectionTimeout
        | ErrorKind::ConnectionReadTimeout
        | ErrorKind::ConnectionWriteTimeout
        | ErrorKind::TlsProtocolError
        | ErrorKind::TlsAlertReceived
        | ErrorKind::HttpResponseIncomplete
        | ErrorKind::HttpResponseTimeout
        | ErrorKind::HttpProtocolError => true,
        // Refused by us, configured wrongly, or as wrong the next time: a closed gate, a full limit, a bad certificate, a bad request.
        _ => false,
    }
}

/// The methods of RFC 9110, section 9.2.2, and QUERY of RFC 10008.
fn is_idempotent_method(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" | "QUERY"
    )
}

/// A key makes the upstream answer for the second time what it answered the first time. An empty one makes nothing.
fn has_idempotency_key(headers: &HeaderMap) -> bool {
    headers
        .get("idempotency-key")
        .is_some_and(|key| !key.is_empty())
}

#[cfg(test)]
mod tests;
