//! The cases of `tests/cases` with some bytes changed: whatever comes, what is told is JSON, and nothing panics.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portcullis_llm_mapping::{Caller, Json};
use serde_json::{Value, json};

use crate::cases::{PROVIDERS, cases, scripted};
use crate::exchange::{Scripted, Told, exchange, layer, send};
use crate::streams;

/// How often each case is changed.
const TIMES: usize = 8;

/// What takes the place of something: what has a meaning in JSON or in events, and what has none anywhere.
const PIECES: [&str; 20] = [
    "", "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u0000", "\\ud800", "null", "0", "-1", "1e999",
    "true", "\n", "\n\n", "é", "\"a\"",
];

/// Numbers that look like chance and are the same each time: xorshift64.
struct Dice(u64);

// === impl Dice ===

impl Dice {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below this one, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % limit
    }
}

fn changed(text: &[u8], dice: &mut Dice) -> Bytes {
    let mut text = text.to_vec();
    for _ in 0..=dice.below(3) {
        let start = dice.below(text.len() + 1);
        let end = (start + dice.below(12)).min(text.len());
        let piece = if dice.below(5) == 0 {
            // What stands elsewhere in it.
            let from = dice.below(text.len() + 1);
            text[from..(from + 40).min(text.len())].to_vec()
        } else {
            PIECES[dice.below(PIECES.len())].as_bytes().to_vec()
        };
        text.splice(start..end, piece);
    }
    text.into()
}

#[track_caller]
fn assert_error(told: &Told) {
    let error = told.json()["error"].clone();
    assert!(
        error["message"].is_string() && error["type"].is_string(),
        "{error}"
    );
}

#[tokio::test]
async fn a_request_is_refused_or_sent_as_one_object() {
    let mut dice = Dice::new();
    for provider in PROVIDERS.iter().chain(&["messages"]) {
        let (layer, path, hello) = if *provider == "messages" {
            let layer = layer("mistral").caller(Caller::Anthropic);
            (layer, "/v1/messages", json!({}))
        } else {
            let hello = json!({"model": "M", "messages": [{"role": "user", "content": "Hi"}]});
            (layer(provider), "/v1/chat/completions", hello)
        };
        for case in cases(provider, "request") {
            let mut input = hello.clone();
            let members = case["input"].as_object().unwrap().clone();
            input.as_object_mut().unwrap().extend(members);
            for _ in 0..TIMES {
                let body = changed(input.to_string().as_bytes(), &mut dice);
                let request = Request::post(path).body(Full::new(body.clone())).unwrap();

                let told = send(&layer, request, Scripted::json(&json!({}))).await;

                let Some(got) = &told.got else {
                    assert!(told.status.is_client_error(), "{provider}: {body:?}");
                    assert_error(&told);
                    continue;
                };
                let sent = Json::parse(&got.body, "it").unwrap_or_else(|error| {
                    panic!("{provider}: {error}: {body:?}: {:?}", got.body)
                });
                let mut names: Vec<_> = sent.members().map(|(name, _)| name.decode()).collect();
                let count = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), count, "{provider}: {body:?}: {:?}", got.body);
            }
        }
    }
}

#[tokio::test]
async fn a_reply_becomes_a_completion_or_an_error() {
    let hello = json!({"model": "M", "messages": [{"role": "user", "content": "Hi"}]});
    let mut dice = Dice::new();
    for provider in PROVIDERS {
        let layer = layer(provider);
        for case in ["reply", "error"]
            .into_iter()
            .flat_map(|kind| cases(provider, kind))
        {
            for _ in 0..TIMES {
                let mut answer = scripted(&case);
                answer.chunks = vec![changed(&answer.chunks[0], &mut dice)];

                let told = exchange(&layer, &hello, answer).await;

                if told.status.is_success() {
                    assert!(
                        told.json()["choices"].is_array(),
                        "{provider}: {:?}",
                        told.body
                    );
                } else {
                    assert_error(&told);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stream_becomes_chunks_and_an_end_or_an_error() {
    let mut dice = Dice::new();
    for provider in PROVIDERS {
        // There it passes as it is.
        if ["openai", "portkey", "apipark"].contains(provider) {
            continue;
        }
        let layer = layer(provider);
        for case in cases(provider, "stream") {
            let whole = streams::stream(&case, "\n");
            for _ in 0..TIMES {
                let answer = streams::answer_of(&case, changed(&whole, &mut dice));

                let told = exchange(&layer, &streams::asked(&case), answer).await;

                if told.status != 200 {
                    assert_error(&told);
                    continue;
                }
                let text = std::str::from_utf8(&told.body).unwrap();
                let events = text.split_terminator("\n\n").map(|event| {
                    let data = event.strip_prefix("data: ").unwrap();
                    serde_json::from_str(data).unwrap_or_else(|_| Value::from(data))
                });
                let events: Vec<Value> = events.collect();
                let (last, events) = events.split_last().unwrap();
                assert!(
                    *last == "[DONE]" || last["error"].is_object(),
                    "{provider}: {text}"
                );
                for event in events {
                    assert!(event["choices"].is_array(), "{provider}: {text}");
                }
            }
        }
    }
}
