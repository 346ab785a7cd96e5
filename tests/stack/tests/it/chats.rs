//! The gateway in front of three providers: which of them is asked, and who answers.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::processes::{Process, folder, gateway};

/// What a provider answers: a status, a content type and a body; none: nothing ever.
type Answer = Option<(u16, &'static str, String)>;

/// Three providers at one address, each under its name, with what each answers and what each got.
#[derive(Clone, Default)]
struct Providers {
    answers: Arc<Mutex<Vec<(&'static str, Answer)>>>,
    got: Arc<Mutex<Vec<String>>>,
    /// Somebody waits for an answer, and somebody has stopped waiting.
    asked: Arc<Notify>,
    left: Arc<Notify>,
}

struct Left(Arc<Notify>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Providers {
    fn answer(&self, answers: impl IntoIterator<Item = (&'static str, Answer)>) {
        *self.answers.lock().unwrap() = answers.into_iter().collect();
        self.got.lock().unwrap().clear();
    }

    /// What each was asked: its name and the model.
    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

async fn provider(
    State(providers): State<Providers>,
    Path((name, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    let key = |headers: &HeaderMap, header: &str| headers[header].to_str().unwrap().to_owned();
    let (expected, key) = match name.as_str() {
        "anthropic" => (
            ("v1/messages", "key-of-anthropic"),
            key(request.headers(), "x-api-key"),
        ),
        "openai" => (
            ("v1/chat/completions", "Bearer key-of-openai"),
            key(request.headers(), "authorization"),
        ),
        _ => (
            ("v1/chat/completions", "Bearer key-of-mistral"),
            key(request.headers(), "authorization"),
        ),
    };
    assert_eq!((path.as_str(), key.as_str()), expected);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let model = body["model"].as_str().unwrap();
    providers
        .got
        .lock()
        .unwrap()
        .push(format!("{name} {model}"));
    let answers = providers.answers.lock().unwrap().clone();
    let (_, answer) = answers
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    let Some((status, content_type, body)) = answer else {
        let _left = Left(providers.left.clone());
        providers.asked.notify_one();
        return std::future::pending().await;
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", content_type);
    response.body(Body::from(body)).unwrap()
}

/// The providers and the gateway before them.
async fn start(test: &str) -> (Providers, Process, String) {
    let providers = Providers::default();
    let app = Router::new().route("/{name}/{*path}", axum::routing::post(provider));
    let app = app.with_state(providers.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let folder = folder(test);
    let mut config = "chats:\n  max_request_bytes: 4000\n  providers:\n".to_owned();
    for name in ["openai", "anthropic", "mistral"] {
        let key = folder.join(name);
        std::fs::write(&key, format!("key-of-{name}\n")).unwrap();
        let key = key.display();
        config += &format!(
            "    {name}: {{base_url: \"http://{address}/{name}\", api_key: {{file: \"{key}\"}}}}\n"
        );
    }
    config += "  routes:
    - model: gpt-*
      targets: [openai, anthropic/claude-sonnet-4-5, mistral/mistral-large-latest]
    - model: small
      targets: [openai, mistral]
      fallback: {max_replay_bytes: 300}
";
    let file = folder.join("gateway.yaml");
    std::fs::write(&file, config).unwrap();
    let (process, url) = gateway(&["--config", file.to_str().unwrap()]);
    (providers, process, url)
}

async fn chat(url: &str, chat: &Value) -> (StatusCode, HeaderMap, Bytes) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::post(format!("{url}/v1/chat/completions"));
    let request = request.header("content-type", "application/json");
    let request = request.header("authorization", "Bearer of-the-caller");
    let request = request
        .body(Full::new(Bytes::from(chat.to_string())))
        .unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    (
        head.status,
        head.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

fn asking(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
}

fn error(status: u16, body: &Value) -> Answer {
    Some((status, "application/json", body.to_string()))
}

fn reply(model: &str) -> Answer {
    let message = json!({"role": "assistant", "content": "Hello"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    error(
        200,
        &json!({"id": "r", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}),
    )
}

fn bad_gateway() -> Answer {
    Some((
        502,
        "text/html",
        "<html><h1>502 Bad Gateway</h1></html>".to_owned(),
    ))
}

fn overloaded() -> Answer {
    error(
        529,
        &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    )
}

#[tokio::test]
async fn one_chat_goes_from_openai_to_anthropic_to_mistral() {
    let (providers, _gateway, url) = start("chats_chain").await;
    providers.answer([
        ("openai", bad_gateway()),
        ("anthropic", overloaded()),
        ("mistral", reply("mistral-large-latest")),
    ]);

    let (status, _, body) = chat(&url, &asking("gpt-4o")).await;

    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["model"], "mistral-large-latest");
    assert_eq!(body["choices"][0]["message"]["content"], "Hello");
    assert_eq!(
        providers.got(),
        [
            "openai gpt-4o",
            "anthropic claude-sonnet-4-5",
            "mistral mistral-large-latest"
        ]
    );
}

#[tokio::test]
async fn what_the_caller_did_wrong_is_asked_once_and_so_is_who_is_named() {
    let (providers, _gateway, url) = start("chats_once").await;
    let wrong = json!({"error": {"message": "no such tool", "type": "invalid_request_error", "param": "tools", "code": null}});
    providers.answer([
        ("openai", error(400, &wrong)),
        ("anthropic", overloaded()),
        ("mistral", reply("m")),
    ]);

    let (status, _, body) = chat(&url, &asking("gpt-4o")).await;
    assert_eq!(
        (status, serde_json::from_slice(&body).ok()),
        (StatusCode::BAD_REQUEST, Some(wrong))
    );
    assert_eq!(providers.got(), ["openai gpt-4o"]);
    let (status, _, body) = chat(&url, &asking("anthropic/claude-haiku-4-5")).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status.as_u16(), &body["error"]["message"]),
        (529, &json!("Overloaded"))
    );
    let (status, _, body) = chat(&url, &asking("claude")).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    assert_eq!(
        providers.got(),
        ["openai gpt-4o", "anthropic claude-haiku-4-5"]
    );
}

#[tokio::test]
async fn a_stream_whose_first_event_is_an_error_is_asked_of_the_next() {
    let (providers, _gateway, url) = start("chats_stream").await;
    let events = "text/event-stream";
    let busy = "data: {\"error\": {\"message\": \"busy\", \"type\": \"server_error\", \"code\": null}}\n\n";
    let overloaded = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n";
    let chunk = json!({"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": null}]});
    let last = json!({"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let whole = format!("data: {chunk}\n\ndata: {last}\n\ndata: [DONE]\n\n");
    providers.answer([
        ("openai", Some((200, events, busy.to_owned()))),
        ("anthropic", Some((200, events, overloaded.to_owned()))),
        ("mistral", Some((200, events, whole))),
    ]);
    let mut request = asking("gpt-4o");
    request["stream"] = true.into();

    let (status, headers, body) = chat(&url, &request).await;

    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &events.parse().unwrap()),
        "{body}"
    );
    assert!(
        body.contains("Hello") && body.ends_with("data: [DONE]\n\n"),
        "{body}"
    );
    assert_eq!(providers.got().len(), 3);
}

#[tokio::test]
async fn a_chat_that_is_too_long_to_be_kept_is_asked_once_and_one_over_the_limit_never() {
    let (providers, _gateway, url) = start("chats_long").await;
    providers.answer([("openai", bad_gateway()), ("mistral", reply("m"))]);
    let long = |length: usize| {
        let mut chat = asking("small");
        chat["messages"][0]["content"] = "x".repeat(length).into();
        chat
    };

    assert_eq!(chat(&url, &long(10)).await.0, 200);
    assert_eq!(providers.got(), ["openai small", "mistral small"]);
    providers.answer([("openai", bad_gateway()), ("mistral", reply("m"))]);
    let (status, _, body) = chat(&url, &long(1000)).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status.as_u16(), &body["error"]["type"]),
        (502, &json!("server_error"))
    );
    assert_eq!(chat(&url, &long(5000)).await.0, 413);
    assert_eq!(providers.got(), ["openai small"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_call_of_the_provider() {
    let (providers, _gateway, url) = start("chats_cancel").await;
    providers.answer([
        ("openai", bad_gateway()),
        ("anthropic", None),
        ("mistral", reply("m")),
    ]);
    let asked = providers.asked.clone();
    let caller = tokio::spawn(async move { chat(&url, &asking("gpt-4o")).await });
    asked.notified().await;

    caller.abort();
    providers.left.notified().await;

    assert_eq!(
        providers.got(),
        ["openai gpt-4o", "anthropic claude-sonnet-4-5"]
    );
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_told_in_the_form_of_the_api() {
    let closed = crate::processes::closed_port();
    let upstream = format!("http://{}", closed.local_addr().unwrap());
    let (_gateway, url) = gateway(&["--provider", "anthropic", "--upstream", &upstream]);

    let (status, headers, body) = chat(&url, &asking("claude-sonnet-4-5")).await;

    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 502, "{body}");
    assert_eq!(body["error"]["type"], "server_error", "{body}");
    assert_eq!(
        headers["proxy-status"],
        "portcullis;error=connection_refused"
    );
}
