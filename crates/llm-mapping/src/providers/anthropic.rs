use http::{HeaderName, HeaderValue};

use crate::failed::described;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::provider::{Answered, Authorization, EventMapper, Failed, Provider};
use crate::reply::{Called, Choice, Reply};
use crate::tables::Policy;
use crate::uri::Source;
use crate::usage::tokens;
use crate::{
    Chat, ChatError, Exchange, Message, Outgoing, Part, ResponseFormat, Role, ToolChoice, Turn,
    Usage,
};

mod events;

use self::events::Events;

/// Anthropic's Messages API, `https://api.anthropic.com/v1/messages`.
///
/// A schema for the reply becomes `output_config.format`, which models have from Claude Sonnet 4.5 and Opus 4.1 on; older ones refuse it.
/// `json_object` has no form there and is left out.
#[derive(Clone, Debug)]
pub struct Anthropic {
    version: HeaderValue,
}

// === impl Anthropic ===

impl Anthropic {
    /// With `anthropic-version: 2023-06-01`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            version: HeaderValue::from_static("2023-06-01"),
        }
    }
}

impl Default for Anthropic {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Anthropic {
    fn name(&self) -> &str {
        "anthropic"
    }

    fn tables(&self) -> &str {
        include_str!("anthropic/mapping.yaml")
    }

    fn authorization(&self) -> Authorization {
        Authorization::Header(HeaderName::from_static("x-api-key"))
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path("/v1/messages");
        let version = HeaderName::from_static("anthropic-version");
        out.header(version, self.version.clone());
        out.refuse_blank_stops();
        write_system(chat, out.body());
        out.body().key("messages").begin_array();
        for turn in chat.turns() {
            write_turn(&turn, out)?;
        }
        out.body().end_array();
        write_tools(chat, out)?;
        match &chat.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => {
                out.unsupported("response_format", Policy::Drop)?;
            }
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                let body = out.body().key("output_config").begin_object();
                body.key("format").begin_object();
                body.key("type").string("json_schema");
                body.key("schema").json(*schema);
                body.end_object().end_object();
            }
        }
        out.body().key("stream").bool(chat.is_stream);
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let [kind, id, model, content, stop_reason, usage] =
            answer
                .body
                .pick(["type", "id", "model", "content", "stop_reason", "usage"]);
        let text = |json: Option<Json<'_>>, word| {
            json.and_then(Json::as_text)
                .is_some_and(|text| text.is(word))
        };
        if text(kind, "error") {
            return Err(error_of(answer.body));
        }
        let Some(content) = content.filter(|content| content.is_array()) else {
            return Err(ChatError::bad_reply("the upstream's reply has no content"));
        };
        let mut choice = Choice::default();
        for block in content.elements() {
            let [kind, text, thinking, id, name, input] =
                block.pick(["type", "text", "thinking", "id", "name", "input"]);
            let Some(kind) = kind.and_then(Json::as_text) else {
                continue;
            };
            if kind.is("text") {
                choice.texts.extend(text.and_then(Json::as_text));
            } else if kind.is("thinking") {
                choice.reasoning.extend(thinking.and_then(Json::as_text));
            } else if kind.is("tool_use")
                && let Some(name) = name.and_then(Json::as_text)
            {
                choice.calls.push(Called {
                    id: id.and_then(Json::as_text),
                    name,
                    arguments: input,
                    ..Called::default()
                });
            }
        }
        choice.finish_reason = exchange.finish_reason(stop_reason.and_then(Json::as_text));
        let reply = Reply {
            id: id.and_then(Json::as_text).map(Text::decode),
            created: None,
            model: model.and_then(Json::as_text),
            choices: vec![choice],
            usage: usage.map(|usage| usage_of(usage, Usage::default())),
        };
        reply.write(exchange, out);
        Ok(())
    }

    fn error(&self, failed: &Failed<'_>) -> ChatError {
        let error = described(failed);
        let kind = failed.body.and_then(|body| body.get("error"));
        match kind.and_then(|error| error.text("type")) {
            Some(kind) => error.code(kind.decode().into_owned()),
            None => error,
        }
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Events::default())
    }
}

/// All that the system says: a text, or a list of blocks where there are several or one has more to say than its text.
fn write_system(chat: &Chat<'_>, body: &mut JsonWriter) {
    let messages = chat.messages.iter();
    let of_system = messages.filter(|message| message.role == Role::System);
    let blocks: Vec<_> = of_system
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::Text { text, json } => Some((*text, cache_control(*json))),
            _ => None,
        })
        .filter(|(text, _)| !text.is_empty())
        .collect();
    match blocks.as_slice() {
        [] => {}
        [(text, None)] => {
            body.key("system").text(*text);
        }
        blocks => {
            body.key("system").begin_array();
            for (text, cache_control) in blocks {
                write_text(*text, *cache_control, body);
            }
            body.end_array();
        }
    }
}

fn cache_control(part: Option<Json<'_>>) -> Option<Json<'_>> {
    part.and_then(|part| part.get("cache_control"))
}

fn write_text(text: Text<'_>, cache_control: Option<Json<'_>>, body: &mut JsonWriter) {
    body.begin_object().key("type").string("text");
    body.key("text").text(text);
    if let Some(cache_control) = cache_control {
        body.key("cache_control").json(cache_control);
    }
    body.end_object();
}

fn write_turn(turn: &Turn<'_, '_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let role = if turn.is_assistant {
        "assistant"
    } else {
        "user"
    };
    out.body().begin_object().key("role").string(role);
    out.body().key("content");
    // One text that was no list stays one.
    if let [message] = turn.messages.as_slice()
        && message.tool_calls.is_empty()
        && message.role != Role::Tool
        && let [Part::Text { text, json: None }] = message.parts.as_slice()
        && !text.is_empty()
    {
        out.body().text(*text).end_object();
        return Ok(());
    }
    out.body().begin_array();
    for message in &turn.messages {
        if message.role == Role::Tool {
            write_tool_result(message, out)?;
            continue;
        }
        for part in &message.parts {
            write_part(message, part, out)?;
        }
        for (index, call) in message.tool_calls.iter().enumerate() {
            let body = out.body().begin_object();
            body.key("type").string("tool_use");
            body.key("id").string(&call.id.decode());
            body.key("name").text(call.name).key("input");
            out.arguments(message, index, call)?;
            out.body().end_object();
        }
    }
    out.body().end_array().end_object();
    Ok(())
}

fn write_tool_result(message: &Message<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let id = message
        .tool_call_id
        .ok_or_else(|| crate::chat::missing_call_id(message))?;
    let body = out.body().begin_object();
    body.key("type").string("tool_result");
    body.key("tool_use_id").string(&id.decode());
    match message.parts.as_slice() {
        [] => {}
        [Part::Text { text, json: None }] => {
            body.key("content").text(*text);
        }
        parts => {
            body.key("content").begin_array();
            for part in parts {
                write_part(message, part, out)?;
            }
            out.body().end_array();
        }
    }
    out.body().end_object();
    Ok(())
}

fn write_part(message: &Message<'_>, part: &Part<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let (kind, url, json, media_type) = match part {
        Part::Text { text, json } => {
            // It refuses blocks without a text.
            if !text.is_empty() {
                write_text(*text, cache_control(*json), out.body());
            }
            return Ok(());
        }
        Part::Refusal(text) => {
            write_text(*text, None, out.body());
            return Ok(());
        }
        Part::Image { url, json } => ("image", *url, *json, None),
        Part::File {
            data: Some(data),
            json,
            ..
        } => ("document", *data, *json, Some("application/pdf")),
        Part::File { .. } => return Err(out.unsupported_part(message, "a file by its id")),
        Part::Audio { .. } => return Err(out.unsupported_part(message, "audio")),
    };
    let source = Source::parse(url, || message.place(".content"))?;
    let body = out.body().begin_object();
    body.key("type").string(kind);
    body.key("source").begin_object();
    match &source {
        Source::Data { mime, data } => {
            body.key("type").string("base64");
            let mime = if mime.is_empty() {
                media_type.unwrap_or("image/png")
            } else {
                mime
            };
            body.key("media_type").string(mime);
            body.key("data").escaped(data);
        }
        Source::Url(url) => {
            body.key("type").string("url").key("url").text(*url);
        }
    }
    body.end_object();
    if let Some(cache_control) = cache_control(Some(json)) {
        body.key("cache_control").json(cache_control);
    }
    body.end_object();
    Ok(())
}

fn write_tools(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    if chat.functions.is_empty() {
        return Ok(());
    }
    let body = out.body().key("tools").begin_array();
    for function in &chat.functions {
        body.begin_object().key("name").text(function.name);
        if let Some(description) = function.description {
            body.key("description").text(description);
        }
        body.key("input_schema");
        match function.parameters {
            Some(parameters) => body.json(parameters),
            None => body.raw(r#"{"type":"object","properties":{}}"#),
        };
        body.end_object();
    }
    body.end_array();

    let is_single = chat.parallel_tool_calls == Some(false);
    let (kind, name) = match chat.tool_choice {
        None if !is_single => return Ok(()),
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Function(name)) => ("tool", Some(name)),
    };
    let is_single = is_single
        && kind != "none"
        && match out.policy_of("parallel_tool_calls") {
            // Claude on Bedrock refuses it.
            Some(policy) => out.unsupported("parallel_tool_calls", policy)?,
            None => true,
        };
    if chat.tool_choice.is_none() && !is_single {
        return Ok(());
    }
    let body = out.body().key("tool_choice").begin_object();
    body.key("type").string(kind);
    if let Some(name) = name {
        body.key("name").text(name);
    }
    if is_single {
        body.key("disable_parallel_tool_use").bool(true);
    }
    body.end_object();
    Ok(())
}

/// What a `usage` says, with what was said before: the numbers are of all so far, and take the place of earlier ones.
fn usage_of(usage: Json<'_>, before: Usage) -> Usage {
    let [input, output, written, read] = usage.pick([
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    ]);
    let [input, output, written, read] = [input, output, written, read].map(tokens);
    // The prompt as a whole: its parts are told together, or not at all.
    let prompt = input.map_or(before.prompt, |input| {
        input
            .saturating_add(written.unwrap_or(0))
            .saturating_add(read.unwrap_or(0))
    });
    Usage {
        prompt,
        completion: output.unwrap_or(before.completion),
        cached: read.or(before.cached),
        ..Usage::default()
    }
}

/// An error that came in a stream, or with a status that is none.
fn error_of(body: Json<'_>) -> ChatError {
    let error = crate::failed::of_event(body, |kind| {
        Some(match kind {
            "billing_error" => 402,
            "request_too_large" => 413,
            "api_error" => 500,
            "overloaded_error" => 529,
            _ => return None,
        })
    });
    match body.get("error").and_then(|error| error.text("type")) {
        Some(kind) => error.code(kind.decode().into_owned()),
        None => error,
    }
}
