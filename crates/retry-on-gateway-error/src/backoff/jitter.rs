use std::time::Duration;

use portcullis_gateway_error::Chance;

/// How a wait is spread, so that those who failed together do not come back together.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Jitter {
    /// Anything between nothing and the whole wait (Envoy, AWS). It spreads best.
    Full,
    /// Anything between half of the wait and the whole. No wait is close to nothing.
    Equal,
    /// Anything between the base and three times the wait before, or the max where that is shorter
    /// ([Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)).
    ///
    /// It makes the waits grow by itself. The cap bounds what is drawn from, not what was drawn, so that the waits do not gather at the cap. Where there is
    /// no base and no max, in the fixed and the custom form, they are the wait and three times the wait.
    Decorrelated,
    /// Within 20 % of the wait, up or down ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md)).
    ///
    /// The only one that can pass the max of an exponential wait, by these 20 %.
    Proportional,
    /// The wait as it is.
    None,
}

/// A wait, and between which it may move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// At most `max`.
    pub(super) wait: Duration,
    /// At most `max`.
    pub(super) base: Duration,
    pub(super) max: Duration,
}

// === impl Jitter ===

impl Jitter {
    pub(super) fn spread(
        self,
        range: Range,
        previous: Option<Duration>,
        chance: &Chance,
    ) -> Duration {
        let Range { wait, base, max } = range;
        match self {
            Self::Full => chance.between(Duration::ZERO, wait),
            Self::Equal => chance.between(wait / 2, wait),
            Self::Decorrelated => {
                let most = previous.unwrap_or(base).saturating_mul(3);
                chance.between(base, most.max(base).min(max))
            }
            Self::Proportional => chance.between(wait - wait / 5, wait.saturating_add(wait / 5)),
            Self::None => wait,
        }
    }
}

// === impl Range ===

impl Range {
    /// The range of a wait that has no base and no max of its own.
    pub(super) const fn around(wait: Duration) -> Self {
        Self {
            wait,
            base: wait,
            max: wait.saturating_mul(3),
        }
    }
}
