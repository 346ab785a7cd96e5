use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::Hedging;

/// The serde form of [`Hedging`]: `{after: 100ms}`, or `{percentile: 95, initial: 100ms}`; and `max_attempts` for both.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HedgingConfig {
    /// See [`Hedging::after`].
    #[serde(with = "humantime_serde")]
    pub after: Option<Duration>,
    /// See [`Hedging::after_percentile`].
    pub percentile: Option<f32>,
    /// See [`Hedging::after_percentile`].
    #[serde(with = "humantime_serde")]
    pub initial: Option<Duration>,
    /// See [`Hedging::max_attempts`]: 2 to 5.
    pub max_attempts: Option<u32>,
}

// === impl Hedging ===

impl TryFrom<HedgingConfig> for Hedging {
    type Error = InvalidConfig;

    fn try_from(config: HedgingConfig) -> Result<Self, InvalidConfig> {
        let hedging = match (config.after, config.percentile, config.initial) {
            (Some(delay), None, None) => Self::after(delay),
            (None, Some(percentile), Some(initial)) => {
                if !(percentile > 0.0 && percentile <= MAX_PERCENTILE) {
                    let message =
                        format!("must be above 0 and at most {MAX_PERCENTILE}, is {percentile}");
                    return Err(InvalidConfig::new("percentile", message));
                }
                Self::after_percentile(percentile, initial)
            }
            (Some(_), ..) => {
                let message = "must stand alone, without percentile and initial";
                return Err(InvalidConfig::new("after", message));
            }
            (None, Some(_), None) => {
                return Err(InvalidConfig::new(
                    "initial",
                    "is missing beside percentile",
                ));
            }
            (None, None, Some(_)) => {
                return Err(InvalidConfig::new(
                    "percentile",
                    "is missing beside initial",
                ));
            }
            (None, None, None) => {
                return Err(InvalidConfig::whole(
                    "needs after, or percentile and initial",
                ));
            }
        };
        let Some(number) = config.max_attempts else {
            return Ok(hedging);
        };
        let attempts = NonZeroU32::new(number).filter(|_| (2..=5).contains(&number));
        let message = || InvalidConfig::new("max_attempts", format!("must be 2 to 5, is {number}"));
        Ok(hedging.max_attempts(attempts.ok_or_else(message)?))
    }
}

/// What [`Hedging::after_percentile`] takes a higher one for.
const MAX_PERCENTILE: f32 = 99.99;
