use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{Chance, InvalidConfig};

use self::jitter::Range;

mod jitter;

pub use self::jitter::Jitter;

/// How long to wait before an attempt.
///
/// ```
/// use std::time::Duration;
/// use portcullis_retry_on_gateway_error::{Backoff, Jitter};
///
/// let article = Backoff::fixed(Duration::from_secs(2));
/// let envoy = Backoff::exponential(Duration::from_millis(25), Duration::from_millis(250));
/// assert_eq!(Backoff::default(), envoy);
///
/// let grpc = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(120))
///     .multiplier(1.6)?
///     .jitter(Jitter::Proportional);
/// let linear = Backoff::custom(|step| Duration::from_millis(100) * step.retry.get());
/// # let _ = (article, grpc, linear);
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    form: Form,
    jitter: Jitter,
}

/// Which wait of an exchange this is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// How many waits there were since the last explicit pushback of the server, this one included: 1 is the first.
    pub retry: NonZeroU32,
    /// The wait before this one, as long as it was with its jitter; `None` for the first.
    pub previous: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Fixed(Duration),
    Exponential {
        base: Duration,
        max: Duration,
        /// Finite and above 0.
        multiplier: f64,
    },
    Custom(Custom),
}

#[derive(Clone)]
struct Custom(Arc<dyn Fn(Step) -> Duration + Send + Sync>);

// === impl Backoff ===

impl Backoff {
    /// The same wait before every attempt, without jitter.
    #[must_use]
    pub const fn fixed(wait: Duration) -> Self {
        Self {
            form: Form::Fixed(wait),
            jitter: Jitter::None,
        }
    }

    /// A wait that doubles with every attempt, from `base` to `max`, with full jitter.
    ///
    /// A `base` above `max` is the same as one that is equal to it.
    #[must_use]
    pub const fn exponential(base: Duration, max: Duration) -> Self {
        Self {
            form: Form::Exponential {
                base,
                max,
                multiplier: 2.0,
            },
            jitter: Jitter::Full,
        }
    }

    /// The wait that this function says, without jitter and without a cap.
    ///
    /// Two of this form are equal when one is a clone of the other.
    #[must_use]
    pub fn custom(wait: impl Fn(Step) -> Duration + Send + Sync + 'static) -> Self {
        Self {
            form: Form::Custom(Custom(Arc::new(wait))),
            jitter: Jitter::None,
        }
    }

    /// Replaces what an exponential wait is multiplied with after each attempt. Default: 2.
    ///
    /// Below 1 the waits get shorter, which a gRPC service config may ask for
    /// ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md)). [`Jitter::Decorrelated`] does not look at it.
    ///
    /// # Errors
    /// When it is not a finite number above 0, and when the form is another one, which has nothing to multiply.
    pub fn multiplier(mut self, factor: f64) -> Result<Self, InvalidConfig> {
        let Form::Exponential { multiplier, .. } = &mut self.form else {
            let message = "is for the exponential form only";
            return Err(InvalidConfig::new("multiplier", message));
        };
        if !factor.is_finite() || factor <= 0.0 {
            let message = format!("must be finite and above 0, is {factor}");
            return Err(InvalidConfig::new("multiplier", message));
        }
        *multiplier = factor;
        Ok(self)
    }

    /// Replaces the jitter. Default: [`Jitter::Full`] for the exponential form, [`Jitter::None`] for the others.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The wait at this step. The cap comes before the jitter, and nothing overflows.
    pub(crate) fn wait(&self, step: Step, chance: &Chance) -> Duration {
        let range = match &self.form {
            Form::Fixed(wait) => Range::around(*wait),
            Form::Exponential {
                base,
                max,
                multiplier,
            } => Range {
                wait: grown(*base, *multiplier, step.retry).min(*max),
                base: *base.min(max),
                max: *max,
            },
            Form::Custom(custom) => Range::around((custom.0)(step)),
        };
        self.jitter.spread(range, step.previous, chance)
    }
}

/// Envoy's: 25 ms doubling to 250 ms, with full jitter.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(25), Duration::from_millis(250))
    }
}

// === impl Step ===

impl Step {
    /// The wait of this number, counted from 1, after one that was so long.
    #[must_use]
    pub const fn new(retry: NonZeroU32, previous: Option<Duration>) -> Self {
        Self { retry, previous }
    }
}

// === impl Custom ===

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// `base` times `multiplier` to the power of the retries before; [`Duration::MAX`] where that is too long for one.
fn grown(base: Duration, multiplier: f64, retry: NonZeroU32) -> Duration {
    if base.is_zero() {
        // Nothing stays nothing, where the power is infinite too.
        return base;
    }
    let factor = multiplier.powf(f64::from(retry.get() - 1));
    Duration::try_from_secs_f64(base.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
