use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use super::super::aws::{exception, request_id};
use super::super::llama2::generated;
use crate::json::{Json, Text};
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::usage::tokens;
use crate::{ChatError, Chunks, Usage};

/// What is known of a stream of InvokeModel's.
#[derive(Debug, Default)]
pub(super) struct Events {
    usage: Usage,
    /// Something was generated.
    is_begun: bool,
}

// === impl Events ===

impl EventMapper for Events {
    fn begin(&mut self, headers: &HeaderMap, chunks: &mut Chunks) {
        chunks.begin(request_id(headers), None, None);
    }

    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        if event.event().is_exception() {
            return Err(exception(event));
        }
        if !event.is_named("chunk") {
            return Ok(Flow::More);
        }
        let bytes = event.json()?.text("bytes").map(Text::decode);
        let bytes = BASE64_STANDARD.decode(bytes.as_deref().unwrap_or_default());
        let bytes = bytes.map_err(|error| {
            ChatError::bad_reply(format!("an event of the upstream is no base64: {error}"))
        })?;
        let json = Json::parse(&bytes, "an event of the upstream").map_err(ChatError::bad_reply)?;
        self.part(json, chunks)
    }

    fn end(&mut self, chunks: &mut Chunks) -> Result<(), ChatError> {
        if !chunks.is_finished() {
            return Err(ChatError::incomplete_stream());
        }
        chunks.end();
        Ok(())
    }
}

impl Events {
    fn part(&mut self, json: Json<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let [generation, prompt, completion, reason, metrics] = json.pick([
            "generation",
            "prompt_token_count",
            "generation_token_count",
            "stop_reason",
            "amazon-bedrock-invocationMetrics",
        ]);
        chunks.role(0);
        let mut text = generation.and_then(Json::as_text).unwrap_or_default();
        if !self.is_begun && !text.is_empty() {
            self.is_begun = true;
            text = generated(text);
        }
        chunks.text(0, text);
        let [input, output] = metrics.map_or([None; 2], |metrics| {
            metrics.pick(["inputTokenCount", "outputTokenCount"])
        });
        let usage = &mut self.usage;
        usage.prompt = tokens(input).or(tokens(prompt)).unwrap_or(usage.prompt);
        usage.completion = tokens(output)
            .or(tokens(completion))
            .unwrap_or(usage.completion);
        chunks.usage(self.usage);
        if let Some(reason) = reason.and_then(Json::as_text) {
            let reason = chunks.exchange().finish_reason(Some(reason));
            chunks.finish(0, reason);
        }
        if metrics.is_none() {
            return Ok(Flow::More);
        }
        // Nothing comes behind them.
        chunks.end();
        Ok(Flow::Done)
    }
}
