//! Callers of Anthropic's Messages: `tests/cases/messages`, in front of OpenAI. The files are as those of the providers; the chunks of a stream
//! are events with `event` and `data`.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portcullis_llm_mapping::{Caller, LlmMappingLayer};
use serde_json::{Value, json};

use crate::cases::{cases, name_of, scripted};
use crate::exchange::{Scripted, Told, assert_like, layer, send};

fn messages(provider: &str) -> LlmMappingLayer {
    layer(provider).caller(Caller::Anthropic)
}

fn asked(stream: bool) -> Value {
    json!({"model": "M", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": stream})
}

async fn ask(layer: &LlmMappingLayer, request: &Value, answer: Scripted) -> Told {
    let request = Request::post("/v1/messages")
        .header("x-api-key", "caller-key")
        .header("anthropic-version", "2023-06-01")
        .body(Full::from(request.to_string()))
        .unwrap();
    send(layer, request, answer).await
}

#[tokio::test]
async fn requests_become_chats() {
    for case in cases("messages", "request") {
        let name = name_of("messages", &case);

        let told = ask(
            &messages("openai"),
            &case["input"],
            Scripted::json(&json!({})),
        )
        .await;

        if let Some(error) = case.get("error") {
            assert!(told.got.is_none(), "{name}");
            assert_eq!(told.status, 400, "{name}");
            assert_like(
                &told.json(),
                &json!({"type": "error", "error": error}),
                &name,
            );
            continue;
        }
        let got = told
            .got
            .as_ref()
            .unwrap_or_else(|| panic!("{name}: {:?}", told.body));
        assert_eq!(got.uri, "/v1/chat/completions", "{name}");
        assert_eq!(got.headers["authorization"], "Bearer caller-key", "{name}");
        for header in ["x-api-key", "anthropic-version"] {
            assert!(!got.headers.contains_key(header), "{name}: {header}");
        }
        assert_like(
            &serde_json::from_slice(&got.body).unwrap(),
            &case["output"],
            &name,
        );
        let mapped = told.headers.get("x-portcullis-mapped");
        let mapped = mapped.map(|value| value.to_str().unwrap());
        assert_eq!(mapped, case["mapped"].as_str(), "{name}");
    }
}

#[tokio::test]
async fn completions_and_errors_become_messages() {
    for kind in ["reply", "error"] {
        for case in cases("messages", kind) {
            let name = name_of("messages", &case);

            let told = ask(&messages("openai"), &asked(false), scripted(&case)).await;

            let status = case.get("status_out").or(case.get("status"));
            assert_eq!(
                told.status.as_u16(),
                *status.unwrap_or(&json!(200)),
                "{name}"
            );
            assert_like(&told.json(), &case["output"], &name);
        }
    }
}

fn told_events(told: &Told, name: &str) -> Value {
    let text = std::str::from_utf8(&told.body).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let (event, data) = event
            .split_once("\ndata: ")
            .unwrap_or_else(|| panic!("{name}: {event}"));
        let data: Value = serde_json::from_str(data).unwrap();
        let event = event.strip_prefix("event: ").unwrap();
        assert_eq!(data["type"], event, "{name}");
        data
    });
    // How many of these there are depends on how the stream is cut.
    events.filter(|event| event["type"] != "ping").collect()
}

#[tokio::test]
async fn chunks_become_events_wherever_they_are_cut() {
    for case in cases("messages", "stream") {
        let name = name_of("messages", &case);
        let mut text = String::new();
        for chunk in case["chunks"].as_array().unwrap() {
            let chunk = chunk
                .as_str()
                .map_or_else(|| chunk.to_string(), str::to_owned);
            text.push_str(&format!("data: {chunk}\n\n"));
        }
        let whole = Bytes::from(text);
        let bytes: Vec<_> = (0..whole.len()).map(|at| whole.slice(at..=at)).collect();
        let halves = (1..whole.len()).map(|cut| vec![whole.slice(..cut), whole.slice(cut..)]);
        for chunks in [vec![whole.clone()], bytes].into_iter().chain(halves) {
            let mut answer = Scripted::typed("text/event-stream", Bytes::new());
            answer.chunks = chunks;

            let told = ask(&messages("openai"), &asked(true), answer).await;

            assert_eq!(told.status, 200, "{name}: {:?}", told.body);
            assert_like(&told_events(&told, &name), &case["events"], &name);
        }
    }
}

/// Through a chat and back nothing is lost that both have.
#[tokio::test]
async fn a_message_that_goes_to_anthropic_after_all_is_the_same() {
    let request = json!({
        "model": "M", "max_tokens": 9, "system": "s", "temperature": 0.5, "stop_sequences": ["x"], "stream": false,
        "metadata": {"user_id": "u1"}, "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1.0}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}, {"type": "text", "text": "c"}]},
        ],
    });
    let reply = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1.0}}],
        "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
    });

    let told = ask(&messages("anthropic"), &request, Scripted::json(&reply)).await;

    let got = told.got.as_ref().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap(), request);
    assert_eq!(got.headers["x-api-key"], "caller-key");
    assert_eq!(told.json(), reply);
    assert!(!told.headers.contains_key("x-portcullis-mapped"));
}

#[tokio::test]
async fn either_caller_is_known_by_its_path() {
    let reply = json!({"id": "r", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]});
    let layer = layer("openai").caller(Caller::Any);

    let message = ask(&layer, &asked(false), Scripted::json(&reply)).await;
    let completion = crate::exchange::exchange(&layer, &asked(false), Scripted::json(&reply)).await;

    assert_eq!(message.json()["content"][0]["text"], "a");
    assert_eq!(completion.json(), reply);
}

#[tokio::test]
async fn messages_of_a_thread_pass_untouched() {
    let message = json!({"role": "user", "content": "Hi"});
    let request =
        Request::post("/v1/threads/thread_1/messages").body(Full::from(message.to_string()));
    let layer = layer("anthropic").caller(Caller::Any);

    let told = send(
        &layer,
        request.unwrap(),
        Scripted::json(&json!({"id": "msg_1"})),
    )
    .await;

    let got = told.got.as_ref().unwrap();
    assert_eq!(got.uri, "/v1/threads/thread_1/messages");
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap(), message);
    assert_eq!(told.json(), json!({"id": "msg_1"}));
}

fn stream(chunks: impl IntoIterator<Item = Value>) -> Scripted {
    let chunks = chunks.into_iter().map(|chunk| format!("data: {chunk}\n\n"));
    let text = chunks.chain(["data: [DONE]\n\n".to_owned()]);
    Scripted::typed("text/event-stream", text.collect::<String>())
}

fn calls(calls: &Value) -> Value {
    json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})
}

fn call(index: u64, id: &str, name: &str) -> Value {
    json!({"index": index, "id": id, "function": {"name": name, "arguments": "{}"}})
}

#[tokio::test]
async fn calls_of_one_number_and_different_ids_are_different_blocks() {
    let first = json!([call(0, "a", "f"), call(0, "b", "g")]);
    let chunks = [calls(&first), calls(&json!([call(0, "b", "g")]))];

    let told = ask(&messages("openai"), &asked(true), stream(chunks)).await;

    let told = told_events(&told, "calls");
    let of_kind = |kind: &str, place: &str| -> Vec<_> {
        let events = told.as_array().unwrap().iter();
        let events = events.filter(|event| event["type"] == kind);
        events
            .map(|event| event.pointer(place).unwrap().clone())
            .collect()
    };
    assert_eq!(
        of_kind("content_block_start", "/content_block/id"),
        ["a", "b"]
    );
    assert_eq!(of_kind("content_block_delta", "/index"), [0, 1, 1]);
    assert_eq!(of_kind("content_block_stop", "/index"), [0, 1]);
}

#[tokio::test]
async fn pieces_of_calls_that_are_mixed_are_an_error() {
    let piece = json!({"index": 0, "function": {"arguments": "{}"}});
    let all = json!([call(0, "a", "f"), call(1, "b", "g"), piece]);

    let told = ask(&messages("openai"), &asked(true), stream([calls(&all)])).await;

    let told = told_events(&told, "mixed");
    let last = told.as_array().unwrap().last().unwrap();
    assert_eq!(last["type"], "error", "{told}");
    assert_eq!(
        last["error"]["message"],
        "the pieces of calls in the upstream's stream are mixed"
    );
}

#[tokio::test]
async fn an_event_as_long_as_one_may_be_becomes_events() {
    let text = "a".repeat(1_048_500);
    let chunks = [
        json!({"choices": [{"delta": {"content": text}}]}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    ];

    let told = ask(&messages("mistral"), &asked(true), stream(chunks)).await;

    let events = told_events(&told, "long");
    let events = events.as_array().unwrap();
    assert!(events.iter().any(|event| event["delta"]["text"] == text));
    assert_eq!(events.last().unwrap()["type"], "message_stop");
}

#[tokio::test]
async fn a_call_without_an_id_gets_one() {
    let call = json!({"function": {"name": "f", "arguments": "{}"}});
    let choice = json!({"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"});
    let reply = Scripted::json(&json!({"choices": [choice]}));

    let told = ask(&messages("openai"), &asked(false), reply).await;

    let call = json!({"type": "tool_use", "id": "<toolu_>", "name": "f", "input": {}});
    assert_like(&told.json()["content"], &json!([call]), "no id");
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    for (body, message) in [
        (
            r#"{"model":"M","messages":[{"role":"user","content":5}]}"#,
            "a content is a string or an array, not a number",
        ),
        (
            r#"{"model":"M","messages":[{"role":"assistant","content":{}}]}"#,
            "a content is a string or an array, not an object",
        ),
        (
            r#"{"model":"M","system":"a","system":"b","messages":[{"role":"user","content":""}]}"#,
            "`system` is given twice",
        ),
    ] {
        let request = Request::post("/v1/messages")
            .body(Full::from(body))
            .unwrap();

        let told = send(&messages("openai"), request, Scripted::default()).await;

        assert!(told.got.is_none(), "{body}");
        assert_eq!(told.json()["error"]["message"], message);
    }
}
