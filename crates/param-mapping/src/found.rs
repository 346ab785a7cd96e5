//! What a rule finds at its source, and how that is said at its target.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::address::Place;
use crate::plan::Output;
use crate::refusal::Refusal;
use crate::{Address, json, query};

/// The values at one address.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Json(&'a str),
    /// Still encoded, and not empty.
    Query(Vec<&'a str>),
    /// Not empty.
    Header(Vec<HeaderValue>),
}

// === impl Found ===

impl<'a> Found<'a> {
    /// What is there; `in_body` is what a rule with a source in the body found.
    pub(crate) fn at(
        address: &Address,
        in_body: Option<&'a str>,
        query: Option<&'a str>,
        headers: &HeaderMap,
    ) -> Option<Self> {
        match &address.0 {
            Place::Body(_) => in_body.map(Self::Json),
            Place::Query(name) => {
                let values: Vec<_> = query::values(query?, name).collect();
                (!values.is_empty()).then_some(Self::Query(values))
            }
            Place::Header(name) => {
                let values: Vec<_> = headers.get_all(name).iter().cloned().collect();
                (!values.is_empty()).then_some(Self::Header(values))
            }
        }
    }

    /// Whether something is there, and not in the body.
    pub(crate) fn is_in_head(address: &Address, parts: &'a Parts) -> bool {
        Self::at(address, None, parts.uri.query(), &parts.headers).is_some()
    }

    /// Says it as the target takes it. Between two places of one kind no byte changes.
    pub(crate) fn output(self, from: &Address, to: &'a Address) -> Result<Output<'a>, Refusal> {
        Ok(match &to.0 {
            Place::Body(_) => Output::Body(self.into_json(from)?),
            Place::Query(name) => Output::Query(name, self.into_query(from, to)?),
            Place::Header(name) => Output::Header(name, self.into_headers(from, to)?),
        })
    }

    fn into_json(self, from: &Address) -> Result<Cow<'a, str>, Refusal> {
        let text = match self {
            Self::Json(text) => return Ok(Cow::Borrowed(text)),
            Self::Query(values) => decoded(only(values, from)?, from)?,
            Self::Header(values) => {
                let value = only(values, from)?;
                let text = str::from_utf8(value.as_bytes()).map_err(|_| bad_encoding(from))?;
                text.to_owned()
            }
        };
        Ok(Cow::Owned(json::encode_string(&text)))
    }

    fn into_query(self, from: &Address, to: &Address) -> Result<Vec<Cow<'a, str>>, Refusal> {
        let encode = |bytes| Cow::Owned(query::encode(bytes));
        Ok(match self {
            Self::Json(text) => vec![encode(scalar(text, from, to)?.as_bytes())],
            Self::Query(values) => values.into_iter().map(Cow::Borrowed).collect(),
            Self::Header(values) => values
                .iter()
                .map(|value| encode(value.as_bytes()))
                .collect(),
        })
    }

    fn into_headers(self, from: &Address, to: &Address) -> Result<Vec<HeaderValue>, Refusal> {
        let header = |text: &str| {
            // Not `from_str`, which takes ASCII only.
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                let detail = format!("{from} holds a character that {to} cannot hold");
                Refusal::bad(from, detail)
            })
        };
        match self {
            Self::Json(text) => Ok(vec![header(&scalar(text, from, to)?)?]),
            Self::Query(values) => {
                let values = values.into_iter();
                values.map(|value| header(&decoded(value, from)?)).collect()
            }
            Self::Header(values) => Ok(values),
        }
    }
}

/// A body holds one value at one place; to choose among several would hide some from whoever looks at the others.
fn only<T>(values: Vec<T>, from: &Address) -> Result<T, Refusal> {
    let count = values.len();
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => {
            let detail = format!("{from} is given {count} times, once is what fits");
            Err(Refusal::bad(from, detail))
        }
    }
}

fn decoded(value: &str, from: &Address) -> Result<String, Refusal> {
    query::decode(value).ok_or_else(|| bad_encoding(from))
}

/// The text of a string, a number or a boolean, which is all that a header or a query can hold.
fn scalar<'a>(text: &'a str, from: &Address, to: &Address) -> Result<Cow<'a, str>, Refusal> {
    match text.as_bytes().first() {
        Some(b'"') => Ok(json::decode_string(text)),
        Some(b'{' | b'[' | b'n') => {
            let found = json::type_name(text);
            let detail =
                format!("{from} is {found}, and {to} needs a string, a number or a boolean");
            Err(Refusal::bad(from, detail))
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

fn bad_encoding(from: &Address) -> Refusal {
    Refusal::bad(from, format!("{from} is not UTF-8, or wrongly encoded"))
}
