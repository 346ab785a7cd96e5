use http::{HeaderName, HeaderValue};

use crate::failed::described;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text, compact};
use crate::provider::{Answered, Authorization, EventMapper, Failed, Provider};
use crate::reply::{Called, Choice, Reply};
use crate::tables::Policy;
use crate::uri::Source;
use crate::usage::tokens;
use crate::{
    Chat, ChatError, Exchange, FinishReason, Message, Outgoing, Part, ResponseFormat, Role,
    ToolChoice, Turn, Usage,
};

mod effort;
mod events;

use self::events::Events;

/// Anthropic's Messages API, `https://api.anthropic.com/v1/messages`.
///
/// A schema for the reply becomes `output_config.format`; for a model without that, a tool that the model must call, whose input is the reply
/// then. `json_object` has no form there and is left out.
#[derive(Clone, Debug)]
pub struct Anthropic {
    version: HeaderValue,
    /// How the names of models begin that have no `output_config.format`.
    without_schema: Vec<String>,
}

/// The tool that stands for a schema.
const SCHEMA_TOOL: &str = "json_tool_call";

/// Models before Claude Opus 4.1 and Sonnet 4.5.
const WITHOUT_SCHEMA: [&str; 7] = [
    "claude-2",
    "claude-3",
    "claude-instant",
    "claude-opus-4-0",
    "claude-opus-4-2025",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
];

// === impl Anthropic ===

impl Anthropic {
    /// With `anthropic-version: 2023-06-01`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: HeaderValue::from_static("2023-06-01"),
            without_schema: WITHOUT_SCHEMA.map(str::to_owned).into(),
        }
    }

    /// Replaces how the names of models begin that have no `output_config.format`. Default: those before Claude Opus 4.1 and Sonnet 4.5.
    #[must_use]
    pub fn without_schema<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.without_schema = names.into_iter().map(Into::into).collect();
        self
    }

    /// The schema that a tool must stand for.
    fn schema_by_tool<'a>(&self, chat: &Chat<'a>) -> Option<Json<'a>> {
        let mut names = self.without_schema.iter();
        match &chat.response_format {
            Some(ResponseFormat::JsonSchema { schema, .. }) => names
                .any(|name| chat.model.starts_with(name.as_str()))
                .then_some(*schema),
            _ => None,
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
        let by_tool = self.schema_by_tool(chat);
        effort::write(chat, by_tool.is_some(), out)?;
        write_system(chat, out.body());
        out.body().key("messages").begin_array();
        for turn in chat.turns() {
            // One without content is refused.
            if turn.messages.iter().any(|message| message.says_something()) {
                write_turn(&turn, out)?;
            }
        }
        out.body().end_array();
        write_tools(chat, by_tool, out)?;
        match &chat.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => {
                out.unsupported("response_format", Policy::Drop)?;
            }
            Some(ResponseFormat::JsonSchema { .. }) if by_tool.is_some() => {}
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
        let schema_input = schema_input(content);
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
                if name.is(SCHEMA_TOOL) {
                    let said = Json::parse(schema_input.as_bytes(), "it").ok();
                    choice.texts.extend(said.and_then(Json::as_text));
                    continue;
                }
                choice.calls.push(Called {
                    id: id.and_then(Json::as_text),
                    name,
                    arguments: input,
                    ..Called::default()
                });
            }
        }
        choice.finish_reason = exchange.finish_reason(stop_reason.and_then(Json::as_text));
        if choice.calls.is_empty() && choice.finish_reason == FinishReason::ToolCalls {
            choice.finish_reason = FinishReason::Stop;
        }
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

/// What the model gave the tool that stands for a schema, as a JSON string; nothing where it did not call it.
fn schema_input(content: Json<'_>) -> String {
    let is_it = |block: &Json<'_>| block.text("name").is_some_and(|name| name.is(SCHEMA_TOOL));
    let input = content
        .elements()
        .find(is_it)
        .and_then(|block| block.get("input"));
    input.map_or_else(String::new, |input| {
        serde_json::Value::from(&*compact(input)).to_string()
    })
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
        .filter(|(text, _)| !text.is_blank())
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
        && !text.is_blank()
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
            // It refuses blocks without a text, and of white space alone.
            if !text.is_blank() {
                write_text(*text, cache_control(*json), out.body());
            }
            return Ok(());
        }
        Part::Refusal(text) => {
            if !text.is_blank() {
                write_text(*text, None, out.body());
            }
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

fn write_tools(
    chat: &Chat<'_>,
    schema: Option<Json<'_>>,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    if chat.functions.is_empty() && schema.is_none() {
        return Ok(());
    }
    let body = out.body().key("tools").begin_array();
    for function in &chat.functions {
        function.write_with("input_schema", body);
    }
    if let Some(schema) = schema {
        body.begin_object().key("name").string(SCHEMA_TOOL);
        body.key("description")
            .string("Call this tool to give the reply, as its input.");
        body.key("input_schema").json(schema).end_object();
        body.end_array();
        let choice = body.key("tool_choice").begin_object();
        if chat.functions.is_empty() {
            choice
                .key("type")
                .string("tool")
                .key("name")
                .string(SCHEMA_TOOL);
        } else {
            choice.key("type").string("any");
        }
        choice.end_object();
        return Ok(());
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
