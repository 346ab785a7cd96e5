//! Transforms as they are applied: to JSON texts, and back to JSON texts.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::env::Env;
use crate::json;
use crate::number;
use crate::out::Text;
use crate::read::Read;
use crate::refusal::Refusal;
use crate::transform::{DataUri, Kind, Otherwise, Type, Wrap};

mod adjacent;
mod clamp;
#[cfg(feature = "generate")]
pub(crate) mod digest;
mod lookup;
mod validation;

pub(crate) use self::clamp::Clamp;
pub(crate) use self::validation::Validation;

/// A [`Transform`](crate::Transform) that was checked.
#[derive(Debug)]
pub(crate) enum Pipe {
    Coerce(Kind),
    Clamp(Clamp),
    Validate(Box<Validation>),
    Map {
        /// Sorted.
        table: Vec<(String, String)>,
        otherwise: Otherwise,
        /// The value of `otherwise`.
        other: String,
    },
    Scale {
        by: String,
        plus: String,
    },
    Negate,
    Split(String),
    Join(String),
    Trim,
    Lower,
    Upper,
    RegexReplace {
        pattern: Regex,
        by: String,
    },
    Wrap(Wrap),
    Unwrap,
    Get(Vec<String>),
    Sum,
    Lookup {
        among: Read,
        key: Vec<String>,
        get: Vec<String>,
    },
    MergeAdjacent {
        by: String,
        join: String,
        separator: String,
    },
    DataUri(DataUri),
    #[cfg(feature = "generate")]
    Hash,
    #[cfg(feature = "generate")]
    Hmac(Box<digest::Key>),
    Custom(Function),
}

/// A function of the user's.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) call: Arc<Call>,
}

pub(crate) type Call = dyn Fn(Value) -> Result<Option<Value>, String> + Send + Sync;

/// What a value should have been, and never the value.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Misfit {
    /// `must be {expected}, is {found}`.
    Type {
        expected: &'static str,
        found: &'static str,
    },
    /// `must ..`
    Must(String),
    Refused(Refusal),
}

/// What comes out of a transform: nothing where there is nothing to write.
pub(crate) type Piped<'a> = Result<Option<Text<'a>>, Misfit>;

// === impl Pipe ===

impl Pipe {
    /// Whether it takes several query parameters or header lines, as an array.
    pub(crate) const fn takes_several(&self) -> bool {
        matches!(self, Self::Coerce(Kind::Array) | Self::Join(_) | Self::Sum)
    }

    pub(crate) fn apply<'a>(&'a self, value: Text<'a>, env: &Env<'a>) -> Piped<'a> {
        let made = |text: String| Ok(Some(Text::made(text)));
        let string = |text: &str| made(json::encode_string(text));
        match self {
            Self::Coerce(kind) => coerce(value, *kind).map(Some),
            Self::Clamp(clamp) => match clamp.instead_of(number_of(&value)?) {
                Some(instead) => Ok(Some(Text::constant(instead))),
                None => Ok(Some(value)),
            },
            Self::Validate(validation) => {
                validation.check(&value)?;
                Ok(Some(value))
            }
            Self::Map {
                table,
                otherwise,
                other,
            } => {
                let found = key_of(&value.text)
                    .and_then(|key| {
                        table
                            .binary_search_by(|(known, _)| known.as_str().cmp(&key))
                            .ok()
                    })
                    .and_then(|index| table.get(index));
                match (found, otherwise) {
                    (Some((_, value)), _) => Ok(Some(Text::constant(value))),
                    (None, Otherwise::Pass) => Ok(Some(value)),
                    (None, Otherwise::Drop) => Ok(None),
                    (None, Otherwise::Value(_)) => Ok(Some(Text::constant(other))),
                    (None, Otherwise::Reject) => Err(Misfit::Must(
                        "be one of the values that are known".to_owned(),
                    )),
                }
            }
            Self::Scale { by, plus } => {
                let scaled = number::scale(number_of(&value)?, by, plus);
                made(
                    scaled
                        .ok_or_else(|| Misfit::Must("be a number that can be scaled".to_owned()))?,
                )
            }
            Self::Negate => match &*value.text {
                "true" => Ok(Some(Text::constant("false"))),
                "false" => Ok(Some(Text::constant("true"))),
                _ => Err(Misfit::kind("a boolean", &value)),
            },
            Self::Split(separator) => {
                let text = string_of(&value)?;
                let parts: Vec<_> = text.split(&**separator).map(json::encode_string).collect();
                made(format!("[{}]", parts.join(",")))
            }
            Self::Join(separator) => {
                let mut joined = String::new();
                for (index, item) in elements(&value)?.enumerate() {
                    if index > 0 {
                        joined.push_str(separator);
                    }
                    let item = json::slice(&value.text, item.value);
                    let scalar = key_of(item);
                    joined.push_str(
                        &scalar.ok_or_else(|| Misfit::Must("be an array of scalars".to_owned()))?,
                    );
                }
                string(&joined)
            }
            Self::Trim => {
                let text = string_of(&value)?;
                string(text.trim())
            }
            Self::Lower => {
                let text = string_of(&value)?;
                string(&text.to_lowercase())
            }
            Self::Upper => {
                let text = string_of(&value)?;
                string(&text.to_uppercase())
            }
            Self::RegexReplace { pattern, by } => {
                let text = string_of(&value)?;
                string(&pattern.replace_all(&text, by))
            }
            Self::Wrap(Wrap::IfScalar) if value.text.starts_with('[') => Ok(Some(value)),
            Self::Wrap(_) => made(format!("[{}]", value.text)),
            Self::Unwrap => {
                if !value.text.starts_with('[') {
                    return Ok(Some(value));
                }
                let mut items = elements(&value)?;
                let first = items.next().filter(|_| items.next().is_none());
                let first =
                    first.ok_or_else(|| Misfit::Must("be an array of one element".to_owned()))?;
                Ok(Some(part(value, first.value)))
            }
            Self::Get(tokens) => {
                Ok(json::find(&value.text, tokens).map(|range| part(value, range)))
            }
            Self::Sum => {
                let mut numbers = Vec::new();
                for item in elements(&value)? {
                    let number = json::slice(&value.text, item.value);
                    if json::type_name(number) != "a number" {
                        return Err(Misfit::Must("be an array of numbers".to_owned()));
                    }
                    numbers.push(number);
                }
                let sum = number::sum(&numbers);
                made(sum.ok_or_else(|| Misfit::Must("have a sum".to_owned()))?)
            }
            Self::Lookup { among, key, get } => {
                let Some(wanted) = key_of(&value.text) else {
                    return Ok(None);
                };
                let wanted = (json::type_name(&value.text), wanted.into_owned());
                // Of the body and of a variable there is one table for all elements that ask.
                let is_same = among.address.is_document() || among.address.is_var();
                let Some(lookups) = env.lookups.filter(|_| is_same) else {
                    let mut table = lookup::table(among, key, get, env)?;
                    return Ok(table.remove(&wanted).map(Text::made));
                };
                let id = std::ptr::from_ref(self).addr();
                let mut lookups = lookups.borrow_mut();
                let known = match lookups.entry(id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(lookup::table(among, key, get, env)?),
                };
                Ok(known.get(&wanted).cloned().map(Text::made))
            }
            Self::MergeAdjacent {
                by,
                join,
                separator,
            } => {
                elements(&value)?;
                made(adjacent::merge(&value.text, by, join, separator))
            }
            Self::DataUri(DataUri::Split) => {
                let text = string_of(&value)?;
                let parts = text
                    .strip_prefix("data:")
                    .and_then(|rest| rest.split_once(";base64,"));
                let (mime, data) =
                    parts.ok_or_else(|| Misfit::Must("be a base64 data URI".to_owned()))?;
                made(format!(
                    r#"{{"mime":{},"data":{}}}"#,
                    json::encode_string(mime),
                    json::encode_string(data)
                ))
            }
            Self::DataUri(DataUri::Build) => {
                let member = |name: &str| {
                    let range = json::find(&value.text, &[name.to_owned()])?;
                    let text = json::slice(&value.text, range);
                    text.starts_with('"').then(|| json::decode_string(text))
                };
                let parts = member("mime").zip(member("data"));
                let (mime, data) = parts
                    .ok_or_else(|| Misfit::Must("hold the texts `mime` and `data`".to_owned()))?;
                string(&format!("data:{mime};base64,{data}"))
            }
            #[cfg(feature = "generate")]
            Self::Hash => made(digest::hash(&value)),
            #[cfg(feature = "generate")]
            Self::Hmac(key) => made(digest::hmac(&value, key)),
            Self::Custom(function) => {
                let parsed = serde_json::from_str(&value.text)
                    .map_err(|_| Misfit::Must("be a value that fits into memory".to_owned()))?;
                match (function.call)(parsed) {
                    Ok(value) => Ok(value.map(|value| Text::made(value.to_string()))),
                    Err(reason) => Err(Misfit::Must(reason)),
                }
            }
        }
    }
}

fn coerce(value: Text<'_>, kind: Kind) -> Result<Text<'_>, Misfit> {
    let found = json::type_name(&value.text);
    let made = |text: String| Ok(Text::made(text));
    match (kind, found) {
        (Kind::String, "a string")
        | (Kind::Number, "a number")
        | (Kind::Boolean, "a boolean")
        | (Kind::Array, "an array") => Ok(value),
        (Kind::String, "a number" | "a boolean") => made(format!("\"{}\"", value.text)),
        (Kind::Integer, "a number" | "a string") => {
            let text = match found {
                "a string" => string_of(&value)?,
                _ => Cow::Borrowed(&*value.text),
            };
            let integer = number::is_number(&text)
                .then(|| number::integer(&text))
                .flatten();
            match integer {
                Some(integer) if integer == *value.text => Ok(value),
                Some(integer) => made(integer),
                None => Err(Misfit::Must("be a number without a fraction".to_owned())),
            }
        }
        (Kind::Number, "a string") => {
            let text = string_of(&value)?;
            if number::is_number(&text) {
                made(text.into_owned())
            } else {
                Err(Misfit::Must("be the text of a number".to_owned()))
            }
        }
        (Kind::Boolean, "a string") => match &*string_of(&value)? {
            "true" => Ok(Text::constant("true")),
            "false" => Ok(Text::constant("false")),
            _ => Err(Misfit::Must("be `true` or `false`".to_owned())),
        },
        (Kind::Json, "a string") => {
            let text = string_of(&value)?;
            match json::document(&text) {
                Some(document) => made(document.to_owned()),
                None => Err(Misfit::Must("be a string that holds JSON".to_owned())),
            }
        }
        (Kind::Text, _) => made(json::encode_string(&value.text)),
        (Kind::Array, _) => made(format!("[{}]", value.text)),
        (kind, found) => Err(Misfit::Type {
            expected: match kind {
                Kind::String | Kind::Json | Kind::Text => "a string",
                Kind::Integer | Kind::Number => "a number",
                Kind::Boolean => "a boolean",
                Kind::Array => "an array",
            },
            found,
        }),
    }
}

/// A part of a value, which keeps its place in the input.
fn part(value: Text<'_>, range: std::ops::Range<usize>) -> Text<'_> {
    let origin = value.origin.map(|origin| origin + range.start);
    let text = match value.text {
        Cow::Borrowed(text) => Cow::Borrowed(json::slice(text, range)),
        Cow::Owned(text) => Cow::Owned(json::slice(&text, range).to_owned()),
    };
    Text { text, origin }
}

/// The text of a scalar.
fn key_of(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first() {
        Some(b'"') => Some(json::decode_string(text)),
        Some(b'{' | b'[') => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

fn number_of<'a>(value: &'a Text<'_>) -> Result<&'a str, Misfit> {
    match json::type_name(&value.text) {
        "a number" => Ok(&value.text),
        _ => Err(Misfit::kind("a number", value)),
    }
}

fn string_of<'a>(value: &'a Text<'_>) -> Result<Cow<'a, str>, Misfit> {
    match json::type_name(&value.text) {
        "a string" => Ok(json::decode_string(&value.text)),
        _ => Err(Misfit::kind("a string", value)),
    }
}

fn elements<'a>(value: &'a Text<'_>) -> Result<json::Items<'a>, Misfit> {
    json::items(&value.text)
        .filter(|_| value.text.starts_with('['))
        .ok_or_else(|| Misfit::kind("an array", value))
}

// === impl Type ===

impl Type {
    pub(crate) fn fits(self, text: &str) -> bool {
        match self {
            Self::Integer => json::type_name(text) == "a number" && number::integer(text).is_some(),
            kind => json::type_name(text) == kind.words(),
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "a number without a fraction",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

// === impl Function ===

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.name).finish()
    }
}

// === impl Misfit ===

impl Misfit {
    fn kind(expected: &'static str, value: &Text<'_>) -> Self {
        Self::Type {
            expected,
            found: json::type_name(&value.text),
        }
    }

    /// Tells it about the value at this address.
    pub(crate) fn refusal(self, address: &dyn fmt::Display) -> Refusal {
        let detail = match self {
            Self::Type { expected, found } => format!("{address} must be {expected}, is {found}"),
            Self::Must(what) => format!("{address} must {what}"),
            Self::Refused(refusal) => return refusal,
        };
        Refusal::bad(&address, detail)
    }
}
