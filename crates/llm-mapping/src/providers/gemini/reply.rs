//! Whole replies, and what they have in common with the events of a stream.

use bytes::Bytes;

use super::error_of;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::reply::{Called, Choice, Reply};
use crate::time::seconds_of_rfc3339;
use crate::usage::tokens;
use crate::{ChatError, Exchange, FinishReason, Usage};

/// What stands in a reply, and in each event of a stream.
pub(super) struct Parts<'a> {
    pub(super) candidates: Option<Json<'a>>,
    /// Why the prompt was refused.
    pub(super) block_reason: Option<Text<'a>>,
    pub(super) usage: Option<Usage>,
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) created: Option<u64>,
}

// === impl Parts ===

impl<'a> Parts<'a> {
    pub(super) fn of(body: Json<'a>) -> Result<Self, ChatError> {
        let [error, candidates, feedback, usage, id, model, created] = body.pick([
            "error",
            "candidates",
            "promptFeedback",
            "usageMetadata",
            "responseId",
            "modelVersion",
            "createTime",
        ]);
        if error.is_some() {
            return Err(error_of(body));
        }
        let created = created.and_then(Json::as_text);
        Ok(Self {
            candidates: candidates.filter(|list| list.elements().next().is_some()),
            block_reason: feedback.and_then(|feedback| feedback.text("blockReason")),
            usage: usage.map(usage_of),
            id: id.and_then(Json::as_text),
            model: model.and_then(Json::as_text),
            created: created.and_then(|time| seconds_of_rfc3339(&time.decode())),
        })
    }
}

pub(super) fn write(
    body: Json<'_>,
    exchange: &Exchange,
    out: &mut JsonWriter,
) -> Result<(), ChatError> {
    let parts = Parts::of(body)?;
    let candidates: Vec<_> = parts
        .candidates
        .into_iter()
        .flat_map(Json::elements)
        .collect();
    let logprobs = candidates.iter().map(|candidate| {
        let content = logprobs_of(*candidate)?;
        let mut logprobs = JsonWriter::new();
        let content = Json::parse(&content, "it").ok()?;
        logprobs.begin_object().key("content").json(content);
        logprobs.key("refusal").raw("null").end_object();
        Some(logprobs.into_bytes())
    });
    let logprobs: Vec<_> = logprobs.collect();
    let choices = candidates.iter().zip(&logprobs);
    let mut choices: Vec<_> = choices
        .map(|(candidate, logprobs)| {
            let logprobs = logprobs.as_ref();
            choice(*candidate, logprobs.map(|bytes| &**bytes), exchange)
        })
        .collect();
    if choices.is_empty() {
        let Some(reason) = parts.block_reason else {
            let message = "the upstream's reply has no candidates";
            return Err(ChatError::bad_reply(message));
        };
        choices.push(Choice {
            refusal: Some(reason),
            finish_reason: FinishReason::ContentFilter,
            ..Choice::default()
        });
    }
    let reply = Reply {
        id: parts.id.map(Text::decode),
        created: parts.created,
        model: parts.model,
        choices,
        usage: parts.usage,
    };
    reply.write(exchange, out);
    Ok(())
}

fn choice<'a>(candidate: Json<'a>, logprobs: Option<&'a [u8]>, exchange: &Exchange) -> Choice<'a> {
    let [index, content, reason] = candidate.pick(["index", "content", "finishReason"]);
    let mut choice = Choice {
        index: index.and_then(Json::as_u64).unwrap_or(0),
        logprobs: logprobs.and_then(|bytes| Json::parse(bytes, "it").ok()),
        ..Choice::default()
    };
    for part in parts_of(content) {
        let [text, thought, call, signature] =
            part.pick(["text", "thought", "functionCall", "thoughtSignature"]);
        if let Some(text) = text.and_then(Json::as_text) {
            if thought.and_then(Json::as_bool) == Some(true) {
                choice.reasoning.push(text);
            } else {
                choice.texts.push(text);
            }
        }
        let [id, name, args] = call.map_or([None; 3], |it| it.pick(["id", "name", "args"]));
        if let Some(name) = name.and_then(Json::as_text) {
            choice.calls.push(Called {
                id: id.and_then(Json::as_text),
                name,
                arguments: args,
                signature: signature.and_then(Json::as_text),
            });
        }
    }
    let reason = reason.and_then(Json::as_text);
    choice.finish_reason = finish_reason(reason, !choice.calls.is_empty(), exchange);
    choice
}

pub(super) fn parts_of(content: Option<Json<'_>>) -> impl Iterator<Item = Json<'_>> {
    let parts = content.and_then(|content| content.get("parts"));
    parts.into_iter().flat_map(Json::elements)
}

/// Why a candidate ended. That it calls tools has no word of its own.
pub(super) fn finish_reason(
    reason: Option<Text<'_>>,
    has_calls: bool,
    exchange: &Exchange,
) -> FinishReason {
    if has_calls && reason.is_none_or(|reason| reason.is("STOP")) {
        return FinishReason::ToolCalls;
    }
    exchange.finish_reason(reason)
}

fn usage_of(usage: Json<'_>) -> Usage {
    let [prompt, tools, candidates, thoughts, cached, total] = usage
        .pick([
            "promptTokenCount",
            "toolUsePromptTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "cachedContentTokenCount",
            "totalTokenCount",
        ])
        .map(tokens);
    let sum = |one: Option<u64>, other: Option<u64>| {
        let one = one.unwrap_or(0);
        one.saturating_add(other.unwrap_or(0))
    };
    Usage {
        prompt: sum(prompt, tools),
        completion: sum(candidates, thoughts),
        total,
        cached,
        reasoning: thoughts,
    }
}

/// How likely the tokens of a candidate were, as OpenAI has it in `logprobs.content`.
pub(super) fn logprobs_of(candidate: Json<'_>) -> Option<Bytes> {
    let result = candidate.get("logprobsResult")?;
    let [chosen, top] = result.pick(["chosenCandidates", "topCandidates"]);
    let mut others = top.into_iter().flat_map(Json::elements);
    let mut out = JsonWriter::new();
    out.begin_array();
    for token in chosen.into_iter().flat_map(Json::elements) {
        out.begin_object();
        write_token(token, &mut out);
        out.key("top_logprobs").begin_array();
        let others = others.next().and_then(|step| step.get("candidates"));
        for other in others.into_iter().flat_map(Json::elements) {
            out.begin_object();
            write_token(other, &mut out);
            out.end_object();
        }
        out.end_array().end_object();
    }
    out.end_array();
    Some(out.into_bytes())
}

fn write_token(token: Json<'_>, out: &mut JsonWriter) {
    let [text, probability] = token.pick(["token", "logProbability"]);
    let text = text.and_then(Json::as_text).unwrap_or_default();
    out.key("token").text(text);
    // A certain one is left out, as all zeros are.
    out.key("logprob").raw(probability.map_or("0", Json::raw));
    out.key("bytes").begin_array();
    for byte in text.decode().bytes() {
        out.number(byte.into());
    }
    out.end_array();
}
