use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::limits::Limits;
use crate::{HeadStart, TimeoutLayer};

mod adaptive;
mod deadlines;

pub use self::adaptive::AdaptiveHeadConfig;
pub use self::deadlines::{
    DeadlineHeaderConfig, DeadlineSourcesConfig, DeadlineUnitConfig, PropagationConfig,
    RefusalConfig,
};

/// The serde form of [`TimeoutLayer`]: its settings by the same names, [`scale`](TimeoutLayer::scale) excepted, which is code. Durations are text: `250ms`, `5s`, `1m 30s`.
///
/// What is left out keeps its default. This names every setting:
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_timeout::{Config, TimeoutLayer};
///
/// let file = ConfigFile::parse(r#"
/// total: 30s
/// ready: 500ms
/// request: 20s
/// request_idle: 5s
/// head: 10s                    # or adaptive_head: {factor: 3, min: 100ms, max: 10s}
/// head_from: request_sent      # or call
/// first_byte: 15s
/// response: 25s
/// response_idle: 5s
/// total_on_streams: false
/// deadline_sources:
///   grpc_timeout: true
///   headers: [{name: x-request-timeout, unit: ms}]
///   max: 60s
///   offset: 50ms
/// propagation:
///   grpc_timeout: true
///   header: {name: x-request-timeout, unit: ms}
///   margin: 20ms
/// share_deadline: true
/// late_requests: {at_most: 0.2}   # or all, count_only
/// status: 504
/// name: edge
/// sse_error_event: true
/// "#)?;
/// let layer = TimeoutLayer::try_from(file.read::<Config>()?)
///     .map_err(|mistake| file.locate(mistake))?;
/// # let _ = layer;
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// See [`TimeoutLayer::total`].
    #[serde(with = "humantime_serde")]
    pub total: Option<Duration>,
    /// See [`TimeoutLayer::ready`].
    #[serde(with = "humantime_serde")]
    pub ready: Option<Duration>,
    /// See [`TimeoutLayer::request`].
    #[serde(with = "humantime_serde")]
    pub request: Option<Duration>,
    /// See [`TimeoutLayer::request_idle`].
    #[serde(with = "humantime_serde")]
    pub request_idle: Option<Duration>,
    /// See [`TimeoutLayer::head`].
    #[serde(with = "humantime_serde")]
    pub head: Option<Duration>,
    /// See [`TimeoutLayer::head_from`].
    pub head_from: HeadStartConfig,
    /// See [`TimeoutLayer::adaptive_head`]. There is no `head` beside it.
    pub adaptive_head: Option<AdaptiveHeadConfig>,
    /// See [`TimeoutLayer::first_byte`].
    #[serde(with = "humantime_serde")]
    pub first_byte: Option<Duration>,
    /// See [`TimeoutLayer::response`].
    #[serde(with = "humantime_serde")]
    pub response: Option<Duration>,
    /// See [`TimeoutLayer::response_idle`].
    #[serde(with = "humantime_serde")]
    pub response_idle: Option<Duration>,
    /// See [`TimeoutLayer::total_on_streams`].
    pub total_on_streams: bool,
    /// See [`TimeoutLayer::deadline_sources`].
    pub deadline_sources: Option<DeadlineSourcesConfig>,
    /// See [`TimeoutLayer::propagation`].
    pub propagation: Option<PropagationConfig>,
    /// See [`TimeoutLayer::share_deadline`].
    pub share_deadline: Option<bool>,
    /// See [`TimeoutLayer::late_requests`].
    pub late_requests: Option<RefusalConfig>,
    /// See [`TimeoutLayer::status`].
    pub status: Option<u16>,
    /// See [`TimeoutLayer::name`].
    pub name: Option<String>,
    /// See [`TimeoutLayer::sse_error_event`].
    pub sse_error_event: bool,
}

/// The serde form of [`HeadStart`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum HeadStartConfig {
    /// See [`HeadStart::Call`].
    #[default]
    Call,
    /// See [`HeadStart::RequestSent`].
    RequestSent,
}

// === impl TimeoutLayer ===

impl TryFrom<Config> for TimeoutLayer {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let limits = Limits {
            request: config.request,
            request_idle: config.request_idle,
            head: config.head,
            first_byte: config.first_byte,
            response: config.response,
            response_idle: config.response_idle,
            total: config.total,
        };
        let total = config.total;
        let adaptive = checked("adaptive_head", config.adaptive_head, |own| {
            own.build(total)
        })?;
        let sources = checked("deadline_sources", config.deadline_sources, |own| {
            own.build(total)
        })?;
        let propagation = checked("propagation", config.propagation, TryInto::try_into)?;
        let refusal = checked("late_requests", config.late_requests, TryInto::try_into)?;
        let status = checked("status", config.status, status)?;
        Ok(Self::default().set(|settings| {
            settings.limits = limits;
            settings.ready = config.ready;
            settings.head_from = match config.head_from {
                HeadStartConfig::Call => HeadStart::Call,
                HeadStartConfig::RequestSent => HeadStart::RequestSent,
            };
            settings.adaptive_head = adaptive;
            settings.total_on_streams = config.total_on_streams;
            settings.sources = sources.unwrap_or_default();
            settings.propagation = propagation.unwrap_or_default();
            settings.share_deadline = config.share_deadline.unwrap_or(true);
            settings.refusal = refusal.unwrap_or_default();
            settings.status = status.unwrap_or(settings.status);
            settings.sse_error_event = config.sse_error_event;
            if let Some(name) = config.name {
                settings.name = name.into();
            }
        }))
    }
}

// === impl Config ===

impl Config {
    /// Finds limits that never strike, or always.
    fn check(&self) -> Result<(), InvalidConfig> {
        let fields = [
            ("total", self.total),
            ("ready", self.ready),
            ("request", self.request),
            ("request_idle", self.request_idle),
            ("head", self.head),
            ("first_byte", self.first_byte),
            ("response", self.response),
            ("response_idle", self.response_idle),
        ];
        for (field, limit) in fields {
            checked(field, limit, not_zero)?;
            // The limit of readiness is over before the whole begins.
            if let (Some(total), Some(limit)) = (self.total, limit)
                && field != "ready"
                && limit > total
            {
                let message = format!("must not be longer than total, {limit:?} > {total:?}");
                return Err(InvalidConfig::new(field, message));
            }
        }
        if let (Some(head), Some(first_byte)) = (self.head, self.first_byte)
            && head > first_byte
        {
            let message = format!("must not be shorter than head, {first_byte:?} < {head:?}");
            return Err(InvalidConfig::new("first_byte", message));
        }
        if let (Some(response), Some(idle)) = (self.response, self.response_idle)
            && idle > response
        {
            let message = format!("must not be longer than response, {idle:?} > {response:?}");
            return Err(InvalidConfig::new("response_idle", message));
        }
        if let (Some(request), Some(idle)) = (self.request, self.request_idle)
            && idle > request
        {
            let message = format!("must not be longer than request, {idle:?} > {request:?}");
            return Err(InvalidConfig::new("request_idle", message));
        }
        if self.head.is_some() && self.adaptive_head.is_some() {
            let message = "must not stand beside adaptive_head";
            return Err(InvalidConfig::new("head", message));
        }
        Ok(())
    }
}

/// Checks what was said, if it was; a mistake in it gets the name of the field.
fn checked<T, U>(
    field: &'static str,
    said: Option<T>,
    check: impl FnOnce(T) -> Result<U, InvalidConfig>,
) -> Result<Option<U>, InvalidConfig> {
    let checked = said.map(check).transpose();
    checked.map_err(|mistake| mistake.within(field))
}

fn not_zero(limit: Duration) -> Result<Duration, InvalidConfig> {
    if limit.is_zero() {
        let message = "must be longer than 0; leave it out for no limit";
        return Err(InvalidConfig::whole(message));
    }
    Ok(limit)
}

fn status(number: u16) -> Result<StatusCode, InvalidConfig> {
    let status = StatusCode::from_u16(number).ok();
    let error = status.filter(|status| status.is_client_error() || status.is_server_error());
    error.ok_or_else(|| InvalidConfig::whole(format!("must be 400 to 599, is {number}")))
}

#[cfg(test)]
mod tests;
