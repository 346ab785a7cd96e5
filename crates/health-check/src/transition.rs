use std::time::Duration;

use tokio::time::Instant;

use crate::{ProbeError, State};

/// What somebody decided by hand, which counts more than probes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Override {
    /// It counts as up.
    Up,
    /// It counts as down.
    Down,
    /// It counts as down because it is being emptied: no new calls, and those under way end as they do.
    Drain,
}

/// One change of a state, or of whether what is up is degraded: from up to up then.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// What it was.
    pub from: State,
    /// What it became.
    pub to: State,
    /// When.
    pub at: Instant,
    /// How long it had been what it was.
    pub lasted: Duration,
    /// Whether it had been degraded.
    pub was_degraded: bool,
    /// Whether it is degraded from then on.
    pub degraded: bool,
    /// Why, where it went down, or is degraded.
    pub reason: Option<ProbeError>,
    /// What was decided by hand, where that made it so.
    pub forced: Option<Override>,
}

/// One probe that has ended, or a message of a [`GrpcWatch`](crate::GrpcWatch).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct LastCheck {
    /// When it began.
    pub at: Instant,
    /// How long it lasted.
    pub latency: Duration,
    /// Why it failed, where it did.
    pub error: Option<ProbeError>,
    /// How many probes there were, with this one.
    pub checks: u64,
    /// How many of them failed.
    pub failures: u64,
}

// === impl Override ===

impl Override {
    /// Returns the word used in logs: `up`, `down`, `drain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
        }
    }

    pub(crate) const fn state(self) -> State {
        match self {
            Self::Up => State::Up,
            Self::Down | Self::Drain => State::Down,
        }
    }

    /// What is said of why it is down.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Up => None,
            Self::Down => Some("forced down by hand"),
            Self::Drain => Some("draining"),
        }
    }
}

// === impl Transition ===

impl Transition {
    /// What it was and what it became, as a page says it.
    #[cfg(feature = "status-page")]
    pub(crate) const fn words(&self) -> (&'static str, &'static str) {
        const fn word(state: State, degraded: bool) -> &'static str {
            if degraded { "degraded" } else { state.as_str() }
        }
        (
            word(self.from, self.was_degraded),
            word(self.to, self.degraded),
        )
    }
}
