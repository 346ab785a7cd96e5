use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::AdaptiveHead;

/// The serde form of [`AdaptiveHead`]: `{factor: 3, min: 100ms, max: 10s}`.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveHeadConfig {
    /// By what the 99th percentile is multiplied: 1 or more.
    pub factor: f32,
    /// The shortest limit.
    #[serde(with = "humantime_serde")]
    pub min: Duration,
    /// The longest limit, and the one before enough was seen.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
}

// === impl AdaptiveHeadConfig ===

impl AdaptiveHeadConfig {
    pub(crate) fn build(self, total: Option<Duration>) -> Result<AdaptiveHead, InvalidConfig> {
        let Self { factor, min, max } = self;
        if !(factor >= 1.0 && factor.is_finite()) {
            let message = format!("must be at least 1, is {factor}");
            return Err(InvalidConfig::new("factor", message));
        }
        if max.is_zero() {
            return Err(InvalidConfig::new("max", "must be longer than 0"));
        }
        if min > max {
            let message = format!("must not be longer than max, {min:?} > {max:?}");
            return Err(InvalidConfig::new("min", message));
        }
        if let Some(total) = total.filter(|total| max > *total) {
            let message = format!("must not be longer than total, {max:?} > {total:?}");
            return Err(InvalidConfig::new("max", message));
        }
        Ok(AdaptiveHead::new(factor, min, max))
    }
}
