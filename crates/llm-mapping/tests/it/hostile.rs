//! Callers and providers that mean harm: what they send costs no more than a limit.

use serde_json::{Value, json};

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
