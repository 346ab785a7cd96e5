use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ChatError;
use crate::json::{Json, Text};
use crate::message::{CallId, Message, Role, required_text};
use crate::tool::{Function, ResponseFormat, ToolChoice};

/// A request of OpenAI's Chat Completions API, with the members that providers differ most in taken apart.
///
/// All its other members that are not `null` are left to the provider's table, by the layer. A member that is `null` was not given.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Chat<'a> {
    /// The model that is asked for.
    pub model: Cow<'a, str>,
    /// What was said so far. At least one.
    pub messages: Vec<Message<'a>>,
    /// The functions that the model may call, those of the deprecated `functions` too.
    pub functions: Vec<Function<'a>>,
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of its reply.
    pub response_format: Option<ResponseFormat<'a>>,
    /// What ends the reply where it comes. None of them is empty.
    pub stop: Vec<Text<'a>>,
    /// Whether the reply is a stream.
    pub is_stream: bool,
    /// Whether the stream ends with the usage.
    pub includes_usage: bool,
    /// The whole of it.
    pub json: Json<'a>,
}

/// Adjacent messages that are one turn of one side.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Turn<'c, 'a> {
    /// Whether it is the assistant's; else it is the user's, with what tools answered.
    pub is_assistant: bool,
    /// The messages: none of the system's, and what tools answered first.
    pub messages: Vec<&'c Message<'a>>,
}

/// The most messages of a chat that is taken apart, where each needs many times the memory of its text: the most that Anthropic takes.
const MAX_MESSAGES: usize = 100_000;

/// The members that no table is asked about.
const TAKEN: [&str; 11] = [
    "model",
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "stream",
    "stream_options",
];

// === impl Chat ===

impl<'a> Chat<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// When it is not a chat: no object, without messages or with one that has no known role; the error names the place.
    pub fn parse(json: Json<'a>) -> Result<Self, ChatError> {
        let (mut chat, own) = Self::begin(json)?;
        let [
            messages,
            tools,
            tool_choice,
            functions,
            function_call,
            parallel,
            format,
            stop,
        ] = own;
        let list = messages.into_iter().flat_map(Json::elements);
        chat.messages = list
            .enumerate()
            .map(|(position, json)| match position {
                ..MAX_MESSAGES => Message::parse(json, position),
                _ => {
                    let message = format!("`messages` must hold at most {MAX_MESSAGES} messages");
                    Err(ChatError::invalid("messages", message))
                }
            })
            .collect::<Result<_, _>>()?;
        chat.functions = Function::list(tools, functions)?;
        chat.tool_choice = ToolChoice::parse(tool_choice, function_call)?;
        chat.parallel_tool_calls = flag(parallel, "parallel_tool_calls")?;
        chat.response_format = format.map(ResponseFormat::parse).transpose()?;
        chat.stop = stops(stop)?;
        chat.link_answers();
        Ok(chat)
    }

    /// Reads of a request only what everybody must know: the model, and whether the reply is a stream.
    ///
    /// # Errors
    /// When it is no chat.
    pub(crate) fn parse_head(json: Json<'a>) -> Result<Self, ChatError> {
        Self::begin(json).map(|(chat, _)| chat)
    }

    /// Reads the beginning, and finds what is read later.
    fn begin(json: Json<'a>) -> Result<(Self, [Option<Json<'a>>; 8]), ChatError> {
        if !json.is_object() {
            let message = format!("a request is an object, not {}", json.type_name());
            return Err(ChatError::new(http::StatusCode::BAD_REQUEST, message));
        }
        let mut own = [None; TAKEN.len()];
        if let Some(name) = json.given_twice() {
            // Whoever looked before may have seen the other one.
            let message = format!("`{name}` is given twice");
            return Err(ChatError::invalid(name, message));
        }
        for (key, value) in json.members() {
            if let Some(place) = key.position(&TAKEN).and_then(|at| own.get_mut(at)) {
                *place = Some(value);
            }
        }
        let own = own.map(|value| value.filter(|value| !value.is_null()));
        let [
            model,
            messages,
            tools,
            tool_choice,
            functions,
            function_call,
            parallel,
            format,
            stop,
            stream,
            stream_options,
        ] = own;
        let list = messages.filter(|list| list.is_array());
        let list =
            list.ok_or_else(|| ChatError::invalid("messages", "`messages` must be an array"));
        let model = required_text(model, || "model".to_owned())?.decode();
        if list?.elements().next().is_none() {
            let message = "`messages` must hold at least one message";
            return Err(ChatError::invalid("messages", message));
        }
        let includes_usage = stream_options.and_then(|it| it.get("include_usage"));
        let chat = Self {
            model,
            messages: Vec::new(),
            functions: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            response_format: None,
            stop: Vec::new(),
            is_stream: flag(stream, "stream")?.unwrap_or(false),
            includes_usage: flag(includes_usage, "stream_options.include_usage")?.unwrap_or(false),
            json,
        };
        let later = [
            messages,
            tools,
            tool_choice,
            functions,
            function_call,
            parallel,
            format,
            stop,
        ];
        Ok((chat, later))
    }

    /// Returns the members that no table is asked about, as they came: all but the model.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (Text<'a>, Json<'a>)> {
        let members = self.json.members();
        members.filter(|(key, _)| key.position(&TAKEN).is_some_and(|at| at > 0))
    }

    /// Returns the members that are left to the provider's table, in order: all that are not `null` and not taken apart here.
    pub(crate) fn params(&self) -> impl Iterator<Item = (Text<'a>, Json<'a>)> {
        let members = self.json.members();
        members.filter(|(key, value)| !value.is_null() && key.position(&TAKEN).is_none())
    }

    /// Returns what the system says, wherever it stands: one text each, none of them empty.
    pub fn system(&self) -> impl Iterator<Item = Text<'a>> + '_ {
        let messages = self.messages.iter();
        let of_system = messages.filter(|message| message.role == Role::System);
        of_system
            .flat_map(|message| message.texts())
            .filter(|text| !text.is_empty())
    }

    /// Returns all other messages as turns that alternate: several of one side are one turn, and in a turn of the user what tools answered comes first.
    #[must_use]
    pub fn turns(&self) -> Vec<Turn<'_, 'a>> {
        let mut turns: Vec<Turn<'_, 'a>> = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let is_assistant = match message.role {
                Role::System => continue,
                Role::Assistant => true,
                Role::User | Role::Tool => false,
            };
            match turns.last_mut() {
                Some(turn) if turn.is_assistant == is_assistant => turn.messages.push(message),
                _ => turns.push(Turn {
                    is_assistant,
                    messages: vec![message],
                }),
            }
        }
        for turn in &mut turns {
            turn.messages
                .sort_by_key(|message| message.role != Role::Tool);
        }
        turns
    }

    /// Returns the name of the function whose call a message of a tool answers, by the id of the call: the last one before it.
    ///
    /// # Errors
    /// When no message before it has that call.
    pub fn answered_function(&self, answer: &Message<'a>) -> Result<Text<'a>, ChatError> {
        let id = answer.tool_call_id.ok_or_else(|| missing_call_id(answer))?;
        answer.answered.ok_or_else(|| {
            let message = format!(
                "no message before it calls a tool by the id `{}`",
                id.decode()
            );
            ChatError::invalid(answer.place(".tool_call_id"), message)
        })
    }

    /// Finds for what tools answered the call that it is about: the last one before it that has the id, or for the deprecated `function`
    /// messages, which have none, the name. One walk, however many there are.
    fn link_answers(&mut self) {
        if !self
            .messages
            .iter()
            .any(|message| message.role == Role::Tool)
        {
            return;
        }
        let key = |id: &CallId<'a>| (matches!(id, CallId::Made(_)), id.decode());
        let mut by_id = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        let is_by_name = self.messages.iter().any(|message| {
            message.role == Role::Tool && message.tool_call_id.is_none() && message.name.is_some()
        });
        for message in &mut self.messages {
            for call in &message.tool_calls {
                by_id.insert(key(&call.id), call.name);
                if is_by_name {
                    by_name.insert(call.name.decode(), call.id);
                }
            }
            if message.role != Role::Tool {
                continue;
            }
            if let (None, Some(name)) = (message.tool_call_id, message.name) {
                message.tool_call_id = by_name.get(&name.decode()).copied();
            }
            let id = message.tool_call_id.as_ref();
            message.answered = id.and_then(|id| by_id.get(&key(id)).copied());
        }
    }
}

pub(crate) fn missing_call_id(answer: &Message<'_>) -> ChatError {
    let place = answer.place(".tool_call_id");
    let message = format!("`{place}` is missing");
    ChatError::invalid(place, message)
}

fn stops(stop: Option<Json<'_>>) -> Result<Vec<Text<'_>>, ChatError> {
    let Some(stop) = stop else {
        return Ok(Vec::new());
    };
    let text = |json: Json<'_>| json.as_text().is_some();
    let all = match stop.as_text() {
        Some(text) => vec![text],
        None if stop.is_array() && stop.elements().all(text) => {
            stop.elements().filter_map(Json::as_text).collect()
        }
        None => {
            let message = "`stop` must be a string or an array of strings";
            return Err(ChatError::invalid("stop", message));
        }
    };
    Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
}

fn flag(value: Option<Json<'_>>, name: &'static str) -> Result<Option<bool>, ChatError> {
    let Some(value) = value else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| {
        let message = format!("`{name}` must be a boolean, is {}", value.type_name());
        ChatError::invalid(name, message)
    })
}

#[cfg(test)]
mod tests;
