//! From a completion to a message.

use bytes::Bytes;

use crate::exchange::first_text;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::usage::tokens;
use crate::{ChatError, Exchange};

pub(crate) fn message(completion: &Bytes, exchange: &Exchange) -> Result<Bytes, ChatError> {
    let json = Json::parse(completion, "the reply").map_err(ChatError::bad_reply)?;
    let [id, model, choices, usage] = json.pick(["id", "model", "choices", "usage"]);
    let choice = choices.into_iter().flat_map(Json::elements).next();
    let choice =
        choice.ok_or_else(|| ChatError::bad_reply("the upstream's reply has no choice"))?;
    let [said, reason] = choice.pick(["message", "finish_reason"]);
    let [content, refusal, calls] = said.map_or([None; 3], |it| {
        it.pick(["content", "refusal", "tool_calls"])
    });

    let mut out = JsonWriter::with_source(completion);
    out.begin_object().key("id");
    match id.and_then(Json::as_text) {
        Some(id) => out.text(id),
        None => out.string(&exchange.make_id("msg_")),
    };
    out.key("type").string("message");
    out.key("role").string("assistant").key("model");
    match model.and_then(Json::as_text) {
        Some(model) => out.text(model),
        None => out.string(exchange.model()),
    };
    out.key("content").begin_array();
    for text in [content, refusal].into_iter().flatten() {
        if let Some(text) = text.as_text().filter(|text| !text.is_empty()) {
            out.begin_object().key("type").string("text");
            out.key("text").text(text).end_object();
        }
    }
    for call in calls.into_iter().flat_map(Json::elements) {
        let [id, function] = call.pick(["id", "function"]);
        let [name, arguments] = function.map_or([None; 2], |it| it.pick(["name", "arguments"]));
        let Some(name) = name.and_then(Json::as_text) else {
            return Err(ChatError::bad_reply(
                "a call in the upstream's reply has no name",
            ));
        };
        out.begin_object().key("type").string("tool_use");
        let id = first_text(id.and_then(Json::as_text), || exchange.make_id("toolu_"));
        out.key("id").string(&id);
        out.key("name").text(name).key("input");
        write_input(arguments.and_then(Json::as_text), &mut out);
        out.end_object();
    }
    out.end_array();
    out.key("stop_reason")
        .string(stop_reason(reason.and_then(Json::as_text)));
    out.key("stop_sequence").raw("null");
    out.key("usage");
    write_usage(usage, &mut out);
    out.end_object();
    Ok(out.into_bytes())
}

/// The arguments as the object that they are; what is none, as a reply that was cut has it, is kept as a text in one.
fn write_input(arguments: Option<Text<'_>>, out: &mut JsonWriter) {
    let text = arguments.map(Text::decode).unwrap_or_default();
    match Json::parse(text.as_bytes(), "it") {
        Ok(json) if json.is_object() => out.json(json),
        _ if text.trim().is_empty() => out.raw("{}"),
        _ => out
            .begin_object()
            .key("arguments")
            .string(&text)
            .end_object(),
    };
}

/// Why a message ended, in Anthropic's words.
pub(super) fn stop_reason(reason: Option<Text<'_>>) -> &'static str {
    match reason.map(Text::decode).as_deref() {
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        Some("content_filter") => "refusal",
        _ => "end_turn",
    }
}

pub(super) fn write_usage(usage: Option<Json<'_>>, out: &mut JsonWriter) {
    let [prompt, completion, details] = usage.map_or([None; 3], |usage| {
        usage.pick([
            "prompt_tokens",
            "completion_tokens",
            "prompt_tokens_details",
        ])
    });
    let cached = tokens(details.and_then(|details| details.get("cached_tokens")));
    let prompt = tokens(prompt).unwrap_or(0);
    out.begin_object();
    // There the prompt is without what was read from a cache.
    let fresh = prompt.saturating_sub(cached.unwrap_or(0));
    out.key("input_tokens").number(fresh);
    out.key("output_tokens")
        .number(tokens(completion).unwrap_or(0));
    if let Some(cached) = cached {
        out.key("cache_read_input_tokens").number(cached);
    }
    out.end_object();
}
