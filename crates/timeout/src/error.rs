use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::{Classified, Delivery, Failure};

use crate::Phase;

/// Which limit struck and when: in the extensions of the answer that a [`TimeoutLayer`](crate::TimeoutLayer) gives by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Elapsed {
    phase: Phase,
    limit: Duration,
    elapsed: Duration,
}

/// A limit struck inside a body, which ends with this error; or inside [`Deadline::run`](crate::Deadline::run).
///
/// In a body it comes wrapped in a [`Classified`], so that classifiers know its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeoutError(Elapsed);

// === impl Elapsed ===

impl Elapsed {
    pub(crate) const fn new(phase: Phase, limit: Duration, elapsed: Duration) -> Self {
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

    /// Returns the limit that struck; zero where a deadline had passed before the call.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns how long the phase had lasted; where a deadline had passed before the call, how long before.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

// === impl TimeoutError ===

impl TimeoutError {
    pub(crate) const fn new(elapsed: Elapsed) -> Self {
        Self(elapsed)
    }

    /// Returns the phase.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Returns the limit that struck.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.0.limit
    }

    /// Returns how long the phase had lasted.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The error as it ends a body.
    pub(crate) fn into_body_error(self) -> Box<dyn Error + Send + Sync> {
        let failure = Failure::new(self.phase().kind());
        let failure = match self.phase() {
            Phase::Request | Phase::RequestIdle => failure
                .answer_with(StatusCode::REQUEST_TIMEOUT)
                .delivered(Delivery::MaybeProcessed),
            _ => failure,
        };
        Classified::new(failure, self).into()
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Elapsed {
            phase,
            limit,
            elapsed,
        } = self.0;
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
        for (phase, expected) in [
            (Phase::Ready, "waiting for the service to be ready"),
            (Phase::Request, "waiting for the end of the request"),
            (
                Phase::RequestIdle,
                "waiting for the next frame of the request",
            ),
            (Phase::Head, "waiting for the response head"),
            (
                Phase::FirstByte,
                "waiting for the first frame of the response",
            ),
            (Phase::Response, "waiting for the end of the response"),
            (
                Phase::ResponseIdle,
                "waiting for the next frame of the response",
            ),
            (Phase::Total, "waiting for the end of the exchange"),
        ] {
            let elapsed = Elapsed::new(
                phase,
                Duration::from_millis(250),
                Duration::from_millis(251),
            );

            let text = TimeoutError::new(elapsed).to_string();

            assert_eq!(
                text,
                format!("timed out after 251ms {expected} (limit 250ms)")
            );
            assert!(Phase::ALL.contains(&phase));
        }
    }
}
