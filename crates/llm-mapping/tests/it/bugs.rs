//! Bugs that gateways have, or had, as laws: each test is named by what must hold.
//!
//! Those of the language of mappings are in `portcullis-param-mapping`. These are of chats, and hold for every provider that they can concern.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use portcullis_llm_mapping::{LlmMappingLayer, providers};
use portcullis_test_support::ScriptBody;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

use crate::cases::PROVIDERS;
use crate::exchange::{Scripted, Told, exchange, layer};

/// What a provider is sent for a chat with these members.
async fn sent(provider: &str, members: &Value) -> Value {
    let told = exchange(&layer(provider), &chat(members), Scripted::json(&json!({}))).await;
    let got = told
        .got
        .unwrap_or_else(|| panic!("{provider}: {:?}", told.body));
    serde_json::from_slice(&got.body).unwrap()
}

fn chat(members: &Value) -> Value {
    let mut chat = json!({"model": "M", "messages": [{"role": "user", "content": "Hi"}]});
    let object = chat.as_object_mut().unwrap();
    object.extend(members.as_object().unwrap().clone());
    chat
}

async fn streamed(provider: &str, chunks: Vec<Bytes>, breaks: bool) -> Told {
    let mut answer = Scripted::typed("text/event-stream", "");
    answer.chunks = chunks;
    answer.breaks = breaks;
    exchange(&layer(provider), &chat(&json!({"stream": true})), answer).await
}

/// The data of the events that a caller got, and whether `[DONE]` is the last one.
fn events(told: &Told) -> (Vec<Value>, bool) {
    let text = std::str::from_utf8(&told.body).unwrap();
    let data: Vec<_> = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect();
    let is_done = data.last() == Some(&"[DONE]");
    let values = data
        .iter()
        .filter_map(|data| serde_json::from_str(data).ok());
    (values.collect(), is_done)
}

/// Where a number of this value stands, however deep.
fn holds(json: &Value, number: f64) -> bool {
    match json {
        Value::Number(found) => found.as_f64() == Some(number),
        Value::Array(list) => list.iter().any(|json| holds(json, number)),
        Value::Object(members) => members.values().any(|json| holds(json, number)),
        _ => false,
    }
}

fn sse(events: &[Value]) -> String {
    let name = |event: &Value| match event["type"].as_str() {
        Some(name) => format!("event: {name}\n"),
        None => String::new(),
    };
    events
        .iter()
        .map(|event| format!("{}data: {event}\n\n", name(event)))
        .collect()
}

/// A stream of Anthropic's: a thought, a text, and two calls.
fn two_calls() -> String {
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    sse(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "cache_read_input_tokens": 4}}}),
        start(0, json!({"type": "text", "text": ""})),
        delta(0, json!({"type": "text_delta", "text": "é"})),
        stop(0),
        start(1, call("t1")),
        delta(
            1,
            json!({"type": "input_json_delta", "partial_json": "{\"a\":"}),
        ),
        delta(1, json!({"type": "input_json_delta", "partial_json": "1}"})),
        stop(1),
        start(2, call("t2")),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ])
}

/// The arguments of the calls that a caller puts together, by their index.
fn arguments(events: &[Value]) -> Vec<String> {
    let mut calls: Vec<String> = Vec::new();
    for event in events {
        let pieces = event["choices"][0]["delta"]["tool_calls"].as_array();
        for piece in pieces.into_iter().flatten() {
            let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
            calls.resize(calls.len().max(index + 1), String::new());
            calls[index] += piece["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    calls
}

#[tokio::test]
async fn temperature_zero_is_sent() {
    for provider in PROVIDERS {
        let body = sent(provider, &json!({"temperature": 0})).await;

        // Who refuses 0 gets the least that is taken.
        let refuses_zero = provider.starts_with("ernie") || *provider == "tgi";
        let expected = if refuses_zero { 0.01 } else { 0.0 };
        assert!(holds(&body, expected), "{provider}: {body}");
    }
}

#[tokio::test]
async fn stream_false_is_no_stream() {
    for provider in PROVIDERS {
        let body = sent(provider, &json!({"stream": false})).await;

        assert_ne!(body["stream"], true, "{provider}");
    }
}

#[tokio::test]
async fn one_text_that_ends_the_reply_is_sent_in_the_providers_form() {
    for (provider, pointer, expected) in [
        ("anthropic", "/stop_sequences", json!(["END"])),
        ("gemini", "/generationConfig/stopSequences", json!(["END"])),
        ("ollama", "/options/stop", json!(["END"])),
        ("ernie-v1", "/stop", json!(["END"])),
    ] {
        let body = sent(provider, &json!({"stop": "END"})).await;

        assert_eq!(body.pointer(pointer), Some(&expected), "{provider}: {body}");
    }
}

#[tokio::test]
async fn what_a_provider_requires_is_never_left_out() {
    let body = sent("anthropic", &json!({})).await;

    assert_eq!(body["max_tokens"], 4096);
}

#[tokio::test]
async fn all_that_the_system_says_is_sent() {
    let messages = json!([
        {"role": "system", "content": "first-word"}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"}, {"role": "developer", "content": "last-word"},
        {"role": "user", "content": "So."},
    ]);
    for provider in PROVIDERS {
        let body = sent(provider, &json!({"messages": messages}))
            .await
            .to_string();

        for word in ["first-word", "last-word"] {
            assert!(body.contains(word), "{provider}: {body}");
        }
    }
}

#[tokio::test]
async fn a_penalty_is_never_sent_on_another_scale() {
    for provider in PROVIDERS {
        let body = sent(provider, &json!({"frequency_penalty": 0.25})).await;
        let text = body.to_string();

        for other in ["repetition_penalty", "repeat_penalty"] {
            assert!(!text.contains(other), "{provider}: {text}");
        }
        let score = body.get("penalty_score").and_then(Value::as_f64);
        assert!(
            score.is_none_or(|score| (score - 1.125).abs() < 1e-9),
            "{provider}: {text}"
        );
    }
}

#[tokio::test]
async fn arguments_in_pieces_are_json_when_they_are_put_together() {
    let told = streamed("anthropic", vec![two_calls().into()], false).await;

    assert_eq!(arguments(&events(&told).0), [r#"{"a":1}"#, "{}"]);
}

#[tokio::test]
async fn calls_are_counted_from_zero_whatever_else_is_said() {
    let told = streamed("anthropic", vec![two_calls().into()], false).await;

    let (events, _) = events(&told);
    let calls = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
    let begun: Vec<_> = calls.filter(|call| call["id"].is_string()).collect();
    assert_eq!(begun.len(), 2);
    assert_eq!(begun[0]["index"], 0);
    assert_eq!(begun[1]["index"], 1);
}

#[tokio::test]
async fn a_call_before_the_chunk_that_ends_it_is_the_reason_for_the_end() {
    let part = |part: Value| json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]});
    let call = part(json!({"functionCall": {"name": "f", "args": {}}}));
    let mut last = part(json!({"text": ""}));
    last["candidates"][0]["finishReason"] = "STOP".into();

    let told = streamed("gemini", vec![sse(&[call, last]).into()], false).await;

    let (events, is_done) = events(&told);
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
    assert!(is_done);
}

#[tokio::test]
async fn an_event_is_none_before_it_is_complete_and_line_ends_are_of_any_kind() {
    let whole = streamed("anthropic", vec![two_calls().into()], false).await;
    for end in ["\n", "\r\n", "\r"] {
        let bytes = Bytes::from(two_calls().replace('\n', end));
        let cut = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();

        let told = streamed("anthropic", cut, false).await;

        assert_eq!(told.body, whole.body, "{end:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_done_and_one_that_fails_with_an_error() {
    let whole = two_calls();
    let (_, is_done) = events(&streamed("anthropic", vec![whole.clone().into()], false).await);
    assert!(is_done);

    let (half, _) = whole.split_once("event: message_delta").unwrap();
    for breaks in [true, false] {
        let told = streamed(
            "anthropic",
            vec![Bytes::copy_from_slice(half.as_bytes())],
            breaks,
        )
        .await;

        let (events, is_done) = events(&told);
        assert!(!is_done, "{breaks}");
        assert_eq!(
            events.last().unwrap()["error"]["code"],
            "incomplete_stream",
            "{breaks}"
        );
    }
}

#[tokio::test]
async fn ids_and_times_are_of_the_reply_and_the_same_in_all_of_its_chunks() {
    let reply = json!({"type": "message", "id": "msg_7", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"});
    let told = exchange(
        &layer("anthropic"),
        &chat(&json!({})),
        Scripted::json(&reply),
    )
    .await;
    assert_eq!(told.json()["id"], "msg_7");
    assert_eq!(told.json()["created"], 1_700_000_000);

    let (events, _) = events(&streamed("anthropic", vec![two_calls().into()], false).await);
    for event in events {
        assert_eq!(
            (&event["id"], &event["created"]),
            (&json!("msg_1"), &json!(1_700_000_000))
        );
    }
}

#[tokio::test]
async fn the_total_is_what_its_parts_add_up_to() {
    let reply = json!({
        "type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 6},
    });
    let anthropic = exchange(
        &layer("anthropic"),
        &chat(&json!({})),
        Scripted::json(&reply),
    )
    .await;
    let reply = json!({
        "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 2, "thoughtsTokenCount": 4, "totalTokenCount": 18},
    });
    let gemini = exchange(&layer("gemini"), &chat(&json!({})), Scripted::json(&reply)).await;

    for told in [anthropic, gemini] {
        let usage = &told.json()["usage"];
        assert_eq!(usage["prompt_tokens"], 12, "{usage}");
        assert_eq!(usage["completion_tokens"], 6, "{usage}");
        assert_eq!(usage["total_tokens"], 18, "{usage}");
    }
}

#[tokio::test]
async fn a_chat_that_is_sent_again_is_mapped_from_the_callers_own() {
    let request = chat(&json!({"stop": "END", "max_tokens": 5, "user": "u"}));
    for provider in PROVIDERS {
        let layer = layer(provider);
        let first = exchange(&layer, &request, Scripted::json(&json!({}))).await;
        let second = exchange(&layer, &request, Scripted::json(&json!({}))).await;

        assert_eq!(
            first.got.unwrap().body,
            second.got.unwrap().body,
            "{provider}"
        );
    }
}

#[tokio::test]
async fn nothing_of_a_schema_is_lost_or_invented() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    for (provider, pointer) in [
        ("anthropic", "/tools/0/input_schema"),
        ("mistral", "/tools/0/function/parameters"),
        ("together", "/tools/0/function/parameters"),
        ("ollama", "/tools/0/function/parameters"),
        ("ernie-v1", "/functions/0/parameters"),
        ("ernie-v2", "/tools/0/function/parameters"),
    ] {
        let body = sent(provider, &json!({"tools": tools})).await;

        assert_eq!(body.pointer(pointer), Some(&schema), "{provider}: {body}");
    }
}

#[tokio::test]
async fn a_chunk_without_choices_is_no_reason_to_fail() {
    let delta = json!({"id": "x", "created": 5, "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]});
    let empty = json!({"id": "x", "created": 5, "model": "m", "choices": []});
    for provider in ["openai", "mistral", "together", "ernie-v2"] {
        let text = sse(&[empty.clone(), delta.clone(), empty.clone()]) + "data: [DONE]\n\n";

        let told = streamed(provider, vec![text.into()], false).await;

        assert_eq!(told.status, 200, "{provider}");
        assert!(events(&told).1, "{provider}");
    }
}

#[tokio::test]
async fn an_error_with_the_status_of_a_success_is_an_error() {
    let error = json!({"error_code": 17, "error_msg": "Open api daily request limit reached"});

    let told = exchange(
        &layer("ernie-v1"),
        &chat(&json!({})),
        Scripted::json(&error),
    )
    .await;

    assert_eq!(told.status, 429);
    assert_eq!(told.json()["error"]["code"], "insufficient_quota");
    assert_eq!(
        told.json()["error"]["message"],
        "Open api daily request limit reached"
    );
}

#[tokio::test]
async fn a_model_that_is_not_there_is_no_question_of_the_key() {
    let mut answer = Scripted::json(&json!({"error": {"code": "invalid_model", "message": "m"}}));
    answer.status = http::StatusCode::UNAUTHORIZED;

    let told = exchange(&layer("ernie-v2"), &chat(&json!({})), answer).await;

    assert_eq!(told.status, 404);
    assert_eq!(told.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn nothing_of_one_caller_reaches_another_one() {
    let layer = LlmMappingLayer::shared(providers::by_name("anthropic").unwrap()).unwrap();
    let keys = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&keys);
    let service = layer.layer(tower::service_fn(move |request: http::Request<_>| {
        let headers: &HeaderMap = request.headers();
        seen.lock().unwrap().push(headers["x-api-key"].clone());
        let _: portcullis_llm_mapping::RequestBody<Full<Bytes>> = request.into_body();
        async { Ok::<_, std::convert::Infallible>(http::Response::new(ScriptBody::chunks(["{}"]))) }
    }));

    for key in ["one", "other"] {
        let request = http::Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {key}"));
        let request = request
            .body(Full::from(chat(&json!({})).to_string()))
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }

    assert_eq!(
        *keys.lock().unwrap(),
        ["one", "other"],
        "each chat is asked for with its own key"
    );
}
