//! What rules write: constants as their targets take them, and values on the way to the head.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::InvalidConfig;
use serde_json::Value;

use crate::address::Place;
use crate::out::Text;
use crate::{Address, Cookies, PathTemplate, fields, json, query};

/// A value as its target takes it, made once.
#[derive(Debug)]
pub(crate) enum Constant {
    Json(String),
    /// Percent-encoded.
    Query(String),
    Header(HeaderValue),
    /// As it is, for a cookie, the path or a form.
    Plain(String),
}

/// What a rule writes in one request, as its target takes it.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    Body(Text<'a>),
    /// Percent-encoded.
    Query(&'a str, Vec<Cow<'a, str>>),
    Header(&'a HeaderName, Vec<HeaderValue>),
    Status(Text<'a>),
    /// Not encoded, but for the path as a whole.
    Plain(&'a Address, Cow<'a, [u8]>),
    Field(&'a str, Vec<fields::Value<'a>>),
}

// === impl Constant ===

impl Constant {
    pub(crate) fn new(target: &Address, value: &Value) -> Result<Self, InvalidConfig> {
        let is_text = matches!(
            target.0,
            Place::Header(_)
                | Place::Query(_)
                | Place::Cookie(_)
                | Place::Segment(_)
                | Place::WholePath
                | Place::Form(_)
                | Place::Event
        );
        if matches!(target.0, Place::Status) {
            let number = value.to_string().trim_matches('"').parse().ok();
            if !number.is_some_and(|number: u16| (200..600).contains(&number)) {
                return Err(InvalidConfig::whole("must be from 200 to 599 for `status`"));
            }
        }
        if !is_text {
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
        Ok(match &target.0 {
            Place::Query(_) => Self::Query(query::encode(text.as_bytes())),
            Place::Header(_) => {
                Self::Header(HeaderValue::try_from(text).map_err(|_| {
                    InvalidConfig::whole("holds a character that no header can hold")
                })?)
            }
            _ => {
                check(target, &text)?;
                Self::Plain(text)
            }
        })
    }

    /// What it writes to the target that it was made for.
    pub(crate) fn output<'a>(&'a self, target: &'a Address) -> Output<'a> {
        match (self, &target.0) {
            (Self::Header(value), Place::Header(name)) => Output::Header(name, vec![value.clone()]),
            (Self::Query(text), Place::Query(name)) => Output::Query(name, vec![text.into()]),
            (Self::Json(text), Place::Status) => Output::Status(Text::constant(text)),
            (Self::Plain(text), Place::Form(name)) => {
                let value = fields::Value {
                    bytes: text.as_bytes().into(),
                    from: None,
                };
                Output::Field(name, vec![value])
            }
            (Self::Plain(text), _) => Output::Plain(target, text.as_bytes().into()),
            (Self::Json(text) | Self::Query(text), _) => Output::Body(Text::constant(text)),
            (Self::Header(_), _) => unreachable!("a constant is made for its target alone"),
        }
    }
}

/// Refuses a text that its target can never hold.
fn check(target: &Address, text: &str) -> Result<(), InvalidConfig> {
    let whole = |mistake: &dyn std::fmt::Display| InvalidConfig::whole(mistake.to_string());
    match &target.0 {
        // Whether its name is one is told where it is written.
        Place::Cookie(_) => match Cookies::new("").set("name", text) {
            Ok(_) => Ok(()),
            Err(invalid) => Err(whole(&invalid)),
        },
        Place::WholePath => {
            let template: PathTemplate = text.parse().map_err(|invalid| whole(&invalid))?;
            match template.names().next() {
                None => Ok(()),
                Some(name) => Err(InvalidConfig::whole(format!(
                    "`{{{name}}}` is a name, and a constant has none: write `template`"
                ))),
            }
        }
        Place::Form(_) | Place::Event => Ok(()),
        // What it stands between is known where it is written.
        _ => PathTemplate::check(text).map_err(|error| whole(&error)),
    }
}
