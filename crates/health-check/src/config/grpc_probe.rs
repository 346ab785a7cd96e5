use std::time::Duration;

use http::Uri;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::Config;
use super::pool::longer_than_zero;
use crate::GrpcProbe;

/// The serde form of a [`GrpcProbe`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcProbeConfig {
    /// See [`GrpcProbe::service`]. Default: none, which is the whole server.
    pub service: String,
    /// See [`GrpcProbe::unimplemented_is_up`]. Default: no.
    pub unimplemented_is_up: bool,
    /// Whether a `Watch` stays open instead of a `Check` at each interval. See [`GrpcProbe::watch`]. Default: no.
    pub watch: bool,
    /// See [`GrpcProbe::timeout`].
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
}

// === impl GrpcProbeConfig ===

impl GrpcProbeConfig {
    /// Makes the probe, over this client and to this upstream: `http://10.0.0.7:50051`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn probe<C>(&self, client: C, upstream: Uri) -> Result<GrpcProbe<C>, InvalidConfig> {
        let probe = GrpcProbe::new(client, upstream)
            .service(self.service.as_str())
            .unimplemented_is_up(self.unimplemented_is_up);
        let Some(limit) = self.timeout else {
            return Ok(probe);
        };
        longer_than_zero("timeout", limit)?;
        Ok(probe.timeout(limit))
    }
}

// === impl Config ===

impl Config {
    /// Makes the probe by `grpc.health.v1`, over this client and to this upstream, where there is a section `grpc`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn grpc_probe<C>(
        &self,
        client: C,
        upstream: Uri,
    ) -> Result<Option<GrpcProbe<C>>, InvalidConfig> {
        let Some(grpc) = &self.grpc else {
            return Ok(None);
        };
        let mistake = |field, message: &'static str| Err(InvalidConfig::new(field, message));
        if self.tcp.is_some() {
            return mistake("grpc", "must not be there where tcp is");
        }
        if grpc.watch && self.on_demand.is_some() {
            return mistake("on_demand", "must not be there where grpc.watch is true");
        }
        let probe = grpc.probe(client, upstream);
        probe.map(Some).map_err(|mistake| mistake.within("grpc"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Settings;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let upstream = || Uri::from_static("http://a:1");
        let limit = Duration::from_millis(300);
        let all = json!({"service": "orders.v1", "unimplemented_is_up": true, "timeout": "300ms"});
        for (value, code) in [
            (json!({}), GrpcProbe::new((), upstream())),
            (
                all,
                GrpcProbe::new((), upstream())
                    .service("orders.v1")
                    .unimplemented_is_up(true)
                    .timeout(limit),
            ),
        ] {
            let config = config(json!({ "grpc": value }));
            let data = config.grpc_probe((), upstream()).unwrap().unwrap();
            assert_eq!(format!("{data:?}"), format!("{code:?}"));
        }
        let without = Config::default().grpc_probe((), upstream());
        assert!(without.unwrap().is_none());
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (value, expected) in [
            (
                json!({"grpc": {"timeout": "0s"}}),
                "grpc.timeout: must be longer than 0",
            ),
            (
                json!({"grpc": {}, "tcp": {}}),
                "grpc: must not be there where tcp is",
            ),
            (
                json!({"grpc": {"watch": true}, "on_demand": "5s"}),
                "on_demand: must not be there where grpc.watch is true",
            ),
        ] {
            let mistake = Settings::try_from(&config(value.clone())).unwrap_err();
            assert_eq!(mistake.to_string(), expected, "{value}");
        }
        assert!(serde_json::from_value::<Config>(json!({"grpc": {"name": "a"}})).is_err());
    }
}
