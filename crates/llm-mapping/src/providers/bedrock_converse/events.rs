use http::HeaderMap;

use super::super::aws::{exception, request_id};
use super::super::open_call::OpenCall;
use super::usage_of;
use crate::json::Json;
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::{ChatError, Chunks};

/// What is known of a stream of Converse's.
#[derive(Debug, Default)]
pub(super) struct Events {
    call: OpenCall,
    has_usage: bool,
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
        let json = event.json()?;
        match event.event().name() {
            Some(b"messageStart") => chunks.role(0),
            Some(b"contentBlockStart") => {
                let tool = json.get("start").and_then(|start| start.get("toolUse"));
                let [id, name] = tool.map_or([None; 2], |it| it.pick(["toolUseId", "name"]));
                if let Some(name) = name.and_then(Json::as_text) {
                    self.call.begin(id.and_then(Json::as_text), name, chunks);
                }
            }
            Some(b"contentBlockDelta") => self.delta(json.get("delta"), chunks),
            Some(b"contentBlockStop") => self.call.end(chunks),
            Some(b"messageStop") => {
                let reason = chunks.exchange().finish_reason(json.text("stopReason"));
                chunks.finish(0, reason);
            }
            // It comes before or behind the end of the message.
            Some(b"metadata") => {
                if let Some(usage) = json.get("usage") {
                    self.has_usage = true;
                    chunks.usage(usage_of(usage));
                }
            }
            _ => {}
        }
        Ok(Flow::More)
    }

    fn end(&mut self, chunks: &mut Chunks) -> Result<(), ChatError> {
        let lacks_usage = chunks.exchange().includes_usage() && !self.has_usage;
        if !chunks.is_finished() || lacks_usage {
            return Err(ChatError::incomplete_stream());
        }
        chunks.end();
        Ok(())
    }
}

impl Events {
    fn delta(&mut self, delta: Option<Json<'_>>, chunks: &mut Chunks) {
        let Some(delta) = delta else { return };
        let [text, tool, reasoning] = delta.pick(["text", "toolUse", "reasoningContent"]);
        if let Some(text) = text.and_then(Json::as_text) {
            chunks.text(0, text);
        }
        if let Some(input) = tool.and_then(|tool| tool.text("input")) {
            self.call.arguments(input, chunks);
        }
        if let Some(thought) = reasoning.and_then(|it| it.text("text")) {
            chunks.reasoning(0, thought);
        }
    }
}
