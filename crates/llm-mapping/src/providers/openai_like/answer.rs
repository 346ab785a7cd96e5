//! Replies of a protocol that is nearly OpenAI's.

use crate::json::{Json, Text};
use crate::reply::{Called, Choice, Reply};
use crate::usage::tokens;
use crate::{ChatError, Exchange, Usage};

pub(super) fn reply<'a>(body: Json<'a>, exchange: &Exchange) -> Result<Reply<'a>, ChatError> {
    let [id, created, model, choices, usage] =
        body.pick(["id", "created", "model", "choices", "usage"]);
    let choices = choices.into_iter().flat_map(Json::elements);
    Ok(Reply {
        id: id.and_then(Json::as_text).map(Text::decode),
        created: created.and_then(Json::as_u64),
        model: model.and_then(Json::as_text),
        choices: choices
            .enumerate()
            .map(|(position, json)| choice(json, position, exchange))
            .collect::<Result<_, _>>()?,
        usage: usage.map(usage_of),
    })
}

fn choice<'a>(
    json: Json<'a>,
    position: usize,
    exchange: &Exchange,
) -> Result<Choice<'a>, ChatError> {
    let [index, message, reason, logprobs] =
        json.pick(["index", "message", "finish_reason", "logprobs"]);
    let reason = reason.and_then(Json::as_text);
    if reason.is_some_and(|reason| reason.is("error")) {
        return Err(ChatError::bad_reply("the upstream failed while it replied"));
    }
    let [content, reasoning, refusal, calls] = message.map_or([None; 4], |message| {
        message.pick(["content", "reasoning_content", "refusal", "tool_calls"])
    });
    let mut choice = Choice {
        index: index.and_then(Json::as_u64).unwrap_or(position as u64),
        refusal: refusal.and_then(Json::as_text),
        logprobs,
        finish_reason: exchange.finish_reason(reason),
        ..Choice::default()
    };
    choice.reasoning.extend(reasoning.and_then(Json::as_text));
    said(content, &mut |text, is_thought| {
        let list = if is_thought {
            &mut choice.reasoning
        } else {
            &mut choice.texts
        };
        list.push(text);
    });
    for call in calls.into_iter().flat_map(Json::elements) {
        let [id, function] = call.pick(["id", "function"]);
        let [name, arguments] = function.map_or([None; 2], |it| it.pick(["name", "arguments"]));
        if let Some(name) = name.and_then(Json::as_text) {
            choice.calls.push(Called {
                id: id.and_then(Json::as_text),
                name,
                arguments,
                ..Called::default()
            });
        }
    }
    Ok(choice)
}

/// Takes apart what is said: a text, or a list of texts and thoughts.
pub(super) fn said<'a>(content: Option<Json<'a>>, tell: &mut dyn FnMut(Text<'a>, bool)) {
    let Some(content) = content else { return };
    if let Some(text) = content.as_text() {
        tell(text, false);
        return;
    }
    for part in content.elements() {
        let [text, thinking] = part.pick(["text", "thinking"]);
        if let Some(text) = text.and_then(Json::as_text) {
            tell(text, false);
        }
        for thought in thinking.into_iter().flat_map(Json::elements) {
            if let Some(text) = thought.text("text") {
                tell(text, true);
            }
        }
    }
}

pub(crate) fn usage_of(usage: Json<'_>) -> Usage {
    let [
        prompt,
        completion,
        total,
        prompt_details,
        completion_details,
    ] = usage.pick([
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    ]);
    let prompt = tokens(prompt).unwrap_or(0);
    let total = tokens(total);
    Usage {
        prompt,
        completion: tokens(completion)
            .unwrap_or_else(|| total.map_or(0, |total| total.saturating_sub(prompt))),
        total,
        cached: tokens(prompt_details.and_then(|it| it.get("cached_tokens"))),
        reasoning: tokens(completion_details.and_then(|it| it.get("reasoning_tokens"))),
    }
}
