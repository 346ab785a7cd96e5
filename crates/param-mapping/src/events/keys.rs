//! What an event must hold for rules to do something with it, so that all others pass without being read.

use super::{State, StreamRules};
use crate::address::Place;
use crate::address::path::Segment;
use crate::rule::{Source, Verb};
use crate::when::{Is, When};
use crate::{Address, Keys, Rule};

/// What one rule, or several, look for: an event that has none of it is left as it is.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) keys: Keys,
    /// The first event is looked at whatever it has.
    pub(crate) first_event: bool,
}

/// One of the things that are looked for.
#[derive(Clone, Debug)]
enum Need {
    Member(String),
    Text(String),
    FirstEvent,
}

/// One of these; `None` where any event may be changed.
type Any = Option<Vec<Need>>;

/// Knows the state that conditions may ask for.
struct Finder<'s> {
    state: &'s [(String, State)],
}

/// What these rules look for; `None` where they must see every event.
pub(super) fn of(stream: &StreamRules) -> Option<Needs> {
    if !stream.rules.is_plain() {
        return None;
    }
    let finder = Finder {
        state: &stream.state,
    };
    // Its conditions cannot ask for state.
    let alone = Finder { state: &[] };
    let state = stream.state.iter().map(|(_, state)| alone.state(state));
    let rules = stream.rules.rules.iter().map(|rule| finder.rule(rule));
    let mut needs = Needs::default();
    for need in all(state.chain(rules))? {
        match need {
            Need::Member(name) => needs.keys = needs.keys.member(&name),
            Need::Text(text) => needs.keys = needs.keys.text(text),
            Need::FirstEvent => needs.first_event = true,
        }
    }
    Some(needs)
}

// === impl Finder ===

impl Finder<'_> {
    fn state(&self, state: &State) -> Any {
        match state {
            State::Counter(when) => self.when(when.as_ref()?),
            State::Once(None) => Some(vec![Need::FirstEvent]),
            State::Once(Some(when)) => self.when(when),
            State::Remember(from) | State::Accumulate(from) => any_of(from),
        }
    }

    fn rule(&self, rule: &Rule) -> Any {
        // Where its condition cannot hold, it does nothing at all.
        let by_when = rule.when.as_ref().and_then(|when| self.when(when));
        by_when.or_else(|| self.without_when(rule))
    }

    fn without_when(&self, rule: &Rule) -> Any {
        match rule.verb {
            Verb::Remove => any_of(&rule.at),
            Verb::Move | Verb::Copy | Verb::Update => {
                if rule.required || rule.fallback.is_some() {
                    return None;
                }
                any_of(&rule.at)
            }
            Verb::ForEach => {
                if !rule.to.is_empty() {
                    return any_of(&rule.at);
                }
                // Something inside, if all that is done there looks for something.
                let inner = rule.rules.iter().map(|rule| self.rule(rule));
                let inner = rule.keep.is_none().then(|| all(inner)).flatten();
                inner.or_else(|| any_of(&rule.at))
            }
            Verb::Replace => any_of(&rule.at),
            Verb::Set | Verb::Add | Verb::Default | Verb::Append | Verb::Prepend | Verb::Merge => {
                if rule.required || rule.fallback.is_some() {
                    return None;
                }
                match rule.source.as_ref()? {
                    Source::From(from) | Source::Sum(from) => any_of(from),
                    Source::Value(_) | Source::Template(_) | Source::Generate(_) => None,
                }
            }
            Verb::Allow | Verb::Require | Verb::Test => None,
        }
    }

    fn when(&self, when: &When) -> Any {
        match when {
            When::All(list) => list.iter().find_map(|when| self.when(when)),
            When::Any(list) => all(list.iter().map(|when| self.when(when))),
            When::Not(_) => None,
            When::At(address, is) => self.at(address, is),
        }
    }

    fn at(&self, address: &Address, is: &Is) -> Any {
        if let (Place::Var(name), Is::Eq(value)) = (&address.0, is)
            && *value == true
        {
            let (_, state) = self.state.iter().find(|(known, _)| known == name)?;
            return match state {
                State::Once(_) => Finder { state: &[] }.state(state),
                _ => None,
            };
        }
        match is {
            Is::Missing | Is::Ne(_) => None,
            Is::Eq(value) => equal(address, std::slice::from_ref(value)),
            Is::In(values) => equal(address, values),
            _ => need(address),
        }
    }
}

/// One of these texts, where all are texts that an event would have as they are.
fn equal(address: &Address, values: &[serde_json::Value]) -> Any {
    let fallback = || need(address);
    let texts = values.iter().map(|value| value.as_str());
    let texts =
        texts.map(|text| text.filter(|text| !text.is_empty() && !text.contains(['\n', '\r'])));
    let Some(texts) = texts.collect::<Option<Vec<_>>>() else {
        return fallback();
    };
    let texts = texts.into_iter().map(str::to_owned);
    match &address.0 {
        Place::Event => Some(texts.map(Need::Text).collect()),
        // The data may be such a string, or be the text itself.
        _ if address.is_whole() => {
            let needs = texts.flat_map(|text| [Need::Member(text.clone()), Need::Text(text)]);
            Some(needs.collect())
        }
        Place::Pointer(..) | Place::Path(..) => Some(texts.map(Need::Member).collect()),
        _ => None,
    }
}

/// What an event has that has something at one of these addresses.
fn any_of(addresses: &[Address]) -> Any {
    all(addresses.iter().map(need))
}

/// What an event has that has something at this address.
fn need(address: &Address) -> Any {
    let is_name = |token: &&String| token.parse::<usize>().is_err() && *token != "-";
    match &address.0 {
        Place::Pointer(_, tokens) => {
            let name = tokens.iter().rev().find(is_name)?;
            Some(vec![Need::Member(name.clone())])
        }
        Place::Path(_, segments) => {
            let mut names = segments.iter().rev().filter_map(|segment| match segment {
                Segment::Name(name) => Some(name),
                _ => None,
            });
            let name = names.next().cloned()?;
            Some(vec![Need::Member(name)])
        }
        Place::Event => {
            let fields = NAMES.iter().map(|field| Need::Text((*field).to_owned()));
            Some(fields.collect())
        }
        _ => None,
    }
}

/// What the name of an event stands behind.
#[cfg(not(feature = "aws"))]
const NAMES: [&str; 1] = ["event"];
#[cfg(feature = "aws")]
const NAMES: [&str; 2] = ["event", ":exception-type"];

/// What all of them need together.
fn all(needs: impl IntoIterator<Item = Any>) -> Any {
    let needs: Option<Vec<_>> = needs.into_iter().collect();
    needs.map(|needs| needs.into_iter().flatten().collect())
}
