//! What providers take, member by member. They refuse what is not on these lists, so no case may expect that it is sent.

use serde_json::{Value, json};

use crate::cases::{cases, name_of};

/// Members of which there must be the first, and may be the second.
macro_rules! members {
    ($required:expr, $optional:expr $(,)?) => {
        $crate::schemas::Members {
            required: $required,
            optional: $optional,
            one_of: &[],
        }
    };
}

mod anthropic;
mod gemini;
mod mistral;

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything, as JSON Schema is.
    Any,
    Text,
    /// A text of nine letters and digits.
    Id,
    Bool,
    /// A number from the first to the second.
    Number(f64, f64),
    /// The same, without a fraction.
    Integer(i64, i64),
    /// One of these texts.
    Word(&'static [&'static str]),
    /// An array of one or more.
    List(&'static Self),
    /// An object with any names.
    Map(&'static Self),
    Object(Members),
    /// An object of which the member of this name says what else is in it.
    Tagged(&'static str, &'static [(&'static str, Members)]),
    /// What one of these takes.
    Either(&'static [Self]),
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Members {
    /// All of these.
    required: &'static [(&'static str, &'static Shape)],
    /// Any of these.
    optional: &'static [(&'static str, &'static Shape)],
    /// Exactly one of these.
    one_of: &'static [(&'static str, &'static Shape)],
}

/// What is wrong with a body, and where; nothing where the provider takes it.
pub(crate) fn fault(provider: &str, body: &Value) -> Option<String> {
    let shape = match provider {
        "anthropic" => &anthropic::REQUEST,
        "gemini" => &gemini::REQUEST,
        "mistral" => &mistral::REQUEST,
        _ => panic!("no schema of {provider}"),
    };
    shape
        .fault(body)
        .map(|fault| format!("{provider}: {fault}"))
}

// === impl Shape ===

impl Shape {
    fn fault(&self, value: &Value) -> Option<String> {
        let is_right = match self {
            Self::Any => !value.is_null(),
            Self::Text => value.is_string(),
            Self::Id => value.as_str().is_some_and(|id| {
                id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            }),
            Self::Bool => value.is_boolean(),
            Self::Number(min, max) => value
                .as_f64()
                .is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Integer(min, max) => value
                .as_i64()
                .is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::List(shape) => {
                let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
                    return Some(format!(": {value} is no list, or an empty one"));
                };
                let mut items = list.iter().enumerate();
                return items.find_map(|(at, item)| {
                    let fault = shape.fault(item)?;
                    Some(format!("[{at}]{fault}"))
                });
            }
            Self::Map(shape) => {
                let Some(object) = value.as_object() else {
                    return Some(format!(": {value} is no object"));
                };
                return object.iter().find_map(|(name, item)| {
                    let fault = shape.fault(item)?;
                    Some(format!(".{name}{fault}"))
                });
            }
            Self::Object(members) => return members.fault(value, None),
            Self::Tagged(tag, kinds) => {
                let kind = value[tag].as_str();
                let found = kinds.iter().find(|(name, _)| Some(*name) == kind);
                return match found {
                    Some((_, members)) => members.fault(value, Some(tag)),
                    None => Some(format!(".{tag}: {} is not known", value[tag])),
                };
            }
            Self::Either(shapes) => {
                let faults: Vec<_> = shapes.iter().map(|shape| shape.fault(value)).collect();
                if faults.iter().any(Option::is_none) {
                    return None;
                }
                // The last one is told: that is where most is allowed.
                return faults.into_iter().next_back().flatten();
            }
        };
        (!is_right).then(|| format!(": {value} is not {self:?}"))
    }
}

// === impl Members ===

impl Members {
    fn fault(&self, value: &Value, known: Option<&str>) -> Option<String> {
        let Some(object) = value.as_object() else {
            return Some(format!(": {value} is no object"));
        };
        let missing = self
            .required
            .iter()
            .find(|(name, _)| !object.contains_key(*name));
        if let Some((name, _)) = missing {
            return Some(format!(".{name} is missing"));
        }
        let count = self
            .one_of
            .iter()
            .filter(|(name, _)| object.contains_key(*name))
            .count();
        if !self.one_of.is_empty() && count != 1 {
            return Some(format!(": {count} of those of which there must be one"));
        }
        let lists = [self.required, self.optional, self.one_of];
        for (name, value) in object {
            if Some(&**name) == known {
                continue;
            }
            let found = lists
                .iter()
                .find_map(|list| list.iter().find(|(known, _)| known == name));
            let Some((_, shape)) = found else {
                return Some(format!(".{name} is not known"));
            };
            if let Some(fault) = shape.fault(value) {
                return Some(format!(".{name}{fault}"));
            }
        }
        None
    }
}

#[test]
fn no_case_expects_what_the_provider_refuses() {
    for provider in ["anthropic", "gemini", "mistral"] {
        let mut count = 0;
        for case in cases(provider, "request") {
            let Some(output) = case.get("output") else {
                continue;
            };
            assert_eq!(
                fault(provider, output),
                None,
                "{}",
                name_of(provider, &case)
            );
            count += 1;
        }
        assert!(count > 0, "{provider}");
    }
}

#[test]
fn what_a_provider_refuses_is_found() {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let parts = |part: Value| json!({"contents": [{"role": "user", "parts": [part]}]});
    for (provider, body, expected) in [
        (
            "anthropic",
            json!({"model": "M", "max_tokens": 1, "messages": hi, "seed": 7}),
            "anthropic: .seed is not known",
        ),
        (
            "anthropic",
            json!({"model": "M", "messages": hi}),
            "anthropic: .max_tokens is missing",
        ),
        (
            "anthropic",
            json!({"model": "M", "max_tokens": 1, "messages": hi, "temperature": 1.5}),
            "anthropic: .temperature: 1.5 is not Number(0.0, 1.0)",
        ),
        (
            "anthropic",
            json!({"model": "M", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "name": "b"}]}]}),
            "anthropic: .messages[0].content[0].name is not known",
        ),
        (
            "gemini",
            json!({"model": "M", "contents": [{"role": "user", "parts": [{"text": "a"}]}]}),
            "gemini: .model is not known",
        ),
        (
            "gemini",
            json!({"contents": []}),
            "gemini: .contents: [] is no list, or an empty one",
        ),
        (
            "gemini",
            parts(json!({"text": "a", "inlineData": {"mimeType": "image/png", "data": "QQ=="}})),
            "gemini: .contents[0].parts[0]: 2 of those of which there must be one",
        ),
        (
            "gemini",
            parts(json!({"functionCall": {"name": "f", "args": "{}"}})),
            "gemini: .contents[0].parts[0].functionCall.args: \"{}\" is no object",
        ),
        (
            "gemini",
            json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}], "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"additionalProperties": false}}]}]}),
            "gemini: .tools[0].functionDeclarations[0].parameters.additionalProperties is not known",
        ),
        (
            "mistral",
            json!({"model": "M", "messages": hi, "stop": null}),
            "mistral: .stop",
        ),
        (
            "mistral",
            json!({"model": "M", "messages": [{"role": "user", "content": "Hi", "name": "n"}]}),
            "mistral: .messages[0].name is not known",
        ),
        (
            "mistral",
            json!({"model": "M", "messages": [{"role": "tool", "content": "r", "tool_call_id": "call_1"}]}),
            "mistral: .messages[0].tool_call_id",
        ),
    ] {
        let found = fault(provider, &body).unwrap_or_else(|| panic!("{body} is taken"));

        assert!(found.starts_with(expected), "{found}");
    }
}
