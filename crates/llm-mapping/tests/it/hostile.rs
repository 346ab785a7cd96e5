//! Callers and providers that mean harm: what they send costs no more than a limit.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use portcullis_llm_mapping::RequestBody;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

use crate::exchange::{Scripted, Told, exchange, layer};

fn asked() -> Value {
    asked_for("m", &json!({"stream": true}))
}

fn asked_for(model: &str, more: &Value) -> Value {
    let messages = [("system", "Be brief."), ("user", "Hi")]
        .map(|(role, content)| json!({"role": role, "content": content}));
    let mut request = json!({"model": model, "messages": messages});
    let members = request.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    request
}

fn stream(events: impl IntoIterator<Item = Value>) -> Scripted {
    let events = events.into_iter().map(|event| format!("data: {event}\n\n"));
    Scripted::typed("text/event-stream", events.collect::<String>())
}

/// The error that a stream ends with, or that is the answer to it.
fn error(told: &Told) -> Value {
    let text = std::str::from_utf8(&told.body).unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let last = last.strip_prefix("data: ").unwrap_or(last);
    serde_json::from_str::<Value>(last).unwrap_or_else(|_| panic!("{last}"))["error"].clone()
}

#[tokio::test]
async fn a_stream_of_endless_choices_calls_or_chunks_ends_with_an_error() {
    let call = json!({"function": {"name": "f"}});
    let texts = vec![json!({"text": "a"}); 60_000];
    let many = vec![json!({"delta": {}}); 70_000];
    let in_one = vec![call.clone(); 30_000];
    let model = "m".repeat(1000);
    for (events, message) in [
        (vec![json!({ "choices": many })], "more than 128 choices"),
        (
            (0..200)
                .map(|index| json!({"choices": [{"index": index, "delta": {}}]}))
                .collect(),
            "more than 128 choices",
        ),
        (
            vec![json!({"choices": [{"delta": {"tool_calls": in_one}}]})],
            "more than 1024 calls of tools",
        ),
        (
            vec![json!({"choices": [{"delta": {"tool_calls": [call]}}]}); 1100],
            "more than 1024 calls of tools",
        ),
        (
            vec![json!({"model": model, "choices": [{"delta": {"content": texts}}]})],
            "an event that becomes too many chunks",
        ),
    ] {
        let told = exchange(&layer("mistral"), &asked(), stream(events)).await;

        let error = error(&told);
        assert_eq!(
            error["message"],
            format!("the upstream's stream has {message}")
        );
        assert_eq!(error["code"], "invalid_upstream_response", "{message}");
        assert!(told.body.len() < 9 << 20, "{message}: {}", told.body.len());
    }
}

#[tokio::test]
async fn names_without_end_are_not_repeated_in_each_chunk() {
    let long = "x".repeat(2000);
    let call = json!({"id": long, "function": {"name": "f", "arguments": ""}});
    let events = [
        json!({"id": long, "model": long, "choices": [{"delta": {"tool_calls": [call]}}]}),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
    ];

    let told = exchange(&layer("mistral"), &asked(), stream(events)).await;

    let text = std::str::from_utf8(&told.body).unwrap();
    assert!(
        !text.contains(&long) && text.ends_with("[DONE]\n\n"),
        "{text}"
    );
    assert!(
        text.contains(r#""model":"m""#) && text.contains(r#""id":"call_"#),
        "{text}"
    );
}

#[tokio::test]
async fn as_many_chunks_as_a_stream_needs_are_none_too_many() {
    let calls: Vec<_> = (0..1024)
        .map(|index| json!({"index": index, "id": format!("c{index}"), "function": {"name": "f", "arguments": "{}"}}))
        .collect();
    let events = (0..128).map(|index| json!({"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": "stop"}]}));
    let calls = json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]});
    let long = json!({"choices": [{"index": 0, "delta": {"content": "a".repeat(1_000_000)}}]});

    let told = exchange(
        &layer("mistral"),
        &asked(),
        stream(std::iter::once(calls).chain(events).chain([long])),
    )
    .await;

    assert!(told.body.ends_with(b"data: [DONE]\n\n"), "{}", error(&told));
}

#[tokio::test]
async fn a_parameter_cannot_say_again_what_the_provider_is_told() {
    for (provider, name, more) in [
        ("anthropic", "system", json!({"system": "Be evil."})),
        ("gemini", "contents", json!({"contents": []})),
        (
            "gemini",
            "systemInstruction",
            json!({"systemInstruction": {}}),
        ),
    ] {
        let request = asked_for("m", &more);

        let told = exchange(&layer(provider), &request, Scripted::json(&json!({}))).await;

        assert!(told.got.is_none(), "{name}");
        assert_eq!(told.status, 400, "{name}");
        assert_eq!(told.json()["error"]["param"], name);
    }
    // Where the provider is told nothing of it, it passes.
    let request =
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "system": "s"});
    let told = exchange(&layer("anthropic"), &request, Scripted::json(&json!({}))).await;
    let got: Value = serde_json::from_slice(&told.got.unwrap().body).unwrap();
    assert_eq!(got["system"], "s");
}

#[tokio::test]
async fn a_model_leads_nowhere_but_to_a_model() {
    for (provider, model, path) in [
        ("ernie-v1", "..", None),
        ("ernie-v1", ".", None),
        (
            "gemini",
            "../files",
            Some("/v1beta/models/..%2Ffiles:generateContent"),
        ),
        ("gemini", "..", Some("/v1beta/models/..:generateContent")),
        (
            "gemini",
            "a?b#c\r\nd",
            Some("/v1beta/models/a%3Fb%23c%0D%0Ad:generateContent"),
        ),
        ("gemini", "", None),
        ("gemini", &*"m".repeat(2049), None),
    ] {
        let request = asked_for(model, &json!({}));

        let told = exchange(&layer(provider), &request, Scripted::json(&json!({}))).await;

        match (path, told.got.as_ref()) {
            (Some(path), Some(got)) => assert_eq!(got.uri, path),
            (None, None) => {
                assert_eq!(told.status, 400, "{model}");
                assert_eq!(told.json()["error"]["param"], "model", "{model}");
            }
            (_, got) => panic!("{provider}, {model}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn a_key_that_is_repeated_is_told_to_nobody() {
    let key = "Bearer caller-key".strip_prefix("Bearer ").unwrap();
    let long = format!("<p>{}{key}", "x".repeat(506));
    let inner = json!({"message": key, "type": key, "code": key, "param": key});
    let error = json!({"error": inner}).to_string();
    for (status, content_type, body, stream) in [
        (401, "text/html", long, false),
        (401, "application/json", error.clone(), false),
        (200, "application/json", error.clone(), false),
        (200, "text/event-stream", format!("data: {error}\n\n"), true),
    ] {
        for provider in ["openai", "mistral", "anthropic"] {
            let mut answer = Scripted::typed(content_type, body.clone());
            answer.status = status.try_into().unwrap();
            let request = asked_for("m", &json!({"stream": stream}));

            let told = exchange(&layer(provider), &request, answer).await;

            let text = String::from_utf8_lossy(&told.body).into_owned();
            assert!(
                told.status.is_client_error() || told.status.is_server_error(),
                "{text}"
            );
            assert!(!text.contains("caller"), "{provider} {status}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_coded_is_no_text_and_no_stream() {
    for (status, stream, message) in [
        (
            200,
            true,
            "the upstream's reply has a content coding that was not asked for",
        ),
        (
            200,
            false,
            "the upstream's reply has a content coding that was not asked for",
        ),
        (503, false, "Service Unavailable"),
    ] {
        let mut answer = Scripted::typed("text/event-stream", &b"\x1f\x8b\x08\x00"[..]);
        answer.status = status.try_into().unwrap();
        answer
            .headers
            .insert("content-encoding", "gzip".parse().unwrap());
        let request = asked_for("m", &json!({"stream": stream}));

        let told = exchange(&layer("openai"), &request, answer).await;

        assert_eq!(told.json()["error"]["message"], message);
        assert!(!told.headers.contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn no_debug_shows_what_is_said() {
    let requests = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = std::sync::Arc::clone(&requests);
    let client = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        *seen.lock().unwrap() = format!("{request:?}");
        let reply = json!({"type": "message", "content": [{"type": "text", "text": "whisper"}]});
        let response = Response::new(Full::<Bytes>::from(reply.to_string()));
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "whisper"}]});
    let request = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer whisper")
        .body(Full::from(request.to_string()))
        .unwrap();

    let response = layer("anthropic")
        .layer(client)
        .oneshot(request)
        .await
        .unwrap();

    let requests = requests.lock().unwrap();
    assert!(
        requests.contains("RequestBody") && !requests.contains("whisper"),
        "{requests}"
    );
    let response = format!("{response:?}");
    assert!(
        response.contains("ResponseBody") && !response.contains("whisper"),
        "{response}"
    );
}
