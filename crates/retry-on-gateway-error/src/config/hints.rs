use std::time::Duration;

use serde::Deserialize;

use crate::{HintRule, HintSource, LongHint, ServerHints};

/// The serde form of [`ServerHints`]: its settings by the same names.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ServerHintsConfig {
    /// See [`ServerHints::sources`]; the words are those of [`HintSource::as_str`].
    pub sources: Option<Vec<HintSource>>,
    /// See [`ServerHints::max`].
    #[serde(with = "humantime_serde")]
    pub max: Option<Duration>,
    /// See [`ServerHints::long`]: `hand_on`, `discard` or `cap`.
    pub long: Option<LongHint>,
    /// See [`ServerHints::rule`]: `at_least`, `exact` or `{clamp: 5s}`.
    pub rule: Option<HintRule>,
    /// See [`ServerHints::jitter`].
    pub jitter_percent: Option<u8>,
}

// === impl ServerHints ===

impl From<ServerHintsConfig> for ServerHints {
    fn from(config: ServerHintsConfig) -> Self {
        let mut hints = Self::new();
        if let Some(sources) = config.sources {
            hints = hints.sources(sources);
        }
        if let Some(max) = config.max {
            hints = hints.max(max);
        }
        if let Some(long) = config.long {
            hints = hints.long(long);
        }
        if let Some(rule) = config.rule {
            hints = hints.rule(rule);
        }
        match config.jitter_percent {
            Some(percent) => hints.jitter(percent),
            None => hints,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_has_the_same_word_in_data_and_in_code() {
        for source in HintSource::ALL {
            let read: HintSource = serde_json::from_value(json!(source.as_str())).unwrap();

            assert_eq!(read, source);
        }
    }

    #[test]
    fn every_rule_can_be_said_in_data() {
        for (data, long, rule) in [
            (
                json!({"long": "hand_on", "rule": "at_least"}),
                LongHint::HandOn,
                HintRule::AtLeast,
            ),
            (
                json!({"long": "discard", "rule": "exact"}),
                LongHint::Discard,
                HintRule::Exact,
            ),
            (
                json!({"long": "cap", "rule": {"clamp": "5s"}}),
                LongHint::Cap,
                HintRule::Clamp(Duration::from_secs(5)),
            ),
        ] {
            let config: ServerHintsConfig = serde_json::from_value(data.clone()).unwrap();

            let code = ServerHints::new().long(long).rule(rule);
            assert_eq!(ServerHints::from(config), code, "{data}");
        }
    }
}
