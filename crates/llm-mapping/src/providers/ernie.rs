use crate::failed::described;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::provider::{Answered, Authorization, EventMapper, Failed, Flow, Provider, StreamEvent};
use crate::providers::openai_like::{usage_of, write_choice};
use crate::reply::{Called, Choice, Reply};
use crate::tables::Policy;
use crate::uri::segment;
use crate::{
    Chat, ChatError, Chunks, Exchange, FinishReason, Message, Outgoing, Part, ResponseFormat, Role,
    ToolChoice, Turn,
};

mod endpoints;
mod error;

use self::endpoints::ENDPOINTS;
pub(crate) use self::error::{error_of, oauth_error_of};

/// ERNIE on Baidu Qianfan v1, `https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{endpoint}`.
///
/// Each model has a path of its own, which is known for Baidu's own models and Llama 2; that of another one is its name in lower case.
/// The caller's `authorization` is taken away: who calls is said by the access token in the query, which an
/// [`ErnieTokenLayer`](crate::providers::ErnieTokenLayer) below adds, or by a signature of another layer.
///
/// Turns must alternate and begin and end with the user's; other chats are refused. In one turn the assistant calls one function.
#[derive(Clone, Debug, Default)]
pub struct Ernie {
    /// Models that were told, with their endpoints.
    endpoints: Vec<(String, String)>,
}

/// What an answer says, or an event: both have one form.
struct Said<'a> {
    id: Option<Text<'a>>,
    created: Option<u64>,
    result: Option<Text<'a>>,
    call: Option<Called<'a>>,
    thoughts: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    is_truncated: bool,
    is_banned: bool,
    is_end: bool,
    usage: Option<Json<'a>>,
}

/// Maps the events of a stream, the last of which says that it is.
#[derive(Debug)]
struct Events;

// === impl Ernie ===

impl Ernie {
    /// With the models that are known.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            endpoints: Vec::new(),
        }
    }

    /// Adds a model with the last part of its path, before those that are known. Letters of either case are the same.
    #[must_use]
    pub fn endpoint(mut self, model: impl Into<String>, endpoint: impl Into<String>) -> Self {
        self.endpoints.push((model.into(), endpoint.into()));
        self
    }

    fn path(&self, model: &str) -> Result<String, ChatError> {
        let own = self.endpoints.iter().rev();
        let own = own.map(|(model, endpoint)| (model.as_str(), endpoint.as_str()));
        let endpoint = own
            .chain(ENDPOINTS.iter().copied())
            .find(|(name, _)| name.eq_ignore_ascii_case(model))
            .map_or_else(|| model.to_lowercase(), |(_, endpoint)| endpoint.to_owned());
        if matches!(&*endpoint, "" | "." | "..") {
            let message = "`model` makes no path that can be asked for";
            return Err(ChatError::invalid("model", message));
        }
        Ok(format!("{CHAT}{}", segment(&endpoint)))
    }
}

impl Provider for Ernie {
    fn name(&self) -> &str {
        "ernie-v1"
    }

    fn tables(&self) -> &str {
        include_str!("ernie/mapping.yaml")
    }

    fn authorization(&self) -> Authorization {
        Authorization::None
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path(self.path(&chat.model)?);
        let mut system = chat.system().peekable();
        if system.peek().is_some() {
            let system: Vec<_> = system.collect();
            out.body().key("system").joined(&system, "\n\n");
        }
        let turns = chat.turns();
        refuse_disorder(chat, &turns)?;
        out.body().key("messages").begin_array();
        for turn in &turns {
            write_turn(chat, turn, out)?;
        }
        out.body().end_array();
        write_functions(chat, out)?;
        let word = match &chat.response_format {
            None => None,
            Some(ResponseFormat::Text) => Some("text"),
            Some(ResponseFormat::JsonObject) => Some("json_object"),
            Some(ResponseFormat::JsonSchema { .. }) => {
                if out.unsupported("response_format", Policy::Reject)?
                    && let Some(format) = chat.json.get("response_format")
                {
                    out.body().key("response_format").json(format);
                }
                None
            }
        };
        if let Some(word) = word {
            out.body().key("response_format").string(word);
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
        let said = Said::read(answer.body)?;
        if said.result.is_none() && said.call.is_none() {
            return Err(ChatError::bad_reply("the upstream's reply has no result"));
        }
        let choice = Choice {
            finish_reason: said.finish_reason(exchange, said.call.is_some()),
            texts: said.result.into_iter().collect(),
            reasoning: said.thoughts.into_iter().collect(),
            calls: said.call.into_iter().collect(),
            ..Choice::default()
        };
        let reply = Reply {
            id: said.id.map(Text::decode),
            created: said.created,
            model: None,
            choices: vec![choice],
            usage: said.usage.map(usage_of),
        };
        reply.write(exchange, out);
        Ok(())
    }

    fn error(&self, failed: &Failed<'_>) -> ChatError {
        let known = failed.body.and_then(known_error);
        known.unwrap_or_else(|| described(failed))
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Events)
    }
}

// === impl Said ===

impl<'a> Said<'a> {
    fn read(json: Json<'a>) -> Result<Self, ChatError> {
        if let Some(error) = known_error(json) {
            return Err(error);
        }
        let [
            id,
            created,
            result,
            function_call,
            reason,
            truncated,
            banned,
            end,
            usage,
        ] = json.pick([
            "id",
            "created",
            "result",
            "function_call",
            "finish_reason",
            "is_truncated",
            "need_clear_history",
            "is_end",
            "usage",
        ]);
        let [name, arguments, thoughts] = function_call.map_or([None; 3], |call| {
            call.pick(["name", "arguments", "thoughts"])
        });
        let name = name.and_then(Json::as_text).filter(|name| !name.is_empty());
        let is = |flag: Option<Json<'_>>| flag.and_then(Json::as_bool) == Some(true);
        Ok(Self {
            id: id.and_then(Json::as_text),
            created: created.and_then(Json::as_u64),
            result: result.and_then(Json::as_text),
            call: name.map(|name| Called {
                name,
                arguments,
                ..Called::default()
            }),
            thoughts: thoughts.and_then(Json::as_text),
            reason: reason
                .and_then(Json::as_text)
                .filter(|reason| !reason.is_empty()),
            is_truncated: is(truncated),
            is_banned: is(banned),
            is_end: is(end),
            usage,
        })
    }

    fn finish_reason(&self, exchange: &Exchange, has_calls: bool) -> FinishReason {
        match exchange.finish_reason(self.reason) {
            _ if has_calls => FinishReason::ToolCalls,
            FinishReason::ToolCalls => FinishReason::ToolCalls,
            _ if self.is_banned => FinishReason::ContentFilter,
            FinishReason::Stop if self.is_truncated => FinishReason::Length,
            reason => reason,
        }
    }
}

// === impl Events ===

impl EventMapper for Events {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let said = Said::read(event.json()?)?;
        let id = said.id.map(Text::decode);
        chunks.begin(id.as_deref(), said.created, None);
        chunks.role(0);
        if let Some(thoughts) = said.thoughts {
            chunks.reasoning(0, thoughts);
        }
        if let Some(result) = said.result {
            chunks.text(0, result);
        }
        if let Some(call) = said.call {
            chunks.whole_call(0, None, call.name, call.arguments);
        }
        if let Some(usage) = said.usage {
            chunks.usage(usage_of(usage));
        }
        if !said.is_end {
            return Ok(Flow::More);
        }
        let reason = said.finish_reason(chunks.exchange(), chunks.has_calls(0));
        chunks.finish(0, reason);
        chunks.end();
        Ok(Flow::Done)
    }
}

/// The error that a body is, whatever its status.
fn known_error(body: Json<'_>) -> Option<ChatError> {
    error_of(body).or_else(|| oauth_error_of(body))
}

/// Refuses what the provider would refuse: turns that do not begin and end with the user's.
fn refuse_disorder(chat: &Chat<'_>, turns: &[Turn<'_, '_>]) -> Result<(), ChatError> {
    let wrong = |place: String, what: &str| {
        let message = format!("`{place}` must be of the user or a tool: {what}");
        Err(ChatError::invalid(place, message))
    };
    let Some((first, last)) = turns.first().zip(turns.last()) else {
        return wrong(
            format!("messages[{}]", chat.messages.len().saturating_sub(1)),
            "ernie-v1 answers nobody else",
        );
    };
    if let Some(message) = first.messages.first().filter(|_| first.is_assistant) {
        return wrong(message.place(""), "ernie-v1 lets the user begin");
    }
    match last.messages.last().filter(|_| last.is_assistant) {
        Some(message) => wrong(message.place(""), "ernie-v1 answers nobody else"),
        None => Ok(()),
    }
}

/// One turn as one message, whatever it consists of.
fn write_turn(chat: &Chat<'_>, turn: &Turn<'_, '_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let contents = turn
        .messages
        .iter()
        .map(|message| content(message, out))
        .collect::<Result<Vec<_>, _>>()?;
    if let [message] = turn.messages.as_slice()
        && message.role == Role::Tool
    {
        let name = chat.answered_function(message)?;
        let content = contents.concat();
        let body = out.body().begin_object();
        body.key("role").string("function");
        body.key("name").text(name).key("content");
        // The text of some JSON is asked for.
        if Json::parse(content.as_bytes(), "it").is_ok() {
            body.string(&content);
        } else {
            let mut quoted = JsonWriter::new();
            quoted.string(&content);
            body.string(&String::from_utf8_lossy(&quoted.into_bytes()));
        }
        body.end_object();
        return Ok(());
    }
    let role = if turn.is_assistant {
        "assistant"
    } else {
        "user"
    };
    let contents: Vec<_> = contents.into_iter().filter(|it| !it.is_empty()).collect();
    let body = out.body().begin_object();
    body.key("role").string(role);
    body.key("content").string(&contents.join("\n"));
    let mut calls = turn
        .messages
        .iter()
        .flat_map(|message| message.tool_calls.iter().map(move |call| (message, call)));
    if let Some((_, call)) = calls.next() {
        body.key("function_call").begin_object();
        body.key("name").text(call.name).key("arguments");
        match call.arguments.filter(|text| !text.is_blank()) {
            Some(arguments) => body.text(arguments),
            None => body.string("{}"),
        };
        body.end_object();
    }
    body.end_object();
    match calls.next() {
        None => Ok(()),
        Some((message, _)) => {
            let place = message.place(".tool_calls");
            let message = "several calls in one turn are not supported by ernie-v1";
            Err(ChatError::invalid(place, message).code("unsupported_parameter"))
        }
    }
}

/// What a message says: texts alone.
fn content(message: &Message<'_>, out: &Outgoing) -> Result<String, ChatError> {
    let mut content = String::new();
    for part in &message.parts {
        let what = match part {
            Part::Text { text, .. } | Part::Refusal(text) => {
                content.push_str(&text.decode());
                continue;
            }
            Part::Image { .. } => "an image",
            Part::Audio { .. } => "audio",
            Part::File { .. } => "a file",
        };
        return Err(out.unsupported_part(message, what));
    }
    Ok(content)
}

fn write_functions(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    if chat.functions.is_empty() || matches!(chat.tool_choice, Some(ToolChoice::None)) {
        return Ok(());
    }
    let body = out.body().key("functions").begin_array();
    for function in &chat.functions {
        function.write_with("parameters", body);
    }
    body.end_array();
    if chat.parallel_tool_calls == Some(false) {
        out.unsupported("parallel_tool_calls", Policy::Drop)?;
    }
    let name = match (chat.tool_choice, chat.functions.as_slice()) {
        (Some(ToolChoice::Function(name)), _) => name,
        // The only one is the one that must be called.
        (Some(ToolChoice::Required), [function]) => function.name,
        (Some(ToolChoice::Required), _) => {
            out.unsupported("tool_choice", Policy::Drop)?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    write_choice(name, out);
    Ok(())
}

/// What stands before the endpoint.
const CHAT: &str = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_was_told_comes_before_those_that_are_known() {
        let ernie = Ernie::new()
            .endpoint("ERNIE-Bot", "mine")
            .endpoint("Tuned", "v/7");
        for (model, endpoint) in [
            ("ernie-bot", "mine"),
            ("TUNED", "v%2F7"),
            ("ERNIE-Bot-4", "completions_pro"),
        ] {
            assert_eq!(
                ernie.path(model),
                Ok(format!("{CHAT}{endpoint}")),
                "{model}"
            );
        }
    }
}
