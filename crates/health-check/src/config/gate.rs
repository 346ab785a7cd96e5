use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::pool::at_most_a_day;
use crate::{Health, HealthCheckLayer, Mode};

/// The serde form of a [`HealthCheckLayer`]: what it does while the upstream is down.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// See [`HealthCheckLayer::mode`]: `fail_fast`, `wait` or `observe`. Default: `fail_fast`.
    pub mode: ModeConfig,
    /// How long a call waits at most, where the mode is `wait`; it must be said there. At most a day.
    #[serde(with = "humantime_serde")]
    pub wait_limit: Option<Duration>,
    /// See [`HealthCheckLayer::name`].
    pub name: Option<String>,
}

/// The serde form of a [`Mode`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ModeConfig {
    /// [`Mode::FailFast`].
    #[default]
    FailFast,
    /// [`Mode::Wait`].
    Wait,
    /// [`Mode::Observe`].
    Observe,
}

// === impl GateConfig ===

impl GateConfig {
    /// Makes the gate that this health opens and closes.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn layer(&self, health: Health) -> Result<HealthCheckLayer, InvalidConfig> {
        let layer = HealthCheckLayer::new(health).mode(self.mode()?);
        Ok(match &self.name {
            Some(name) => layer.name(name.as_str()),
            None => layer,
        })
    }

    pub(super) fn mode(&self) -> Result<Mode, InvalidConfig> {
        let mistake = |message: &'static str| Err(InvalidConfig::new("wait_limit", message));
        match (self.mode, self.wait_limit) {
            (ModeConfig::Wait, None) => mistake("must be there where mode is wait"),
            (ModeConfig::Wait, Some(Duration::ZERO)) => mistake("must be longer than 0"),
            (ModeConfig::Wait, Some(limit)) => {
                at_most_a_day("wait_limit", limit)?;
                Ok(Mode::Wait { limit })
            }
            (_, Some(_)) => mistake("must not be there where mode is not wait"),
            (ModeConfig::FailFast, None) => Ok(Mode::FailFast),
            (ModeConfig::Observe, None) => Ok(Mode::Observe),
        }
    }
}
