use std::fmt;

use portcullis_gateway_error::InvalidConfig;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Address, DEFAULT_MAX_BODY_BYTES, Mapping, Rule};

/// The serde form of a [`Mapping`]: `Mapping::try_from(config)` checks and compiles it.
///
/// See the [crate docs](crate) for what each rule does, and [`Mapping::from_yaml`] for an example.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The rules for requests. Default: none.
    pub rules: Vec<RuleConfig>,
    /// The limit for a body that must be read, in bytes. Default: [`DEFAULT_MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
}

/// The serde form of a [`Rule`]: one verb with an address, and what belongs to the verb.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleConfig {
    /// `move`, or `rename`: from where; beside it `to`, and `require: true` if need be.
    #[serde(
        rename = "move",
        alias = "rename",
        skip_serializing_if = "Option::is_none"
    )]
    pub move_from: Option<String>,
    /// Where `move` writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `set`: where; beside it `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// `default`: where; beside it `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What `set` and `default` write. `null` is a value too.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// `remove`: what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
    /// `require`: an address, or `true` beside `move`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,
}

/// The two forms of `require`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Require {
    /// Beside `move`: whether its source must be there.
    Flag(bool),
    /// A rule of its own: what must be there.
    Address(String),
}

struct RequireVisitor;

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }
}

impl TryFrom<Config> for Mapping {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let mut builder = Self::builder().max_body_bytes(config.max_body_bytes);
        for (index, rule) in config.rules.into_iter().enumerate() {
            let rule = Rule::try_from(rule)
                .map_err(|mistake| mistake.within_index(index).within("rules"))?;
            builder = builder.rule(rule);
        }
        builder.build()
    }
}

// === impl RuleConfig ===

impl TryFrom<RuleConfig> for Rule {
    type Error = InvalidConfig;

    fn try_from(config: RuleConfig) -> Result<Self, InvalidConfig> {
        let RuleConfig {
            move_from,
            mut to,
            set,
            default,
            mut value,
            remove,
            require,
        } = config;
        let (flag, require) = match require {
            Some(Require::Flag(flag)) => (Some(flag), None),
            Some(Require::Address(address)) => (None, Some(address)),
            None => (None, None),
        };
        let mut verbs = [
            ("move", move_from),
            ("set", set),
            ("default", default),
            ("remove", remove),
            ("require", require),
        ]
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)));
        let (name, text) = verbs.next().ok_or_else(|| {
            InvalidConfig::whole(
                "has no verb: it is one of `move`, `set`, `default`, `remove`, `require`",
            )
        })?;
        if let Some((other, _)) = verbs.next() {
            return Err(InvalidConfig::new(
                other,
                format!("is a second verb, beside `{name}`: write two rules"),
            ));
        }

        let address = parse(name, &text)?;
        let missing = |field| InvalidConfig::whole(format!("`{name}` needs `{field}`"));
        let rule = match name {
            "move" => {
                let to = to.take().ok_or_else(|| missing("to"))?;
                let rule = Self::rename(address, parse("to", &to)?);
                if flag == Some(true) {
                    rule.required()
                } else {
                    rule
                }
            }
            "set" => Self::set(address, value.take().ok_or_else(|| missing("value"))?),
            "default" => Self::default(address, value.take().ok_or_else(|| missing("value"))?),
            "remove" => Self::remove(address),
            _ => Self::require(address),
        };
        let left = [
            ("to", to.is_some()),
            ("value", value.is_some()),
            ("require", flag.is_some() && name != "move"),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            None => Ok(rule),
            Some((field, _)) => Err(InvalidConfig::new(
                field,
                format!("has no meaning beside `{name}`"),
            )),
        }
    }
}

fn parse(field: &'static str, text: &str) -> Result<Address, InvalidConfig> {
    text.parse()
        .map_err(|mistake: InvalidConfig| mistake.within(field))
}

/// Tells a `null` from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

// === impl Require ===

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequireVisitor)
    }
}

// === impl RequireVisitor ===

impl Visitor<'_> for RequireVisitor {
    type Value = Require;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or an address")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Require, E> {
        Ok(Require::Flag(flag))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Require, E> {
        Ok(Require::Address(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
