//! What each setting of the layer does.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use portcullis_gateway_error::{ErrorKind, Failure};
use portcullis_llm_mapping::{ApiKey, ChatModel, LlmMappingLayer, Policy, providers};
use portcullis_param_mapping::Report;
use serde_json::{Value, json};

use crate::exchange::{Scripted, Told, exchange, layer, send};

fn hello(more: &Value) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let members = request.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    request
}

fn reply() -> Scripted {
    Scripted::json(
        &json!({"type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}),
    )
}

fn got(told: &Told) -> Value {
    let got = told
        .got
        .as_ref()
        .unwrap_or_else(|| panic!("{:?}", told.body));
    serde_json::from_slice(&got.body).unwrap()
}

fn header<'a>(told: &'a Told, name: &str) -> Option<&'a str> {
    told.headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_parameter_is_left_out_or_refused_or_passes() {
    let request = hello(&json!({"seed": 7, "n": 2}));
    let anthropic = || layer("anthropic").unsupported("n", Policy::Drop);

    let dropped = exchange(&anthropic(), &request, reply()).await;
    let passed = exchange(
        &anthropic().unsupported("seed", Policy::Pass),
        &request,
        reply(),
    )
    .await;
    let refused = exchange(
        &anthropic().unsupported("seed", Policy::Reject),
        &request,
        reply(),
    )
    .await;

    assert_eq!(
        header(&dropped, "x-portcullis-mapped"),
        Some("dropped=(\"body:/seed\" \"body:/n\")")
    );
    assert_eq!(got(&dropped).get("seed"), None);
    assert_eq!(got(&passed)["seed"], 7);
    assert_eq!(
        header(&passed, "x-portcullis-mapped"),
        Some("dropped=(\"body:/n\")")
    );
    assert_eq!(refused.status, 400);
    assert!(refused.got.is_none());
    let error = json!({
        "message": "`seed` is not supported by anthropic", "type": "invalid_request_error", "param": "seed", "code": "unsupported_parameter",
    });
    assert_eq!(refused.json(), json!({ "error": error }));
}

#[tokio::test]
async fn what_was_left_out_is_told_in_the_header_of_choice_and_in_the_report() {
    let request = hello(&json!({"seed": 7, "temperature": 2}));

    let named = layer("anthropic").report_header(http::HeaderName::from_static("x-mapped"));
    let named = exchange(&named, &request, reply()).await;
    let silent = exchange(&layer("anthropic").report_header(None), &request, reply()).await;

    let told = "dropped=(\"body:/seed\"), clamped=(\"body:/temperature\")";
    assert_eq!(header(&named, "x-mapped"), Some(told));
    assert_eq!(header(&silent, "x-portcullis-mapped"), None);
    let report = silent.extensions.get::<Report>().unwrap();
    let params: Vec<_> = report.changes().map(|change| change.param()).collect();
    assert_eq!(params, ["body:/seed", "body:/temperature"]);
}

#[tokio::test]
async fn the_base_the_key_and_the_model_are_the_layers() {
    let layer = layer("anthropic")
        .base_url("https://gateway.example/anthropic/")
        .unwrap()
        .api_key(ApiKey::new("sk-own").unwrap());
    let mut request = Request::post("/v1/chat/completions")
        .header("host", "ours.example")
        .header("cookie", "session=ours")
        .header("proxy-authorization", "Basic b3Vycw==")
        .header("expect", "100-continue")
        .header("authorization", "Bearer caller-key")
        .body(Full::from(hello(&json!({})).to_string()))
        .unwrap();
    request.extensions_mut().insert(ChatModel::new("claude"));

    let told = send(&layer, request, reply()).await;

    let request = told.got.as_ref().unwrap();
    assert_eq!(request.uri, "https://gateway.example/anthropic/v1/messages");
    assert_eq!(request.headers["x-api-key"], "sk-own");
    assert!(request.headers["x-api-key"].is_sensitive());
    for name in [
        "authorization",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
    ] {
        assert!(!request.headers.contains_key(name), "{name}");
    }
    assert_eq!(got(&told)["model"], "claude");
    // The provider does not say which model it was.
    assert_eq!(told.json()["model"], "claude");
}

#[test]
fn a_wrong_base_is_refused() {
    for (url, message) in [
        (
            "api.example",
            "base_url: `api.example` must begin with `http://` or `https://`",
        ),
        (
            "ftp://a",
            "base_url: `ftp://a` must begin with `http://` or `https://`",
        ),
        ("http://a b", "base_url: `http://a b` is not a URL"),
        (
            "http://a/?key=secret",
            "base_url: `http://a/?…` must have no query",
        ),
        ("http://me:secret@a", "base_url: must not hold a password"),
        (
            "http://me:secret@a b",
            "base_url: what is given is not a URL",
        ),
        (
            "me:secret@a",
            "base_url: what is given must begin with `http://` or `https://`",
        ),
    ] {
        let mistake = layer("openai").base_url(url).unwrap_err();
        assert_eq!(mistake.to_string(), message);
    }
}

#[test]
fn names_of_providers_are_known_and_others_are_refused() {
    for name in providers::NAMES {
        let provider = providers::by_name(name).unwrap();
        assert_eq!(provider.name(), *name);
        assert!(LlmMappingLayer::shared(provider).is_ok(), "{name}");
    }
    let mistake = providers::by_name("bard").unwrap_err().to_string();
    assert!(
        mistake
            .starts_with("provider: `bard` is not a provider: it is one of `openai`, `anthropic`"),
        "{mistake}"
    );
}

#[test]
fn no_debug_shows_the_key() {
    let layer = layer("openai").api_key(ApiKey::new("sk-own").unwrap());

    assert!(!format!("{layer:?}").contains("sk-own"));
}

#[tokio::test]
async fn the_table_can_be_another_one() {
    let table =
        "rules: [{move: body:/max_tokens, to: body:/limit}]\nfinish_reasons: {end_turn: length}";
    let layer = layer("anthropic").tables(table).unwrap();

    let told = exchange(
        &layer,
        &hello(&json!({"max_tokens": 5, "seed": 1})),
        reply(),
    )
    .await;

    assert_eq!(
        (&got(&told)["limit"], &got(&told)["seed"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(told.json()["choices"][0]["finish_reason"], "length");
    assert!(crate::exchange::layer("openai").tables("rules: 1").is_err());
}

#[tokio::test]
async fn bodies_have_limits_and_no_codings() {
    let request = hello(&json!({}));
    let length = request.to_string().len();
    let long = exchange(
        &layer("anthropic").max_request_bytes(length - 1),
        &request,
        reply(),
    )
    .await;
    let fits = exchange(
        &layer("anthropic").max_request_bytes(length),
        &request,
        reply(),
    )
    .await;
    let long_reply = exchange(&layer("anthropic").max_reply_bytes(10), &request, reply()).await;
    let mut coded = reply();
    coded
        .headers
        .insert("content-encoding", "gzip".parse().unwrap());
    let coded_reply = exchange(&layer("anthropic"), &request, coded).await;
    let coded = Request::post("/v1/chat/completions")
        .header("content-encoding", "gzip")
        .body(Full::from(request.to_string()))
        .unwrap();
    let coded = send(&layer("anthropic"), coded, reply()).await;

    assert_eq!(
        (long.status, fits.status),
        (StatusCode::PAYLOAD_TOO_LARGE, StatusCode::OK)
    );
    assert!(long.got.is_none());
    assert_eq!(
        fits.got.as_ref().unwrap().headers["accept-encoding"],
        "identity"
    );
    assert_eq!(coded.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for (told, kind) in [
        (&long_reply, ErrorKind::HttpResponseBodySize),
        (&coded_reply, ErrorKind::HttpProtocolError),
    ] {
        assert_eq!(told.status, StatusCode::BAD_GATEWAY);
        assert_eq!(told.json()["error"]["code"], "invalid_upstream_response");
        assert!(header(told, "proxy-status").is_some_and(|it| it.starts_with("portcullis;error=")));
        assert_eq!(
            told.extensions.get::<Failure>().and_then(Failure::kind),
            Some(kind)
        );
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_a_gateway_error() {
    let mut answer = reply();
    answer.breaks = true;

    let told = exchange(&layer("anthropic").name("edge"), &hello(&json!({})), answer).await;

    assert_eq!(told.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        told.json()["error"]["message"],
        "the upstream's reply broke off"
    );
    assert!(header(&told, "proxy-status").is_some_and(|it| it.starts_with("edge;error=")));
}

#[tokio::test]
async fn a_whole_reply_to_a_request_for_a_stream_is_none() {
    let told = exchange(
        &layer("anthropic"),
        &hello(&json!({"stream": true})),
        reply(),
    )
    .await;

    assert_eq!(told.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        told.json()["error"]["message"],
        "the upstream answered with a whole reply instead of a stream"
    );
}

#[tokio::test]
async fn a_redirect_passes_as_it_is() {
    let mut answer = Scripted::typed("text/html", "moved");
    answer.status = StatusCode::FOUND;
    answer
        .headers
        .insert("location", "/elsewhere".parse().unwrap());

    let told = exchange(&layer("anthropic"), &hello(&json!({})), answer).await;

    assert_eq!(
        (told.status, &told.body[..]),
        (StatusCode::FOUND, &b"moved"[..])
    );
    assert_eq!(header(&told, "location"), Some("/elsewhere"));
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_the_stream() {
    let layer = layer("anthropic").max_event_bytes(100);
    let stream = Scripted::typed(
        "text/event-stream",
        Bytes::from(format!("data: {}\n\n", "x".repeat(200))),
    );

    let told = exchange(&layer, &hello(&json!({"stream": true})), stream).await;

    assert_eq!(told.status, StatusCode::BAD_GATEWAY);
    assert_eq!(told.json()["error"]["code"], "invalid_upstream_response");
}

#[tokio::test]
async fn thoughts_are_told_where_the_layer_is_told_to() {
    let said = json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]);
    let answer =
        Scripted::json(&json!({"type": "message", "content": said, "stop_reason": "end_turn"}));

    let silent = exchange(&layer("anthropic"), &hello(&json!({})), answer.clone()).await;
    let told = exchange(
        &layer("anthropic").tell_reasoning(true),
        &hello(&json!({})),
        answer,
    )
    .await;

    let message = |told: &Told| told.json()["choices"][0]["message"].clone();
    assert_eq!(message(&silent).get("reasoning_content"), None);
    assert_eq!(message(&told)["reasoning_content"], "hm");
}
