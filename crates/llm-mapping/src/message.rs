use crate::ChatError;
use crate::json::{Json, Text};

/// One message of a chat, as the caller sent it.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Whose it is.
    pub role: Role,
    /// What it says, in order; a text that was no list is one part.
    pub parts: Vec<Part<'a>>,
    /// The tools that the assistant calls.
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The call that a message of a tool answers.
    pub tool_call_id: Option<CallId<'a>>,
    /// The name that was given to it.
    pub name: Option<Text<'a>>,
    /// The whole of it.
    pub json: Json<'a>,
    /// Where it stands in `messages`.
    pub position: usize,
    /// The name of the function whose call it answers.
    pub(crate) answered: Option<Text<'a>>,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// `system`, or `developer`.
    System,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
    /// `tool`, or `function`.
    Tool,
}

/// A part of what a message says.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A text, and the whole part where it is one of a list.
    Text {
        /// The text.
        text: Text<'a>,
        /// The part; nothing where the content was no list.
        json: Option<Json<'a>>,
    },
    /// What the assistant said instead of an answer.
    Refusal(Text<'a>),
    /// An image.
    Image {
        /// A `data:` URI, or where it is.
        url: Text<'a>,
        /// The part.
        json: Json<'a>,
    },
    /// A sound.
    Audio {
        /// In base64.
        data: Text<'a>,
        /// `wav` or `mp3`.
        format: Text<'a>,
    },
    /// A file.
    File {
        /// A `data:` URI, or where it is.
        data: Option<Text<'a>>,
        /// The id of one that was uploaded.
        id: Option<Text<'a>>,
        /// Its name.
        name: Option<Text<'a>>,
        /// The part.
        json: Json<'a>,
    },
}

/// A call of a tool by the assistant.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct ToolCall<'a> {
    /// The id, by which a message of the tool answers it.
    pub id: CallId<'a>,
    /// The name of the function.
    pub name: Text<'a>,
    /// JSON, as a string.
    pub arguments: Option<Text<'a>>,
    /// The whole of it.
    pub json: Json<'a>,
}

/// The id of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallId<'a> {
    /// The one that was given.
    Given(Text<'a>),
    /// That of the deprecated `function_call` in the message at this place, which has none: `call_` and the place.
    Made(usize),
}

// === impl Message ===

impl<'a> Message<'a> {
    pub(crate) fn parse(json: Json<'a>, position: usize) -> Result<Self, ChatError> {
        let at = |name: &str| format!("messages[{position}]{name}");
        if !json.is_object() {
            let message = format!("a message is an object, not {}", json.type_name());
            return Err(ChatError::invalid(at(""), message));
        }
        let [
            role,
            content,
            tool_calls,
            function_call,
            tool_call_id,
            name,
            refusal,
        ] = json.pick([
            "role",
            "content",
            "tool_calls",
            "function_call",
            "tool_call_id",
            "name",
            "refusal",
        ]);
        let role = Role::parse(role, || at(".role"))?;
        let mut parts = Vec::with_capacity(1);
        match content {
            None => {}
            Some(content) if content.is_array() => {
                for (index, part) in content.elements().enumerate() {
                    let place = || at(&format!(".content[{index}]"));
                    parts.push(Part::parse(part, &place)?);
                }
            }
            Some(content) => {
                let text = content.as_text().ok_or_else(|| {
                    let kind = content.type_name();
                    let message = format!("a content is a string or an array, not {kind}");
                    ChatError::invalid(at(".content"), message)
                })?;
                parts.push(Part::Text { text, json: None });
            }
        }
        if let Some(refusal) = refusal.and_then(Json::as_text) {
            parts.push(Part::Refusal(refusal));
        }
        let mut calls = Vec::new();
        let list = tool_calls.into_iter().flat_map(Json::elements);
        for (index, call) in list.enumerate() {
            let place = || at(&format!(".tool_calls[{index}]"));
            calls.push(ToolCall::parse(call, &place)?);
        }
        if let Some(call) = function_call {
            calls.push(ToolCall {
                id: CallId::Made(position),
                name: required_text(call.get("name"), || at(".function_call.name"))?,
                arguments: call.text("arguments"),
                json: call,
            });
        }
        Ok(Self {
            role,
            parts,
            tool_calls: calls,
            tool_call_id: tool_call_id.and_then(Json::as_text).map(CallId::Given),
            name: name.and_then(Json::as_text),
            json,
            position,
            answered: None,
        })
    }

    /// Returns the texts that it consists of, in order.
    pub fn texts(&self) -> impl Iterator<Item = Text<'a>> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Text { text, .. } | Part::Refusal(text) => Some(*text),
            _ => None,
        })
    }

    /// Whether it says, shows, calls or answers anything; a text of white space alone is nothing.
    pub(crate) fn says_something(&self) -> bool {
        let is_blank = |part: &Part<'_>| match part {
            Part::Text { text, .. } | Part::Refusal(text) => text.is_blank(),
            _ => false,
        };
        self.role == Role::Tool || !self.tool_calls.is_empty() || !self.parts.iter().all(is_blank)
    }

    /// Returns the place of something in it, as errors name it: `messages[2].content`.
    #[must_use]
    pub fn place(&self, what: &str) -> String {
        format!("messages[{}]{what}", self.position)
    }
}

// === impl Role ===

impl Role {
    fn parse(role: Option<Json<'_>>, place: impl Fn() -> String) -> Result<Self, ChatError> {
        let text = required_text(role, &place)?.decode();
        match &*text {
            "system" | "developer" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "tool" | "function" => Ok(Self::Tool),
            role => {
                let message = format!("`{role}` is not a role");
                Err(ChatError::invalid(place(), message))
            }
        }
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    fn parse(json: Json<'a>, place: &dyn Fn() -> String) -> Result<Self, ChatError> {
        let at = |name: &str| place() + name;
        let [kind, text, refusal, image, audio, file] = json.pick([
            "type",
            "text",
            "refusal",
            "image_url",
            "input_audio",
            "file",
        ]);
        let kind = required_text(kind, || at(".type"))?.decode();
        match &*kind {
            "text" => Ok(Self::Text {
                text: required_text(text, || at(".text"))?,
                json: Some(json),
            }),
            "refusal" => Ok(Self::Refusal(required_text(refusal, || at(".refusal"))?)),
            "image_url" => {
                // Some callers send the address alone.
                let url = match image {
                    Some(image) if image.is_object() => image.get("url"),
                    image => image,
                };
                let url = required_text(url, || at(".image_url.url"))?;
                Ok(Self::Image { url, json })
            }
            "input_audio" => {
                let [data, format] = audio.map_or([None; 2], |it| it.pick(["data", "format"]));
                Ok(Self::Audio {
                    data: required_text(data, || at(".input_audio.data"))?,
                    format: required_text(format, || at(".input_audio.format"))?,
                })
            }
            "file" => {
                let file = file
                    .ok_or_else(|| ChatError::invalid(at(".file"), "the file is missing"))?
                    .pick(["file_data", "file_id", "filename"]);
                let [data, id, name] = file.map(|json| json.and_then(Json::as_text));
                Ok(Self::File {
                    data,
                    id,
                    name,
                    json,
                })
            }
            kind => {
                let message = format!("`{kind}` is not a kind of content");
                Err(ChatError::invalid(at(".type"), message))
            }
        }
    }
}

// === impl ToolCall ===

impl<'a> ToolCall<'a> {
    fn parse(json: Json<'a>, place: &dyn Fn() -> String) -> Result<Self, ChatError> {
        let at = |name: &str| place() + name;
        let [id, function] = json.pick(["id", "function"]);
        let [name, arguments] = function.map_or([None; 2], |it| it.pick(["name", "arguments"]));
        Ok(Self {
            id: CallId::Given(required_text(id, || at(".id"))?),
            name: required_text(name, || at(".function.name"))?,
            arguments: arguments.and_then(Json::as_text),
            json,
        })
    }
}

// === impl CallId ===

impl<'a> CallId<'a> {
    /// Says whether both are the same.
    #[must_use]
    pub fn is(&self, other: &CallId<'_>) -> bool {
        match (self, other) {
            (CallId::Given(one), CallId::Given(other)) => {
                one == other || one.decode() == other.decode()
            }
            (CallId::Made(one), CallId::Made(other)) => one == other,
            _ => false,
        }
    }

    /// Returns it as a text.
    #[must_use]
    pub fn decode(&self) -> std::borrow::Cow<'a, str> {
        match self {
            Self::Given(text) => text.decode(),
            Self::Made(position) => format!("call_{position}").into(),
        }
    }
}

pub(crate) fn required_text<'a>(
    value: Option<Json<'a>>,
    place: impl FnOnce() -> String,
) -> Result<Text<'a>, ChatError> {
    let message = match value {
        Some(value) => match value.as_text() {
            Some(text) => return Ok(text),
            None => format!("must be a string, is {}", value.type_name()),
        },
        None => "is missing".to_owned(),
    };
    let place = place();
    let message = format!("`{place}` {message}");
    Err(ChatError::invalid(place, message))
}
