//! Rules that make no sense alone, or beside each other.

use http::{HeaderName, header};
use portcullis_gateway_error::InvalidConfig;

use super::compile::{Placed, Scope};
use crate::address::Place;
use crate::condition::{self, Test};
#[cfg(feature = "generate")]
use crate::pipe::digest::Key;
use crate::pipe::{Clamp, Pipe, Validation};
#[cfg(feature = "generate")]
use crate::read::{ReadKind, Secret};
use crate::rule::{Source, Verb};
#[cfg(feature = "generate")]
use crate::transform::Digest;
use crate::transform::Otherwise;
use crate::when::{Is, When};
use crate::{Address, Rule, Transform, address, number};

/// Who writes where, among rules that stand side by side.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    known: Vec<Writer>,
}

#[derive(Debug)]
struct Writer {
    target: Address,
    kind: WriteKind,
    is_conditional: bool,
    sets_scalar: bool,
    index: usize,
}

/// Of one kind, there is one writer for a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteKind {
    Set,
    Add,
    Default,
    /// Adds to what is there.
    More,
}

// === impl Writers ===

impl Writers {
    /// Refuses a second writer of one place, and a place below a scalar that a rule sets.
    pub(crate) fn add(&mut self, placed: &Placed) -> Result<(), InvalidConfig> {
        let rule = &placed.rule;
        let kind = match rule.verb {
            Verb::Move | Verb::Copy | Verb::Set | Verb::Replace | Verb::Update => WriteKind::Set,
            Verb::ForEach if !rule.to.is_empty() => WriteKind::Set,
            Verb::Add => WriteKind::Add,
            Verb::Default => WriteKind::Default,
            Verb::Append | Verb::Prepend | Verb::Merge => WriteKind::More,
            Verb::Remove | Verb::Allow | Verb::Require | Verb::Test | Verb::ForEach => {
                return Ok(());
            }
        };
        let (field, targets) = if rule.to.is_empty() {
            (rule.verb.name(), &rule.at)
        } else {
            ("to", &rule.to)
        };
        let is_set = matches!(rule.verb, Verb::Set | Verb::Replace);
        for target in targets {
            let appends = matches!(&target.0, Place::Pointer(_, tokens) if tokens.last().is_some_and(|token| token == "-"));
            let writer = Writer {
                target: target.clone(),
                kind: if appends { WriteKind::More } else { kind },
                is_conditional: rule.when.is_some() || placed.selected.is_some(),
                sets_scalar: is_set
                    && matches!(&rule.source, Some(Source::Value(value)) if !value.is_object() && !value.is_array()),
                index: placed.path.last().copied().unwrap_or_default(),
            };
            for other in &self.known {
                let message = if other.is_conditional || writer.is_conditional {
                    continue;
                } else if other.target == writer.target
                    && other.kind == writer.kind
                    && writer.kind != WriteKind::More
                {
                    format!("`{target}` is written by rules[{}] too", other.index)
                } else if other.target.is_path_of(target) || target.is_path_of(&other.target) {
                    format!(
                        "`path` is written as a whole, beside a part of it: see rules[{}]",
                        other.index
                    )
                } else if other.sets_scalar && other.target.contains(target) {
                    format!(
                        "`{target}` lies below the scalar that rules[{}] sets",
                        other.index
                    )
                } else if writer.sets_scalar && target.contains(&other.target) {
                    format!(
                        "`{}`, which rules[{}] writes, lies below this scalar",
                        other.target, other.index
                    )
                } else {
                    continue;
                };
                return Err(InvalidConfig::new(field, message));
            }
            self.known.push(writer);
        }
        Ok(())
    }
}

/// A setting that has no meaning beside the rule's verb.
pub(crate) fn misplaced(rule: &Rule) -> Option<(&'static str, String)> {
    let verb = rule.verb;
    let is_constant = matches!(rule.source, Some(Source::Value(_)));
    let has_sources = verb.has_value() && !is_constant;
    let settings = [
        (
            "to",
            !rule.to.is_empty() && !matches!(verb, Verb::Move | Verb::Copy | Verb::ForEach),
        ),
        ("value", rule.source.is_some() && !verb.has_source()),
        ("with", !rule.with.is_empty() && !has_sources),
        ("default", rule.fallback.is_some() && !has_sources),
        ("require", rule.required && !has_sources),
        ("rules", !rule.rules.is_empty() && verb != Verb::ForEach),
        ("keep", rule.keep.is_some() && verb != Verb::ForEach),
    ];
    let (field, _) = settings
        .into_iter()
        .find(|(_, is_misplaced)| *is_misplaced)?;
    let beside = if is_constant && matches!(field, "with" | "default" | "require") {
        "value"
    } else {
        verb.name()
    };
    Some((field, format!("has no meaning beside `{beside}`")))
}

/// Refuses the headers that the connection and the framing own.
pub(crate) fn changeable(address: &Address) -> Result<(), InvalidConfig> {
    let Place::Header(name) = &address.0 else {
        return Ok(());
    };
    if is_of_connection(name) {
        return Err(InvalidConfig::whole(format!(
            "`{name}` belongs to the connection, not to the request"
        )));
    }
    if name == header::CONTENT_LENGTH {
        return Err(InvalidConfig::whole(
            "`content-length` follows from the body",
        ));
    }
    Ok(())
}

pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || name == "keep-alive" || name == "proxy-connection"
}

const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

// === impl Scope ===

impl Scope<'_> {
    /// Checks a transform. The mistake names a field of it.
    pub(crate) fn pipe(&mut self, transform: &Transform) -> Result<Pipe, InvalidConfig> {
        let pointer = |field: &'static str, text: &str| {
            address::pointer("", text).map_err(|mistake| mistake.within(field))
        };
        Ok(match transform {
            Transform::Coerce(kind) => Pipe::Coerce(*kind),
            Transform::Clamp(limits) => Pipe::Clamp(Clamp::new(limits)?),
            Transform::Validate(check) => {
                let (min, max) = range(check.min.as_ref(), check.max.as_ref())?;
                let pattern = check.pattern.as_deref().map(pattern_of).transpose();
                Pipe::Validate(Box::new(Validation {
                    kind: check.kind,
                    min,
                    max,
                    one_of: check.one_of.clone(),
                    pattern: pattern.map_err(|mistake| mistake.within("pattern"))?,
                    max_length: check.max_length,
                    max_items: check.max_items,
                }))
            }
            Transform::Map(table) => {
                // A `BTreeMap`, so in order.
                let entries = table.table.iter();
                Pipe::Map {
                    table: entries
                        .map(|(key, value)| (key.clone(), value.to_string()))
                        .collect(),
                    other: match &table.otherwise {
                        Otherwise::Value(value) => value.to_string(),
                        Otherwise::Reject | Otherwise::Pass | Otherwise::Drop => String::new(),
                    },
                    otherwise: table.otherwise.clone(),
                }
            }
            Transform::Scale(line) => Pipe::Scale {
                by: line.by.to_string(),
                plus: line.plus.to_string(),
            },
            Transform::Negate => Pipe::Negate,
            Transform::Split(separator) if separator.is_empty() => {
                return Err(InvalidConfig::whole("needs a text to split at"));
            }
            Transform::Split(separator) => Pipe::Split(separator.clone()),
            Transform::Join(separator) => Pipe::Join(separator.clone()),
            Transform::Trim => Pipe::Trim,
            Transform::Lower => Pipe::Lower,
            Transform::Upper => Pipe::Upper,
            Transform::RegexReplace(replacement) => Pipe::RegexReplace {
                pattern: pattern_of(&replacement.pattern)
                    .map_err(|mistake| mistake.within("pattern"))?,
                by: replacement.by.clone(),
            },
            Transform::Wrap(wrap) => Pipe::Wrap(*wrap),
            Transform::Unwrap => Pipe::Unwrap,
            Transform::Get(text) => Pipe::Get(address::pointer("", text)?),
            Transform::Sum => Pipe::Sum,
            Transform::Lookup(lookup) => Pipe::Lookup {
                among: self
                    .read(&lookup.among)
                    .map_err(|mistake| mistake.within("in"))?,
                key: pointer("key", &lookup.key)?,
                get: pointer("get", &lookup.get)?,
            },
            Transform::MergeAdjacent(merge) => Pipe::MergeAdjacent {
                by: merge.by.clone(),
                join: merge.join.clone(),
                separator: merge.separator.clone(),
            },
            Transform::DataUri(way) => Pipe::DataUri(*way),
            #[cfg(feature = "generate")]
            Transform::Hash(Digest::Sha256) => Pipe::Hash,
            #[cfg(feature = "generate")]
            Transform::Hmac(hmac) => {
                let read = self.read(&hmac.key);
                match read.map_err(|mistake| mistake.within("key"))?.kind {
                    ReadKind::Secret(Secret(text)) => Pipe::Hmac(Box::new(Key::new(&text)?)),
                    _ => {
                        return Err(InvalidConfig::new(
                            "key",
                            format!("must be a `secret:`, is `{}`", hmac.key),
                        ));
                    }
                }
            }
            #[cfg(not(feature = "generate"))]
            Transform::Hash(_) | Transform::Hmac(_) => {
                return Err(InvalidConfig::whole("needs the feature `generate`"));
            }
            Transform::Custom(name) => {
                let function = self.settings.functions.get(name).cloned();
                Pipe::Custom(function.ok_or_else(|| {
                    InvalidConfig::whole(format!("there is no function `{name}`"))
                })?)
            }
        })
    }
}

/// Two limits as texts, in order.
fn range(
    min: Option<&serde_json::Number>,
    max: Option<&serde_json::Number>,
) -> Result<(Option<String>, Option<String>), InvalidConfig> {
    let (min, max) = (min.map(ToString::to_string), max.map(ToString::to_string));
    if let (Some(min), Some(max)) = (&min, &max)
        && number::compare(min, max).is_gt()
    {
        return Err(InvalidConfig::new(
            "min",
            format!("{min} is more than `max`, which is {max}"),
        ));
    }
    Ok((min, max))
}

fn pattern_of(pattern: &str) -> Result<regex::Regex, InvalidConfig> {
    regex::Regex::new(pattern).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().next_back().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        InvalidConfig::whole(format!("is not a pattern: {reason}"))
    })
}

// === impl When ===

impl When {
    /// Whether it asks for the element at hand.
    pub(crate) fn asks_item(&self) -> bool {
        match self {
            Self::All(list) | Self::Any(list) => list.iter().any(Self::asks_item),
            Self::Not(when) => when.asks_item(),
            Self::At(address, _) => matches!(
                address.0,
                Place::Pointer(address::Root::Item, _) | Place::Path(address::Root::Item, _)
            ),
        }
    }
}

// === impl Is ===

impl Is {
    pub(crate) fn compile(&self) -> Result<Test, InvalidConfig> {
        use std::cmp::Ordering::{Equal, Greater, Less};

        let pattern = |field: &'static str, pattern: &str| {
            let pattern = pattern_of(pattern).map_err(|mistake| mistake.within(field));
            pattern.map(Test::Matches)
        };
        Ok(match self {
            Self::Exists => Test::Exists(true),
            Self::Missing => Test::Exists(false),
            Self::Null(null) => Test::Null(*null),
            Self::Eq(value) => Test::In(vec![value.clone()]),
            Self::Ne(value) => Test::NotEqual(value.clone()),
            Self::In(values) => Test::In(values.clone()),
            Self::Gt(limit) => Test::Compare(limit.to_string(), &[Greater]),
            Self::Gte(limit) => Test::Compare(limit.to_string(), &[Greater, Equal]),
            Self::Lt(limit) => Test::Compare(limit.to_string(), &[Less]),
            Self::Lte(limit) => Test::Compare(limit.to_string(), &[Less, Equal]),
            Self::Matches(text) => pattern("matches", text)?,
            Self::Glob(glob) => pattern("glob", &condition::glob(glob))?,
            Self::Type(kind) => Test::Type(*kind),
        })
    }
}
