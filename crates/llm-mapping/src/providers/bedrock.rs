use http::HeaderValue;
use http::header;

use super::aws::{failed, request_id};
use super::llama2::{self, PromptMarks, generated};
use crate::json::Json;
use crate::json::writer::JsonWriter;
use crate::provider::{Answered, EventMapper, Failed, Provider};
use crate::reply::{Choice, Reply};
use crate::uri::segment;
use crate::usage::tokens;
use crate::{Chat, ChatError, Exchange, Outgoing, Usage};

mod events;

use self::events::Events;

/// Llama 2 by InvokeModel of Amazon Bedrock, `https://bedrock-runtime.{region}.amazonaws.com/model/{model}/invoke`, and its streams.
///
/// It takes one prompt: there are no tools, images, formats and stop sequences. The key of the layer is one of Bedrock's API keys; what
/// signs requests stands below.
#[derive(Clone, Debug)]
pub struct Bedrock {
    prompt_marks: PromptMarks,
}

// === impl Bedrock ===

impl Bedrock {
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

impl Default for Bedrock {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Bedrock {
    fn name(&self) -> &str {
        "bedrock"
    }

    fn tables(&self) -> &str {
        include_str!("bedrock/mapping.yaml")
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        let prompt = llama2::prompt(chat, self.prompt_marks, out)?;
        out.body().key("prompt").string(&prompt);
        let json = HeaderValue::from_static("application/json");
        let model = segment(&chat.model);
        if chat.is_stream {
            out.path(format!("/model/{model}/invoke-with-response-stream"));
            super::aws::accept_stream(out);
            // What the events hold.
            out.header(http::HeaderName::from_static("x-amzn-bedrock-accept"), json);
        } else {
            out.path(format!("/model/{model}/invoke"));
            out.header(header::ACCEPT, json);
        }
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let [generation, prompt, completion, reason] = answer.body.pick([
            "generation",
            "prompt_token_count",
            "generation_token_count",
            "stop_reason",
        ]);
        let Some(text) = generation.and_then(Json::as_text) else {
            return Err(ChatError::bad_reply(
                "the upstream's reply has no generation",
            ));
        };
        let choice = Choice {
            texts: vec![generated(text)],
            finish_reason: exchange.finish_reason(reason.and_then(Json::as_text)),
            ..Choice::default()
        };
        let reply = Reply {
            id: request_id(answer.headers).map(Into::into),
            choices: vec![choice],
            usage: Some(Usage {
                prompt: tokens(prompt).unwrap_or(0),
                completion: tokens(completion).unwrap_or(0),
                ..Usage::default()
            }),
            ..Reply::default()
        };
        reply.write(exchange, out);
        Ok(())
    }

    fn error(&self, answer: &Failed<'_>) -> ChatError {
        failed(answer)
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Events::default())
    }
}
