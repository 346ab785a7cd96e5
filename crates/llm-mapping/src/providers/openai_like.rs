use http::HeaderName;

use crate::failed::{described, error_object, of_event};
use crate::json::Json;
use crate::json::writer::JsonWriter;
use crate::provider::{Answered, Authorization, EventMapper, Failed, Provider, StreamEvent};
use crate::{Chat, ChatError, Exchange, Outgoing};

mod answer;
mod ernie;
mod events;
mod messages;
mod pass;

pub(super) use self::answer::usage_of;
pub(super) use self::messages::write_choice;

/// A provider that speaks OpenAI's protocol, or nearly so.
#[derive(Clone, Debug)]
pub struct OpenAiLike {
    name: String,
    path: String,
    tables: &'static str,
    authorization: Authorization,
    dialect: Dialect,
}

/// In what its protocol is not OpenAI's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// In nothing: requests pass as they are, replies and streams are only checked.
    OpenAi,
    /// It is strict about what messages hold, and its ids have nine characters.
    Mistral,
    Together,
    Ernie,
}

// === impl OpenAiLike ===

impl OpenAiLike {
    /// OpenAI itself, `https://api.openai.com/v1/chat/completions`.
    #[must_use]
    pub fn openai() -> Self {
        Self::new("openai", "/v1/chat/completions", Dialect::OpenAi)
    }

    /// Portkey's gateway, `https://api.portkey.ai/v1/chat/completions`. The layer's key is Portkey's own, `x-portkey-api-key`; the caller's
    /// `authorization` and other headers of Portkey pass.
    #[must_use]
    pub fn portkey() -> Self {
        Self {
            authorization: Authorization::Beside(HeaderName::from_static("x-portkey-api-key")),
            ..Self::new("portkey", "/v1/chat/completions", Dialect::OpenAi)
        }
    }

    /// A service that APIPark publishes under this path.
    #[must_use]
    pub fn apipark(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..Self::new("apipark", "", Dialect::OpenAi)
        }
    }

    /// Mistral, `https://api.mistral.ai/v1/chat/completions`.
    #[must_use]
    pub fn mistral() -> Self {
        Self {
            tables: include_str!("mistral/mapping.yaml"),
            ..Self::new("mistral", "/v1/chat/completions", Dialect::Mistral)
        }
    }

    /// Together, `https://api.together.xyz/v1/chat/completions`.
    #[must_use]
    pub fn together() -> Self {
        Self {
            tables: include_str!("together/mapping.yaml"),
            ..Self::new("together", "/v1/chat/completions", Dialect::Together)
        }
    }

    /// ERNIE on Baidu Qianfan v2, `https://qianfan.baidubce.com/v2/chat/completions`.
    #[must_use]
    pub fn ernie_v2() -> Self {
        Self {
            tables: include_str!("ernie_v2/mapping.yaml"),
            ..Self::new("ernie-v2", "/v2/chat/completions", Dialect::Ernie)
        }
    }

    fn new(name: &str, path: &str, dialect: Dialect) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            tables: "",
            authorization: Authorization::Bearer,
            dialect,
        }
    }
}

impl Provider for OpenAiLike {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> &str {
        self.tables
    }

    fn authorization(&self) -> Authorization {
        self.authorization.clone()
    }

    fn is_native(&self) -> bool {
        self.dialect == Dialect::OpenAi
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path(self.path.clone());
        if self.is_native() {
            for (name, value) in chat.taken() {
                out.body().same_key(name).json(value);
            }
            return Ok(());
        }
        messages::write(chat, self.dialect, out)
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        if let Some(error) = self.error_in(answer.body) {
            return Err(error);
        }
        let has_choices = answer.body.get("choices").is_some_and(Json::is_array);
        if !has_choices {
            return Err(ChatError::bad_reply("the upstream's reply has no choices"));
        }
        if self.is_native() {
            out.json(answer.body);
        } else {
            answer::reply(answer.body, exchange)?.write(exchange, out);
        }
        Ok(())
    }

    fn error(&self, failed: &Failed<'_>) -> ChatError {
        let error = described(failed);
        match self.dialect {
            Dialect::OpenAi => {
                let error_type = failed.body.and_then(error_object);
                match error_type.and_then(|error| error.text("type")) {
                    Some(kind) => error.kind(kind.decode().into_owned()),
                    None => error,
                }
            }
            Dialect::Mistral => validation_error(failed).unwrap_or(error),
            Dialect::Together => error,
            Dialect::Ernie => ernie::error(failed, error),
        }
    }

    fn events(&self) -> Box<dyn EventMapper> {
        match self.dialect {
            Dialect::OpenAi => Box::new(pass::Pass),
            dialect => Box::new(events::Events::new(dialect)),
        }
    }
}

impl OpenAiLike {
    /// The error that a body with the status of a success is, or an event.
    fn error_in(&self, body: Json<'_>) -> Option<ChatError> {
        error_in(body, self.dialect)
    }
}

fn error_in(body: Json<'_>, dialect: Dialect) -> Option<ChatError> {
    if dialect == Dialect::Ernie
        && let Some(error) = crate::providers::ernie::error_of(body)
    {
        return Some(error);
    }
    let error = error_object(body)?;
    let error = error.text("type").map(|kind| kind.decode().into_owned());
    let event = of_event(body, |_| None);
    Some(match error {
        Some(kind) if dialect == Dialect::OpenAi => event.kind(kind),
        _ => event,
    })
}

/// The error that an event of that name is, whatever its form.
fn error_event(event: &StreamEvent<'_>, dialect: Dialect) -> Result<ChatError, ChatError> {
    let body = event.json()?;
    Ok(error_in(body, dialect).unwrap_or_else(|| of_event(body, |_| None)))
}

/// Mistral's 422: what is wrong where.
fn validation_error(failed: &Failed<'_>) -> Option<ChatError> {
    let detail = failed.body?.get("detail")?;
    if !detail.is_array() {
        return None;
    }
    let mut messages = String::new();
    let mut param = None;
    for fault in detail.elements() {
        let [message, place] = fault.pick(["msg", "loc"]);
        if let Some(message) = message.and_then(Json::as_text) {
            if !messages.is_empty() {
                messages.push_str("; ");
            }
            messages.push_str(&message.decode());
        }
        if param.is_none() {
            let steps = place.into_iter().flat_map(Json::elements);
            let steps: Vec<_> = steps.filter_map(crate::failed::scalar).collect();
            let steps = steps.strip_prefix(&["body".into()]).unwrap_or(&steps);
            param = (!steps.is_empty()).then(|| steps.join("."));
        }
    }
    if messages.is_empty() {
        return None;
    }
    let error = ChatError::new(failed.status, messages);
    Some(match param {
        Some(param) => error.param(param),
        None => error,
    })
}
