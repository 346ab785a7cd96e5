use std::time::Duration;

use tokio::time::Instant;

use crate::{Deadline, Phase};

/// The limits of an exchange; each may be absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Limits {
    pub(crate) total: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) request_idle: Option<Duration>,
    pub(crate) response_idle: Option<Duration>,
}

/// A point in time at which a limit strikes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Strike {
    pub(crate) at: Instant,
    pub(crate) phase: Phase,
    pub(crate) limit: Duration,
}

// === impl Limits ===

impl Limits {
    /// When the whole exchange must be over: the earlier of the layer's own limit and the deadline that the request came with.
    pub(crate) fn end(self, now: Instant, deadline: Option<Deadline>) -> Option<Strike> {
        let own = self
            .total
            .map(|limit| Strike::after(now, Phase::Total, limit));
        let given = deadline.map(|deadline| {
            let limit = deadline.instant().saturating_duration_since(now);
            Strike {
                at: deadline.instant(),
                phase: Phase::Total,
                limit,
            }
        });
        Strike::earliest(own, given)
    }

    /// When the head must be there.
    pub(crate) fn head(self, now: Instant, end: Option<Strike>) -> Option<Strike> {
        // Where both strike at once, it is the end of the whole.
        Strike::earliest(
            end,
            self.head
                .map(|limit| Strike::after(now, Phase::Head, limit)),
        )
    }
}

// === impl Strike ===

impl Strike {
    pub(crate) fn after(now: Instant, phase: Phase, limit: Duration) -> Self {
        Self {
            at: Deadline::after_instant(now, limit).instant(),
            phase,
            limit,
        }
    }

    pub(crate) fn earliest(one: Option<Self>, two: Option<Self>) -> Option<Self> {
        match (one, two) {
            (Some(one), Some(two)) => Some(if two.at < one.at { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_limit_strikes() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        for (total, head, deadline, expected) in [
            (None, None, None, None),
            (Some(9), None, None, Some((9, Phase::Total))),
            (None, Some(4), None, Some((4, Phase::Head))),
            (Some(9), Some(4), None, Some((4, Phase::Head))),
            (Some(4), Some(4), None, Some((4, Phase::Total))),
            (Some(9), Some(4), Some(2), Some((2, Phase::Total))),
            (Some(3), None, Some(7), Some((3, Phase::Total))),
            (None, None, Some(0), Some((0, Phase::Total))),
        ] {
            let limits = Limits {
                total: total.map(seconds),
                head: head.map(seconds),
                ..Limits::default()
            };
            let deadline = deadline.map(|after| Deadline::at(now + seconds(after)));

            let strike = limits.head(now, limits.end(now, deadline));

            let found = strike.map(|strike| (strike.at - now, strike.phase));
            let expected = expected.map(|(after, phase)| (seconds(after), phase));
            assert_eq!(
                found, expected,
                "total {total:?} head {head:?} deadline {deadline:?}"
            );
        }
    }

    #[test]
    fn an_endless_limit_does_not_overflow() {
        let limits = Limits {
            total: Some(Duration::MAX),
            ..Limits::default()
        };

        assert!(limits.end(Instant::now(), None).is_some());
    }
}
