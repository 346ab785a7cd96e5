use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::{Backoff, Jitter, RetryLayer, ServerHints};

/// The serde form of [`RetryLayer`]: its settings by the same names. Durations are text: `25ms`, `2s`.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// See [`RetryLayer::max_attempts`].
    pub max_attempts: Option<u32>,
    /// See [`RetryLayer::backoff`].
    pub backoff: Option<BackoffConfig>,
    /// See [`ServerHints::max`].
    #[serde(with = "humantime_serde")]
    pub max_server_delay: Option<Duration>,
    /// See [`RetryLayer::assume_idempotent`].
    pub assume_idempotent: bool,
    /// See [`RetryLayer::max_replay_bytes`].
    pub max_replay_bytes: Option<usize>,
    /// See [`RetryLayer::drain`].
    pub drain: Option<DrainConfig>,
    /// See [`RetryLayer::seed`].
    pub seed: Option<u64>,
}

/// The serde form of [`Backoff`]: `{fixed: 2s}`, or `{base: 25ms, max: 250ms}` with a `multiplier`; and a `jitter` for both.
///
/// [`Backoff::custom`] has none: it is code.
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
    pub jitter: Option<JitterConfig>,
}

/// The serde form of [`Jitter`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum JitterConfig {
    /// [`Jitter::Full`].
    Full,
    /// [`Jitter::Equal`].
    Equal,
    /// [`Jitter::Decorrelated`].
    Decorrelated,
    /// [`Jitter::Proportional`].
    Proportional,
    /// [`Jitter::None`].
    None,
}

/// The serde form of the limits of [`RetryLayer::drain`].
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DrainConfig {
    /// How many bytes of a discarded answer are read.
    pub bytes: usize,
    /// For how long beyond the wait.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

// === impl Config ===

impl TryFrom<Config> for RetryLayer {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let mut layer = Self::new().assume_idempotent(config.assume_idempotent);
        if let Some(attempts) = config.max_attempts {
            let zero = || InvalidConfig::new("max_attempts", "must be at least 1, is 0");
            layer = layer.max_attempts(NonZeroU32::new(attempts).ok_or_else(zero)?);
        }
        if let Some(backoff) = config.backoff {
            layer = layer.backoff(
                backoff
                    .build()
                    .map_err(|mistake| mistake.within("backoff"))?,
            );
        }
        if let Some(limit) = config.max_server_delay {
            layer = layer.server_hints(ServerHints::new().max(limit));
        }
        if let Some(bytes) = config.max_replay_bytes {
            layer = layer.max_replay_bytes(bytes);
        }
        if let Some(DrainConfig { bytes, time }) = config.drain {
            layer = layer.drain(bytes, time);
        }
        Ok(match config.seed {
            Some(seed) => layer.seed(seed),
            None => layer,
        })
    }
}

// === impl BackoffConfig ===

impl BackoffConfig {
    fn build(self) -> Result<Backoff, InvalidConfig> {
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
            (None, None, None) => Backoff::default(),
        };
        if let Some(factor) = self.multiplier {
            backoff = backoff.multiplier(factor)?;
        }
        Ok(match self.jitter {
            Some(jitter) => backoff.jitter(jitter.into()),
            None => backoff,
        })
    }
}

// === impl JitterConfig ===

impl From<JitterConfig> for Jitter {
    fn from(config: JitterConfig) -> Self {
        match config {
            JitterConfig::Full => Self::Full,
            JitterConfig::Equal => Self::Equal,
            JitterConfig::Decorrelated => Self::Decorrelated,
            JitterConfig::Proportional => Self::Proportional,
            JitterConfig::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(config: Value) -> Result<RetryLayer, InvalidConfig> {
        let config: Config = serde_json::from_value(config).unwrap();
        config.try_into()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let data = layer(json!({
            "max_attempts": 5, "backoff": {"base": "10ms", "max": "1s", "jitter": "none"}, "max_server_delay": "9s",
            "assume_idempotent": true, "max_replay_bytes": 77, "drain": {"bytes": 5, "time": "3s"}, "seed": 4,
        }));

        let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1));
        let code = RetryLayer::new()
            .max_attempts(NonZeroU32::new(5).unwrap())
            .backoff(backoff.jitter(Jitter::None))
            .server_hints(ServerHints::new().max(Duration::from_secs(9)))
            .assume_idempotent(true)
            .max_replay_bytes(77)
            .drain(5, Duration::from_secs(3))
            .seed(4);
        assert_eq!(format!("{:?}", data.unwrap()), format!("{code:?}"));
        let seeded = layer(json!({"seed": 1, "backoff": {}})).unwrap();
        assert_eq!(
            format!("{seeded:?}"),
            format!("{:?}", RetryLayer::new().seed(1))
        );
        let article = layer(json!({"seed": 1, "backoff": {"fixed": "2s"}})).unwrap();
        let fixed = RetryLayer::new()
            .seed(1)
            .backoff(Backoff::fixed(Duration::from_secs(2)));
        assert_eq!(format!("{article:?}"), format!("{fixed:?}"));
    }

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
            assert_eq!(config.build(), Ok(code), "{word}");
        }
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (config, expected) in [
            (
                json!({"max_attempts": 0}),
                "max_attempts: must be at least 1, is 0",
            ),
            (
                json!({"backoff": {"base": "2s", "max": "1s"}}),
                "backoff.base: must not be longer than max, 2s > 1s",
            ),
            (
                json!({"backoff": {"base": "2s"}}),
                "backoff.max: is missing beside base",
            ),
            (
                json!({"backoff": {"max": "2s"}}),
                "backoff.base: is missing beside max",
            ),
            (
                json!({"backoff": {"fixed": "2s", "max": "1s"}}),
                "backoff.fixed: must stand alone, without base and max",
            ),
            (
                json!({"backoff": {"fixed": "2s", "multiplier": 2}}),
                "backoff.multiplier: is for the exponential form only",
            ),
            (
                json!({"backoff": {"multiplier": 0}}),
                "backoff.multiplier: must be finite and above 0, is 0",
            ),
        ] {
            assert_eq!(
                layer(config.clone()).unwrap_err().to_string(),
                expected,
                "{config}"
            );
        }
        assert!(serde_json::from_value::<Config>(json!({"attempts": 3})).is_err());
    }
}
