//! OpenAI's own clients, in front of the gateway, in front of every provider: each a server that takes what that provider takes and nothing else.

use std::path::PathBuf;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::processes::{Process, gateway, node_modules, program, python};

/// A provider as its server is: one row of the table.
#[derive(Clone, Copy)]
struct Provider {
    name: &'static str,
    model: &'static str,
    /// The path of a request, and of one for a stream.
    paths: [&'static str; 2],
    /// The header that holds the key, and what stands before it.
    key: Option<(&'static str, &'static str)>,
    /// The caller's key goes on: it is for who stands behind this one.
    keeps_callers_key: bool,
    /// The members that a request may have.
    known: &'static [&'static str],
    calls_tools: bool,
    answer: fn(Asked) -> (u16, &'static str, String),
}

/// What a request asks for, by its last text.
#[derive(Clone, Copy)]
struct Asked {
    what: What,
    is_stream: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum What {
    Text,
    Tool,
    Result,
    Busy,
    Denied,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The key, of a variable that cargo sets for every test.
const KEY: (&str, &str) = ("CARGO_PKG_NAME", env!("CARGO_PKG_NAME"));

const CHAT: [&str; 2] = ["/v1/chat/completions"; 2];
const BEARER: Option<(&str, &str)> = Some(("authorization", "Bearer "));
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "stream",
    "stream_options",
    "tools",
];

/// Add a row for a provider that is new.
const PROVIDERS: [Provider; 9] = [
    openai_like("openai", CHAT, BEARER),
    Provider {
        // What it does not know it refuses, `stream_options` included.
        known: &[
            "model",
            "messages",
            "max_tokens",
            "temperature",
            "stream",
            "tools",
        ],
        ..openai_like("mistral", CHAT, BEARER)
    },
    openai_like("together", CHAT, BEARER),
    Provider {
        known: &[
            "model",
            "messages",
            "max_completion_tokens",
            "temperature",
            "stream",
            "stream_options",
            "tools",
        ],
        ..openai_like("ernie-v2", ["/v2/chat/completions"; 2], BEARER)
    },
    Provider {
        keeps_callers_key: true,
        ..openai_like("portkey", CHAT, Some(("x-portkey-api-key", "")))
    },
    openai_like("apipark", CHAT, BEARER),
    Provider {
        name: "anthropic",
        model: "claude-sonnet-4-5",
        paths: ["/v1/messages"; 2],
        key: Some(("x-api-key", "")),
        keeps_callers_key: false,
        known: &[
            "model",
            "messages",
            "system",
            "max_tokens",
            "temperature",
            "stream",
            "tools",
        ],
        calls_tools: true,
        answer: anthropic,
    },
    Provider {
        name: "gemini",
        model: "gemini-2.5-flash",
        paths: [
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ],
        key: Some(("x-goog-api-key", "")),
        keeps_callers_key: false,
        known: &["contents", "systemInstruction", "generationConfig", "tools"],
        calls_tools: true,
        answer: gemini,
    },
    Provider {
        name: "ollama",
        model: "llama3.2",
        paths: ["/api/chat"; 2],
        key: None,
        keeps_callers_key: false,
        known: &["model", "messages", "options", "stream", "tools"],
        calls_tools: true,
        answer: ollama,
    },
];

const fn openai_like(
    name: &'static str,
    paths: [&'static str; 2],
    key: Option<(&'static str, &'static str)>,
) -> Provider {
    Provider {
        name,
        model: "a-model",
        paths,
        key,
        keeps_callers_key: false,
        known: KNOWN,
        calls_tools: true,
        answer: openai,
    }
}

fn events(events: impl IntoIterator<Item = Value>) -> String {
    events
        .into_iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

fn openai(asked: Asked) -> (u16, &'static str, String) {
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

fn anthropic(asked: Asked) -> (u16, &'static str, String) {
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

fn gemini(asked: Asked) -> (u16, &'static str, String) {
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

fn ollama(asked: Asked) -> (u16, &'static str, String) {
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

/// A server that answers as the provider does; what that would not take is a 422 that says why.
async fn serve(State(provider): State<Provider>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let target = head.uri.path_and_query().unwrap().as_str();
    let is_stream = body["stream"] == true || target.contains(":stream");
    let unknown = body.as_object().unwrap().keys();
    let unknown: Vec<_> = unknown
        .filter(|name| !provider.known.contains(&name.as_str()))
        .collect();
    let key = provider.key.is_none_or(|(header, before)| {
        let value = head
            .headers
            .get(header)
            .and_then(|value| value.to_str().ok());
        value == Some(&format!("{before}{}", KEY.1))
    });
    let caller = head
        .headers
        .values()
        .any(|value| value == "Bearer caller-key");
    let wanted = provider.paths[usize::from(is_stream)];
    let response = Response::builder();
    if !unknown.is_empty()
        || !key
        || caller != provider.keeps_callers_key
        || target != wanted
        || head.headers[http::header::CONTENT_TYPE] != JSON
    {
        let why =
            format!("{target} for {wanted}, key {key}, caller's {caller}, unknown {unknown:?}");
        return response.status(422).body(Body::from(why)).unwrap();
    }
    let what = [
        ("21 degrees", What::Result),
        ("\"weather\"", What::Tool),
        ("\"busy\"", What::Busy),
        ("\"denied\"", What::Denied),
    ];
    let what = what.into_iter().find(|(words, _)| text.contains(words));
    let what = what.map_or(What::Text, |(_, what)| what);
    let (status, content_type, body) = (provider.answer)(Asked { what, is_stream });
    let response = response.status(status).header("content-type", content_type);
    response.body(Body::from(body)).unwrap()
}

/// The provider's server, and the gateway before it.
async fn start(provider: Provider) -> (Process, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(provider);
    tokio::spawn(axum::serve(listener, app).into_future());
    gateway(&[
        "--provider",
        provider.name,
        "--upstream",
        &upstream,
        "--api-key-env",
        KEY.0,
    ])
}

async fn run(program: PathBuf, arguments: Vec<String>) -> Value {
    let output =
        tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    let output = output.await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn openais_client_for_python_reaches_every_provider() {
    let Some(python) = python(
        "openais_client_for_python_reaches_every_provider",
        "openai",
        "openai",
    ) else {
        return;
    };
    for provider in PROVIDERS {
        let (_gateway, url) = start(provider).await;
        let script = include_str!("chats_sdk/openai.py").to_owned();
        let mut arguments = vec!["-c".to_owned(), script, url, provider.model.to_owned()];
        arguments.extend(provider.calls_tools.then(|| "tools".to_owned()));

        let told = run(python.clone(), arguments).await;

        let name = provider.name;
        assert_eq!(
            told["text"],
            json!(["Hello there", "stop", 13, "chat.completion"]),
            "{name}"
        );
        assert_eq!(told["stream"], json!(["Hello there", "stop", 13]), "{name}");
        if provider.calls_tools {
            assert_eq!(
                told["tool"],
                json!(["tool_calls", "weather", {"city": "Paris"}]),
                "{name}"
            );
            assert_eq!(told["result"], "It is 21 degrees.", "{name}");
        }
        let errors = json!({"busy": ["RateLimitError", 429, "slow down"], "denied": ["AuthenticationError", 401, "who?"]});
        assert_eq!(told["errors"], errors, "{name}");
    }
}

#[tokio::test]
async fn openais_client_for_node_reaches_anthropic_and_mistral() {
    let test = "openais_client_for_node_reaches_anthropic_and_mistral";
    let package = include_str!("status_page/package.json");
    let Some((node, modules)) = program("node", test).zip(node_modules(test, package)) else {
        return;
    };
    for provider in PROVIDERS
        .iter()
        .filter(|one| ["anthropic", "mistral"].contains(&one.name))
    {
        let (_gateway, url) = start(*provider).await;
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/chats_sdk/openai.mjs").to_owned();
        let arguments = [
            script,
            modules.display().to_string(),
            url,
            provider.model.to_owned(),
        ];

        let told = run(node.clone(), arguments.into()).await;

        let expected = json!({"text": "Hello there", "streamed": "Hello there", "error": ["RateLimitError", 429]});
        assert_eq!(told, expected, "{}", provider.name);
    }
}
