use http::StatusCode;

use super::check::{Check, Seen};
use super::report::Verdict;
use crate::State;

/// One of the paths of [`Endpoints`](crate::Endpoints).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum HealthPath {
    /// `/livez`.
    Live,
    /// `/readyz`, and the services of gRPC.
    Ready,
    /// `/startupz`.
    Startup,
    /// `/healthz`.
    Health,
}

/// Which states are down at one path, and what is answered then: see [`Endpoints::mapping`](crate::Endpoints::mapping).
///
/// What ASP.NET has as `ResultStatusCodes`, and Spring as `http-mapping` of a group. Without one, what is up or degraded is answered with 200 and what is down with 503;
/// what is not known yet is as its monitor's [`Initial`](crate::Initial) says, and down at `/startupz`.
///
/// ```
/// use http::StatusCode;
/// use portcullis_health_check::{Endpoints, Health, HealthPath, State, StatusMapping};
///
/// let strict = StatusMapping::new().degraded_is_down(true).down(StatusCode::IM_A_TEAPOT);
/// let endpoints = Endpoints::new()
///     .degraded("cache", Health::fixed(State::Down))
///     .mapping(HealthPath::Ready, strict);
/// assert!(!endpoints.is_ready());
/// ```
#[must_use = "a mapping does nothing until endpoints have it"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusMapping {
    degraded_is_down: bool,
    unknown_is_down: bool,
    down: StatusCode,
}

// === impl HealthPath ===

impl HealthPath {
    pub(crate) const ALL: [Self; 4] = [Self::Live, Self::Ready, Self::Startup, Self::Health];

    /// Returns the path without its slash: `readyz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "livez",
            Self::Ready => "readyz",
            Self::Startup => "startupz",
            Self::Health => "healthz",
        }
    }

    pub(super) const fn has(self, check: &Check) -> bool {
        match self {
            Self::Live => check.live,
            Self::Ready => check.ready,
            Self::Startup => check.startup,
            Self::Health => true,
        }
    }
}

// === impl StatusMapping ===

impl StatusMapping {
    /// The one that counts where nothing is said.
    pub const fn new() -> Self {
        Self {
            degraded_is_down: false,
            unknown_is_down: false,
            down: StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Replaces whether it is down while a check that is not required is, or one is up and [degraded](crate::ProbeError::degraded). Default: no.
    pub const fn degraded_is_down(mut self, down: bool) -> Self {
        self.degraded_is_down = down;
        self
    }

    /// Replaces whether a check of a monitor is down before its first result, whatever its [`Initial`](crate::Initial) is. Default: no, but at `/startupz` it is so always.
    pub const fn unknown_is_down(mut self, down: bool) -> Self {
        self.unknown_is_down = down;
        self
    }

    /// Replaces the status of what is down. Default: 503. What says no failure, below 400, counts as that.
    pub const fn down(mut self, status: StatusCode) -> Self {
        self.down = if status.as_u16() < 400 {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            status
        };
        self
    }

    pub(super) const fn status_of_down(self) -> StatusCode {
        self.down
    }

    /// What was seen of a check means this.
    pub(super) fn verdict(self, check: &Check, seen: &Seen) -> Verdict {
        let up = seen.up && !(self.unknown_is_down && seen.state == State::Unknown);
        match up {
            true if !seen.degraded => Verdict::Pass,
            false if check.required => Verdict::Fail,
            _ if self.degraded_is_down => Verdict::Fail,
            _ => Verdict::Warn,
        }
    }

    /// Says whether nothing fails because of this check.
    pub(super) fn passes(self, check: &Check, seen: &Seen) -> bool {
        self.verdict(check, seen) != Verdict::Fail
    }
}

impl Default for StatusMapping {
    fn default() -> Self {
        Self::new()
    }
}
