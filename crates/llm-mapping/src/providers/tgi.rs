use http::StatusCode;

use super::llama2::{self, PromptMarks, generated};
use crate::failed::{described, is_any};
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::provider::{Answered, EventMapper, Failed, Flow, Provider, StreamEvent};
use crate::reply::{Choice, Reply};
use crate::usage::tokens;
use crate::{Chat, ChatError, Chunks, Exchange, Outgoing, Usage};

/// Llama 2 behind Hugging Face's Text Generation Inference, `/generate` and `/generate_stream`.
///
/// It takes one prompt: there are no tools, images and formats. What ends a reply because it is in `stop` stands at its end.
#[derive(Clone, Debug)]
pub struct Tgi {
    prompt_marks: PromptMarks,
}

/// Maps the events of a stream.
#[derive(Debug, Default)]
struct Tokens {
    /// Something was generated.
    is_begun: bool,
}

// === impl Tgi ===

impl Tgi {
    /// With texts that hold a mark of the prompt refused.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prompt_marks: PromptMarks::Reject,
        }
    }

    /// Replaces what becomes of texts that hold a mark of the prompt. Default: [`PromptMarks::Reject`].
    #[must_use]
    pub const fn prompt_marks(mut self, marks: PromptMarks) -> Self {
        self.prompt_marks = marks;
        self
    }
}

impl Default for Tgi {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Tgi {
    fn name(&self) -> &str {
        "tgi"
    }

    fn tables(&self) -> &str {
        include_str!("tgi/mapping.yaml")
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path(if chat.is_stream {
            "/generate_stream"
        } else {
            "/generate"
        });
        let prompt = llama2::prompt(chat, self.prompt_marks, out)?;
        out.body().key("inputs").string(&prompt);
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        // A list of one, where it is served for several.
        let body = answer.body.elements().next().unwrap_or(answer.body);
        if let Some(error) = error_of(body) {
            return Err(error);
        }
        let [text, details] = body.pick(["generated_text", "details"]);
        let Some(text) = text.and_then(Json::as_text) else {
            let message = "the upstream's reply has no generated text";
            return Err(ChatError::bad_reply(message));
        };
        let reason = details.and_then(|details| details.text("finish_reason"));
        let choice = Choice {
            texts: vec![generated(text)],
            finish_reason: exchange.finish_reason(reason),
            ..Choice::default()
        };
        let reply = Reply {
            choices: vec![choice],
            usage: details.map(usage_of),
            ..Reply::default()
        };
        reply.write(exchange, out);
        Ok(())
    }

    fn error(&self, failed: &Failed<'_>) -> ChatError {
        let kind = failed.body.and_then(|body| body.text("error_type"));
        typed(described(failed), kind)
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Tokens::default())
    }
}

// === impl Tokens ===

impl EventMapper for Tokens {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let json = event.json()?;
        if let Some(error) = error_of(json) {
            return Err(error);
        }
        let [token, whole, details] = json.pick(["token", "generated_text", "details"]);
        let [text, special] = token.map_or([None; 2], |token| token.pick(["text", "special"]));
        chunks.role(0);
        // Marks of the model's are no text.
        if let Some(text) = text.and_then(Json::as_text)
            && special.and_then(Json::as_bool) != Some(true)
            && !text.is_empty()
        {
            let is_first = !std::mem::replace(&mut self.is_begun, true);
            chunks.text(0, if is_first { generated(text) } else { text });
        }
        if whole.is_none() {
            return Ok(Flow::More);
        }
        if let Some(details) = details {
            let reason = details.text("finish_reason");
            let reason = chunks.exchange().finish_reason(reason);
            chunks.finish(0, reason);
            chunks.usage(usage_of(details));
        }
        chunks.end();
        Ok(Flow::Done)
    }
}

fn usage_of(details: Json<'_>) -> Usage {
    let [generated, input, prefill] = details.pick(["generated_tokens", "input_length", "prefill"]);
    // Older versions list the tokens of the prompt.
    let listed = prefill.map_or(0, |list| list.elements().count() as u64);
    Usage {
        prompt: tokens(input).unwrap_or(listed),
        completion: tokens(generated).unwrap_or(0),
        ..Usage::default()
    }
}

/// An error that came in a stream, or with the status of a success.
fn error_of(body: Json<'_>) -> Option<ChatError> {
    let [error, kind] = body.pick(["error", "error_type"]);
    let message = error?.as_text()?.decode();
    let kind = kind.and_then(Json::as_text);
    let status = if is_any(kind, &["validation"]) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if is_any(kind, &["overloaded"]) {
        StatusCode::TOO_MANY_REQUESTS
    } else if is_any(kind, &["generation"]) {
        StatusCode::FAILED_DEPENDENCY
    } else if is_any(kind, &["incomplete_generation"]) {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::BAD_GATEWAY
    };
    Some(typed(ChatError::new(status, message), kind))
}

fn typed(error: ChatError, kind: Option<Text<'_>>) -> ChatError {
    let error = match kind {
        Some(kind) => error.code(kind.decode().into_owned()),
        None => error,
    };
    // The model failed, not the request.
    if error.status() == StatusCode::FAILED_DEPENDENCY {
        return error.kind("server_error");
    }
    error
}
