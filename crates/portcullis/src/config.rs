use portcullis_gateway_error::{GatewayErrorLayer, InvalidConfig};
use portcullis_health_check::{
    Check, EndpointsConfig, GateConfig, PoolConfig, PoolSettings, Settings,
};
use portcullis_param_mapping::{Mapping, ParamMappingLayer};
use portcullis_retry_on_gateway_error::RetryLayer;
use portcullis_timeout::TimeoutLayer;
use serde::Deserialize;

use crate::Stack;

mod start;

/// The serde form of [`Stack`]: one section for each layer, all of them optional.
///
/// The gate and the pool need clients, so their sections make no layer: start them by [`gate`](Self::gate) or [`pool`](Self::pool), and give them to
/// [`Stack::health_check`] or [`Stack::over`]. Their mistakes are found here all the same.
///
/// ```
/// use portcullis::gateway_error::ConfigFile;
/// use portcullis::{Config, Stack};
///
/// let file = ConfigFile::parse("timeout: {total: 30s}\nretry: {max_attempts: 0}\n")?;
/// let mistake = Stack::try_from(file.read::<Config>()?).unwrap_err();
/// assert_eq!(
///     file.locate(mistake).to_string(),
///     "line 2, column 9: retry.max_attempts: must be at least 1, is 0"
/// );
/// # Ok::<_, portcullis::gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How errors are answered.
    pub gateway_error: portcullis_gateway_error::Config,
    /// The limits of the whole exchange.
    pub timeout: portcullis_timeout::Config,
    /// When there is another attempt.
    pub retry: portcullis_retry_on_gateway_error::Config,
    /// The limits of one attempt.
    pub attempt_timeout: portcullis_timeout::Config,
    /// How the upstream, or each endpoint of the pool, is probed and its calls are looked at; without it, they are not.
    pub health_check: Option<portcullis_health_check::Config>,
    /// The endpoints of the upstream, where it has several. Retry [tracks](portcullis_retry_on_gateway_error::RetryLayer::track_endpoints) them then.
    pub pool: Option<PoolConfig>,
    /// What `/livez`, `/readyz` and the others say of the own service.
    pub health_endpoints: EndpointsConfig,
    /// How parameters are mapped.
    pub param_mapping: portcullis_param_mapping::Config,
}

// === impl Stack ===

impl TryFrom<Config> for Stack {
    type Error = InvalidConfig;

    fn try_from(mut config: Config) -> Result<Self, InvalidConfig> {
        fn layer<T, C>(section: &'static str, config: C) -> Result<T, InvalidConfig>
        where
            T: TryFrom<C, Error = InvalidConfig>,
        {
            T::try_from(config).map_err(|mistake| mistake.within(section))
        }

        if let Some(health_check) = &config.health_check {
            layer::<Settings, _>("health_check", health_check)?;
            let probe = health_check.probe((), "http://upstream");
            let _checked = probe.map_err(|mistake| mistake.within("health_check"))?;
        }
        if let Some(pool) = &config.pool {
            check_pool(pool, config.health_check.as_ref())?;
            config.retry.track_endpoints = true;
        }
        check_endpoints(&config.health_endpoints)?;
        if let (Some(whole), Some(attempt)) = (config.timeout.total, config.attempt_timeout.total)
            && attempt > whole
        {
            let message = format!("must not be longer than timeout.total, {attempt:?} > {whole:?}");
            return Err(InvalidConfig::new("total", message).within("attempt_timeout"));
        }
        let mapping: Mapping = layer("param_mapping", config.param_mapping)?;
        Ok(Self::new()
            .gateway_error(layer::<GatewayErrorLayer, _>(
                "gateway_error",
                config.gateway_error,
            )?)
            .timeout(layer::<TimeoutLayer, _>("timeout", config.timeout)?)
            .retry(layer::<RetryLayer, _>("retry", config.retry)?)
            .attempt_timeout(layer::<TimeoutLayer, _>(
                "attempt_timeout",
                config.attempt_timeout,
            )?)
            .param_mapping(ParamMappingLayer::new(mapping)))
    }
}

fn check_pool(
    pool: &PoolConfig,
    health_check: Option<&portcullis_health_check::Config>,
) -> Result<(), InvalidConfig> {
    let within = |mistake: InvalidConfig| mistake.within("pool");
    let _checked = PoolSettings::try_from(pool).map_err(within)?;
    if pool.endpoints.is_empty() && pool.names.is_empty() {
        let mistake = InvalidConfig::whole("must have endpoints or names, and has neither");
        return Err(within(mistake));
    }
    if health_check.is_some_and(|config| config.gate != GateConfig::default()) {
        let message = "must not be there where pool is, which has its own mode";
        return Err(InvalidConfig::new("gate", message).within("health_check"));
    }
    Ok(())
}

/// Which checks there are is known when they are made; all else is looked at here.
fn check_endpoints(endpoints: &EndpointsConfig) -> Result<(), InvalidConfig> {
    let names = endpoints.exclude.iter().chain(endpoints.checks.keys());
    let checks = names.map(|name| Check::probe(name.as_str(), async || Ok(())));
    let checked = endpoints.endpoints(checks).map(drop);
    checked.map_err(|mistake| mistake.within("health_endpoints"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use portcullis_retry_on_gateway_error::RetryOn;
    use serde_json::{Value, json};

    use super::*;

    fn stack(config: Value) -> Result<Stack, InvalidConfig> {
        serde_json::from_value::<Config>(config).unwrap().try_into()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let data = stack(json!({
            "gateway_error": {"name": "edge"},
            "timeout": {"total": "30s"},
            "retry": {"seed": 1, "max_attempts": 5, "retry_on": "5xx", "budget": "none"},
            "attempt_timeout": {"head": "5s"},
        }));

        let code = Stack::new()
            .gateway_error(GatewayErrorLayer::new().name("edge"))
            .timeout(TimeoutLayer::new(Duration::from_secs(30)))
            .retry(
                RetryLayer::new()
                    .seed(1)
                    .max_attempts(NonZeroU32::new(5).unwrap())
                    .retry_on(RetryOn::SERVER_ERROR)
                    .no_budget(),
            )
            .attempt_timeout(TimeoutLayer::default().head(Duration::from_secs(5)));
        assert_eq!(format!("{:?}", data.unwrap()), format!("{code:?}"));
    }

    #[test]
    fn with_a_pool_retry_tracks_its_endpoints() {
        let data = stack(json!({
            "pool": {"endpoints": [{"url": "http://a"}, {"url": "http://b"}]},
            "retry": {"seed": 1, "budget": "none"},
        }));

        let retry = RetryLayer::new().seed(1).no_budget().track_endpoints(true);
        let code = Stack::new().retry(retry);
        assert_eq!(format!("{:?}", data.unwrap()), format!("{code:?}"));
    }

    #[test]
    fn every_section_tells_its_mistakes_with_its_name() {
        for (config, path) in [
            (json!({"gateway_error": {"name": ""}}), "gateway_error.name"),
            (json!({"timeout": {"total": "0s"}}), "timeout.total"),
            (json!({"retry": {"max_attempts": 0}}), "retry.max_attempts"),
            (
                json!({"retry": {"budget": {"ratio": {"ratio": -1}}}}),
                "retry.budget.ratio.ratio",
            ),
            (
                json!({"attempt_timeout": {"head": "0s"}}),
                "attempt_timeout.head",
            ),
            (
                json!({"timeout": {"total": "1s"}, "attempt_timeout": {"total": "2s"}}),
                "attempt_timeout.total",
            ),
            (json!({"health_check": {"rise": 0}}), "health_check.rise"),
            (json!({"health_check": {"path": "x"}}), "health_check.path"),
            (
                json!({"health_check": {"passive_only": true}}),
                "health_check.passive_only",
            ),
            (json!({"pool": {}}), "pool"),
            (
                json!({"pool": {"endpoints": [{"url": "http://a"}, {"url": "b"}]}}),
                "pool.endpoints[1].url",
            ),
            (
                json!({"pool": {"names": [{"host": "a b", "port": 80}]}}),
                "pool.names[0].host",
            ),
            (
                json!({"pool": {"names": [{"host": "a", "port": 80}], "mode": "wait"}}),
                "pool.wait_limit",
            ),
            (
                json!({"pool": {"endpoints": [{"url": "http://a"}]}, "health_check": {"gate": {"mode": "observe"}}}),
                "health_check.gate",
            ),
            (
                json!({"health_endpoints": {"exclude": ["a"], "checks": {"b": {"timeout": "0s"}}}}),
                "health_endpoints.checks.b.timeout",
            ),
            (
                json!({"param_mapping": {"rules": [{"remove": "header:te"}]}}),
                "param_mapping.rules[0].remove",
            ),
        ] {
            assert_eq!(stack(config.clone()).unwrap_err().path(), path, "{config}");
        }
    }
}
