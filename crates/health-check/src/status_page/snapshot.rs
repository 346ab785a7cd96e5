//! What a page shows, as it is at one moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::chart::Point;
use crate::{
    Health, LastCheck, MemberStatus, Override, PassiveHealth, PassiveState, PassiveStatus, State,
    Status, Transition,
};

#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) groups: Vec<Group>,
}

/// An upstream.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) rows: Vec<Row>,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) facts: Facts,
    /// The calls in flight, where a pool counts them.
    pub(super) pending: Option<u32>,
    /// How probes went, where somebody probes.
    pub(super) probes: Option<Vec<Option<Point>>>,
    /// How calls went, where they are looked at.
    pub(super) calls: Option<Vec<Option<Point>>>,
}

/// What is worth telling whoever looks at the page when it is another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) name: Arc<str>,
    /// Whether it gets calls.
    pub(super) usable: bool,
    pub(super) status: Option<Status>,
    pub(super) last: Option<LastCheck>,
    /// The last changes, newest first.
    pub(super) history: Vec<Transition>,
    pub(super) passive: Option<PassiveStatus>,
    /// The weight and the priority.
    pub(super) place: Option<(u32, u32)>,
    /// The part of the chart of calls that grows, where it shows any.
    tick: Option<u64>,
}

/// The state of an endpoint in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Condition {
    Up,
    Degraded,
    ForcedUp,
    Unknown,
    /// Nobody looks.
    Unwatched,
    Trying,
    Ejected,
    Drained,
    Down,
    ForcedDown,
}

/// How good that is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

/// How many changes of an endpoint are shown.
const MOST_CHANGES: usize = 16;

// === impl Snapshot ===

impl Snapshot {
    pub(super) const fn new(at: Instant, groups: Vec<Group>) -> Self {
        Self { at, groups }
    }

    /// What has changed is told to whoever looks where these are others.
    pub(super) fn facts(&self) -> Vec<(Arc<str>, Vec<Facts>)> {
        let groups = self.groups.iter();
        let facts = groups.map(|group| {
            let facts = group.rows.iter().map(|row| row.facts.clone());
            (Arc::clone(&group.name), facts.collect())
        });
        facts.collect()
    }

    /// The time since then.
    pub(super) fn since(&self, then: Instant) -> Duration {
        self.at.saturating_duration_since(then)
    }

    /// The time until then.
    pub(super) fn until(&self, then: Instant) -> Duration {
        then.saturating_duration_since(self.at)
    }
}

// === impl Group ===

impl Group {
    pub(super) fn usable(&self) -> usize {
        self.rows.iter().filter(|row| row.facts.usable).count()
    }
}

// === impl Row ===

impl Row {
    pub(super) fn new(
        name: Arc<str>,
        health: Option<&Health>,
        passive: Option<&PassiveHealth>,
        member: Option<MemberStatus>,
        now: Instant,
    ) -> Self {
        let calls = passive.map(|passive| passive.chart().points(now));
        let any_call = calls.iter().flatten().any(Option::is_some);
        let tick = passive.filter(|_| any_call);
        let is_up =
            || health.is_none_or(Health::is_up) && passive.is_none_or(PassiveHealth::would_admit);
        let mut history = health.map(Health::history).unwrap_or_default();
        history.reverse();
        history.truncate(MOST_CHANGES);
        Self {
            facts: Facts {
                name,
                usable: member.as_ref().map_or_else(is_up, |member| member.usable),
                status: health.map(Health::status),
                last: health.and_then(Health::last_check),
                history,
                passive: passive.map(PassiveHealth::status),
                place: member
                    .as_ref()
                    .map(|member| (member.weight.get(), member.priority)),
                tick: tick.map(|passive| passive.chart().tick(now)),
            },
            pending: member.map(|member| member.pending),
            probes: health
                .filter(|health| health.is_probed())
                .map(|health| health.chart().points(now)),
            calls,
        }
    }
}

// === impl Facts ===

impl Facts {
    pub(super) fn condition(&self) -> Condition {
        let status = self.status.as_ref();
        match status.and_then(|status| status.forced) {
            Some(Override::Drain) => return Condition::Drained,
            Some(Override::Down) => return Condition::ForcedDown,
            Some(Override::Up) | None => {}
        }
        if status.is_some_and(|status| status.state == State::Down) {
            return Condition::Down;
        }
        match self.passive.as_ref().map(|passive| passive.state) {
            Some(PassiveState::Ejected { .. }) => return Condition::Ejected,
            Some(PassiveState::Trying) => return Condition::Trying,
            Some(PassiveState::Healthy) | None => {}
        }
        match status {
            Some(status) if status.forced.is_some() => Condition::ForcedUp,
            Some(status) if status.degraded => Condition::Degraded,
            Some(status) if status.state == State::Up => Condition::Up,
            Some(_) => Condition::Unknown,
            None if self.passive.is_some() => Condition::Up,
            None => Condition::Unwatched,
        }
    }

    /// Since when the condition is what it is, where somebody knows.
    pub(super) fn since(&self) -> Option<Instant> {
        let passive = self.passive.as_ref().map(|passive| passive.since);
        match self.condition() {
            Condition::Ejected | Condition::Trying => passive,
            _ => self.status.as_ref().map(Status::began).or(passive),
        }
    }

    /// When it is looked at again, or tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.passive.as_ref().map(|passive| passive.state) {
            Some(PassiveState::Ejected { until }) if self.condition() == Condition::Ejected => {
                Some(until)
            }
            _ => self.status.as_ref().and_then(|status| status.next_check),
        }
    }
}

// === impl Condition ===

impl Condition {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::ForcedUp => "forced up",
            Self::Unknown => "unknown",
            Self::Unwatched => "not watched",
            Self::Trying => "trying",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
            Self::Down => "down",
            Self::ForcedDown => "forced down",
        }
    }

    pub(super) const fn tone(self) -> Tone {
        match self {
            Self::Up => Tone::Good,
            Self::Unknown | Self::Unwatched => Tone::Neutral,
            Self::Degraded | Self::ForcedUp | Self::Trying | Self::Ejected | Self::Drained => {
                Tone::Warning
            }
            Self::Down | Self::ForcedDown => Tone::Bad,
        }
    }
}
