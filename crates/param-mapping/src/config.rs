use portcullis_gateway_error::InvalidConfig;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rule::Verb;
use crate::{
    Address, Base, DEFAULT_MAX_BODY_BYTES, DuplicateKeys, Generate, Mapping, MappingBuilder,
    OnError, Route, Rule, Rules, Source, StreamRules, Transform, Unmapped, When,
};

pub(crate) mod forms;
#[cfg(feature = "schema")]
pub(crate) mod schema;
mod stream;
mod when;

use self::forms::{AddressesOr, Many};
pub use self::stream::StreamConfig;

/// The serde form of a [`Mapping`]: `Mapping::try_from(config)` checks and compiles it.
///
/// See the [crate docs](crate) for what each rule does, and [`Mapping::from_yaml`] for an example.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which requests are mapped, and their responses. Default: all.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteConfig>,
    /// The rules for requests, where nothing else must be said of them. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
    /// What is done to requests. Default: what `rules` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RulesConfig>,
    /// What is done to responses. Default: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<RulesConfig>,
    /// What is done to the events of responses that are streams. Default: streams are responses like any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamConfig>,
    /// What happens where a member that a rule names is given twice. Default: the message is refused.
    pub duplicate_keys: DuplicateKeys,
    /// The limit for a body that must be read, in bytes. Default: [`DEFAULT_MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
}

/// The serde form of [`Rules`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// The rules. Default: none.
    pub rules: Vec<RuleConfig>,
    /// What the body is before rules write to it. Default: what came in.
    pub base: Base,
    /// What becomes of members of the body that no rule names. Default: they pass.
    pub unmapped: Unmapped,
}

/// The serde form of [`Route`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// The pattern of the path: `/v1/{name}`, `/v1/{name}:run`, `/v1/{*rest}`. Rules name its parts: `path:{name}`. Default: any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The methods. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// The serde form of a [`Rule`]: one verb with its addresses, and what belongs to the verb. Where one thing is said, a list of them can be.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = schema::one_verb))]
#[serde(default, deny_unknown_fields)]
pub struct RuleConfig {
    /// `move`, or `rename`: from where; the first that is there, and all are taken away. Beside it `to`.
    #[serde(
        rename = "move",
        alias = "rename",
        skip_serializing_if = "Option::is_none"
    )]
    pub move_from: Option<Many<Address>>,
    /// `copy`: from where; the first that is there. Beside it `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<Many<Address>>,
    /// Where `move`, `copy` and `for_each` write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Many<Address>>,
    /// `set`: where; beside it `value`, `template`, `from` or `sum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Many<Address>>,
    /// `replace`: where, if something is there; beside it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Many<Address>>,
    /// `add`: where, if nothing is there; beside it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Many<Address>>,
    /// `default`: where, if nothing or `null` is there; beside it the same. Beside another verb: what stands for a missing source.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// `append`: to what; beside it the same as beside `set`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append: Option<Many<Address>>,
    /// `prepend`: to what; beside it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<Many<Address>>,
    /// `merge`: into what; beside it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<Many<Address>>,
    /// `update`: what; beside it `with`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Many<Address>>,
    /// `remove`: what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Many<Address>>,
    /// `allow`: what alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Many<Address>>,
    /// `require`: what, or `true` beside a verb that has a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<AddressesOr<bool>>,
    /// `test`: what; beside it `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Address>,
    /// `for_each`: of what; beside it `rules`, `keep` and `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Many<Address>>,
    /// A constant. `null` is one too.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// A text with `{address}` in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The first of these that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Many<Address>>,
    /// The sum of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<Many<Address>>,
    /// What is made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// The transforms of the value, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<Many<Transform>>,
    /// The rules of `for_each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<Self>>,
    /// Which elements `for_each` keeps. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<When>,
    /// When the rule is applied. Default: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What happens where it cannot be. Default: the message is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            route: None,
            rules: Vec::new(),
            request: None,
            response: None,
            stream: None,
            duplicate_keys: DuplicateKeys::default(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }
}

impl TryFrom<Config> for MappingBuilder {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let mut builder = Mapping::builder()
            .max_body_bytes(config.max_body_bytes)
            .duplicate_keys(config.duplicate_keys);
        if let Some(route) = config.route {
            let route = Route::try_from(route).map_err(|mistake| mistake.within("match"))?;
            builder = builder.route(route);
        }
        if let Some(request) = config.request {
            if !config.rules.is_empty() {
                return Err(InvalidConfig::new(
                    "rules",
                    "stands beside `request`: write them there",
                ));
            }
            let rules = Rules::try_from(request).map_err(|mistake| mistake.within("request"))?;
            builder = builder.request(rules);
        } else {
            builder = builder.rules(rules(config.rules)?);
        }
        if let Some(response) = config.response {
            let rules = Rules::try_from(response).map_err(|mistake| mistake.within("response"))?;
            builder = builder.response(rules);
        }
        if let Some(stream) = config.stream {
            let rules =
                StreamRules::try_from(stream).map_err(|mistake| mistake.within("stream"))?;
            builder = builder.stream(rules);
        }
        Ok(builder)
    }
}

impl TryFrom<Config> for Mapping {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        MappingBuilder::try_from(config)?.build()
    }
}

// === impl RulesConfig ===

impl TryFrom<RulesConfig> for Rules {
    type Error = InvalidConfig;

    fn try_from(config: RulesConfig) -> Result<Self, InvalidConfig> {
        Ok(Self::new()
            .rules(rules(config.rules)?)
            .base(config.base)
            .unmapped(config.unmapped))
    }
}

fn rules(rules: Vec<RuleConfig>) -> Result<Vec<Rule>, InvalidConfig> {
    let rules = rules.into_iter().enumerate().map(|(index, rule)| {
        Rule::try_from(rule).map_err(|mistake| mistake.within_index(index).within("rules"))
    });
    rules.collect()
}

// === impl RouteConfig ===

impl TryFrom<RouteConfig> for Route {
    type Error = InvalidConfig;

    fn try_from(config: RouteConfig) -> Result<Self, InvalidConfig> {
        let mut route = match config.path {
            Some(path) => Self::new(&path).map_err(|mistake| mistake.within("path"))?,
            None => Self::any(),
        };
        for (index, method) in config.methods.into_iter().enumerate() {
            let method = method.parse().map_err(|_| {
                let mistake = InvalidConfig::whole(format!("`{method}` is not a method"));
                mistake.within_index(index).within("methods")
            })?;
            route = route.method(method);
        }
        Ok(route)
    }
}

// === impl RuleConfig ===

impl TryFrom<RuleConfig> for Rule {
    type Error = InvalidConfig;

    fn try_from(mut config: RuleConfig) -> Result<Self, InvalidConfig> {
        let (verb, at) = config.take_verb()?;
        let needs_source = verb.has_source();
        let mut rule = Self::at(verb, at);
        rule.to = config.to.map(Many::into_vec).unwrap_or_default();
        rule.source = {
            let sources = [
                ("value", config.value.map(Source::Value)),
                ("template", config.template.map(Source::Template)),
                (
                    "from",
                    config.from.map(|from| Source::From(from.into_vec())),
                ),
                ("sum", config.sum.map(|sum| Source::Sum(sum.into_vec()))),
                ("generate", config.generate.map(Source::Generate)),
            ];
            let mut sources = sources
                .into_iter()
                .filter_map(|(name, source)| Some((name, source?)));
            match (sources.next(), sources.next()) {
                (None, _) if needs_source => {
                    return Err(InvalidConfig::whole(format!("`{verb}` needs `value`")));
                }
                (Some((name, _)), _) if !needs_source => {
                    return Err(InvalidConfig::new(
                        name,
                        format!("has no meaning beside `{verb}`"),
                    ));
                }
                (Some((name, _)), Some((second, _))) => {
                    return Err(InvalidConfig::new(
                        second,
                        format!("is a second source, beside `{name}`"),
                    ));
                }
                (source, _) => source.map(|(_, source)| source),
            }
        };
        rule.with = config.with.map(Many::into_vec).unwrap_or_default();
        rule.fallback = config.default;
        rule.required = matches!(config.require, Some(AddressesOr::Other(true)));
        rule.when = config.when;
        rule.keep = config.keep;
        rule.on_error = config.on_error.unwrap_or_default();
        rule.rules = rules(config.rules.unwrap_or_default())?;
        if verb == Verb::Update && rule.with.is_empty() && rule.fallback.is_none() {
            return Err(InvalidConfig::whole("`update` needs `with`"));
        }
        if rule.required && !verb.has_value() {
            return Err(InvalidConfig::new(
                "require",
                format!("has no meaning beside `{verb}`"),
            ));
        }
        Ok(rule)
    }
}

impl RuleConfig {
    /// Takes the one field that is the verb, with what it names.
    fn take_verb(&mut self) -> Result<(Verb, Vec<Address>), InvalidConfig> {
        let mut found: Option<(Verb, Vec<Address>)> = None;
        for verb in Verb::ALL {
            let addresses = match verb {
                Verb::Move => self.move_from.take(),
                Verb::Copy => self.copy.take(),
                Verb::Set => self.set.take(),
                Verb::Replace => self.replace.take(),
                Verb::Add => self.add.take(),
                Verb::Append => self.append.take(),
                Verb::Prepend => self.prepend.take(),
                Verb::Merge => self.merge.take(),
                Verb::Update => self.update.take(),
                Verb::Remove => self.remove.take(),
                Verb::Allow => self.allow.take(),
                Verb::Test => self.test.take().map(Many::one),
                Verb::ForEach => self.for_each.take(),
                // Beside another verb they are something else.
                Verb::Default | Verb::Require => None,
            };
            let Some(addresses) = addresses else {
                continue;
            };
            if let Some((first, _)) = found {
                return Err(second(verb, first));
            }
            found = Some((verb, addresses.into_vec()));
        }
        if matches!(self.require, Some(AddressesOr::Addresses(_)))
            && let Some(AddressesOr::Addresses(addresses)) = self.require.take()
        {
            if let Some((first, _)) = found {
                return Err(second(Verb::Require, first));
            }
            found = Some((Verb::Require, addresses.into_vec()));
        }
        if found.is_none()
            && let Some(value) = self.default.take()
        {
            let addresses: Many<Address> = serde_json::from_value(value)
                .map_err(|error| InvalidConfig::new("default", error.to_string()))?;
            found = Some((Verb::Default, addresses.into_vec()));
        }
        found.ok_or_else(|| {
            let verbs = Verb::ALL.map(|verb| format!("`{verb}`")).join(", ");
            InvalidConfig::whole(format!("has no verb: it is one of {verbs}"))
        })
    }
}

fn second(verb: Verb, first: Verb) -> InvalidConfig {
    InvalidConfig::new(
        verb.name(),
        format!("is a second verb, beside `{first}`: write two rules"),
    )
}

/// Tells a `null` from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
