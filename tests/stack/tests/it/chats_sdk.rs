//! OpenAI's own clients, in front of the gateway, in front of every provider: each a server that takes what that provider takes and nothing else.

use std::path::PathBuf;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http_body_util::BodyExt;
use portcullis::llm_mapping::providers::NAMES;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::processes::{Process, gateway, node_modules, program, python};

mod answers;

use self::answers::{JSON, anthropic, bedrock, converse, ernie, gemini, ollama, openai, tgi};

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
    answer: Answers,
}

/// What a provider answers: the status, the type and the body.
#[derive(Clone, Copy)]
enum Answers {
    Text(fn(Asked) -> (u16, &'static str, String)),
    Bytes(fn(Asked) -> (u16, &'static str, Vec<u8>)),
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

/// The key, of a variable that cargo sets for every test.
const KEY: (&str, &str) = ("CARGO_PKG_NAME", env!("CARGO_PKG_NAME"));

/// The other half of it, where there are two.
const SECRET: (&str, &str) = ("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"));

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
const PROVIDERS: [Provider; 13] = [
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
        answer: Answers::Text(anthropic),
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
        answer: Answers::Text(gemini),
    },
    Provider {
        name: "ollama",
        model: "llama3.2",
        paths: ["/api/chat"; 2],
        key: None,
        keeps_callers_key: false,
        known: &["model", "messages", "options", "stream", "tools"],
        calls_tools: true,
        answer: Answers::Text(ollama),
    },
    Provider {
        name: "ernie-v1",
        model: "ERNIE-4.0-8K",
        // The token is fetched by both halves of the key.
        paths: ["/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions_pro?access_token=token-1";
            2],
        key: None,
        keeps_callers_key: false,
        known: &[
            "messages",
            "system",
            "temperature",
            "stream",
            "max_output_tokens",
            "functions",
        ],
        calls_tools: true,
        answer: Answers::Text(ernie),
    },
    Provider {
        name: "tgi",
        model: "llama2",
        paths: ["/generate", "/generate_stream"],
        key: BEARER,
        keeps_callers_key: false,
        known: &["inputs", "parameters"],
        calls_tools: false,
        answer: Answers::Text(tgi),
    },
    Provider {
        name: "bedrock",
        model: "meta.llama2-13b-chat-v1",
        paths: [
            "/model/meta.llama2-13b-chat-v1/invoke",
            "/model/meta.llama2-13b-chat-v1/invoke-with-response-stream",
        ],
        key: BEARER,
        keeps_callers_key: false,
        known: &["prompt", "max_gen_len", "temperature", "top_p"],
        calls_tools: false,
        answer: Answers::Bytes(bedrock),
    },
    Provider {
        name: "bedrock-converse",
        model: "claude",
        paths: ["/model/claude/converse", "/model/claude/converse-stream"],
        key: BEARER,
        keeps_callers_key: false,
        known: &["messages", "system", "inferenceConfig", "toolConfig"],
        calls_tools: true,
        answer: Answers::Bytes(converse),
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
        answer: Answers::Text(openai),
    }
}

/// A server that answers as the provider does; what that would not take is a 422 that says why.
async fn serve(State(provider): State<Provider>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().as_str();
    if target
        == format!(
            "/oauth/2.0/token?grant_type=client_credentials&client_id={}&client_secret={}",
            KEY.1, SECRET.1
        )
    {
        let token = json!({"access_token": "token-1", "expires_in": 2_592_000});
        return Response::new(Body::from(token.to_string()));
    }
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let is_stream = body["stream"] == true || target.to_lowercase().contains("stream");
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
        ("weather", What::Tool),
        ("busy", What::Busy),
        ("denied", What::Denied),
    ];
    let what = what.into_iter().find(|(words, _)| text.contains(words));
    let what = what.map_or(What::Text, |(_, what)| what);
    let asked = Asked { what, is_stream };
    let (status, content_type, body) = match provider.answer {
        Answers::Text(answer) => {
            let (status, content_type, text) = answer(asked);
            (status, content_type, text.into_bytes())
        }
        Answers::Bytes(answer) => answer(asked),
    };
    let response = response.status(status).header("content-type", content_type);
    response.body(Body::from(body)).unwrap()
}

/// The provider's server, and the gateway before it.
async fn start(provider: Provider) -> (Process, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(provider);
    tokio::spawn(axum::serve(listener, app).into_future());
    let mut arguments = vec!["--provider", provider.name, "--upstream", &upstream];
    arguments.extend(["--api-key-env", KEY.0]);
    if provider.name == "ernie-v1" {
        arguments.extend(["--secret-key-env", SECRET.0]);
    }
    gateway(&arguments)
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

#[test]
fn every_provider_has_a_row() {
    let has_row = |name: &&&str| PROVIDERS.iter().any(|row| row.name == **name);
    let missing: Vec<_> = NAMES.iter().filter(|name| !has_row(name)).collect();

    assert!(missing.is_empty(), "{missing:?}");
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
