use std::sync::OnceLock;

use portcullis_gateway_error::InvalidConfig;

use crate::condition::Condition;
use crate::env::Env;
use crate::plan::compile::Scope;
use crate::read::{Found, Read};
use crate::refusal::Refusal;
use crate::{Address, When, json};

/// What is kept from one event of a stream to the next. Rules read it as `var:name`; it is brought up to date by an event before the rules for
/// that event are applied.
///
/// ```
/// # #[cfg(feature = "config")] {
/// use portcullis_param_mapping::Mapping;
///
/// let mapping = Mapping::from_yaml(
///     "
///     stream:
///       state:
///         id: {remember: data:/message/id}
///         text: {accumulate: data:/delta/text}
///         deltas: {counter: {event: content_block_delta}}
///         first: once
///       rules:
///         - {add: data:/id, from: var:id}
///         - {set: data:/text, from: var:text, when: {event: message_stop}}
///         - {set: data:/index, from: var:deltas, when: {event: content_block_delta}}
///         - {set: data:/role, value: assistant, when: {var:first: true}}
///     ",
/// );
/// # mapping.unwrap();
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// How many events there were for which this holds, the one at hand included, from 0. Without a condition, all events:
    /// `counter`, or `{counter: {data:/type: delta}}`.
    Counter(Option<When>),
    /// `true` in the first event for which this holds, `false` in all others: `once`, or `{once: {data:/delta: {exists: true}}}`.
    Once(Option<When>),
    /// The last value that was at the first of these addresses which has one; missing until there was one: `{remember: data:/id}`.
    Remember(Vec<Address>),
    /// All texts that were there, one behind the other; missing until there was one. A `null` is no text, and passes:
    /// `{accumulate: data:/delta/text}`.
    Accumulate(Vec<Address>),
}

/// The same, bound to a plan.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) param: String,
    kind: Kind,
}

/// What is kept of one stream for a slot, beside its value, which is a variable.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What happens once has happened.
    is_over: bool,
}

#[derive(Debug)]
enum Kind {
    Counter(Option<Condition>),
    Once(Option<Condition>),
    Remember(Vec<Read>),
    Accumulate(Vec<Read>),
}

// === impl Slot ===

impl Slot {
    pub(crate) fn new(
        name: &str,
        state: &State,
        scope: &mut Scope<'_>,
    ) -> Result<Self, InvalidConfig> {
        if name.is_empty() {
            return Err(InvalidConfig::whole("has no name"));
        }
        let kind = match state {
            State::Counter(when) => Kind::Counter(condition("counter", when.as_ref(), scope)?),
            State::Once(when) => Kind::Once(condition("once", when.as_ref(), scope)?),
            State::Remember(from) => Kind::Remember(reads("remember", from, scope)?),
            State::Accumulate(from) => Kind::Accumulate(reads("accumulate", from, scope)?),
        };
        Ok(Self {
            param: format!("var:{name}"),
            kind,
        })
    }

    /// Brings what is kept up to date by an event, and says whether it is not longer than this.
    pub(crate) fn update(
        &self,
        kept: &mut Kept,
        value: &mut OnceLock<String>,
        env: &Env<'_>,
        limit: usize,
    ) -> Result<bool, Refusal> {
        match &self.kind {
            Kind::Counter(when) => {
                let count = value.get().and_then(|count| count.parse().ok());
                let count: u64 = count.unwrap_or_default();
                let count = count.saturating_add(holds(when.as_ref(), env)?.into());
                *value = count.to_string().into();
            }
            Kind::Once(when) => {
                let is_now = !kept.is_over && holds(when.as_ref(), env)?;
                kept.is_over |= is_now;
                *value = is_now.to_string().into();
            }
            Kind::Remember(reads) => {
                if let Some((text, read)) = first(reads, env)? {
                    let text = text.into_json(&read.address)?.text;
                    if text.len() > limit {
                        return Ok(false);
                    }
                    *value = text.into_owned().into();
                }
            }
            Kind::Accumulate(reads) => {
                let Some((text, read)) = first(reads, env)? else {
                    return Ok(true);
                };
                let text = text.into_json(&read.address)?.text;
                let found = json::type_name(&text);
                let inner = text
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                let Some(inner) = inner else {
                    if found == "null" {
                        return Ok(true);
                    }
                    let detail = format!("{} must be a string, is {found}", read.address);
                    return Err(Refusal::bad(&read.address, detail));
                };
                let mut all = value.take().unwrap_or_else(|| "\"\"".to_owned());
                if inner.len() > limit.saturating_sub(all.len()) {
                    return Ok(false);
                }
                // Escapes stay as they are: no character lies across two texts, since half a pair is not let through.
                all.pop();
                all.push_str(inner);
                all.push('"');
                *value = all.into();
            }
        }
        Ok(true)
    }
}

fn holds(when: Option<&Condition>, env: &Env<'_>) -> Result<bool, Refusal> {
    when.map_or(Ok(true), |when| when.holds(env))
}

fn condition(
    field: &'static str,
    when: Option<&When>,
    scope: &mut Scope<'_>,
) -> Result<Option<Condition>, InvalidConfig> {
    let condition = when.map(|when| scope.condition(when)).transpose();
    condition.map_err(|mistake| mistake.within(field))
}

fn reads(
    field: &'static str,
    from: &[Address],
    scope: &mut Scope<'_>,
) -> Result<Vec<Read>, InvalidConfig> {
    if from.is_empty() {
        return Err(InvalidConfig::new(field, "names nothing"));
    }
    let reads = from.iter().map(|address| scope.read(address));
    let reads: Result<_, InvalidConfig> = reads.collect();
    reads.map_err(|mistake| mistake.within(field))
}

/// The first of them that is there.
fn first<'a>(reads: &'a [Read], env: &Env<'a>) -> Result<Option<(Found<'a>, &'a Read)>, Refusal> {
    for read in reads {
        if let Some(found) = read.find(env)? {
            return Ok(Some((found, read)));
        }
    }
    Ok(None)
}
