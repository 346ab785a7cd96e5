//! What is done to streams.

use std::collections::BTreeMap;
use std::fmt;

use portcullis_gateway_error::InvalidConfig;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::forms::Many;
use super::{RuleConfig, rules};
use crate::{
    Address, AtEof, Base, DEFAULT_MAX_EVENT_BYTES, DEFAULT_MAX_STATE_BYTES, Framing, Rules, State,
    StreamRules, Unmapped, When,
};

/// The serde form of [`StreamRules`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// The rules for each event. Default: none.
    pub rules: Vec<RuleConfig>,
    /// What the data of an event are before rules write to them. Default: what came in.
    pub base: Base,
    /// What becomes of members of the data that no rule names. Default: they pass.
    pub unmapped: Unmapped,
    /// What is kept from event to event, by the name that rules read it under: `var:name`. Default: nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, State>,
    /// What successful responses are whose content type is that of no stream. Default: no streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framing: Option<Framing>,
    /// What becomes of an event that the end of the stream cuts off. Default: it counts as complete.
    pub eof: AtEof,
    /// The limit for one event, in bytes. Default: [`DEFAULT_MAX_EVENT_BYTES`].
    pub max_event_bytes: usize,
    /// The limit for all that is kept of one stream, in bytes. Default: [`DEFAULT_MAX_STATE_BYTES`].
    pub max_state_bytes: usize,
}

struct StateVisitor;

// === impl StreamConfig ===

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            base: Base::default(),
            unmapped: Unmapped::default(),
            state: BTreeMap::new(),
            framing: None,
            eof: AtEof::default(),
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            max_state_bytes: DEFAULT_MAX_STATE_BYTES,
        }
    }
}

impl TryFrom<StreamConfig> for StreamRules {
    type Error = InvalidConfig;

    fn try_from(config: StreamConfig) -> Result<Self, InvalidConfig> {
        let rules = Rules::new()
            .rules(rules(config.rules)?)
            .base(config.base)
            .unmapped(config.unmapped);
        let mut stream = Self::from(rules)
            .at_eof(config.eof)
            .max_event_bytes(config.max_event_bytes)
            .max_state_bytes(config.max_state_bytes);
        if let Some(framing) = config.framing {
            stream = stream.framing(framing);
        }
        for (name, state) in config.state {
            stream = stream.state(name, state);
        }
        Ok(stream)
    }
}

// === impl State ===

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StateVisitor)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let addresses = |from: &[Address]| Many::from(from.to_vec());
        match self {
            Self::Counter(None) => return serializer.serialize_str("counter"),
            Self::Once(None) => return serializer.serialize_str("once"),
            _ => {}
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Counter(when) => map.serialize_entry("counter", when)?,
            Self::Once(when) => map.serialize_entry("once", when)?,
            Self::Remember(from) => map.serialize_entry("remember", &addresses(from))?,
            Self::Accumulate(from) => map.serialize_entry("accumulate", &addresses(from))?,
        }
        map.end()
    }
}

// === impl StateVisitor ===

impl<'de> Visitor<'de> for StateVisitor {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`counter`, `once`, or an object with one of `counter`, `once`, `remember` and `accumulate`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<State, E> {
        match text {
            "counter" => Ok(State::Counter(None)),
            "once" => Ok(State::Once(None)),
            _ => Err(E::unknown_variant(text, STATES)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<State, A::Error> {
        let one =
            || de::Error::custom("holds one of `counter`, `once`, `remember` and `accumulate`");
        let state = match map.next_key::<String>()?.ok_or_else(one)?.as_str() {
            "counter" => State::Counter(Some(map.next_value::<When>()?)),
            "once" => State::Once(Some(map.next_value::<When>()?)),
            "remember" => State::Remember(map.next_value::<Many<_>>()?.into_vec()),
            "accumulate" => State::Accumulate(map.next_value::<Many<_>>()?.into_vec()),
            other => return Err(de::Error::unknown_field(other, STATES)),
        };
        match map.next_key::<String>()? {
            None => Ok(state),
            Some(_) => Err(one()),
        }
    }
}

const STATES: &[&str] = &["counter", "once", "remember", "accumulate"];
