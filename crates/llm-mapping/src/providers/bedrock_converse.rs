use super::aws::{failed, request_id};
use crate::json::Json;
use crate::json::writer::JsonWriter;
use crate::provider::{Answered, EventMapper, Failed, Provider};
use crate::reply::{Called, Choice, Reply};
use crate::tables::Policy;
use crate::uri::segment;
use crate::usage::tokens;
use crate::{Chat, ChatError, Exchange, Outgoing, ResponseFormat, Usage};

mod events;
mod messages;

use self::events::Events;

/// Converse of Amazon Bedrock, `https://bedrock-runtime.{region}.amazonaws.com/model/{model}/converse`, and its streams: one form for
/// the models of all makers there.
///
/// The key of the layer is one of Bedrock's API keys; what signs requests stands below. `tool_choice: none` leaves the tools out, but for a
/// chat in which one was called already, which Bedrock refuses without them: there it is left out and told.
#[derive(Clone, Debug)]
pub struct BedrockConverse(());

// === impl BedrockConverse ===

impl BedrockConverse {
    /// With what its table says.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for BedrockConverse {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for BedrockConverse {
    fn name(&self) -> &str {
        "bedrock-converse"
    }

    fn tables(&self) -> &str {
        include_str!("bedrock_converse/mapping.yaml")
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        let model = segment(&chat.model);
        if chat.is_stream {
            out.path(format!("/model/{model}/converse-stream"));
            super::aws::accept_stream(out);
        } else {
            out.path(format!("/model/{model}/converse"));
        }
        messages::write(chat, out)?;
        match chat.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) => {
                out.unsupported("response_format", Policy::Reject)?;
            }
        }
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let [output, reason, usage] = answer.body.pick(["output", "stopReason", "usage"]);
        let content = output.and_then(|output| output.get("message"));
        let content = content.and_then(|message| message.get("content"));
        let Some(content) = content else {
            return Err(ChatError::bad_reply("the upstream's reply has no output"));
        };
        let mut choice = Choice::default();
        for block in content.elements() {
            let [text, tool, reasoning] = block.pick(["text", "toolUse", "reasoningContent"]);
            choice.texts.extend(text.and_then(Json::as_text));
            choice.calls.extend(tool.and_then(called));
            let thought = reasoning.and_then(|it| it.get("reasoningText"));
            choice
                .reasoning
                .extend(thought.and_then(|it| it.text("text")));
        }
        choice.finish_reason = exchange.finish_reason(reason.and_then(Json::as_text));
        let reply = Reply {
            id: request_id(answer.headers).map(Into::into),
            choices: vec![choice],
            usage: usage.map(usage_of),
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

fn called(tool: Json<'_>) -> Option<Called<'_>> {
    let [id, name, input] = tool.pick(["toolUseId", "name", "input"]);
    Some(Called {
        id: id.and_then(Json::as_text),
        name: name?.as_text()?,
        arguments: input,
        ..Called::default()
    })
}

/// What was read from a cache and written to it is not in `inputTokens`.
fn usage_of(usage: Json<'_>) -> Usage {
    let [input, output, total, read, written] = usage.pick([
        "inputTokens",
        "outputTokens",
        "totalTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
    ]);
    let [input, output, total, read, written] = [input, output, total, read, written].map(tokens);
    let parts = [input, read, written].map(|count| count.unwrap_or(0));
    let prompt = parts.into_iter().fold(0, u64::saturating_add);
    let completion = output.unwrap_or(0);
    Usage {
        prompt,
        completion,
        total: total.filter(|total| *total > prompt.saturating_add(completion)),
        cached: read,
        ..Usage::default()
    }
}
