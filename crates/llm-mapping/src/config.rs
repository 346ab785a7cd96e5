use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::HeaderName;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::providers::{self, ErnieTokenLayer};
use crate::{ApiKey, Caller, LlmMappingLayer, Policy};

/// The serde form of [`LlmMappingLayer`]: its settings by the same names, and the provider by the name that [`providers::by_name`] takes.
///
/// What is not said is as the layer has it. What is code has no data: [`tables`](LlmMappingLayer::tables), [`clock`](LlmMappingLayer::clock), a provider of your own.
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_llm_mapping::{Config, LlmMappingLayer};
///
/// let file = ConfigFile::parse(r#"
/// provider: anthropic
/// base_url: https://api.anthropic.com
/// ## api_key: {env: ANTHROPIC_API_KEY}    # or {file: /run/secrets/anthropic}
/// model: claude-sonnet-4-5                # whatever the caller asks for
/// caller: any                             # or openai, anthropic
/// unsupported: {seed: reject, user: pass} # or drop
/// report_header: x-mapped                 # or none
/// max_request_bytes: 1048576
/// max_reply_bytes: 1048576
/// max_event_bytes: 65536
/// tell_reasoning: true
/// wait_for_first_event: false
/// "#)?;
/// let config: Config = file.read()?;
/// let layer = LlmMappingLayer::try_from(config)?;
/// assert_eq!(layer.provider().name(), "anthropic");
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of the provider.
    pub provider: String,
    /// Where chats are sent.
    pub base_url: Option<String>,
    /// Where the key is that the provider knows us by.
    pub api_key: Option<ApiKeyConfig>,
    /// The other half of the key, for the first version of ERNIE's API: with it [`token_layer`](LlmMappingLayer::token_layer) has the layer that
    /// must stand below, and `api_key` is the access key.
    pub secret_key: Option<ApiKeyConfig>,
    /// The model to ask for.
    pub model: Option<String>,
    /// Which API the caller speaks.
    pub caller: Caller,
    /// What becomes of parameters that the provider has nothing like.
    pub unsupported: BTreeMap<String, Policy>,
    /// The response header that tells what was left out and changed, or `none`.
    pub report_header: Option<String>,
    /// The limit for a request, in bytes.
    pub max_request_bytes: Option<usize>,
    /// The limit for a reply that is no stream, in bytes.
    pub max_reply_bytes: Option<usize>,
    /// The limit for one event of a stream, in bytes.
    pub max_event_bytes: Option<usize>,
    /// Whether the caller is told what the model thought.
    pub tell_reasoning: Option<bool>,
    /// Whether the answer to a request for a stream waits for the first event.
    pub wait_for_first_event: Option<bool>,
}

/// Where a key is. The key itself does not stand in settings.
///
/// It is `{env: NAME}` or `{file: PATH}`. What else stands there may be a key: no error repeats it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApiKeyConfig {
    /// In this environment variable.
    Env(String),
    /// In this file, with nothing else but space around it.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    env: Option<String>,
    file: Option<PathBuf>,
}

struct PlaceVisitor;

// === impl LlmMappingLayer ===

impl TryFrom<Config> for LlmMappingLayer {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let Config {
            provider,
            base_url,
            api_key,
            secret_key,
            model,
            caller,
            unsupported,
            report_header,
            max_request_bytes,
            max_reply_bytes,
            max_event_bytes,
            tell_reasoning,
            wait_for_first_event,
        } = config;
        let mut layer = Self::shared(providers::by_name(&provider)?)?.caller(caller);
        if let Some(url) = base_url {
            layer = layer.base_url(&url)?;
        }
        let api_key = api_key.map(|key| key.read()).transpose()?;
        match (secret_key, api_key) {
            (Some(_), _) if provider != "ernie-v1" => {
                let message = "is for the provider `ernie-v1` alone";
                return Err(InvalidConfig::new("secret_key", message));
            }
            (Some(_), None) => {
                let message = "stands without `api_key`, which is the access key";
                return Err(InvalidConfig::new("secret_key", message));
            }
            (Some(secret), Some(key)) => {
                let secret = secret.read().map_err(|mistake| {
                    InvalidConfig::new("secret_key", mistake.message().to_owned())
                })?;
                layer = layer.ernie_token(ErnieTokenLayer::new(key, secret));
            }
            (None, Some(key)) => layer = layer.api_key(key),
            (None, None) => {}
        }
        if let Some(model) = model {
            if model.is_empty() {
                return Err(InvalidConfig::new("model", "must not be empty"));
            }
            layer = layer.model(model);
        }
        for (param, policy) in unsupported {
            layer = layer.unsupported(param, policy);
        }
        if let Some(name) = report_header {
            layer = layer.report_header(header(&name)?);
        }
        for (field, limit, set) in [
            (
                "max_request_bytes",
                max_request_bytes,
                Self::max_request_bytes as fn(Self, usize) -> Self,
            ),
            ("max_reply_bytes", max_reply_bytes, Self::max_reply_bytes),
            ("max_event_bytes", max_event_bytes, Self::max_event_bytes),
        ] {
            if limit == Some(0) {
                return Err(InvalidConfig::new(field, "must be at least 1, is 0"));
            }
            if let Some(limit) = limit {
                layer = set(layer, limit);
            }
        }
        if let Some(tells) = tell_reasoning {
            layer = layer.tell_reasoning(tells);
        }
        if let Some(waits) = wait_for_first_event {
            layer = layer.wait_for_first_event(waits);
        }
        Ok(layer)
    }
}

// === impl ApiKeyConfig ===

impl ApiKeyConfig {
    /// Reads the key.
    ///
    /// # Errors
    /// When it is not there, or cannot stand in a header. The key is not in the error.
    pub fn read(&self) -> Result<ApiKey, InvalidConfig> {
        match self {
            Self::Env(name) => ApiKey::from_env(name),
            Self::File(path) => ApiKey::from_file(path),
        }
    }
}

impl<'de> Deserialize<'de> for ApiKeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

// === impl PlaceVisitor ===

impl PlaceVisitor {
    fn no_place<T, E: Error>() -> Result<T, E> {
        Err(E::custom("must be {env: NAME} or {file: PATH}"))
    }
}

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = ApiKeyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{env: NAME} or {file: PATH}")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<ApiKeyConfig, E> {
        Self::no_place()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<ApiKeyConfig, E> {
        Self::no_place()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<ApiKeyConfig, E> {
        Self::no_place()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<ApiKeyConfig, E> {
        Self::no_place()
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApiKeyConfig, A::Error> {
        let place = Place::deserialize(MapAccessDeserializer::new(map))?;
        match (place.env, place.file) {
            (Some(name), None) => Ok(ApiKeyConfig::Env(name)),
            (None, Some(path)) => Ok(ApiKeyConfig::File(path)),
            _ => Self::no_place(),
        }
    }
}

fn header(name: &str) -> Result<Option<HeaderName>, InvalidConfig> {
    if name == "none" {
        return Ok(None);
    }
    let header = name.parse().map(Some);
    header.map_err(|_| {
        InvalidConfig::new(
            "report_header",
            format!("`{name}` is not the name of a header"),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(config: Value) -> Result<LlmMappingLayer, InvalidConfig> {
        serde_json::from_value::<Config>(config).unwrap().try_into()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let file = std::env::temp_dir().join(format!("portcullis-key-{}", std::process::id()));
        std::fs::write(&file, " sk-secret\n").unwrap();
        let data = layer(json!({
            "provider": "mistral",
            "base_url": "https://api.mistral.ai/x/",
            "api_key": {"file": file},
            "model": "mistral-large-latest",
            "caller": "any",
            "unsupported": {"seed": "reject", "user": "drop", "store": "pass"},
            "report_header": "x-mapped",
            "max_request_bytes": 10,
            "max_reply_bytes": 20,
            "max_event_bytes": 30,
            "tell_reasoning": true,
            "wait_for_first_event": false,
        }));
        std::fs::remove_file(&file).unwrap();

        let code = LlmMappingLayer::shared(providers::by_name("mistral").unwrap()).unwrap();
        let code = code
            .base_url("https://api.mistral.ai/x")
            .unwrap()
            .api_key(ApiKey::new("sk-secret").unwrap())
            .model("mistral-large-latest")
            .caller(Caller::Any)
            .unsupported("seed", Policy::Reject)
            .unsupported("user", Policy::Drop)
            .unsupported("store", Policy::Pass)
            .report_header(HeaderName::from_static("x-mapped"))
            .max_request_bytes(10)
            .max_reply_bytes(20)
            .max_event_bytes(30)
            .tell_reasoning(true)
            .wait_for_first_event(false);
        let data = format!("{:?}", data.unwrap());
        assert_eq!(data, format!("{code:?}"));
        assert!(!data.contains("sk-secret"));
    }

    #[test]
    fn every_mistake_has_its_field_and_no_secret() {
        for (config, expected) in [
            (json!({}), "provider: `` is not a provider: "),
            (
                json!({"provider": "opnai"}),
                "provider: `opnai` is not a provider: ",
            ),
            (
                json!({"provider": "openai", "base_url": "a"}),
                "base_url: `a` ",
            ),
            (
                json!({"provider": "openai", "api_key": {"env": "PORTCULLIS_NOT_SET"}}),
                "api_key: the environment variable `PORTCULLIS_NOT_SET` is not set",
            ),
            (
                json!({"provider": "openai", "api_key": {"file": "/nowhere/key"}}),
                "api_key: `/nowhere/key` cannot be read: ",
            ),
            (
                json!({"provider": "openai", "model": ""}),
                "model: must not be empty",
            ),
            (
                json!({"provider": "openai", "report_header": "a b"}),
                "report_header: `a b` is not the name of a header",
            ),
            (
                json!({"provider": "openai", "max_event_bytes": 0}),
                "max_event_bytes: must be at least 1, is 0",
            ),
        ] {
            let mistake = layer(config.clone()).unwrap_err().to_string();

            assert!(mistake.starts_with(expected), "{config}: {mistake}");
        }
        for config in [
            json!({"api_key": "sk-secret"}),
            json!({"api_key": {"env": "A", "file": "B"}}),
            json!({"unsupported": {"seed": "keep"}}),
            json!({"key": 1}),
        ] {
            assert!(
                serde_json::from_value::<Config>(config.clone()).is_err(),
                "{config}"
            );
        }
        for key in [json!("sk-secret"), json!(1.5), json!(15), json!(-15)] {
            let text = key.to_string();
            let mistake = serde_json::from_value::<Config>(json!({"api_key": key})).unwrap_err();
            assert_eq!(
                mistake.to_string(),
                "must be {env: NAME} or {file: PATH}",
                "{text}"
            );
        }
        let none = layer(json!({"provider": "openai", "report_header": "none"})).unwrap();
        assert!(format!("{none:?}").contains("report_header: None"));
    }
}
