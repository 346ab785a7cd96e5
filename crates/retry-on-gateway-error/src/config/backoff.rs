use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::{Backoff, Jitter};

/// The serde form of [`Backoff`]: `{fixed: 2s}`, or `{base: 25ms, max: 250ms}` with a `multiplier`; and a `jitter` for both.
///
/// Without a wait it is the one that the layer has. [`Backoff::custom`] has no data: it is code.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffConfig {
    /// See [`Backoff::fixed`].
    #[serde(with = "humantime_serde")]
    pub fixed: Option<Duration>,
    /// See [`Backoff::exponential`].
    #[serde(with = "humantime_serde")]
    pub base: Option<Duration>,
    /// See [`Backoff::exponential`].
    #[serde(with = "humantime_serde")]
    pub max: Option<Duration>,
    /// See [`Backoff::multiplier`].
    pub multiplier: Option<f64>,
    /// See [`Backoff::jitter`].
    pub jitter: Option<Jitter>,
}

// === impl BackoffConfig ===

impl BackoffConfig {
    /// The backoff, made of this default where no wait is said.
    pub(super) fn build(self, default: Backoff) -> Result<Backoff, InvalidConfig> {
        let mut backoff = match (self.fixed, self.base, self.max) {
            (Some(wait), None, None) => Backoff::fixed(wait),
            (None, Some(base), Some(max)) if base > max => {
                let message = format!("must not be longer than max, {base:?} > {max:?}");
                return Err(InvalidConfig::new("base", message));
            }
            (None, Some(base), Some(max)) => Backoff::exponential(base, max),
            (Some(_), ..) => {
                return Err(InvalidConfig::new(
                    "fixed",
                    "must stand alone, without base and max",
                ));
            }
            (None, Some(_), None) => {
                return Err(InvalidConfig::new("max", "is missing beside base"));
            }
            (None, None, Some(_)) => {
                return Err(InvalidConfig::new("base", "is missing beside max"));
            }
            (None, None, None) => default,
        };
        if let Some(factor) = self.multiplier {
            backoff = backoff.multiplier(factor)?;
        }
        Ok(match self.jitter {
            Some(jitter) => backoff.jitter(jitter),
            None => backoff,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_jitter_and_a_multiplier_can_be_said_in_data() {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(120));
        for (word, jitter) in [
            ("full", Jitter::Full),
            ("equal", Jitter::Equal),
            ("decorrelated", Jitter::Decorrelated),
            ("proportional", Jitter::Proportional),
            ("none", Jitter::None),
        ] {
            let data = json!({"base": "1s", "max": "2m", "multiplier": 1.6, "jitter": word});
            let config: BackoffConfig = serde_json::from_value(data).unwrap();

            let code = backoff.clone().multiplier(1.6).unwrap().jitter(jitter);
            assert_eq!(config.build(Backoff::default()), Ok(code), "{word}");
        }
    }

    #[test]
    fn without_a_wait_it_changes_the_default() {
        let config: BackoffConfig = serde_json::from_value(json!({"jitter": "equal"})).unwrap();
        let default = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(20));

        let code = default.clone().jitter(Jitter::Equal);
        assert_eq!(config.build(default), Ok(code));
    }
}
