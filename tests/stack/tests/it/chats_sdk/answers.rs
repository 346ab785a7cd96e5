//! What each provider answers, as its API has it.

use portcullis_test_support::frames;
use serde_json::{Value, json};

use super::{Asked, What};

fn events(events: impl IntoIterator<Item = Value>) -> String {
    events
        .into_iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

pub(super) fn openai(asked: Asked) -> (u16, &'static str, String) {
    let error = |message: &str, kind: &str| {
        json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
            .to_string()
    };
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    let (content, calls, reason) = match asked.what {
        What::Busy => return (429, JSON, error("slow down", "requests")),
        What::Denied => return (401, JSON, error("who?", "invalid_request_error")),
        What::Tool => {
            let function = json!({"name": "weather", "arguments": "{\"city\": \"Paris\"}"});
            let call = json!([{"id": "call12345", "type": "function", "function": function}]);
            (Value::Null, Some(call), "tool_calls")
        }
        What::Result => (json!("It is 21 degrees."), None, "stop"),
        What::Text => (json!("Hello there"), None, "stop"),
    };
    if !asked.is_stream {
        let mut message = json!({"role": "assistant", "content": content});
        if let Some(calls) = calls {
            message["tool_calls"] = calls;
        }
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        let reply = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage});
        return (200, JSON, reply.to_string());
    }
    let chunk = |delta: Value, reason: Option<&str>| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let all = [
        chunk(json!({"role": "assistant", "content": ""}), None),
        chunk(json!({"content": "Hello "}), None),
        chunk(json!({"content": "there"}), None),
        chunk(json!({}), Some("stop")),
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}),
    ];
    (200, EVENTS, events(all) + "data: [DONE]\n\n")
}

pub(super) fn anthropic(asked: Asked) -> (u16, &'static str, String) {
    let error = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    };
    let (content, reason) = match asked.what {
        What::Busy => return (429, JSON, error("rate_limit_error", "slow down")),
        What::Denied => return (401, JSON, error("authentication_error", "who?")),
        What::Tool => (
            json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}),
            "tool_use",
        ),
        What::Result => (
            json!({"type": "text", "text": "It is 21 degrees."}),
            "end_turn",
        ),
        What::Text => (json!({"type": "text", "text": "Hello there"}), "end_turn"),
    };
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [content], "stop_reason": reason, "usage": {"input_tokens": 9, "output_tokens": 4}});
    if !asked.is_stream {
        return (200, JSON, message.to_string());
    }
    let text = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let all = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": null, "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        text("Hello "),
        text("there"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ];
    let named = |event: Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    };
    (200, EVENTS, all.into_iter().map(named).collect())
}

pub(super) fn gemini(asked: Asked) -> (u16, &'static str, String) {
    let error = |code: u16, status: &str, message: &str| {
        json!({"error": {"code": code, "message": message, "status": status}}).to_string()
    };
    let usage = json!({"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13});
    let reply = |part: Value, end: Option<&str>| json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": end, "index": 0}], "usageMetadata": usage, "modelVersion": "gemini", "responseId": "r"});
    let part = match asked.what {
        What::Busy => return (429, JSON, error(429, "RESOURCE_EXHAUSTED", "slow down")),
        What::Denied => return (401, JSON, error(401, "UNAUTHENTICATED", "who?")),
        What::Tool => json!({"functionCall": {"name": "weather", "args": {"city": "Paris"}}}),
        What::Result => json!({"text": "It is 21 degrees."}),
        What::Text => json!({"text": "Hello there"}),
    };
    if asked.is_stream {
        let all = [
            reply(json!({"text": "Hello "}), None),
            reply(json!({"text": "there"}), Some("STOP")),
        ];
        return (200, EVENTS, events(all));
    }
    (200, JSON, reply(part, Some("STOP")).to_string())
}

pub(super) fn ollama(asked: Asked) -> (u16, &'static str, String) {
    let line = |message: Value, is_done: bool| {
        let mut line = json!({"model": "llama3.2", "created_at": "2023-11-14T22:13:21.1Z", "message": message, "done": is_done});
        if is_done {
            line["done_reason"] = "stop".into();
            line["prompt_eval_count"] = 9.into();
            line["eval_count"] = 4.into();
        }
        line
    };
    let says = |text: &str| json!({"role": "assistant", "content": text});
    let message = match asked.what {
        What::Busy => return (429, JSON, json!({"error": "slow down"}).to_string()),
        What::Denied => return (401, JSON, json!({"error": "who?"}).to_string()),
        What::Tool => {
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]})
        }
        What::Result => says("It is 21 degrees."),
        What::Text => says("Hello there"),
    };
    if asked.is_stream {
        let all = [
            line(says("Hello "), false),
            line(says("there"), false),
            line(says(""), true),
        ];
        return (
            200,
            "application/x-ndjson",
            all.map(|line| format!("{line}\n")).concat(),
        );
    }
    (200, JSON, line(message, true).to_string())
}

/// Errors of it come with the status of a success.
pub(super) fn ernie(asked: Asked) -> (u16, &'static str, String) {
    let error = |code: u16, message: &str| json!({"error_code": code, "error_msg": message});
    let reply = |result: &str, is_end: bool| json!({"id": "as-1", "object": "chat.completion", "created": 5, "sentence_id": 0, "is_end": is_end, "is_truncated": false, "result": result, "need_clear_history": false, "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}});
    if asked.is_stream {
        return (
            200,
            EVENTS,
            events([reply("Hello ", false), reply("there", true)]),
        );
    }
    let body = match asked.what {
        What::Busy => error(18, "slow down"),
        What::Denied => error(110, "who?"),
        What::Tool => {
            let mut reply = reply("", true);
            let arguments = "{\"city\": \"Paris\"}";
            reply["function_call"] = json!({"name": "weather", "arguments": arguments});
            reply
        }
        What::Result => reply("It is 21 degrees.", true),
        What::Text => reply("Hello there", true),
    };
    (200, JSON, body.to_string())
}

pub(super) fn tgi(asked: Asked) -> (u16, &'static str, String) {
    let details = json!({"finish_reason": "eos_token", "generated_tokens": 4, "input_length": 9});
    let text = "Hello there";
    let reply = match asked.what {
        What::Busy => return (429, JSON, json!({"error": "slow down"}).to_string()),
        What::Denied => return (401, JSON, json!({"error": "who?"}).to_string()),
        _ if !asked.is_stream => json!({"generated_text": text, "details": details}),
        _ => {
            let event = |text: &str, whole: Value, details: Value| json!({"token": {"id": 1, "text": text, "special": false}, "generated_text": whole, "details": details});
            let all = [
                event("Hello ", Value::Null, Value::Null),
                event("there", text.into(), details),
            ];
            return (200, EVENTS, events(all));
        }
    };
    (200, JSON, reply.to_string())
}

pub(super) fn bedrock(asked: Asked) -> (u16, &'static str, Vec<u8>) {
    let said = |text: &str, reason: Option<&str>| json!({"generation": text, "prompt_token_count": 9, "generation_token_count": 4, "stop_reason": reason});
    let reply = match asked.what {
        What::Busy => return (429, JSON, message("slow down")),
        What::Denied => return (401, JSON, message("who?")),
        _ if !asked.is_stream => said("Hello there", Some("stop")),
        _ => {
            let all = [said("Hello ", None), said("there", Some("stop"))];
            let all = all.map(|chunk| json!({ "chunk": chunk }));
            return (200, AMAZON, frames(&all));
        }
    };
    (200, JSON, reply.to_string().into())
}

pub(super) fn converse(asked: Asked) -> (u16, &'static str, Vec<u8>) {
    let usage = json!({"inputTokens": 9, "outputTokens": 4, "totalTokens": 13});
    let (content, reason) = match asked.what {
        What::Busy => return (429, JSON, message("slow down")),
        What::Denied => return (401, JSON, message("who?")),
        What::Tool => {
            let call = json!({"toolUseId": "t1", "name": "weather", "input": {"city": "Paris"}});
            (json!({ "toolUse": call }), "tool_use")
        }
        What::Result => (json!({"text": "It is 21 degrees."}), "end_turn"),
        What::Text => (json!({"text": "Hello there"}), "end_turn"),
    };
    if !asked.is_stream {
        let said = json!({"message": {"role": "assistant", "content": [content]}});
        let reply = json!({"output": said, "stopReason": reason, "usage": usage, "metrics": {"latencyMs": 1}});
        return (200, JSON, reply.to_string().into());
    }
    let event = |name: &str, data: Value| json!({"event": name, "data": data});
    let text = |text: &str| {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}});
        event("contentBlockDelta", delta)
    };
    let all = [
        event("messageStart", json!({"role": "assistant"})),
        text("Hello "),
        text("there"),
        event("contentBlockStop", json!({"contentBlockIndex": 0})),
        event("messageStop", json!({"stopReason": "end_turn"})),
        event(
            "metadata",
            json!({"usage": usage, "metrics": {"latencyMs": 1}}),
        ),
    ];
    (200, AMAZON, frames(&all))
}

fn message(text: &str) -> Vec<u8> {
    json!({ "message": text }).to_string().into()
}

const AMAZON: &str = "application/vnd.amazon.eventstream";
pub(super) const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
