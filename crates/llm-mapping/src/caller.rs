use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;

use crate::messages_api;
use crate::{ChatError, Exchange};
use portcullis_param_mapping::Report;

/// Which API the caller speaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// OpenAI's Chat Completions: `POST` to a path that ends in `/chat/completions`. The default.
    #[default]
    OpenAi,
    /// Anthropic's Messages: `POST` to a path that ends in `/messages`, but not in `/threads/ID/messages`, which is OpenAI's. The request becomes
    /// a chat, and the answer a message; between them is whatever provider the layer has.
    Anthropic,
    /// Either of them, by the path.
    Any,
}

// === impl Caller ===

impl Caller {
    /// The caller of a request that is mapped.
    pub(crate) fn of<B>(self, request: &Request<B>) -> Option<Self> {
        let path = request.uri().path();
        let one = if path.ends_with("/chat/completions") {
            Self::OpenAi
        } else if path.strip_suffix("/messages").is_some_and(is_no_thread) {
            Self::Anthropic
        } else {
            return None;
        };
        let is_known = self == one || self == Self::Any;
        (is_known && request.method() == Method::POST).then_some(one)
    }

    /// The chat that a request is.
    pub(crate) fn chat(self, body: &Bytes, report: &mut Report) -> Result<Bytes, ChatError> {
        match self {
            Self::OpenAi | Self::Any => Ok(body.clone()),
            Self::Anthropic => messages_api::request::chat(body, report),
        }
    }

    /// What the caller gets for a `chat.completion`.
    pub(crate) fn reply(self, completion: Bytes, exchange: &Exchange) -> Result<Bytes, ChatError> {
        match self {
            Self::OpenAi | Self::Any => Ok(completion),
            Self::Anthropic => messages_api::reply::message(&completion, exchange),
        }
    }

    /// What the caller gets for an error.
    pub(crate) fn error(self, error: &ChatError) -> Bytes {
        match self {
            Self::OpenAi | Self::Any => error.to_json(),
            Self::Anthropic => messages_api::error::json(error),
        }
    }
}

/// Whether messages at this path are not those of a thread of OpenAI's assistants.
fn is_no_thread(path: &str) -> bool {
    path.rsplit_once('/')
        .is_none_or(|(above, _)| !above.ends_with("/threads"))
}
