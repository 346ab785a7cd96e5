//! Conditions as they are checked.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use crate::address::path::Segment;
use crate::env::Env;
use crate::out::Text;
use crate::read::{Found, Read, ReadKind};
use crate::refusal::Refusal;
use crate::transform::Type;
use crate::{json, number};

/// A [`When`](crate::When) that was checked.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    At(Read, Test),
    /// The element at hand is selected by this step of a path.
    Selected(Segment),
}

#[derive(Debug)]
pub(crate) enum Test {
    Exists(bool),
    Null(bool),
    In(Vec<Value>),
    NotEqual(Value),
    /// The orders that hold, between what is there and this number.
    Compare(String, &'static [Ordering]),
    Matches(Regex),
    Type(Type),
}

// === impl Condition ===

impl Condition {
    pub(crate) fn holds(&self, env: &Env<'_>) -> Result<bool, Refusal> {
        match self {
            Self::All(all) => {
                for condition in all {
                    if !condition.holds(env)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(any) => {
                for condition in any {
                    if condition.holds(env)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(condition) => Ok(!condition.holds(env)?),
            Self::At(read, Test::Exists(exists)) => Ok(read.is_there(env)? == *exists),
            Self::At(read, test) => {
                let is_text = read.is_text();
                let values = match &read.kind {
                    ReadKind::Walk { .. } => read.nodes(env)?,
                    _ => match read.find(env)? {
                        None => Vec::new(),
                        Some(Found::Json(text)) => vec![text],
                        Some(found) => found.texts(&read.address)?,
                    },
                };
                if let Test::NotEqual(value) = test {
                    return Ok(!values.iter().any(|text| is_equal(text, value, is_text)));
                }
                Ok(values.iter().any(|text| test.fits(text, is_text)))
            }
            Self::Selected(segment) => Ok(env
                .item
                .is_some_and(|item| segment.selects(item.key, item.position, item.length))),
        }
    }
}

// === impl Test ===

impl Test {
    fn fits(&self, text: &Text<'_>, is_text: bool) -> bool {
        match self {
            Self::Exists(exists) => *exists,
            Self::Null(null) => (text.text == "null") == *null,
            Self::In(values) => values.iter().any(|value| is_equal(text, value, is_text)),
            Self::NotEqual(value) => !is_equal(text, value, is_text),
            Self::Compare(limit, orders) => {
                let decoded = json::decode_string(&text.text);
                let number = match json::type_name(&text.text) {
                    "a number" => &*text.text,
                    "a string" if is_text && number::is_number(&decoded) => &*decoded,
                    _ => return false,
                };
                orders.contains(&number::compare(number, limit))
            }
            Self::Matches(pattern) => {
                text.text.starts_with('"') && pattern.is_match(&json::decode_string(&text.text))
            }
            Self::Type(kind) => kind.fits(&text.text),
        }
    }
}

/// Whether they are equal; a query parameter or header has no type, so its text is what counts.
fn is_equal(text: &Text<'_>, value: &Value, is_text: bool) -> bool {
    match value {
        Value::Number(_) | Value::Bool(_) if is_text => {
            json::decode_string(&text.text) == value.to_string()
        }
        _ => json::equals(&text.text, value),
    }
}

/// The pattern of a glob: `*` is any text, `?` any character.
pub(crate) fn glob(glob: &str) -> String {
    let mut pattern = "(?s)^".to_owned();
    for c in glob.chars() {
        match c {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            c => pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push('$');
    pattern
}
