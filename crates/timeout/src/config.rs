use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::TimeoutLayer;

/// The serde form of [`TimeoutLayer`]: its settings by the same names. Durations are text: `250ms`, `5s`, `1m 30s`.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// See [`TimeoutLayer::total`].
    #[serde(with = "humantime_serde")]
    pub total: Option<Duration>,
    /// See [`TimeoutLayer::head`].
    #[serde(with = "humantime_serde")]
    pub head: Option<Duration>,
    /// See [`TimeoutLayer::request_idle`].
    #[serde(with = "humantime_serde")]
    pub request_idle: Option<Duration>,
    /// See [`TimeoutLayer::response_idle`].
    #[serde(with = "humantime_serde")]
    pub response_idle: Option<Duration>,
    /// See [`TimeoutLayer::status`].
    pub status: Option<u16>,
    /// See [`TimeoutLayer::name`].
    pub name: Option<String>,
}

// === impl TimeoutLayer ===

impl TryFrom<Config> for TimeoutLayer {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let Config {
            total,
            head,
            request_idle,
            response_idle,
            status,
            name,
        } = config;
        let fields = [
            ("total", total),
            ("head", head),
            ("request_idle", request_idle),
            ("response_idle", response_idle),
        ];
        for (field, limit) in fields {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return Err(InvalidConfig::new(
                    field,
                    "must be longer than 0; leave it out for no limit",
                ));
            }
        }
        if let (Some(total), Some(head)) = (total, head)
            && head > total
        {
            let message = format!("must not be longer than total, {head:?} > {total:?}");
            return Err(InvalidConfig::new("head", message));
        }

        let mut layer = Self::default().set(|settings| {
            settings.limits.total = total;
            settings.limits.head = head;
            settings.limits.request_idle = request_idle;
            settings.limits.response_idle = response_idle;
        });
        if let Some(number) = status {
            let status = StatusCode::from_u16(number).ok();
            let error =
                status.filter(|status| status.is_client_error() || status.is_server_error());
            let message =
                || InvalidConfig::new("status", format!("must be 400 to 599, is {number}"));
            layer = layer.status(error.ok_or_else(message)?);
        }
        Ok(match name {
            Some(name) => layer.name(name),
            None => layer,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(config: Value) -> Result<TimeoutLayer, InvalidConfig> {
        let config: Config = serde_json::from_value(config).unwrap();
        config.try_into()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let data = layer(json!({
            "total": "30s", "head": "1s 500ms", "request_idle": "4s", "response_idle": "5s",
            "status": 503, "name": "edge",
        }));

        let code = TimeoutLayer::new(Duration::from_secs(30))
            .head(Duration::from_millis(1500))
            .request_idle(Duration::from_secs(4))
            .response_idle(Duration::from_secs(5))
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .name("edge");
        assert_eq!(format!("{:?}", data.unwrap()), format!("{code:?}"));
        assert_eq!(
            format!("{:?}", layer(json!({})).unwrap()),
            format!("{:?}", TimeoutLayer::default())
        );
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (config, expected) in [
            (
                json!({"total": "0s"}),
                "total: must be longer than 0; leave it out for no limit",
            ),
            (
                json!({"head": "0ms"}),
                "head: must be longer than 0; leave it out for no limit",
            ),
            (
                json!({"head": "3s", "total": "2s"}),
                "head: must not be longer than total, 3s > 2s",
            ),
            (json!({"status": 200}), "status: must be 400 to 599, is 200"),
            (json!({"status": 9}), "status: must be 400 to 599, is 9"),
        ] {
            assert_eq!(
                layer(config.clone()).unwrap_err().to_string(),
                expected,
                "{config}"
            );
        }
        assert!(serde_json::from_value::<Config>(json!({"idle": "1s"})).is_err());
    }
}
