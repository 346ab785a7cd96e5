use std::error::Error;
use std::fmt;
use std::time::Duration;

use portcullis_gateway_error::{ErrorKind, Failure};

/// One look at whether something is up.
///
/// An `async` closure that returns `Result<(), ProbeError>` is one. It need not bound its own time or catch its own panics: the
/// [`Monitor`](crate::Monitor) does. What is up, but degraded, is an error that is [`degraded`](ProbeError::degraded).
pub trait Probe: Send + Sync + 'static {
    /// Looks once.
    ///
    /// # Errors
    /// Why it has failed. Or why it is degraded, though it is up: an error too, which [`is_degraded`](ProbeError::is_degraded), so whoever calls this asks for that before
    /// they take it for a failure. A [`Monitor`](crate::Monitor) and a [`Check`](crate::Check) do.
    fn probe(&self) -> impl Future<Output = Result<(), ProbeError>> + Send;

    /// Returns how long one look may last, where this probe has a limit of its own; it counts more than that of the monitor. Default: none.
    fn timeout(&self) -> Option<Duration> {
        None
    }
}

/// Why a probe failed, or why what it looked at is [`degraded`](Self::degraded).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeError {
    failure: Failure,
    details: String,
    meaning: Meaning,
}

/// What a probe error means for the state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    /// A failure, one of those that are counted.
    Failed,
    /// A failure that is enough.
    Decisive,
    /// A success: it is up, and called last.
    Degraded,
}

/// What a look has found: that it is up, and why it is degraded where it is; or why it failed.
pub(crate) type Finding = Result<Option<ProbeError>, ProbeError>;

impl<P, F> Probe for P
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), ProbeError>> + Send,
{
    fn probe(&self) -> impl Future<Output = Result<(), ProbeError>> + Send {
        self()
    }
}

// === impl ProbeError ===

impl ProbeError {
    /// A failed probe: what failed, and the details for people who operate the service.
    #[must_use]
    pub fn new(failure: impl Into<Failure>, details: impl Into<String>) -> Self {
        Self {
            failure: failure.into(),
            details: details.into(),
            meaning: Meaning::Failed,
        }
    }

    /// Makes this turn the state down at once, without waiting for [`fall`](crate::Monitor::fall) of them: for an upstream that says itself that it is going.
    #[must_use]
    pub fn decisive(self) -> Self {
        Self {
            meaning: Meaning::Decisive,
            ..self
        }
    }

    /// Makes this a success that says why it is degraded: it is up, and a [`Pool`](crate::Pool) calls it where no other endpoint is up.
    ///
    /// It is so with the first such success, and no more with the first other one, whatever [`rise`](crate::Monitor::rise) and [`fall`](crate::Monitor::fall) are. Source: Envoy's degraded endpoints.
    #[must_use]
    pub fn degraded(self) -> Self {
        Self {
            meaning: Meaning::Degraded,
            ..self
        }
    }

    /// Says whether this turns the state down at once.
    #[must_use]
    pub const fn is_decisive(&self) -> bool {
        matches!(self.meaning, Meaning::Decisive)
    }

    /// Says whether this is a success, of something that is degraded.
    #[must_use]
    pub const fn is_degraded(&self) -> bool {
        matches!(self.meaning, Meaning::Degraded)
    }

    /// What the result of a probe says.
    pub(crate) fn finding(result: Result<(), Self>) -> Finding {
        match result {
            Ok(()) => Ok(None),
            Err(error) if error.is_degraded() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Returns what failed.
    pub const fn failure(&self) -> Failure {
        self.failure
    }

    /// Returns the kind, where one is known.
    #[must_use]
    pub const fn kind(&self) -> Option<ErrorKind> {
        self.failure.kind()
    }
}

/// The details, which may hold addresses: for logs, not for callers.
impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details)
    }
}

impl Error for ProbeError {}
