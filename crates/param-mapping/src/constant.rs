//! What rules write: constants as their targets take them, and values on the way to the head.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::InvalidConfig;
use serde_json::Value;

use crate::address::Place;
use crate::out::Text;
use crate::{Address, json, query};

/// A value as its target takes it, made once.
#[derive(Debug)]
pub(crate) enum Constant {
    Json(String),
    /// Percent-encoded.
    Query(String),
    Header(HeaderValue),
}

/// What a rule writes in one request, as its target takes it.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    Body(Text<'a>),
    /// Percent-encoded.
    Query(&'a str, Vec<Cow<'a, str>>),
    Header(&'a HeaderName, Vec<HeaderValue>),
    Status(Text<'a>),
}

// === impl Constant ===

impl Constant {
    pub(crate) fn new(target: &Address, value: &Value) -> Result<Self, InvalidConfig> {
        let is_header = target.is_header();
        if !is_header && !matches!(target.0, Place::Query(_)) {
            return Ok(Self::Json(value.to_string()));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let found = json::type_name(&value.to_string());
                return Err(InvalidConfig::whole(format!(
                    "must be a string, a number or a boolean for `{target}`, is {found}"
                )));
            }
        };
        if !is_header {
            return Ok(Self::Query(query::encode(text.as_bytes())));
        }
        let value = HeaderValue::try_from(text)
            .map_err(|_| InvalidConfig::whole("holds a character that no header can hold"))?;
        Ok(Self::Header(value))
    }

    /// What it writes to the target that it was made for.
    pub(crate) fn output<'a>(&'a self, target: &'a Address) -> Output<'a> {
        match (self, &target.0) {
            (Self::Header(value), Place::Header(name)) => Output::Header(name, vec![value.clone()]),
            (Self::Query(text), Place::Query(name)) => Output::Query(name, vec![text.into()]),
            (Self::Json(text), Place::Status) => Output::Status(Text::constant(text)),
            (Self::Json(text) | Self::Query(text), _) => Output::Body(Text::constant(text)),
            (Self::Header(_), _) => unreachable!("a constant is made for its target alone"),
        }
    }
}
