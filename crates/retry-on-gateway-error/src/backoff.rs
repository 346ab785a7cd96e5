use std::num::NonZeroU32;
use std::time::Duration;

use crate::chance::Chance;

/// How long to wait before an attempt.
///
/// ```
/// use std::time::Duration;
/// use portcullis_retry_on_gateway_error::Backoff;
///
/// let article = Backoff::fixed(Duration::from_secs(2));
/// let envoy = Backoff::exponential(Duration::from_millis(25), Duration::from_millis(250));
/// assert_eq!(Backoff::default(), envoy);
/// # let _ = article;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    base: Duration,
    /// The cap of the exponential form; `None` is the fixed one.
    max: Option<Duration>,
    jitter: Jitter,
}

/// How a wait is spread, so that those who failed together do not come back together.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Jitter {
    /// Anything between nothing and the whole wait (Envoy, AWS). It spreads best.
    Full,
    /// The wait as it is.
    None,
}

// === impl Backoff ===

impl Backoff {
    /// The same wait before every attempt, without jitter.
    #[must_use]
    pub const fn fixed(wait: Duration) -> Self {
        Self {
            base: wait,
            max: None,
            jitter: Jitter::None,
        }
    }

    /// A wait that doubles with every attempt, from `base` to `max`, with full jitter.
    ///
    /// A `base` above `max` is the same as one that is equal to it.
    #[must_use]
    pub const fn exponential(base: Duration, max: Duration) -> Self {
        Self {
            base,
            max: Some(max),
            jitter: Jitter::Full,
        }
    }

    /// Replaces the jitter. Default: [`Jitter::None`] for the fixed form, [`Jitter::Full`] for the exponential one.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The wait after this many attempts. The cap comes before the jitter, and nothing overflows.
    pub(crate) fn wait(&self, attempts: NonZeroU32, chance: &Chance) -> Duration {
        let wait = match self.max {
            None => self.base,
            Some(max) => {
                let factor = 1_u32.checked_shl(attempts.get() - 1).unwrap_or(u32::MAX);
                self.base.saturating_mul(factor).min(max)
            }
        };
        match self.jitter {
            Jitter::None => wait,
            Jitter::Full => {
                let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                Duration::from_nanos(chance.up_to(nanos))
            }
        }
    }
}

/// Envoy's: 25 ms doubling to 250 ms, with full jitter.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(25), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(backoff: Backoff, attempts: u32) -> Duration {
        backoff.wait(NonZeroU32::new(attempts).unwrap(), &Chance::seeded(3))
    }

    #[test]
    fn exponential_doubles_up_to_its_cap_and_never_overflows() {
        let backoff = Backoff::exponential(Duration::from_millis(25), Duration::from_millis(250))
            .jitter(Jitter::None);

        for (attempts, expected) in [
            (1, 25),
            (2, 50),
            (3, 100),
            (4, 200),
            (5, 250),
            (33, 250),
            (u32::MAX, 250),
        ] {
            assert_eq!(
                wait(backoff, attempts),
                Duration::from_millis(expected),
                "after {attempts}"
            );
        }
        let endless = Backoff::exponential(Duration::MAX, Duration::MAX);
        assert!(wait(endless, u32::MAX) <= Duration::MAX);
    }

    #[test]
    fn full_jitter_of_a_whole_second_is_not_whole_and_differs_between_exchanges() {
        let backoff = Backoff::fixed(Duration::from_secs(1)).jitter(Jitter::Full);
        let chance = Chance::seeded(5);

        let waits: Vec<_> = (0..1000)
            .map(|_| backoff.wait(NonZeroU32::MIN, &chance))
            .collect();

        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        let mean = waits.iter().sum::<Duration>() / 1000;
        assert!((450..550).contains(&mean.as_millis()), "mean {mean:?}");
        let distinct: std::collections::HashSet<_> = waits.iter().collect();
        assert!(
            distinct.len() > 990,
            "{} distinct waits of 1000",
            distinct.len()
        );
    }
}
