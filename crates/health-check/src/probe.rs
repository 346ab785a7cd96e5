use std::error::Error;
use std::fmt;
use std::time::Duration;

use portcullis_gateway_error::{ErrorKind, Failure};

/// One look at whether something is up.
///
/// An `async` closure that returns `Result<(), ProbeError>` is one. It need not bound its own time or catch its own panics: the
/// [`Monitor`](crate::Monitor) does.
pub trait Probe: Send + Sync + 'static {
    /// Looks once.
    fn probe(&self) -> impl Future<Output = Result<(), ProbeError>> + Send;

    /// Returns how long one look may last, where this probe has a limit of its own; it counts more than that of the monitor. Default: none.
    fn timeout(&self) -> Option<Duration> {
        None
    }
}

/// Why a probe failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeError {
    failure: Failure,
    details: String,
    decisive: bool,
}

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
            decisive: false,
        }
    }

    /// Makes this turn the state down at once, without waiting for [`fall`](crate::Monitor::fall) of them: for an upstream that says itself that it is going.
    #[must_use]
    pub fn decisive(self) -> Self {
        Self {
            decisive: true,
            ..self
        }
    }

    /// Says whether this turns the state down at once.
    #[must_use]
    pub const fn is_decisive(&self) -> bool {
        self.decisive
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
