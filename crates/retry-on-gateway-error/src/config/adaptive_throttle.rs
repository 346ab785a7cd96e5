use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::{AdaptiveThrottle, Ratio};

/// The serde form of [`AdaptiveThrottle`]: its settings by the same names.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveThrottleConfig {
    /// See [`AdaptiveThrottle::k`]: 1 to 1000.
    pub k: Option<f64>,
    /// See [`AdaptiveThrottle::max_rejection`]: 0 to 1, where 1 is all.
    pub max_rejection: Option<f64>,
    /// See [`AdaptiveThrottle::min_per_second`].
    pub min_per_second: Option<u32>,
}

// === impl AdaptiveThrottle ===

impl TryFrom<AdaptiveThrottleConfig> for AdaptiveThrottle {
    type Error = InvalidConfig;

    fn try_from(config: AdaptiveThrottleConfig) -> Result<Self, InvalidConfig> {
        let mut throttle = Self::new();
        if let Some(k) = config.k {
            throttle = throttle.k(ratio("k", k, 1, 1000)?);
        }
        if let Some(share) = config.max_rejection {
            throttle = throttle.max_rejection(ratio("max_rejection", share, 0, 1)?);
        }
        Ok(match config.min_per_second {
            Some(rate) => throttle.min_per_second(rate),
            None => throttle,
        })
    }
}

/// Narrower than what a ratio can be: code takes what lies outside for the nearest number, but in data it is likelier a slip, as 90 for 90 %.
fn ratio(field: &'static str, number: f64, min: u32, max: u32) -> Result<Ratio, InvalidConfig> {
    if !(f64::from(min)..=f64::from(max)).contains(&number) {
        let message = format!("must be {min} to {max}, is {number}");
        return Err(InvalidConfig::new(field, message));
    }
    Ratio::from_f64(number).map_err(|mistake| mistake.within(field))
}
