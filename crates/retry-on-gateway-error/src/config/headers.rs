use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;
use serde::de::Deserializer;

use super::lists::each;
use super::words;
use crate::{AttemptHeader, HeaderMatch};

/// The serde form of [`HeaderMatch`]: the name of a header, or `{name: x-retry, value: "yes"}`.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderMatchConfig {
    /// See [`HeaderMatch::present`].
    Present(String),
    /// See [`HeaderMatch::exact`].
    Exact(HeaderValueConfig),
}

/// A header with its value.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HeaderValueConfig {
    /// Its name.
    pub name: String,
    /// What one of its lines must be, to the letter.
    pub value: String,
}

/// The serde form of [`AttemptHeader`]: `none`, `amz-sdk-request`, or `{count: x-envoy-attempt-count}`.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptHeaderConfig {
    /// [`AttemptHeader::None`].
    None,
    /// [`AttemptHeader::AmzSdkRequest`].
    AmzSdkRequest,
    /// [`AttemptHeader::Count`], with the name of the header.
    Count(String),
}

// === impl HeaderMatchConfig ===

impl<'de> Deserialize<'de> for HeaderMatchConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let present = |name: &str| Some(Self::Present(name.to_owned()));
        let expecting = "the name of a header, or a map of `name` and `value`";
        words::text_or_map(deserializer, expecting, present, Self::Exact)
    }
}

impl TryFrom<HeaderMatchConfig> for HeaderMatch {
    type Error = InvalidConfig;

    fn try_from(config: HeaderMatchConfig) -> Result<Self, InvalidConfig> {
        match config {
            HeaderMatchConfig::Present(text) => Ok(Self::present(name(&text)?)),
            HeaderMatchConfig::Exact(header) => {
                let name = name(&header.name).map_err(|mistake| mistake.within("name"))?;
                let value = HeaderValue::try_from(&header.value).map_err(|_| {
                    let message = format!("must be a header value, is {:?}", header.value);
                    InvalidConfig::new("value", message)
                })?;
                Ok(Self::exact(name, value))
            }
        }
    }
}

// === impl AttemptHeader ===

impl TryFrom<AttemptHeaderConfig> for AttemptHeader {
    type Error = InvalidConfig;

    fn try_from(config: AttemptHeaderConfig) -> Result<Self, InvalidConfig> {
        match config {
            AttemptHeaderConfig::None => Ok(Self::None),
            AttemptHeaderConfig::AmzSdkRequest => Ok(Self::AmzSdkRequest),
            AttemptHeaderConfig::Count(text) => match name(&text) {
                Ok(name) => Ok(Self::Count(name)),
                Err(mistake) => Err(mistake.within("count")),
            },
        }
    }
}

pub(super) fn all(headers: Vec<HeaderMatchConfig>) -> Result<Vec<HeaderMatch>, InvalidConfig> {
    each(headers, HeaderMatch::try_from).collect()
}

pub(super) fn name(text: &str) -> Result<HeaderName, InvalidConfig> {
    HeaderName::try_from(text)
        .map_err(|_| InvalidConfig::whole(format!("must be the name of a header, is {text:?}")))
}
