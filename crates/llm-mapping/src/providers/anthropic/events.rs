use super::super::open_call::OpenCall;
use super::{SCHEMA_TOOL, error_of, usage_of};
use crate::failed::is_any;
use crate::json::{Json, Text};
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::{ChatError, Chunks, FinishReason, Usage};

/// What is known of a stream of Anthropic's.
#[derive(Debug, Default)]
pub(super) struct Events {
    usage: Usage,
    call: OpenCall,
}

// === impl Events ===

impl EventMapper for Events {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let json = event.json()?;
        let [kind, message, block, delta, usage] =
            json.pick(["type", "message", "content_block", "delta", "usage"]);
        let kind = kind.and_then(Json::as_text).map(Text::decode);
        match kind.as_deref() {
            Some("content_block_delta") => self.delta(delta, chunks),
            Some("message_start") => {
                let [id, model, usage] =
                    message.map_or([None; 3], |it| it.pick(["id", "model", "usage"]));
                let id = id.and_then(Json::as_text).map(Text::decode);
                chunks.begin(id.as_deref(), None, model.and_then(Json::as_text));
                chunks.role(0);
                self.count(usage, chunks);
            }
            Some("content_block_start") => {
                self.call = OpenCall::default();
                let [kind, text, id, name] =
                    block.map_or([None; 4], |it| it.pick(["type", "text", "id", "name"]));
                let [kind, text, id, name] =
                    [kind, text, id, name].map(|it| it.and_then(Json::as_text));
                if is_any(kind, &["text"]) {
                    chunks.text(0, text.unwrap_or_default());
                } else if is_any(kind, &["tool_use"])
                    && let Some(name) = name
                {
                    if name.is(SCHEMA_TOOL) {
                        self.call.begin_text();
                    } else {
                        self.call.begin(id, name, chunks);
                    }
                }
            }
            Some("content_block_stop") => self.call.end(chunks),
            Some("message_delta") => {
                self.count(usage, chunks);
                if let Some(reason) = delta.and_then(|delta| delta.text("stop_reason")) {
                    let mut reason = chunks.exchange().finish_reason(Some(reason));
                    if reason == FinishReason::ToolCalls && !chunks.has_calls(0) {
                        reason = FinishReason::Stop;
                    }
                    chunks.finish(0, reason);
                }
            }
            Some("message_stop") => {
                chunks.end();
                return Ok(Flow::Done);
            }
            Some("error") => return Err(error_of(json)),
            // `ping`, and whatever will be new.
            _ => {}
        }
        Ok(Flow::More)
    }
}

impl Events {
    fn delta(&mut self, delta: Option<Json<'_>>, chunks: &mut Chunks) {
        let [kind, text, partial, thinking] = delta.map_or([None; 4], |delta| {
            delta.pick(["type", "text", "partial_json", "thinking"])
        });
        let [kind, text, partial, thinking] =
            [kind, text, partial, thinking].map(|it| it.and_then(Json::as_text));
        if is_any(kind, &["text_delta"]) {
            chunks.text(0, text.unwrap_or_default());
        } else if is_any(kind, &["input_json_delta"])
            && let Some(partial) = partial
        {
            self.call.arguments(partial, chunks);
        } else if is_any(kind, &["thinking_delta"]) {
            chunks.reasoning(0, thinking.unwrap_or_default());
        }
    }

    fn count(&mut self, usage: Option<Json<'_>>, chunks: &mut Chunks) {
        if let Some(usage) = usage {
            self.usage = usage_of(usage, self.usage);
            chunks.usage(self.usage);
        }
    }
}
