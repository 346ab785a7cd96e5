use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::{Deadline, Phase};

/// What an exchange is held to as a whole, decided at the call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct End {
    /// What the request came with, in its extensions or its headers.
    pub(crate) given: Option<Instant>,
    /// What of it the caller asked for, and not a layer further out: that holds on streams too.
    pub(crate) on_streams: Option<Instant>,
    /// The layer's own `total`.
    pub(crate) own: Option<Instant>,
}

/// A point in time at which a limit strikes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Strike {
    pub(crate) at: Instant,
    pub(crate) phase: Phase,
    /// When the phase began.
    pub(crate) from: Instant,
}

/// What is known while there is no head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) started: Instant,
    pub(crate) end: Option<Instant>,
    /// From when `head` and `first_byte` count.
    pub(crate) counts_from: Instant,
    pub(crate) uploading: bool,
}

// === impl End ===

impl End {
    pub(crate) const NONE: Self = Self {
        given: None,
        on_streams: None,
        own: None,
    };

    /// Decides by the request's [`Deadline`], by the time that its headers give it, and by the layer's `total`.
    #[inline]
    pub(crate) fn new(
        now: Instant,
        deadline: Option<Deadline>,
        said: Option<Duration>,
        total: Option<Duration>,
        max: Option<Duration>,
    ) -> Self {
        let asked = said.map(|said| after(now, max.map_or(said, |max| said.min(max))));
        let cap = max.map(|max| after(now, max));
        let capped = |at: Instant| cap.map_or(at, |cap| at.min(cap));
        // Who says how much time there is gets no more than the cap, which need not be `total`.
        let own = match (asked, max) {
            (Some(_), Some(_)) => None,
            _ => total.map(|total| after(now, total)),
        };
        Self {
            given: earlier(deadline.map(|deadline| capped(deadline.instant())), asked),
            on_streams: earlier(deadline.and_then(Deadline::on_streams).map(capped), asked),
            own,
        }
    }

    #[inline]
    pub(crate) fn whole(self) -> Option<Instant> {
        earlier(self.given, self.own)
    }
}

// === impl Strike ===

impl Strike {
    /// The first limit that strikes before the head. Where several strike at once, it is the one of the whole.
    pub(crate) fn before_head(limits: &Limits, facts: Facts) -> Option<Self> {
        let Facts {
            started,
            end,
            counts_from,
            uploading,
        } = facts;
        let strike = |phase, from, at| Self { at, phase, from };
        let mut first = end.map(|at| strike(Phase::Total, started, at));
        let mut consider = |phase, from, limit: Option<Duration>| {
            let Some(limit) = limit else { return };
            let at = after(from, limit);
            if first.is_none_or(|first| at < first.at) {
                first = Some(strike(phase, from, at));
            }
        };
        consider(Phase::Head, counts_from, limits.head);
        consider(Phase::FirstByte, counts_from, limits.first_byte);
        if uploading {
            consider(Phase::Request, started, limits.request);
        }
        first
    }

    pub(crate) fn limit(&self) -> Duration {
        self.at.saturating_duration_since(self.from)
    }
}

/// A point in time this long after another; thirty years after it where the clock does not go further.
#[inline]
pub(crate) fn after(from: Instant, time: Duration) -> Instant {
    Deadline::after_instant(from, time).instant()
}

#[inline]
pub(crate) fn earlier(one: Option<Instant>, two: Option<Instant>) -> Option<Instant> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_limit_strikes() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        for (total, head, first_byte, request, expected) in [
            (None, None, None, None, None),
            (Some(9), None, None, None, Some((9, Phase::Total))),
            (None, Some(4), None, None, Some((4, Phase::Head))),
            (Some(9), Some(4), None, None, Some((4, Phase::Head))),
            (Some(4), Some(4), None, None, Some((4, Phase::Total))),
            (Some(9), Some(4), Some(3), None, Some((3, Phase::FirstByte))),
            (Some(9), Some(4), Some(4), None, Some((4, Phase::Head))),
            (
                Some(9),
                Some(4),
                Some(5),
                Some(1),
                Some((1, Phase::Request)),
            ),
        ] {
            let limits = Limits {
                head: head.map(seconds),
                first_byte: first_byte.map(seconds),
                request: request.map(seconds),
                ..Limits::default()
            };
            let facts = Facts {
                started: now,
                end: total.map(|total| now + seconds(total)),
                counts_from: now,
                uploading: true,
            };

            let strike = Strike::before_head(&limits, facts);

            let found = strike.map(|strike| (strike.limit(), strike.phase));
            let expected = expected.map(|(after, phase)| (seconds(after), phase));
            assert_eq!(found, expected, "{limits:?} {facts:?}");
        }
    }

    #[test]
    fn the_whole_ends_at_the_least_of_all_that_is_said() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        for (deadline, said, total, max, expected) in [
            (None, None, None, None, None),
            (None, None, None, Some(9), None),
            (None, None, Some(5), Some(9), Some(5)),
            (Some(3), None, Some(5), None, Some(3)),
            (Some(7), None, Some(5), None, Some(5)),
            (None, Some(3), Some(5), None, Some(3)),
            (None, Some(7), Some(5), None, Some(5)),
            (None, Some(7), None, None, Some(7)),
            // With a cap, who says more than `total` gets it.
            (None, Some(7), Some(5), Some(9), Some(7)),
            (None, Some(11), Some(5), Some(9), Some(9)),
            (Some(6), Some(11), Some(5), Some(9), Some(6)),
            (Some(0), Some(11), Some(5), Some(9), Some(0)),
            (Some(11), None, None, Some(9), Some(9)),
            (Some(11), None, Some(5), Some(9), Some(5)),
        ] {
            let end = End::new(
                now,
                deadline.map(|after| Deadline::at(now + seconds(after))),
                said.map(seconds),
                total.map(seconds),
                max.map(seconds),
            );

            let found = end.whole().map(|at| at - now);
            assert_eq!(
                found,
                expected.map(seconds),
                "deadline {deadline:?} said {said:?} total {total:?} max {max:?}"
            );
        }
    }

    #[test]
    fn an_endless_limit_does_not_overflow() {
        let end = End::new(
            Instant::now(),
            None,
            Some(Duration::MAX),
            Some(Duration::MAX),
            None,
        );

        assert!(end.whole().is_some());
    }
}
