use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::Latencies;

/// How a second attempt of a request that may be sent twice starts beside the first, before the first has failed.
///
/// The first good answer wins, and the others are cancelled, always: to let them go on would take a task that outlives the call (Finagle's `sendInterrupts`). An attempt that fails brings the next one at once; one that fails for good ends all (gRFC A6). Each
/// attempt beyond the first is paid for from the layer's [budget](crate::RetryLayer::budget); while that is empty, what runs goes on.
#[derive(Clone, Debug)]
pub struct Hedging {
    pub(crate) delay: HedgeDelay,
    pub(crate) max_attempts: NonZeroU32,
}

#[derive(Clone, Debug)]
pub(crate) enum HedgeDelay {
    Fixed(Duration),
    PerAttempt(PerAttempt),
    Percentile {
        /// In hundredths of a per cent.
        percentile: u16,
        min: Duration,
        initial: Duration,
        /// What is shared by all clones of the layer.
        latencies: Arc<Latencies>,
    },
}

#[derive(Clone)]
pub(crate) struct PerAttempt(Arc<dyn Fn(NonZeroU32) -> Duration + Send + Sync>);

// === impl Hedging ===

impl Hedging {
    /// The next attempt starts when there was no answer for this long. Zero: all start at once.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self {
            delay: HedgeDelay::Fixed(delay),
            max_attempts: TWO,
        }
    }

    /// The next attempt starts when there was no answer for as long as this says, which is asked with the number of that attempt: 2 is the first (failsafe-go).
    #[must_use]
    pub fn after_each(delay: impl Fn(NonZeroU32) -> Duration + Send + Sync + 'static) -> Self {
        Self {
            delay: HedgeDelay::PerAttempt(PerAttempt(Arc::new(delay))),
            max_attempts: TWO,
        }
    }

    /// The next attempt starts when the answer takes longer than this share of all answers of this service did lately, in per cent: 95 means that one request in twenty
    /// is hedged. What is measured is the time from the call to the good answer, hedges included.
    ///
    /// It is at least 1 ms (Finagle), and `initial` while fewer than 20 answers were seen. Over 99.99 is taken for that.
    #[must_use]
    pub fn after_percentile(percentile: f32, initial: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 9999"
        )]
        let percentile = (percentile * 100.0).clamp(0.0, 9999.0).round() as u16;
        Self {
            delay: HedgeDelay::Percentile {
                percentile,
                min: Duration::from_millis(1),
                initial,
                latencies: Arc::default(),
            },
            max_attempts: TWO,
        }
    }

    /// Replaces how many attempts there are, the original included. Default: 2; more than 5 is taken for 5 (gRFC A6).
    #[must_use]
    pub fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.max_attempts = attempts.min(crate::envoy::MAX_ATTEMPTS);
        self
    }

    /// How long to wait for an answer before this attempt.
    pub(crate) fn delay(&self, next: NonZeroU32) -> Duration {
        match &self.delay {
            HedgeDelay::Fixed(delay) => *delay,
            HedgeDelay::PerAttempt(delay) => (delay.0)(next),
            HedgeDelay::Percentile {
                percentile,
                min,
                initial,
                latencies,
            } => latencies
                .percentile(*percentile)
                .map_or(*initial, |delay| delay.max(*min)),
        }
    }

    /// Tells how long a good answer took.
    pub(crate) fn observe(&self, latency: impl FnOnce() -> Duration) {
        if let HedgeDelay::Percentile { latencies, .. } = &self.delay {
            latencies.record(latency());
        }
    }
}

/// Two are equal when they wait by the same rule; what they measured plays no part.
impl PartialEq for Hedging {
    fn eq(&self, other: &Self) -> bool {
        let delays = match (&self.delay, &other.delay) {
            (HedgeDelay::Fixed(one), HedgeDelay::Fixed(two)) => one == two,
            (HedgeDelay::PerAttempt(one), HedgeDelay::PerAttempt(two)) => {
                Arc::ptr_eq(&one.0, &two.0)
            }
            (
                HedgeDelay::Percentile {
                    percentile,
                    initial,
                    ..
                },
                HedgeDelay::Percentile {
                    percentile: other,
                    initial: first,
                    ..
                },
            ) => percentile == other && initial == first,
            _ => false,
        };
        delays && self.max_attempts == other.max_attempts
    }
}

// === impl PerAttempt ===

impl fmt::Debug for PerAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
