//! Anthropic's own client for Python, in front of an upstream that speaks OpenAI's API.

use std::process::Command;

use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use portcullis::llm_mapping::{Caller, LlmMappingLayer, providers::OpenAiLike};
use serde_json::{Value, json};
use tower::Layer;

use crate::processes::python;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What OpenAI's API would take, and nothing else.
const KNOWN: [&str; 11] = [
    "model",
    "messages",
    "max_completion_tokens",
    "stop",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "temperature",
    "user",
];

async fn openai(headers: HeaderMap, chat: String) -> Response {
    let chat: Value = serde_json::from_str(&chat).unwrap();
    let unknown = chat.as_object().unwrap().keys();
    let unknown: Vec<_> = unknown
        .filter(|name| !KNOWN.contains(&name.as_str()))
        .collect();
    if !unknown.is_empty() || headers["authorization"] != "Bearer caller-key" {
        let message = format!("unknown: {unknown:?}");
        return error(StatusCode::BAD_REQUEST, &message, "invalid_request_error");
    }
    let last = chat["messages"].as_array().unwrap().last().unwrap();
    let text = last["content"].as_str().unwrap_or_default().to_owned();
    let is_stream = chat["stream"] == true;
    let (content, calls, reason) = match (last["role"].as_str(), text.as_str()) {
        (Some("tool"), text) => (json!(format!("It is {text}.")), Value::Null, "stop"),
        (_, "weather") => {
            let function = json!({"name": "weather", "arguments": "{\"city\": \"Paris\"}"});
            let call =
                json!([{"index": 0, "id": "call_1", "type": "function", "function": function}]);
            (Value::Null, call, "tool_calls")
        }
        (_, "busy") => return error(StatusCode::TOO_MANY_REQUESTS, "slow down", "requests"),
        (_, "denied") => return error(StatusCode::UNAUTHORIZED, "who?", "invalid_request_error"),
        (_, "broken") => return (StatusCode::OK, "<html>").into_response(),
        (_, "cut") => {
            let chunk = json!({"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]});
            return (
                [("content-type", "text/event-stream")],
                format!("data: {chunk}\n\n"),
            )
                .into_response();
        }
        _ => (json!("Hello there"), Value::Null, "stop"),
    };
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    if !is_stream {
        let mut message = json!({"role": "assistant", "content": content});
        if !calls.is_null() {
            message["tool_calls"] = calls;
        }
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        let reply = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [choice], "usage": usage});
        return (StatusCode::OK, JSON, reply.to_string()).into_response();
    }
    assert_eq!(chat["stream_options"]["include_usage"], true);
    let chunk = |delta: Value, reason: Option<&str>| json!({"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    for word in content.as_str().unwrap_or_default().split_inclusive(' ') {
        events.push(chunk(json!({"content": word}), None));
    }
    if !calls.is_null() {
        events.push(chunk(json!({"tool_calls": calls}), None));
    }
    events.push(chunk(json!({}), Some(reason)));
    events.push(json!({"id": "c", "model": "gpt", "choices": [], "usage": usage}));
    let mut body: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    body.push_str("data: [DONE]\n\n");
    ([("content-type", "text/event-stream")], body).into_response()
}

fn error(status: StatusCode, message: &str, kind: &str) -> Response {
    let error = json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
    (status, JSON, error.to_string()).into_response()
}

#[tokio::test]
async fn anthropics_client_reaches_an_upstream_of_openais_api() {
    let test = "anthropics_client_reaches_an_upstream_of_openais_api";
    let Some(python) = python(test, "anthropic", "anthropic") else {
        return;
    };
    let upstream = axum::Router::new().route("/v1/chat/completions", post(openai));
    let layer = LlmMappingLayer::new(OpenAiLike::openai()).unwrap();
    let service = layer.caller(Caller::Any).layer(upstream);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback_service(service);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let script = include_str!("messages_sdk.py");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .args(["-c", script, &url])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    server.abort();

    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        told["text"],
        json!(["Hello there", "end_turn", 9, 4, "assistant"])
    );
    assert_eq!(
        told["tool"],
        json!(["tool_use", "tool_use", "weather", {"city": "Paris"}])
    );
    assert_eq!(told["result"], "It is 21 degrees.");
    assert_eq!(
        told["stream hello"],
        json!([["Hello ", "there"], "end_turn", 4, ["text"]])
    );
    assert_eq!(
        told["stream weather"],
        json!([[], "tool_use", 4, ["tool_use"]])
    );
    assert_eq!(
        told["errors"],
        json!({
            "busy": ["RateLimitError", 429, "rate_limit_error", "slow down"],
            "denied": ["AuthenticationError", 401, "authentication_error", "who?"],
            "broken": ["InternalServerError", 502, "api_error", "the upstream's reply is not valid JSON at line 1, column 1"],
            "cut": ["APIStatusError", "api_error"],
        })
    );
}
