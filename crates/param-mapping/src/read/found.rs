//! What a rule finds, and how that is said at its target.

use std::borrow::Cow;
use std::fmt;

use http::HeaderValue;

use crate::address::Place;
use crate::constant::Output;
use crate::out::Text;
use crate::refusal::Refusal;
use crate::{Address, fields, json, query};

/// The values at one address.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    Json(Text<'a>),
    /// Still encoded, and not empty.
    Query(Vec<&'a str>),
    /// Not empty.
    Header(Vec<&'a HeaderValue>),
    /// Not encoded, and not empty; and the name of the field, if they are of one.
    Plain(Vec<Cow<'a, [u8]>>, Option<&'a str>),
}

// === impl Found ===

impl<'a> Found<'a> {
    /// Says it as the target takes it. Between two places of one kind no byte changes.
    pub(crate) fn output(
        self,
        from: &dyn fmt::Display,
        to: &'a Address,
    ) -> Result<Output<'a>, Refusal> {
        Ok(match &to.0 {
            Place::Query(name) => Output::Query(name, self.into_query(from, to)?),
            Place::Header(name) => Output::Header(name, self.into_headers(from, to)?),
            Place::Status => Output::Status(self.into_json(from)?),
            Place::Cookie(_) | Place::Segment(_) | Place::WholePath | Place::Event => {
                Output::Plain(to, self.into_plain(from, to)?)
            }
            Place::Form(name) => {
                let field = match self {
                    Self::Plain(_, field) => field,
                    _ => None,
                };
                let values = self.into_bytes(from, to)?.into_iter();
                let values = values.map(|bytes| fields::Value { bytes, from: field });
                Output::Field(name, values.collect())
            }
            _ => Output::Body(self.into_json(from)?),
        })
    }

    /// One JSON value. Of all that is no JSON it is a string.
    pub(crate) fn into_json(self, from: &dyn fmt::Display) -> Result<Text<'a>, Refusal> {
        let (count, first) = match self {
            Self::Json(text) => return Ok(text),
            Self::Query(values) => {
                let first = values.first().map(|value| decoded(value, from));
                (values.len(), first)
            }
            Self::Header(values) => {
                let first = values.first().map(|value| header_text(value, from));
                (values.len(), first)
            }
            Self::Plain(values, _) => {
                let count = values.len();
                let first = values.into_iter().next();
                (count, first.map(|value| plain_text(value, from)))
            }
        };
        // A body holds one value at one place; to choose among several would hide some from whoever looks at the others.
        match first {
            Some(text) if count == 1 => Ok(Text::made(json::encode_string(&text?))),
            _ => Err(too_many(from, count)),
        }
    }

    /// One text, as bytes that are not encoded.
    fn into_plain(self, from: &dyn fmt::Display, to: &Address) -> Result<Cow<'a, [u8]>, Refusal> {
        let mut values = self.into_bytes(from, to)?;
        match values.pop() {
            Some(value) if values.is_empty() => Ok(value),
            _ => Err(too_many(from, values.len() + 1)),
        }
    }

    /// All values, as bytes that are not encoded.
    fn into_bytes(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<Cow<'a, [u8]>>, Refusal> {
        match self {
            Self::Json(Text {
                text: Cow::Borrowed(text),
                ..
            }) => Ok(vec![bytes(scalar(text, from, to)?)]),
            Self::Json(text) => {
                let text = scalar(&text.text, from, to)?.into_owned();
                Ok(vec![bytes(text.into())])
            }
            Self::Query(values) => values
                .into_iter()
                .map(|value| decoded(value, from).map(bytes))
                .collect(),
            Self::Header(values) => {
                let values = values.into_iter();
                Ok(values.map(|value| value.as_bytes().into()).collect())
            }
            Self::Plain(values, _) => Ok(values),
        }
    }

    /// All values, each as a JSON string if it is none of JSON.
    pub(crate) fn texts(self, from: &dyn fmt::Display) -> Result<Vec<Text<'a>>, Refusal> {
        let made = |text: Cow<'_, str>| Text::made(json::encode_string(&text));
        match self {
            Self::Json(text) => Ok(vec![text]),
            Self::Query(values) => values
                .into_iter()
                .map(|value| decoded(value, from).map(made))
                .collect(),
            Self::Header(values) => values
                .into_iter()
                .map(|value| header_text(value, from).map(made))
                .collect(),
            Self::Plain(values, _) => values
                .into_iter()
                .map(|value| plain_text(value, from).map(made))
                .collect(),
        }
    }

    fn into_query(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<Cow<'a, str>>, Refusal> {
        let encode = |bytes: &[u8]| Cow::Owned(query::encode(bytes));
        Ok(match self {
            Self::Json(text) => vec![encode(scalar(&text.text, from, to)?.as_bytes())],
            Self::Query(values) => values.into_iter().map(Cow::Borrowed).collect(),
            Self::Header(values) => {
                let values = values.into_iter();
                values.map(|value| encode(value.as_bytes())).collect()
            }
            Self::Plain(values, _) => values.iter().map(|value| encode(value)).collect(),
        })
    }

    fn into_headers(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<HeaderValue>, Refusal> {
        let header = |text: &[u8]| {
            // Not `from_str`, which takes ASCII only.
            HeaderValue::from_bytes(text).map_err(|_| {
                let detail = format!("{from} holds a character that {to} cannot hold");
                Refusal::bad(&from, detail)
            })
        };
        match self {
            Self::Json(text) => Ok(vec![header(scalar(&text.text, from, to)?.as_bytes())?]),
            Self::Query(values) => {
                let values = values.into_iter();
                values
                    .map(|value| header(decoded(value, from)?.as_bytes()))
                    .collect()
            }
            Self::Plain(values, _) => values.iter().map(|value| header(value)).collect(),
            Self::Header(values) => Ok(values.into_iter().cloned().collect()),
        }
    }
}

fn decoded<'a>(value: &str, from: &dyn fmt::Display) -> Result<Cow<'a, str>, Refusal> {
    query::decode(value)
        .map(Cow::Owned)
        .ok_or_else(|| bad_encoding(from))
}

fn header_text<'a>(
    value: &'a HeaderValue,
    from: &dyn fmt::Display,
) -> Result<Cow<'a, str>, Refusal> {
    header_line(value, from).map(Cow::Borrowed)
}

pub(crate) fn header_line<'a>(
    value: &'a HeaderValue,
    from: &dyn fmt::Display,
) -> Result<&'a str, Refusal> {
    str::from_utf8(value.as_bytes()).map_err(|_| bad_encoding(from))
}

fn plain_text<'a>(value: Cow<'a, [u8]>, from: &dyn fmt::Display) -> Result<Cow<'a, str>, Refusal> {
    Ok(match value {
        Cow::Borrowed(value) => {
            Cow::Borrowed(str::from_utf8(value).map_err(|_| bad_encoding(from))?)
        }
        Cow::Owned(value) => Cow::Owned(String::from_utf8(value).map_err(|_| bad_encoding(from))?),
    })
}

pub(crate) fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn too_many(from: &dyn fmt::Display, count: usize) -> Refusal {
    let detail = format!("{from} is given {count} times, once is what fits");
    Refusal::bad(&from, detail)
}

/// The text of a string, a number or a boolean, which is all that a header or a query can hold.
pub(crate) fn scalar<'a>(
    text: &'a str,
    from: &dyn fmt::Display,
    to: &dyn fmt::Display,
) -> Result<Cow<'a, str>, Refusal> {
    match text.as_bytes().first() {
        Some(b'"') => Ok(json::decode_string(text)),
        Some(b'{' | b'[' | b'n') => {
            let found = json::type_name(text);
            let detail =
                format!("{from} is {found}, and {to} needs a string, a number or a boolean");
            Err(Refusal::bad(&from, detail))
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

pub(crate) fn bad_encoding(from: &dyn fmt::Display) -> Refusal {
    Refusal::bad(&from, format!("{from} is not UTF-8, or wrongly encoded"))
}
