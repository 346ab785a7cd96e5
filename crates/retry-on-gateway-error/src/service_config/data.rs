use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{GrpcCode, InvalidConfig};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};

use super::number::{Number, parse_duration};
use super::{GrpcHedging, GrpcRetry, Inner, MethodPolicy, ServiceConfig, Throttling};
use crate::GrpcCodes;

/// The serde form of [`ServiceConfig`], for settings in which it stands inline: read, but not checked by the rules of gRFC A6. The default is an empty one.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(transparent)]
pub struct ServiceConfigData(Object<ServiceConfigFields>);

// Every field is an `Option`: in proto3 JSON `null` is the same as a field that is not there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct ServiceConfigFields {
    #[serde(alias = "method_config")]
    method_config: Option<Vec<Object<MethodConfigData>>>,
    #[serde(alias = "retry_throttling")]
    retry_throttling: Option<Object<ThrottlingData>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct MethodConfigData {
    name: Option<Vec<Object<NameData>>>,
    #[serde(alias = "retry_policy")]
    retry_policy: Option<Object<RetryData>>,
    #[serde(alias = "hedging_policy")]
    hedging_policy: Option<Object<HedgingData>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct NameData {
    service: Option<String>,
    method: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct RetryData {
    #[serde(alias = "max_attempts")]
    max_attempts: Option<Number>,
    #[serde(alias = "initial_backoff")]
    initial_backoff: Option<String>,
    #[serde(alias = "max_backoff")]
    max_backoff: Option<String>,
    #[serde(alias = "backoff_multiplier")]
    backoff_multiplier: Option<Number>,
    #[serde(alias = "retryable_status_codes")]
    retryable_status_codes: Option<Vec<CodeData>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct HedgingData {
    #[serde(alias = "max_attempts")]
    max_attempts: Option<Number>,
    #[serde(alias = "hedging_delay")]
    hedging_delay: Option<String>,
    #[serde(alias = "non_fatal_status_codes")]
    non_fatal_status_codes: Option<Vec<CodeData>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct ThrottlingData {
    #[serde(alias = "max_tokens")]
    max_tokens: Option<Number>,
    #[serde(alias = "token_ratio")]
    token_ratio: Option<Number>,
}

/// A status code, by its number or its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct CodeData(GrpcCode);

/// What is read from an object only: what serde derives would take a list of the fields too.
#[derive(Clone, Debug, Default, PartialEq)]
struct Object<T>(T);

// === impl ServiceConfigData ===

impl TryFrom<ServiceConfigData> for ServiceConfig {
    type Error = InvalidConfig;

    fn try_from(data: ServiceConfigData) -> Result<Self, InvalidConfig> {
        let Object(fields) = data.0;
        let mut inner = Inner::default();
        let configs = fields.method_config.unwrap_or_default();
        for (index, Object(config)) in configs.into_iter().enumerate() {
            config
                .add_to(&mut inner)
                .map_err(|mistake| mistake.within_index(index).within("methodConfig"))?;
        }
        if let Some(Object(throttling)) = fields.retry_throttling {
            let throttling = throttling.build();
            inner.throttling =
                Some(throttling.map_err(|mistake| mistake.within("retryThrottling"))?);
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

// === impl MethodConfigData ===

impl MethodConfigData {
    /// Checks the policy even where no name is for it: any invalid part makes the whole invalid.
    fn add_to(self, inner: &mut Inner) -> Result<(), InvalidConfig> {
        let policy = match (self.retry_policy, self.hedging_policy) {
            (None, None) => MethodPolicy::None,
            (Some(Object(retry)), None) => {
                let retry = retry.build();
                MethodPolicy::Retry(retry.map_err(|mistake| mistake.within("retryPolicy"))?)
            }
            (None, Some(Object(hedging))) => {
                let hedging = hedging.build();
                MethodPolicy::Hedging(hedging.map_err(|mistake| mistake.within("hedgingPolicy"))?)
            }
            (Some(_), Some(_)) => {
                let message = "must not stand beside retryPolicy";
                return Err(InvalidConfig::new("hedgingPolicy", message));
            }
        };
        for (index, Object(name)) in self.name.unwrap_or_default().into_iter().enumerate() {
            name.add_to(inner, policy)
                .map_err(|mistake| mistake.within_index(index).within("name"))?;
        }
        Ok(())
    }
}

// === impl NameData ===

impl NameData {
    fn add_to(self, inner: &mut Inner, policy: MethodPolicy) -> Result<(), InvalidConfig> {
        let service = self.service.unwrap_or_default();
        let method = self.method.unwrap_or_default();
        if !service.is_empty() {
            return match inner.methods.entry(format!("/{service}/{method}").into()) {
                Entry::Vacant(entry) => {
                    entry.insert(policy);
                    Ok(())
                }
                Entry::Occupied(entry) => {
                    let message = format!("must be unique, {} is named twice", entry.key());
                    Err(InvalidConfig::whole(message))
                }
            };
        }
        if !method.is_empty() {
            let message = format!("must be empty where service is empty, is {method:?}");
            return Err(InvalidConfig::new("method", message));
        }
        if inner.default.replace(policy).is_some() {
            let message = "must be unique, the default for all is named twice";
            return Err(InvalidConfig::whole(message));
        }
        Ok(())
    }
}

// === impl RetryData ===

impl RetryData {
    fn build(self) -> Result<GrpcRetry, InvalidConfig> {
        let max_attempts = max_attempts(self.max_attempts)?;
        let initial_backoff = backoff("initialBackoff", self.initial_backoff)?;
        let max_backoff = backoff("maxBackoff", self.max_backoff)?;
        let multiplier = required("backoffMultiplier", self.backoff_multiplier)?;
        if multiplier.0 <= 0.0 {
            let message = format!("must be greater than 0, is {multiplier}");
            return Err(InvalidConfig::new("backoffMultiplier", message));
        }
        let codes = required("retryableStatusCodes", self.retryable_status_codes)?;
        if codes.is_empty() {
            let message = "must hold at least 1 code, holds 0";
            return Err(InvalidConfig::new("retryableStatusCodes", message));
        }
        Ok(GrpcRetry {
            max_attempts,
            initial_backoff,
            max_backoff,
            multiplier: multiplier.0,
            retryable: failures(&codes),
        })
    }
}

// === impl HedgingData ===

impl HedgingData {
    fn build(self) -> Result<GrpcHedging, InvalidConfig> {
        Ok(GrpcHedging {
            max_attempts: max_attempts(self.max_attempts)?,
            delay: match self.hedging_delay {
                Some(text) => duration("hedgingDelay", &text)?,
                None => Duration::ZERO,
            },
            non_fatal: failures(&self.non_fatal_status_codes.unwrap_or_default()),
        })
    }
}

// === impl ThrottlingData ===

impl ThrottlingData {
    fn build(self) -> Result<Throttling, InvalidConfig> {
        let tokens = required("maxTokens", self.max_tokens)?;
        if !tokens.is_integer() || !(1.0..=1000.0).contains(&tokens.0) {
            let message = format!("must be an integer from 1 to 1000, is {tokens}");
            return Err(InvalidConfig::new("maxTokens", message));
        }
        let ratio = required("tokenRatio", self.token_ratio)?;
        if ratio.0 <= 0.0 || ratio.thousandths() == 0 {
            let message = format!("must be at least 0.001, is {ratio}");
            return Err(InvalidConfig::new("tokenRatio", message));
        }
        Ok(Throttling {
            max_tokens_milli: tokens.thousandths(),
            token_ratio_milli: ratio.thousandths(),
        })
    }
}

// === impl CodeData ===

impl<'de> Deserialize<'de> for CodeData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;

        impl Visitor<'_> for CodeVisitor {
            type Value = CodeData;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number or the name of a gRPC status code")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<CodeData, E> {
                let index = usize::try_from(number).ok();
                let code = index.and_then(|index| GrpcCode::ALL.get(index));
                let unknown = || E::invalid_value(Unexpected::Unsigned(number), &self);
                code.copied().map(CodeData).ok_or_else(unknown)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<CodeData, E> {
                let unknown = |_| E::invalid_value(Unexpected::Signed(number), &self);
                u64::try_from(number)
                    .map_err(unknown)
                    .and_then(|number| self.visit_u64(number))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<CodeData, E> {
                let mut codes = GrpcCode::ALL.into_iter();
                let code = codes.find(|code| code.name().eq_ignore_ascii_case(name));
                let unknown = || E::invalid_value(Unexpected::Str(name), &self);
                code.map(CodeData).ok_or_else(unknown)
            }
        }

        deserializer.deserialize_any(CodeVisitor)
    }
}

// === impl Object ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, InvalidConfig> {
    value.ok_or_else(|| InvalidConfig::new(field, "is missing"))
}

fn max_attempts(number: Option<Number>) -> Result<NonZeroU32, InvalidConfig> {
    let number = required("maxAttempts", number)?;
    let attempts = Number(number.0.min(MAX_ATTEMPTS)).thousandths() / 1000;
    NonZeroU32::new(attempts)
        .filter(|_| number.is_integer() && number.0 >= 2.0)
        .ok_or_else(|| {
            let message = format!("must be an integer greater than 1, is {number}");
            InvalidConfig::new("maxAttempts", message)
        })
}

fn backoff(field: &'static str, text: Option<String>) -> Result<Duration, InvalidConfig> {
    let text = required(field, text)?;
    let wait = duration(field, &text)?;
    if wait.is_zero() {
        let message = format!("must be greater than 0s, is {text:?}");
        return Err(InvalidConfig::new(field, message));
    }
    Ok(wait)
}

fn duration(field: &'static str, text: &str) -> Result<Duration, InvalidConfig> {
    parse_duration(text).map_err(|error| InvalidConfig::new(field, format!("{error}, is {text:?}")))
}

/// Without OK, which gRFC A6 lets stand among the codes and never compares.
fn failures(codes: &[CodeData]) -> GrpcCodes {
    let codes = codes.iter().map(|CodeData(code)| *code);
    codes.filter(|code| *code != GrpcCode::Ok).collect()
}

/// The client-side maximum of gRFC A6: more is treated as this, and is no mistake.
const MAX_ATTEMPTS: f64 = 5.0;
