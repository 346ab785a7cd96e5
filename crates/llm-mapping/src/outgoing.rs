use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_param_mapping::{ChangeKind, Report};

use crate::json::writer::JsonWriter;
use crate::message::{Message, ToolCall};
use crate::provider::Provider;
use crate::tables::{Policy, Tables, drop_param};
use crate::{ChatError, Json, Text};

/// What a provider writes of its request: the path, headers, its own members of the body, and parameters for its table.
pub struct Outgoing {
    provider: Arc<dyn Provider>,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: JsonWriter,
    params: JsonWriter,
    refuses_blank_stops: bool,
    report: Report,
    tables: Arc<Tables>,
}

/// What of it is sent, and what was done to the parameters.
pub(crate) struct Sent {
    pub(crate) body: Vec<Bytes>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) path: String,
    pub(crate) report: Report,
}

// === impl Outgoing ===

impl Outgoing {
    pub(crate) fn new(provider: Arc<dyn Provider>, source: &Bytes, tables: Arc<Tables>) -> Self {
        let mut body = JsonWriter::with_source(source);
        body.begin_object();
        let mut params = JsonWriter::with_source(source);
        params.begin_object();
        Self {
            provider,
            path: String::new(),
            headers: Vec::new(),
            body,
            params,
            refuses_blank_stops: false,
            report: Report::default(),
            tables,
        }
    }

    /// Sets where it goes: the path and the query, percent-encoded, as on the provider's own server.
    pub fn path(&mut self, path: impl Into<String>) {
        self.path = path.into();
    }

    /// Sets a header, in place of the caller's.
    pub fn header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.push((name, value));
    }

    /// Returns what writes the body: inside its object, where members come next.
    pub const fn body(&mut self) -> &mut JsonWriter {
        &mut self.body
    }

    /// Begins a parameter that the table sees as if the caller had sent it, in place of the caller's own; its value comes next.
    pub fn param(&mut self, name: &'static str) -> &mut JsonWriter {
        self.params.key(name)
    }

    /// Says that a parameter which was taken apart has no place here. By the table it is left out or refused; without a word there, `policy` counts.
    /// Returns whether it is to be sent after all.
    ///
    /// # Errors
    /// When it is refused.
    pub fn unsupported(&mut self, name: &str, policy: Policy) -> Result<bool, ChatError> {
        match self.tables.policy(name).unwrap_or(policy) {
            Policy::Pass => Ok(true),
            Policy::Reject => Err(ChatError::unsupported(name, self.provider.name())),
            Policy::Drop => {
                drop_param(name, self.provider.name(), &mut self.report);
                Ok(false)
            }
        }
    }

    /// Notes that a parameter is sent with less than the caller said.
    pub(crate) fn clamped(&mut self, name: &str) {
        let param = format!("body:/{name}");
        self.report.add(ChangeKind::Clamped, &param);
    }

    /// Leaves out what ends the reply where that is white space alone, which some providers refuse.
    pub const fn refuse_blank_stops(&mut self) {
        self.refuses_blank_stops = true;
    }

    pub(crate) fn policy_of(&self, name: &str) -> Option<Policy> {
        self.tables.policy(name)
    }

    /// The error for a part of a message that has no place here.
    pub fn unsupported_part(&self, message: &Message<'_>, part: &str) -> ChatError {
        let place = message.place(".content");
        let provider = self.provider.name();
        ChatError::invalid(place, format!("{part} is not supported by {provider}"))
            .code("unsupported_parameter")
    }

    /// Writes the arguments of a call as the object that they are; a text without any as `{}`.
    ///
    /// # Errors
    /// When they are no JSON object.
    pub fn arguments(
        &mut self,
        message: &Message<'_>,
        index: usize,
        call: &ToolCall<'_>,
    ) -> Result<(), ChatError> {
        let arguments = call.arguments.filter(|text| !text.is_blank());
        let Some(arguments) = arguments else {
            self.body.raw("{}");
            return Ok(());
        };
        let text = arguments.decode();
        let wrong = |reason: String| {
            let place = message.place(&format!(".tool_calls[{index}].function.arguments"));
            let message = format!("`{place}` must be the text of a JSON object: {reason}");
            ChatError::invalid(place, message)
        };
        let json = Json::parse(text.as_bytes(), "it").map_err(wrong)?;
        if !json.is_object() {
            return Err(wrong(format!("it is {}", json.type_name())));
        }
        self.body.json(json);
        Ok(())
    }

    /// Adds the parameters that are left to the table, by the policy of each, and ends them.
    pub(crate) fn take_params(&mut self, chat: &crate::Chat<'_>) -> Result<Bytes, ChatError> {
        if !chat.stop.is_empty() {
            let is_sent = match self.tables.policy("stop") {
                None => true,
                Some(policy) => self.unsupported("stop", policy)?,
            };
            if is_sent {
                self.write_stops(&chat.stop);
            }
        }
        for (key, value) in chat.params() {
            if key.position(self.params.names()).is_some() {
                continue;
            }
            let name = key.decode();
            let is_sent =
                self.tables
                    .admit(&name, value, self.provider.name(), &mut self.report)?;
            if is_sent {
                self.params.same_key(key).json(value);
            }
        }
        let mut params = std::mem::take(&mut self.params);
        params.end_object();
        Ok(params.into_bytes())
    }

    fn write_stops(&mut self, stops: &[Text<'_>]) {
        let is_kept = |stop: &&Text<'_>| !self.refuses_blank_stops || !stop.is_blank();
        let kept: Vec<_> = stops.iter().filter(is_kept).collect();
        if kept.len() < stops.len() {
            drop_param("stop", self.provider.name(), &mut self.report);
        }
        if kept.is_empty() {
            return;
        }
        self.params.key("stop").begin_array();
        for stop in kept {
            self.params.text(*stop);
        }
        self.params.end_array();
    }

    /// Sends a body byte for byte, in place of what was written.
    pub(crate) fn pass(self, body: Bytes) -> Sent {
        Sent {
            body: vec![body],
            headers: self.headers,
            path: self.path,
            report: self.report,
        }
    }

    /// Adds the members of an object, and ends the body.
    pub(crate) fn finish(mut self, params: &[u8]) -> Result<Sent, ChatError> {
        let object = std::str::from_utf8(params).unwrap_or_default().trim();
        // Of two members of one name nobody knows which one counts: what was looked at here, or the other.
        for (name, _) in Json::of_checked(object).members() {
            if name.position(self.body.names()).is_some() {
                let name = name.decode();
                let message =
                    format!("`{name}` is said already by what the provider's API is told");
                return Err(ChatError::invalid(name, message));
            }
        }
        let inner = object
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.unwrap_or_default().trim();
        if !inner.is_empty() {
            self.body.raw(inner);
        }
        self.body.end_object();
        Ok(Sent {
            body: self.body.into_chunks(),
            headers: self.headers,
            path: self.path,
            report: self.report,
        })
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("provider", &self.provider)
            .field("path", &self.path)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
