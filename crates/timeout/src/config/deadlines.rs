use std::time::Duration;

use http::HeaderName;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::{checked, not_zero};
use crate::{DeadlineHeader, DeadlineSources, Propagation, Refusal};

/// The serde form of [`DeadlineHeader`]: `{name: x-request-timeout, unit: ms}`.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DeadlineHeaderConfig {
    /// The name of the header.
    pub name: String,
    /// The unit of its number.
    pub unit: DeadlineUnitConfig,
}

/// The unit of the number in a header: `ms` or `s`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub enum DeadlineUnitConfig {
    /// See [`DeadlineHeader::millis`].
    #[serde(rename = "ms")]
    Millis,
    /// See [`DeadlineHeader::seconds`].
    #[serde(rename = "s")]
    Seconds,
}

/// The serde form of [`DeadlineSources`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DeadlineSourcesConfig {
    /// See [`DeadlineSources::grpc_timeout`].
    pub grpc_timeout: Option<bool>,
    /// See [`DeadlineSources::header`], for each.
    pub headers: Vec<DeadlineHeaderConfig>,
    /// See [`DeadlineSources::max`]. Not shorter than `total`.
    #[serde(with = "humantime_serde")]
    pub max: Option<Duration>,
    /// See [`DeadlineSources::offset`].
    #[serde(with = "humantime_serde")]
    pub offset: Option<Duration>,
}

/// The serde form of [`Propagation`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PropagationConfig {
    /// See [`Propagation::grpc_timeout`].
    pub grpc_timeout: Option<bool>,
    /// See [`Propagation::header`].
    pub header: Option<DeadlineHeaderConfig>,
    /// See [`Propagation::margin`].
    #[serde(with = "humantime_serde")]
    pub margin: Option<Duration>,
}

/// The serde form of [`Refusal`]: `all`, `count_only` or `{at_most: 0.2}`.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum RefusalConfig {
    /// See [`Refusal::all`].
    All,
    /// See [`Refusal::count_only`].
    CountOnly,
    /// See [`Refusal::at_most`]: 0 to 1.
    AtMost(f32),
}

// === impl DeadlineSourcesConfig ===

impl DeadlineSourcesConfig {
    pub(crate) fn build(self, total: Option<Duration>) -> Result<DeadlineSources, InvalidConfig> {
        let mut sources = DeadlineSources::new();
        for (index, header) in self.headers.into_iter().enumerate() {
            let header = DeadlineHeader::try_from(header)
                .map_err(|mistake| mistake.within_index(index).within("headers"))?;
            sources = sources.header(header);
        }
        if let Some(max) = checked("max", self.max, not_zero)? {
            if let Some(total) = total.filter(|total| max < *total) {
                let message = format!("must not be shorter than total, {max:?} < {total:?}");
                return Err(InvalidConfig::new("max", message));
            }
            sources = sources.max(max);
        }
        Ok(sources
            .grpc_timeout(self.grpc_timeout.unwrap_or(true))
            .offset(self.offset.unwrap_or_default()))
    }
}

// === impl Propagation ===

impl TryFrom<PropagationConfig> for Propagation {
    type Error = InvalidConfig;

    fn try_from(config: PropagationConfig) -> Result<Self, InvalidConfig> {
        let propagation = Self::new()
            .grpc_timeout(config.grpc_timeout.unwrap_or(true))
            .margin(config.margin.unwrap_or_default());
        let header = checked("header", config.header, DeadlineHeader::try_from)?;
        Ok(match header {
            Some(header) => propagation.header(header),
            None => propagation,
        })
    }
}

// === impl DeadlineHeader ===

impl TryFrom<DeadlineHeaderConfig> for DeadlineHeader {
    type Error = InvalidConfig;

    fn try_from(config: DeadlineHeaderConfig) -> Result<Self, InvalidConfig> {
        let DeadlineHeaderConfig { name, unit } = config;
        let Ok(header) = HeaderName::try_from(&name) else {
            let message = format!("is not the name of a header: {name:?}");
            return Err(InvalidConfig::new("name", message));
        };
        Ok(match unit {
            DeadlineUnitConfig::Millis => Self::millis(header),
            DeadlineUnitConfig::Seconds => Self::seconds(header),
        })
    }
}

// === impl Refusal ===

impl TryFrom<RefusalConfig> for Refusal {
    type Error = InvalidConfig;

    fn try_from(config: RefusalConfig) -> Result<Self, InvalidConfig> {
        match config {
            RefusalConfig::All => Ok(Self::all()),
            RefusalConfig::CountOnly => Ok(Self::count_only()),
            RefusalConfig::AtMost(share) if (0.0..=1.0).contains(&share) => {
                Ok(Self::at_most(share))
            }
            RefusalConfig::AtMost(share) => {
                let message = format!("must be 0 to 1, is {share}");
                Err(InvalidConfig::new("at_most", message))
            }
        }
    }
}
