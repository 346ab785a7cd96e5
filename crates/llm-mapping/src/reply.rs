use std::borrow::Cow;

use crate::json::writer::JsonWriter;
use crate::json::{Json, Text, compact};
use crate::{Exchange, FinishReason, Usage};

/// A reply, taken apart: what is written as OpenAI's `chat.completion`.
#[derive(Clone, Debug, Default)]
pub struct Reply<'a> {
    /// The provider's id of it. Without one an id is made.
    pub id: Option<Cow<'a, str>>,
    /// When it was made, in seconds since 1970. Default: when the answer began.
    pub created: Option<u64>,
    /// The model that made it. Default: the one that was asked for.
    pub model: Option<Text<'a>>,
    /// What it says: one choice for each that was asked for.
    pub choices: Vec<Choice<'a>>,
    /// How many tokens it took.
    pub usage: Option<Usage>,
}

/// One choice of a reply.
#[derive(Clone, Debug, Default)]
pub struct Choice<'a> {
    /// Its number.
    pub index: u64,
    /// What the model says, in pieces that are joined without anything between.
    pub texts: Vec<Text<'a>>,
    /// What it thought, in pieces; told only where the layer is told to.
    pub reasoning: Vec<Text<'a>>,
    /// Why it says nothing.
    pub refusal: Option<Text<'a>>,
    /// The tools that it calls.
    pub calls: Vec<Called<'a>>,
    /// How likely its tokens were.
    pub logprobs: Option<Json<'a>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A call of a tool in a reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Called<'a> {
    /// The provider's id. Without one an id is made.
    pub id: Option<Text<'a>>,
    /// The name of the function.
    pub name: Text<'a>,
    /// The arguments: JSON as a string as it is, anything else as the string that OpenAI has; none as `{}`.
    pub arguments: Option<Json<'a>>,
    /// What signs the thoughts behind it, where the provider wants that back with the call: told as Google's own compatible API does, in
    /// `extra_content.google.thought_signature`.
    pub signature: Option<Text<'a>>,
}

// === impl Reply ===

impl Reply<'_> {
    /// Writes it.
    pub fn write(&self, exchange: &Exchange, out: &mut JsonWriter) {
        out.begin_object().key("id");
        match self.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => out.string(id),
            None => out.string(&exchange.make_id("chatcmpl-")),
        };
        out.key("object").string("chat.completion");
        let created = self.created.unwrap_or(exchange.created());
        out.key("created").number(created).key("model");
        match self.model.filter(|model| !model.is_empty()) {
            Some(model) => out.text(model),
            None => out.string(exchange.model()),
        };
        out.key("choices").begin_array();
        for choice in &self.choices {
            choice.write(exchange, out);
        }
        out.end_array();
        if let Some(usage) = self.usage {
            out.key("usage");
            usage.write(out);
        }
        out.end_object();
    }
}

// === impl Choice ===

impl Choice<'_> {
    fn write(&self, exchange: &Exchange, out: &mut JsonWriter) {
        out.begin_object().key("index").number(self.index);
        out.key("message").begin_object();
        out.key("role").string("assistant").key("content");
        if self.calls.is_empty() || self.texts.iter().any(|text| !text.is_empty()) {
            out.joined(&self.texts, "");
        } else {
            out.raw("null");
        }
        out.key("refusal");
        match self.refusal {
            Some(refusal) => out.text(refusal),
            None => out.raw("null"),
        };
        if exchange.tells_reasoning() && !self.reasoning.is_empty() {
            out.key("reasoning_content");
            out.joined(&self.reasoning, "");
        }
        if !self.calls.is_empty() {
            out.key("tool_calls").begin_array();
            for call in &self.calls {
                call.write(exchange, out);
            }
            out.end_array();
        }
        out.end_object();
        out.key("logprobs")
            .raw(self.logprobs.map_or("null", Json::raw));
        out.key("finish_reason").string(self.finish_reason.as_str());
        out.end_object();
    }
}

// === impl Called ===

impl Called<'_> {
    fn write(&self, exchange: &Exchange, out: &mut JsonWriter) {
        out.begin_object().key("id");
        match self.id.filter(|id| !id.is_empty()) {
            Some(id) => out.text(id),
            None => out.string(&exchange.make_id("call_")),
        };
        out.key("type").string("function");
        out.key("function").begin_object();
        out.key("name").text(self.name).key("arguments");
        match self.arguments {
            None => out.string("{}"),
            Some(json) => match json.as_text() {
                Some(text) => out.text(text),
                None => out.string(&compact(json)),
            },
        };
        out.end_object();
        if let Some(signature) = self.signature {
            write_signature(signature, out);
        }
        out.end_object();
    }
}

/// Writes the member of a call that holds its signature.
pub(crate) fn write_signature(signature: Text<'_>, out: &mut JsonWriter) {
    out.key("extra_content").begin_object();
    out.key("google").begin_object();
    out.key("thought_signature").text(signature);
    out.end_object().end_object();
}
