use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::{Classified, Delivery, ErrorKind, Failure};

/// Which limit of an exchange struck.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// From the call to the response head.
    Head,
    /// Between two frames of the request body, while the inner service waits for the caller.
    RequestIdle,
    /// Between two frames of the response body, while the caller waits for the inner service.
    ResponseIdle,
    /// From the call to the last byte of the response, trailers included.
    Total,
}

/// A limit struck inside a body, which ends with this error.
///
/// It comes wrapped in a [`Classified`], so that classifiers know its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeoutError {
    phase: Phase,
    limit: Duration,
    elapsed: Duration,
}

// === impl Phase ===

impl Phase {
    /// Returns the word used in logs: `head`, `request_idle`, `response_idle`, `total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::RequestIdle => "request_idle",
            Self::ResponseIdle => "response_idle",
            Self::Total => "total",
        }
    }

    /// Returns the kind that a limit of this phase is classified as.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Head | Self::Total => ErrorKind::HttpResponseTimeout,
            Self::RequestIdle => ErrorKind::HttpRequestError,
            Self::ResponseIdle => ErrorKind::ConnectionReadTimeout,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Head => "waiting for the response head",
            Self::RequestIdle => "waiting for the next frame of the request",
            Self::ResponseIdle => "waiting for the next frame of the response",
            Self::Total => "waiting for the end of the exchange",
        }
    }
}

// === impl TimeoutError ===

impl TimeoutError {
    /// Makes the error, and tells the log: there is one event for each limit that strikes.
    pub(crate) fn strike(phase: Phase, limit: Duration, elapsed: Duration) -> Self {
        tracing::debug!(
            phase = phase.as_str(),
            limit_ms = limit.as_secs_f64() * 1e3,
            elapsed_ms = elapsed.as_secs_f64() * 1e3,
            "timed out",
        );
        Self {
            phase,
            limit,
            elapsed,
        }
    }

    /// Returns the phase.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the limit that struck.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns how long the phase had lasted.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The error as it ends a body.
    pub(crate) fn into_body_error(self) -> Box<dyn Error + Send + Sync> {
        let failure = Failure::new(self.phase.kind());
        let failure = match self.phase {
            Phase::RequestIdle => failure
                .answer_with(StatusCode::REQUEST_TIMEOUT)
                .delivered(Delivery::MaybeProcessed),
            _ => failure,
        };
        Classified::new(failure, self).into()
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            phase,
            limit,
            elapsed,
        } = self;
        write!(
            f,
            "timed out after {elapsed:?} {} (limit {limit:?})",
            phase.words()
        )
    }
}

impl Error for TimeoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_phase_limit_and_time() {
        let limit = Duration::from_millis(250);
        for (phase, expected) in [
            (
                Phase::Head,
                "timed out after 250ms waiting for the response head (limit 250ms)",
            ),
            (
                Phase::RequestIdle,
                "timed out after 250ms waiting for the next frame of the request (limit 250ms)",
            ),
            (
                Phase::ResponseIdle,
                "timed out after 250ms waiting for the next frame of the response (limit 250ms)",
            ),
            (
                Phase::Total,
                "timed out after 250ms waiting for the end of the exchange (limit 250ms)",
            ),
        ] {
            assert_eq!(
                TimeoutError {
                    phase,
                    limit,
                    elapsed: limit
                }
                .to_string(),
                expected
            );
        }
    }
}
