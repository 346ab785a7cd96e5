use crate::failed::{error_object, of_event};
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::provider::{Answered, Authorization, EventMapper, Flow, Provider, StreamEvent};
use crate::reply::{Called, Choice, Reply};
use crate::tables::Policy;
use crate::time::seconds_of_rfc3339;
use crate::uri::Source;
use crate::usage::tokens;
use crate::{
    Chat, ChatError, Chunks, Exchange, FinishReason, Function, Message, Outgoing, Part,
    ResponseFormat, Role, ToolChoice, Usage,
};

/// Ollama's own API, `http://localhost:11434/api/chat`.
///
/// It has no choice of tools: `none` leaves the tools out, any other one is left out and told. Images must be in the message.
#[derive(Clone, Debug)]
pub struct Ollama {
    authorization: Authorization,
}

/// What an answer says, or a part of it: both have one form.
struct Said<'a> {
    created: Option<u64>,
    model: Option<Text<'a>>,
    message: Option<Json<'a>>,
    is_done: bool,
    reason: Option<Text<'a>>,
    usage: Usage,
    logprobs: Option<Json<'a>>,
}

/// Maps the lines of a stream. Each one says all that it needs.
#[derive(Debug)]
struct Lines;

// === impl Ollama ===

impl Ollama {
    /// A server of one's own, which asks for no key: the caller's `authorization` is taken away.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            authorization: Authorization::None,
        }
    }

    /// `https://ollama.com/api/chat`, or a server behind a proxy that asks for a key.
    #[must_use]
    pub const fn hosted() -> Self {
        Self {
            authorization: Authorization::Bearer,
        }
    }
}

impl Default for Ollama {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Ollama {
    fn name(&self) -> &str {
        "ollama"
    }

    fn tables(&self) -> &str {
        include_str!("ollama/mapping.yaml")
    }

    fn authorization(&self) -> Authorization {
        self.authorization.clone()
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path("/api/chat");
        out.body().key("messages").begin_array();
        for message in &chat.messages {
            write_message(chat, message, out)?;
        }
        out.body().end_array();
        write_tools(chat, out)?;
        match &chat.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => {
                out.body().key("format").string("json");
            }
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                out.body().key("format").json(*schema);
            }
        }
        // It streams where nothing is said.
        out.body().key("stream").bool(chat.is_stream);
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let said = Said::read(answer.body)?;
        let Some(message) = said.message else {
            return Err(ChatError::bad_reply("the upstream's reply has no message"));
        };
        let [content, thinking] = texts(message);
        let calls: Vec<_> = called(message).collect();
        let mut logprobs = JsonWriter::new();
        if let Some(content) = said.logprobs {
            logprobs.begin_object().key("content").json(content);
            logprobs.key("refusal").raw("null").end_object();
        }
        let logprobs = logprobs.into_bytes();
        let choice = Choice {
            texts: vec![content],
            reasoning: vec![thinking],
            finish_reason: said.finish_reason(exchange, !calls.is_empty()),
            calls,
            logprobs: Json::parse(&logprobs, "it").ok(),
            ..Choice::default()
        };
        let reply = Reply {
            created: said.created,
            model: said.model,
            choices: vec![choice],
            usage: Some(said.usage),
            ..Reply::default()
        };
        reply.write(exchange, out);
        Ok(())
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Lines)
    }
}

// === impl Said ===

impl<'a> Said<'a> {
    fn read(json: Json<'a>) -> Result<Self, ChatError> {
        if error_object(json).is_some() {
            return Err(of_event(json, |_| None));
        }
        let [
            created,
            model,
            message,
            done,
            reason,
            prompt,
            completion,
            logprobs,
        ] = json.pick([
            "created_at",
            "model",
            "message",
            "done",
            "done_reason",
            "prompt_eval_count",
            "eval_count",
            "logprobs",
        ]);
        let created = created.and_then(Json::as_text);
        Ok(Self {
            created: created.and_then(|text| seconds_of_rfc3339(&text.decode())),
            model: model.and_then(Json::as_text),
            message,
            is_done: done.and_then(Json::as_bool) == Some(true),
            reason: reason.and_then(Json::as_text),
            usage: Usage {
                // A prompt that it remembers is not counted.
                prompt: tokens(prompt).unwrap_or(0),
                completion: tokens(completion).unwrap_or(0),
                ..Usage::default()
            },
            logprobs: logprobs.filter(|list| list.elements().next().is_some()),
        })
    }

    fn finish_reason(&self, exchange: &Exchange, has_calls: bool) -> FinishReason {
        let reason = self.reason.filter(|reason| !reason.is_empty());
        match exchange.finish_reason(reason) {
            FinishReason::Stop if has_calls => FinishReason::ToolCalls,
            reason => reason,
        }
    }
}

// === impl Lines ===

impl EventMapper for Lines {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let said = Said::read(event.json()?)?;
        chunks.begin(None, said.created, said.model);
        chunks.role(0);
        if let Some(logprobs) = said.logprobs {
            chunks.logprobs(0, logprobs);
        }
        if let Some(message) = said.message {
            let [content, thinking] = texts(message);
            chunks.reasoning(0, thinking);
            chunks.text(0, content);
            for call in called(message) {
                chunks.whole_call(0, call.id, call.name, call.arguments);
            }
        }
        if !said.is_done {
            return Ok(Flow::More);
        }
        let reason = said.finish_reason(chunks.exchange(), chunks.has_calls(0));
        chunks.finish(0, reason);
        chunks.usage(said.usage);
        chunks.end();
        Ok(Flow::Done)
    }
}

fn write_message(
    chat: &Chat<'_>,
    message: &Message<'_>,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let texts: Vec<_> = message.texts().collect();
    let body = out.body().begin_object();
    body.key("role").string(role);
    body.key("content").joined(&texts, "");
    if message.role == Role::Tool {
        let name = chat.answered_function(message)?;
        out.body().key("tool_name").text(name);
        if let Some(id) = message.tool_call_id {
            out.body().key("tool_call_id").string(&id.decode());
        }
    }
    write_images(message, out)?;
    if !message.tool_calls.is_empty() {
        out.body().key("tool_calls").begin_array();
        for (index, call) in message.tool_calls.iter().enumerate() {
            let body = out.body().begin_object();
            body.key("id").string(&call.id.decode());
            body.key("function").begin_object();
            body.key("name").text(call.name).key("arguments");
            out.arguments(message, index, call)?;
            out.body().end_object().end_object();
        }
        out.body().end_array();
    }
    out.body().end_object();
    Ok(())
}

fn write_images(message: &Message<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let mut is_begun = false;
    for part in &message.parts {
        let url = match part {
            Part::Text { .. } | Part::Refusal(_) => continue,
            Part::Image { url, .. } => *url,
            Part::Audio { .. } => return Err(out.unsupported_part(message, "audio")),
            Part::File { .. } => return Err(out.unsupported_part(message, "a file")),
        };
        let Source::Data { data, .. } = Source::parse(url, || message.place(".content"))? else {
            return Err(out.unsupported_part(message, "an image by its address"));
        };
        if !std::mem::replace(&mut is_begun, true) {
            out.body().key("images").begin_array();
        }
        out.body().escaped(&data);
    }
    if is_begun {
        out.body().end_array();
    }
    Ok(())
}

fn write_tools(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    if chat.functions.is_empty() || matches!(chat.tool_choice, Some(ToolChoice::None)) {
        return Ok(());
    }
    if matches!(
        chat.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    ) {
        out.unsupported("tool_choice", Policy::Drop)?;
    }
    if chat.parallel_tool_calls == Some(false) {
        out.unsupported("parallel_tool_calls", Policy::Drop)?;
    }
    Function::write_tools(&chat.functions, out.body().key("tools"));
    Ok(())
}

/// What a message says, and what the model thought.
fn texts(message: Json<'_>) -> [Text<'_>; 2] {
    let texts = message.pick(["content", "thinking"]);
    texts.map(|text| text.and_then(Json::as_text).unwrap_or_default())
}

/// The calls in a message. Their ids are new; older versions give none.
fn called(message: Json<'_>) -> impl Iterator<Item = Called<'_>> {
    let calls = message.get("tool_calls").into_iter();
    calls.flat_map(Json::elements).filter_map(|call| {
        let [id, function] = call.pick(["id", "function"]);
        let [name, arguments] = function?.pick(["name", "arguments"]);
        Some(Called {
            id: id.and_then(Json::as_text),
            name: name?.as_text()?,
            arguments,
            ..Called::default()
        })
    })
}
