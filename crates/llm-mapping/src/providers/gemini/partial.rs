//! Calls of tools whose arguments come in pieces, each with its place.

use crate::json::writer::{JsonWriter, escape};
use crate::json::{Json, Text};
use crate::reply::Called;
use crate::{ChatError, Chunks};

/// A call that is not complete.
#[derive(Debug)]
pub(super) struct PartialCall {
    /// Escaped, as they stand in JSON.
    id: Option<String>,
    name: String,
    signature: Option<String>,
    arguments: Node,
    /// What may still come.
    bytes_left: usize,
    values_left: usize,
}

/// A value that grows.
#[derive(Debug)]
enum Node {
    /// In the order in which members came, their names escaped.
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    /// A string, escaped.
    Text(String),
    /// Any other value, in JSON.
    Other(String),
}

/// A step from a value to one in it.
#[derive(Debug, Eq, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
}

/// The most bytes of the arguments of one call, with their places.
const MAX_BYTES: usize = 1024 * 1024;
/// The most values in them.
const MAX_VALUES: usize = 10_000;
/// The most steps to a value.
const MAX_STEPS: usize = 64;

// === impl PartialCall ===

impl PartialCall {
    /// What its first piece says, but for the arguments.
    pub(super) fn new(call: &Called<'_>) -> Self {
        let owned = |text: Text<'_>| text.escaped().to_owned();
        Self {
            id: call.id.map(owned),
            name: owned(call.name),
            signature: call.signature.map(owned),
            arguments: Node::Object(Vec::new()),
            bytes_left: MAX_BYTES,
            values_left: MAX_VALUES,
        }
    }

    /// Adds a piece: a string goes on where one is already, any other value takes the place of what is there.
    pub(super) fn add(&mut self, piece: Json<'_>) -> Result<(), ChatError> {
        let too_long = || {
            let message = format!(
                "the upstream's call of a tool has more than {MAX_BYTES} bytes or {MAX_VALUES} values"
            );
            ChatError::bad_reply(message)
        };
        let left = self.bytes_left.checked_sub(piece.raw().len());
        self.bytes_left = left.ok_or_else(too_long)?;
        let [path, text, number, boolean] =
            piece.pick(["jsonPath", "stringValue", "numberValue", "boolValue"]);
        let path = path.and_then(Json::as_text).map(Text::decode);
        let steps = path.as_deref().and_then(steps).ok_or_else(wrong_path)?;
        let mut place = &mut self.arguments;
        for step in steps {
            place = place.enter(step, &mut self.values_left).ok_or_else(|| {
                if self.values_left == 0 {
                    too_long()
                } else {
                    wrong_path()
                }
            })?;
        }
        match (text.and_then(Json::as_text), number.or(boolean)) {
            (Some(text), _) => match place {
                Node::Text(begun) => begun.push_str(text.escaped()),
                _ => *place = Node::Text(text.escaped().to_owned()),
            },
            (None, Some(value)) => *place = Node::Other(value.raw().to_owned()),
            // `null`, which a new place holds already.
            (None, None) => {}
        }
        Ok(())
    }

    pub(super) fn tell(self, choice: u64, chunks: &mut Chunks) -> Result<(), ChatError> {
        let mut out = JsonWriter::new();
        self.arguments.write(&mut out);
        let arguments = out.into_bytes();
        let arguments = Json::parse(&arguments, "the upstream's call of a tool")
            .map_err(ChatError::bad_reply)?;
        let call = Called {
            id: self.id.as_deref().map(Text::of_escaped),
            name: Text::of_escaped(&self.name),
            arguments: Some(arguments),
            signature: self.signature.as_deref().map(Text::of_escaped),
        };
        chunks.called(choice, &call);
        Ok(())
    }
}

// === impl Node ===

impl Node {
    fn null() -> Self {
        Self::Other("null".to_owned())
    }

    /// The value in this one that a step leads to. One that is not there is made, as `null`; elements can be added at the end alone.
    fn enter(&mut self, step: Step, left: &mut usize) -> Option<&mut Self> {
        let is_null = matches!(self, Self::Other(value) if value == "null");
        match step {
            Step::Member(name) => {
                let name = escaped(&name);
                if is_null {
                    *self = Self::Object(Vec::new());
                }
                let Self::Object(members) = self else {
                    return None;
                };
                // Pieces come in order, so that it is mostly the last one.
                let place = members.iter().rposition(|(known, _)| *known == name);
                let place = match place {
                    Some(place) => place,
                    None => {
                        *left = left.checked_sub(1)?;
                        members.push((name, Self::null()));
                        members.len() - 1
                    }
                };
                members.get_mut(place).map(|(_, value)| value)
            }
            Step::Element(index) => {
                if is_null {
                    *self = Self::Array(Vec::new());
                }
                let Self::Array(elements) = self else {
                    return None;
                };
                if index == elements.len() {
                    *left = left.checked_sub(1)?;
                    elements.push(Self::null());
                }
                elements.get_mut(index)
            }
        }
    }

    fn write(&self, out: &mut JsonWriter) {
        match self {
            Self::Object(members) => {
                out.begin_object();
                for (name, value) in members {
                    value.write(out.same_key(Text::of_escaped(name)));
                }
                out.end_object();
            }
            Self::Array(elements) => {
                out.begin_array();
                for element in elements {
                    element.write(out);
                }
                out.end_array();
            }
            Self::Text(text) => {
                out.escaped(text);
            }
            Self::Other(value) => {
                out.raw(value);
            }
        }
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = Vec::with_capacity(name.len());
    escape(name, &mut escaped);
    String::from_utf8(escaped).unwrap_or_default()
}

fn wrong_path() -> ChatError {
    ChatError::bad_reply("the upstream's call of a tool has a piece without a right place")
}

/// The steps of a path, as [RFC 9535](https://www.rfc-editor.org/rfc/rfc9535) writes one to a single value: `$.a['b'][0]`. At least one.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS {
            return None;
        }
        let (step, behind) = if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            if name.is_empty() {
                return None;
            }
            (Step::Member(name.to_owned()), behind)
        } else {
            bracketed(rest.strip_prefix('[')?)?
        };
        steps.push(step);
        rest = behind;
    }
    (!steps.is_empty()).then_some(steps)
}

/// A step in brackets, and what is behind it.
fn bracketed(rest: &str) -> Option<(Step, &str)> {
    let quote = rest
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'));
    let Some(quote) = quote else {
        let (index, behind) = rest.split_once(']')?;
        let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
        let index = index.parse().ok().filter(|_| is_number)?;
        return Some((Step::Element(index), behind));
    };
    let mut name = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => name.push(chars.next()?.1),
            char if char == quote => {
                let behind = rest.get(at + 1..)?.strip_prefix(']')?;
                return Some((Step::Member(name), behind));
            }
            char => name.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The pieces that a value comes in: strings in two, and objects and arrays by what is in them.
    fn cut(value: &Value, path: &str, pieces: &mut Vec<Value>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
                    cut(value, &format!("{path}['{quoted}']"), pieces);
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    cut(value, &format!("{path}[{index}]"), pieces);
                }
            }
            Value::String(text) => {
                let middle = text.char_indices().nth(1).map_or(0, |(at, _)| at);
                let (one, other) = text.split_at(middle);
                pieces.push(json!({"jsonPath": path, "stringValue": one, "willContinue": true}));
                pieces.push(json!({"jsonPath": path, "stringValue": other}));
            }
            Value::Number(number) => {
                pieces.push(json!({"jsonPath": path, "numberValue": number}));
            }
            Value::Bool(value) => pieces.push(json!({"jsonPath": path, "boolValue": value})),
            Value::Null => pieces.push(json!({"jsonPath": path, "nullValue": "NULL_VALUE"})),
        }
    }

    /// A value that is not an empty object or array, which has no pieces.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            r#"[a"\\é\n]{0,3}"#.prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Into::into),
                members(inner),
            ]
        })
    }

    fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        proptest::collection::btree_map(r#"[a'"\\.\]]{0,2}"#, value, 1..3)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_was_cut_is_whole_again(value in members(any_value())) {
            let mut pieces = Vec::new();
            cut(&value, "$", &mut pieces);

            let whole = assembled(&Value::from(pieces).to_string()).unwrap();

            let whole: Value = serde_json::from_str(&whole).unwrap();
            prop_assert_eq!(whole, value);
        }

        #[test]
        fn any_path_is_steps_or_none(path in r#"\$?[.\[\]'"\\a0-9é+]{0,12}"#) {
            let _ = steps(&path);
        }
    }

    fn assembled(pieces: &str) -> Result<String, String> {
        let mut call = PartialCall::new(&Called {
            name: Text::of_escaped("f"),
            ..Called::default()
        });
        for piece in Json::parse(pieces.as_bytes(), "it").unwrap().elements() {
            call.add(piece).map_err(|error| error.to_string())?;
        }
        let mut out = JsonWriter::new();
        call.arguments.write(&mut out);
        Ok(String::from_utf8(out.into_bytes().into()).unwrap())
    }

    #[test]
    fn pieces_become_one_object() {
        for (pieces, object) in [
            ("[]", Ok("{}")),
            (
                r#"[{"jsonPath": "$.b", "stringValue": "x\"", "willContinue": true}, {"jsonPath": "$.a", "numberValue": 1.0}, {"jsonPath": "$.b", "stringValue": "y"}]"#,
                Ok(r#"{"b":"x\"y","a":1.0}"#),
            ),
            (
                r#"[{"jsonPath": "$.l[0].x", "boolValue": false}, {"jsonPath": "$.l[1]", "nullValue": null}, {"jsonPath": "$.l[0]['a.b']", "nullValue": "NULL_VALUE"}]"#,
                Ok(r#"{"l":[{"x":false,"a.b":null},null]}"#),
            ),
            (
                r#"[{"jsonPath": "$.a", "willContinue": true}, {"jsonPath": "$.a", "stringValue": ""}]"#,
                Ok(r#"{"a":""}"#),
            ),
            (
                r#"[{"jsonPath": "$[\"q\\\"\"]", "numberValue": 1}]"#,
                Ok(r#"{"q\"":1}"#),
            ),
            (
                r#"[{"jsonPath": "$.a[1]", "numberValue": 1}]"#,
                Err("place"),
            ),
            (r#"[{"jsonPath": "$[0]", "numberValue": 1}]"#, Err("place")),
            (r#"[{"jsonPath": "$", "numberValue": 1}]"#, Err("place")),
            (r#"[{"jsonPath": "$..a", "numberValue": 1}]"#, Err("place")),
            (r#"[{"jsonPath": "$['a", "numberValue": 1}]"#, Err("place")),
            (r#"[{"jsonPath": "$[+1]", "numberValue": 1}]"#, Err("place")),
            (r#"[{"numberValue": 1}]"#, Err("place")),
            (
                r#"[{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a.b", "numberValue": 1}]"#,
                Err("place"),
            ),
        ] {
            let actual = assembled(pieces);

            match (actual, object) {
                (Ok(actual), Ok(object)) => assert_eq!(actual, object, "{pieces}"),
                (Err(actual), Err(word)) => assert!(actual.contains(word), "{pieces}: {actual}"),
                (actual, _) => panic!("{pieces}: {actual:?}"),
            }
        }
    }

    #[test]
    fn what_grows_has_limits() {
        let deep = ".a".repeat(MAX_STEPS + 1);
        let deep = format!(r#"[{{"jsonPath": "${deep}"}}]"#);
        let long = "x".repeat(MAX_BYTES / 2);
        let long = format!(r#"{{"jsonPath": "$.a", "stringValue": "{long}"}}"#);
        let long = format!("[{long},{long}]");
        let many: Vec<_> = (0..=MAX_VALUES)
            .map(|index| format!(r#"{{"jsonPath": "$.a[{index}]"}}"#))
            .collect();
        let many = format!("[{}]", many.join(","));
        for (pieces, word) in [(deep, "place"), (long, "1048576"), (many, "10000")] {
            let error = assembled(&pieces).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
