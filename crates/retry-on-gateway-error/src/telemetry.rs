//! What the layer says while it runs: one event for each decision, and with the feature `metrics` its numbers, written in the same place.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::{Failure, StopReason, WaitReason};

use crate::replay::Lost;

/// Another attempt follows.
pub(crate) fn retrying(
    number: NonZeroU32,
    failure: &Failure,
    wait: Duration,
    reason: WaitReason,
    transparent: bool,
) {
    tracing::debug!(
        retry.attempt = number.get(),
        error.r#type = failure.error_type(),
        delivery = failure.delivery().as_str(),
        wait_ms = wait.as_secs_f64() * 1e3,
        wait_reason = reason.as_str(),
        transparent,
        "retrying",
    );
    #[cfg(feature = "metrics")]
    {
        let kind = failure.error_type().to_owned();
        metrics::counter!("retry.retries", "error.type" => kind, "wait.reason" => reason.as_str())
            .increment(1);
        metrics::histogram!("retry.backoff.duration").record(wait);
    }
}

/// There is no further attempt after one that failed.
pub(crate) fn stopped(number: NonZeroU32, failure: &Failure, reason: StopReason) {
    tracing::debug!(
        retry.attempt = number.get(),
        error.r#type = failure.error_type(),
        delivery = failure.delivery().as_str(),
        reason = reason.as_str(),
        "not retrying",
    );
    #[cfg(feature = "metrics")]
    metrics::counter!("retry.exhausted", "reason" => reason.as_str()).increment(1);
}

/// A second attempt starts beside those that run.
pub(crate) fn hedging(number: NonZeroU32, wait: Duration) {
    tracing::debug!(
        retry.attempt = number.get(),
        wait_ms = wait.as_secs_f64() * 1e3,
        "hedging",
    );
    #[cfg(feature = "metrics")]
    metrics::counter!("retry.hedges").increment(1);
}

/// A hedge does not start, and what runs goes on.
pub(crate) fn not_hedging(reason: StopReason) {
    tracing::debug!(reason = reason.as_str(), "not hedging");
    #[cfg(feature = "metrics")]
    metrics::counter!("retry.hedges.refused", "reason" => reason.as_str()).increment(1);
}

/// One of several attempts was answered first.
pub(crate) fn won(number: NonZeroU32, lost: usize) {
    tracing::debug!(retry.attempt = number.get(), lost, "hedge decided");
    #[cfg(feature = "metrics")]
    {
        let winner = if number == NonZeroU32::MIN {
            "original"
        } else {
            "hedge"
        };
        metrics::counter!("retry.hedges.won", "winner" => winner).increment(1);
    }
}

/// The body of a request can no longer be sent again.
pub(crate) fn body_lost(lost: Lost, limit: usize) {
    let reason = lost.reason();
    tracing::debug!(
        reason = reason.as_str(),
        max_replay_bytes = limit,
        "the request body is not kept any more: there will be no further attempt",
    );
    #[cfg(feature = "metrics")]
    metrics::counter!("retry.not_replayable", "reason" => reason.as_str()).increment(1);
}

/// The adaptive throttle refused a request.
pub(crate) fn throttled(probability: f64) {
    tracing::debug!(probability, "request throttled");
    #[cfg(feature = "metrics")]
    metrics::counter!("retry.throttled").increment(1);
}

/// An exchange has ended after this many attempts.
pub(crate) fn finished(attempts: NonZeroU32) {
    if attempts > NonZeroU32::MIN {
        tracing::Span::current().record("http.request.resend_count", attempts.get() - 1);
    }
    #[cfg(feature = "metrics")]
    metrics::histogram!("retry.attempts").record(f64::from(attempts.get()));
}
