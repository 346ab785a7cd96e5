use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use http::request::Parts;
use portcullis_gateway_error::{ConfigFile, InvalidConfig};
use portcullis_param_mapping::{
    ChangeKind, Config, Mapped, Mapping, MappingBuilder, Report, RuleConfig,
};
use serde::Deserialize;

use crate::json::Json;
use crate::{ChatError, FinishReason};

/// What becomes of a parameter that the provider has nothing like.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It is left out, and that is told: in a header, in the log, in the `Report`.
    Drop,
    /// The request is answered with 400 and the code `unsupported_parameter`, unless the value means what leaving it out means.
    Reject,
    /// It is sent as it is.
    Pass,
}

/// The table of a provider, read from YAML.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    policies: BTreeMap<String, Policy>,
    finish_reasons: BTreeMap<String, FinishReason>,
    mapping: Option<Mapping>,
}

/// The YAML of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TablesConfig {
    unsupported: UnsupportedConfig,
    finish_reasons: BTreeMap<String, FinishReason>,
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnsupportedConfig {
    drop: Vec<String>,
    reject: Vec<String>,
}

// === impl Policy ===

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Pass => "pass",
        })
    }
}

// === impl Tables ===

impl Tables {
    pub(crate) fn from_yaml(text: &str) -> Result<Self, InvalidConfig> {
        let file = ConfigFile::parse(text)?;
        let config: TablesConfig = file.read()?;
        let mut policies = BTreeMap::new();
        let UnsupportedConfig { drop, reject } = config.unsupported;
        for (field, names, policy) in [
            ("drop", drop, Policy::Drop),
            ("reject", reject, Policy::Reject),
        ] {
            for (index, name) in names.into_iter().enumerate() {
                if policies.contains_key(&name) {
                    let mistake = InvalidConfig::whole(format!("`{name}` is named twice"));
                    let mistake = mistake
                        .within_index(index)
                        .within(field)
                        .within("unsupported");
                    return Err(file.locate(mistake));
                }
                policies.insert(name, policy);
            }
        }
        let mapping = if config.rules.is_empty() {
            None
        } else {
            let mut rules = Config::default();
            rules.rules = config.rules;
            let mapping = MappingBuilder::try_from(rules).and_then(MappingBuilder::build);
            Some(mapping.map_err(|mistake| file.locate(mistake))?)
        };
        Ok(Self {
            policies,
            finish_reasons: config.finish_reasons,
            mapping,
        })
    }

    /// Whether every request passes as it is.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.mapping.is_none() && self.policies.is_empty()
    }

    pub(crate) fn set_policy(&mut self, param: String, policy: Policy) {
        self.policies.insert(param, policy);
    }

    pub(crate) fn finish_reason(&self, reason: &str) -> Option<FinishReason> {
        self.finish_reasons.get(reason).copied()
    }

    /// Says whether a parameter is sent, by its policy.
    pub(crate) fn admit(
        &self,
        name: &str,
        value: Json<'_>,
        provider: &str,
        report: &mut Report,
    ) -> Result<bool, ChatError> {
        match self.policies.get(name) {
            None | Some(Policy::Pass) => Ok(true),
            Some(_) if is_neutral(name, value) => Ok(false),
            Some(Policy::Reject) => Err(ChatError::unsupported(name, provider)),
            Some(Policy::Drop) => {
                drop_param(name, provider, report);
                Ok(false)
            }
        }
    }

    /// The same for a member that is taken apart, or for a part of a message.
    pub(crate) fn policy(&self, name: &str) -> Option<Policy> {
        self.policies.get(name).copied()
    }

    /// Applies the rules to the parameters, and to the head.
    pub(crate) fn map(
        &self,
        parts: &mut Parts,
        params: &Bytes,
    ) -> Result<Option<Mapped>, ChatError> {
        let Some(mapping) = &self.mapping else {
            return Ok(None);
        };
        let mapped = mapping.apply_request(parts, params).map_err(|error| {
            // Where the caller wrote it: `body:/stop` is `stop`.
            let param = error
                .param()
                .trim_start_matches("body:")
                .trim_start_matches('/');
            ChatError::invalid(param.replace('/', "."), error.to_string())
        })?;
        Ok(Some(mapped))
    }
}

/// Notes that a parameter was left out.
pub(crate) fn drop_param(name: &str, provider: &str, report: &mut Report) {
    let param = format!("body:/{name}");
    tracing::debug!(param, provider, "parameter dropped");
    #[cfg(feature = "metrics")]
    metrics::counter!("llm_mapping.dropped", "param" => name.to_owned(), "provider" => provider.to_owned()).increment(1);
    report.add(ChangeKind::Dropped, &param);
}

/// Says whether a value means what leaving the parameter out means, so that nobody misses it.
fn is_neutral(name: &str, value: Json<'_>) -> bool {
    static NEUTRAL: OnceLock<BTreeMap<&str, &[&str]>> = OnceLock::new();
    let neutral = NEUTRAL.get_or_init(|| {
        BTreeMap::from([
            ("n", &["1"] as &[_]),
            ("logprobs", &["false"]),
            ("top_logprobs", &["0"]),
            ("presence_penalty", &["0", "0.0"]),
            ("frequency_penalty", &["0", "0.0"]),
            ("logit_bias", &["{}"]),
            ("store", &["false"]),
            ("metadata", &["{}"]),
            ("service_tier", &["\"auto\""]),
            ("modalities", &["[\"text\"]"]),
            ("parallel_tool_calls", &["true"]),
            ("verbosity", &["\"medium\""]),
        ])
    });
    let value = crate::json::compact(value);
    neutral
        .get(name)
        .is_some_and(|values| values.contains(&&*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_table_is_told_with_its_line() {
        for (text, message) in [
            (
                "rules: [{remove: nowhere}]",
                "line 1, column 10: rules[0].remove",
            ),
            (
                "unsupported: {drop: [a], reject: [a]}",
                "unsupported.reject[0]: `a` is named twice",
            ),
            ("finish_reasons: {x: later}", "finish_reasons.x"),
            ("other: 1", "unknown field `other`"),
        ] {
            let mistake = Tables::from_yaml(text).unwrap_err().to_string();
            assert!(mistake.contains(message), "{text}: {mistake}");
        }
    }

    #[test]
    fn what_means_nothing_is_left_out_in_silence() {
        let tables =
            Tables::from_yaml("unsupported: {drop: [seed], reject: [n, logprobs]}").unwrap();
        for (name, value, admitted, told) in [
            ("n", "1", Ok(false), 0),
            ("n", "2", Err("`n` is not supported by x"), 0),
            ("logprobs", "false", Ok(false), 0),
            ("seed", "0", Ok(false), 1),
            ("other", "0", Ok(true), 0),
        ] {
            let mut report = Report::default();
            let value = Json::parse(value.as_bytes(), "it").unwrap();

            let outcome = tables.admit(name, value, "x", &mut report);

            let outcome = outcome.map_err(|error| error.to_string());
            assert_eq!(outcome, admitted.map_err(str::to_owned), "{name}");
            assert_eq!(report.changes().count(), told, "{name}");
        }
    }
}
