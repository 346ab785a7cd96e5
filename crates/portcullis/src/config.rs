use portcullis_gateway_error::{GatewayErrorLayer, InvalidConfig};
use portcullis_health_check::Settings;
use portcullis_param_mapping::{Mapping, ParamMappingLayer};
use portcullis_retry_on_gateway_error::RetryLayer;
use portcullis_timeout::TimeoutLayer;
use serde::Deserialize;

use crate::Stack;

/// The serde form of [`Stack`]: one section for each layer, all of them optional.
///
/// The gate needs a client to probe with, so its section makes no layer: start a monitor from it, and give the health to
/// [`Stack::health_check`]. Its mistakes are found here all the same.
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
    /// How the upstream is probed; without it, it is not.
    pub health_check: Option<portcullis_health_check::Config>,
    /// How parameters are mapped.
    pub param_mapping: portcullis_param_mapping::Config,
}

// === impl Stack ===

impl TryFrom<Config> for Stack {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
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
                json!({"param_mapping": {"rules": [{"remove": "header:te"}]}}),
                "param_mapping.rules[0].remove",
            ),
        ] {
            assert_eq!(stack(config.clone()).unwrap_err().path(), path, "{config}");
        }
    }
}
