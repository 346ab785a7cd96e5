//! For each provider: what the chunks of a stream say together is what the reply says that is no stream.

use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::exchange::{Scripted, Told, exchange, layer};

mod llama;

/// What a model says, whoever's it is.
#[derive(Clone, Debug)]
struct Said {
    pieces: Vec<String>,
    calls: Vec<(String, Value)>,
    is_cut: bool,
    prompt: u64,
    completion: u64,
}

/// How a provider says it: at once, and as a stream.
struct Form {
    provider: &'static str,
    /// Whether several calls, or calls at all, can be said.
    max_calls: usize,
    reply: fn(&Said) -> Value,
    content_type: &'static str,
    stream: fn(&Said) -> Vec<u8>,
}

const FORMS: &[Form] = &[
    Form {
        provider: "anthropic",
        max_calls: 3,
        reply: anthropic,
        content_type: "text/event-stream",
        stream: anthropic_stream,
    },
    Form {
        provider: "mistral",
        max_calls: 3,
        reply: openai,
        content_type: "text/event-stream",
        stream: openai_stream,
    },
    Form {
        provider: "together",
        max_calls: 3,
        reply: openai,
        content_type: "text/event-stream",
        stream: openai_stream,
    },
    Form {
        // It says either a text or one call, never both.
        provider: "ernie-v1",
        max_calls: 0,
        reply: ernie,
        content_type: "text/event-stream",
        stream: ernie_stream,
    },
    Form {
        provider: "ernie-v2",
        max_calls: 3,
        reply: openai,
        content_type: "text/event-stream",
        stream: openai_stream,
    },
    Form {
        provider: "gemini",
        max_calls: 3,
        reply: gemini,
        content_type: "text/event-stream",
        stream: gemini_stream,
    },
    Form {
        provider: "ollama",
        max_calls: 3,
        reply: ollama,
        content_type: "application/x-ndjson",
        stream: ollama_stream,
    },
    Form {
        provider: "tgi",
        max_calls: 0,
        reply: llama::tgi,
        content_type: "text/event-stream",
        stream: llama::tgi_stream,
    },
    #[cfg(feature = "aws")]
    Form {
        provider: "bedrock",
        max_calls: 0,
        reply: llama::bedrock,
        content_type: "application/vnd.amazon.eventstream",
        stream: llama::bedrock_stream,
    },
    #[cfg(feature = "aws")]
    Form {
        provider: "bedrock-converse",
        max_calls: 3,
        reply: llama::converse,
        content_type: "application/vnd.amazon.eventstream",
        stream: llama::converse_stream,
    },
];

fn said() -> impl Strategy<Value = Said> {
    let arguments = proptest::collection::btree_map("[a-c]", "[ -~\u{e9}\n]{0,5}", 0..3);
    let calls = proptest::collection::vec(("[a-z]{1,4}", arguments), 0..3);
    let pieces = proptest::collection::vec("[ -~\u{e9}\u{1f600}\n]{0,6}", 0..5);
    (pieces, calls, any::<bool>(), 0..99_u64, 0..99_u64).prop_map(
        |(pieces, calls, is_cut, prompt, completion)| Said {
            pieces,
            calls: calls
                .into_iter()
                .map(|(name, arguments)| (name, json!(arguments)))
                .collect(),
            is_cut,
            prompt,
            completion,
        },
    )
}

impl Said {
    fn text(&self) -> String {
        self.pieces.concat()
    }

    /// Why it ended, in these words.
    fn reason(
        &self,
        stop: &'static str,
        length: &'static str,
        calls: &'static str,
    ) -> &'static str {
        match (self.is_cut, self.calls.is_empty()) {
            (true, _) => length,
            (false, true) => stop,
            (false, false) => calls,
        }
    }
}

fn sse(events: impl IntoIterator<Item = Value>) -> String {
    let mut text = String::new();
    for event in events {
        let _ = write!(text, "data: {event}\n\n");
    }
    text
}

fn anthropic(said: &Said) -> Value {
    let mut content: Vec<_> = said
        .pieces
        .iter()
        .map(|text| json!({"type": "text", "text": text}))
        .collect();
    for (index, (name, input)) in said.calls.iter().enumerate() {
        content.push(
            json!({"type": "tool_use", "id": format!("t{index}"), "name": name, "input": input}),
        );
    }
    json!({
        "id": "r", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": said.reason("end_turn", "max_tokens", "tool_use"), "stop_sequence": null,
        "usage": {"input_tokens": said.prompt, "output_tokens": said.completion},
    })
}

fn anthropic_stream(said: &Said) -> Vec<u8> {
    let mut events = vec![json!({"type": "message_start", "message": {
        "id": "r", "model": "m", "content": [], "usage": {"input_tokens": said.prompt, "output_tokens": 1}}})];
    events.push(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    for text in &said.pieces {
        events.push(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}));
    }
    events.push(json!({"type": "content_block_stop", "index": 0}));
    for (at, (name, input)) in said.calls.iter().enumerate() {
        let index = at + 1;
        events.push(
            json!({"type": "content_block_start", "index": index, "content_block": {
            "type": "tool_use", "id": format!("t{at}"), "name": name, "input": {}}}),
        );
        for piece in pieces_of(&input.to_string()) {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let reason = said.reason("end_turn", "max_tokens", "tool_use");
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": said.completion}}));
    events.push(json!({"type": "message_stop"}));
    sse(events).into()
}

/// A text in pieces of three characters.
fn pieces_of(text: &str) -> Vec<String> {
    let characters: Vec<_> = text.chars().collect();
    characters
        .chunks(3)
        .map(|piece| piece.iter().collect())
        .collect()
}

fn openai_usage(said: &Said) -> Value {
    let total = said.prompt + said.completion;
    json!({"prompt_tokens": said.prompt, "completion_tokens": said.completion, "total_tokens": total})
}

fn openai(said: &Said) -> Value {
    let calls: Vec<_> = said.calls.iter().enumerate().map(|(index, (name, arguments))| {
        json!({"id": format!("t{index}"), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
    }).collect();
    let mut message = json!({"role": "assistant", "content": said.text()});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let reason = said.reason("stop", "length", "tool_calls");
    json!({
        "id": "r", "created": 7, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": openai_usage(said),
    })
}

fn openai_stream(said: &Said) -> Vec<u8> {
    let chunk = |delta: Value, reason: Option<&str>| json!({"id": "r", "created": 7, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    for text in &said.pieces {
        events.push(chunk(json!({"content": text}), None));
    }
    for (index, (name, arguments)) in said.calls.iter().enumerate() {
        let begin = json!({"index": index, "id": format!("t{index}"), "type": "function", "function": {"name": name, "arguments": ""}});
        events.push(chunk(json!({"tool_calls": [begin]}), None));
        for piece in pieces_of(&arguments.to_string()) {
            events.push(chunk(
                json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
                None,
            ));
        }
    }
    let mut last = chunk(json!({}), Some(said.reason("stop", "length", "tool_calls")));
    last["usage"] = openai_usage(said);
    events.push(last);
    (sse(events) + "data: [DONE]\n\n").into()
}

fn ernie_said(said: &Said, text: &str, is_end: bool) -> Value {
    json!({
        "id": "r", "object": "chat.completion", "created": 7, "result": text, "is_end": is_end, "is_truncated": is_end && said.is_cut,
        "need_clear_history": false, "usage": openai_usage(said),
    })
}

fn ernie(said: &Said) -> Value {
    ernie_said(said, &said.text(), true)
}

fn ernie_stream(said: &Said) -> Vec<u8> {
    let pieces = said.pieces.iter().map(|text| ernie_said(said, text, false));
    sse(pieces.chain([ernie_said(said, "", true)])).into()
}

fn gemini_said(parts: &[Value], said: Option<&Said>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(said) = said {
        candidate["finishReason"] = said.reason("STOP", "MAX_TOKENS", "STOP").into();
    }
    let mut answer = json!({"candidates": [candidate], "responseId": "r", "modelVersion": "m"});
    if let Some(said) = said {
        answer["usageMetadata"] = json!({
            "promptTokenCount": said.prompt, "candidatesTokenCount": said.completion, "totalTokenCount": said.prompt + said.completion,
        });
    }
    answer
}

fn gemini_parts(said: &Said) -> Vec<Value> {
    let texts = said.pieces.iter().map(|text| json!({ "text": text }));
    let calls = said.calls.iter().enumerate();
    let calls = calls.map(|(index, (name, arguments))| {
        json!({"functionCall": {"id": format!("t{index}"), "name": name, "args": arguments}})
    });
    texts.chain(calls).collect()
}

fn gemini(said: &Said) -> Value {
    gemini_said(&gemini_parts(said), Some(said))
}

fn gemini_stream(said: &Said) -> Vec<u8> {
    let mut events: Vec<_> = gemini_parts(said)
        .into_iter()
        .map(|part| gemini_said(&[part], None))
        .collect();
    events.push(gemini_said(&[json!({"text": ""})], Some(said)));
    sse(events).into()
}

fn ollama_calls(said: &Said) -> Vec<Value> {
    let calls = said.calls.iter().enumerate();
    calls
        .map(|(index, (name, arguments))| {
            json!({"id": format!("t{index}"), "function": {"name": name, "arguments": arguments}})
        })
        .collect()
}

fn ollama_line(message: &Value, said: Option<&Said>) -> Value {
    let mut line = json!({"model": "m", "created_at": "2023-11-14T22:13:20.1Z", "message": message, "done": said.is_some()});
    if let Some(said) = said {
        line["done_reason"] = said.reason("stop", "length", "stop").into();
        line["prompt_eval_count"] = said.prompt.into();
        line["eval_count"] = said.completion.into();
    }
    line
}

fn ollama(said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text()});
    if !said.calls.is_empty() {
        message["tool_calls"] = ollama_calls(said).into();
    }
    ollama_line(&message, Some(said))
}

fn ollama_stream(said: &Said) -> Vec<u8> {
    let mut lines = Vec::new();
    for text in &said.pieces {
        lines.push(ollama_line(
            &json!({"role": "assistant", "content": text}),
            None,
        ));
    }
    for call in ollama_calls(said) {
        lines.push(ollama_line(
            &json!({"role": "assistant", "content": "", "tool_calls": [call]}),
            None,
        ));
    }
    lines.push(ollama_line(
        &json!({"role": "assistant", "content": ""}),
        Some(said),
    ));
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text.into()
}

/// The completion that the chunks are together, but for what only one of both has.
fn join(told: &Told) -> Value {
    let text = std::str::from_utf8(&told.body).unwrap();
    let events: Vec<_> = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let (last, events) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]", "{text}");
    let mut content = String::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut head = Map::new();
    let (mut reason, mut usage) = (Value::Null, Value::Null);
    for event in events {
        let chunk: Value = serde_json::from_str(event).unwrap();
        for name in ["id", "created", "model"] {
            let known = head.entry(name).or_insert_with(|| chunk[name].clone());
            assert_eq!(*known, chunk[name], "{text}");
        }
        if !chunk["usage"].is_null() {
            usage = chunk["usage"].clone();
        }
        for choice in chunk["choices"].as_array().unwrap() {
            if let Some(piece) = choice["delta"]["content"].as_str() {
                content.push_str(piece);
            }
            for call in choice["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                if index == calls.len() {
                    let mut call = call.clone();
                    call.as_object_mut().unwrap().remove("index");
                    calls.push(call);
                } else {
                    let arguments = &mut calls[index]["function"]["arguments"];
                    let joined = format!(
                        "{}{}",
                        arguments.as_str().unwrap(),
                        call["function"]["arguments"].as_str().unwrap()
                    );
                    *arguments = joined.into();
                }
            }
            if !choice["finish_reason"].is_null() {
                assert!(reason.is_null(), "{text}");
                reason = choice["finish_reason"].clone();
            }
        }
    }
    let has_text = !content.is_empty() || calls.is_empty();
    let mut message =
        json!({"role": "assistant", "content": has_text.then_some(content), "refusal": null});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    head.insert("object".to_owned(), "chat.completion".into());
    head.insert(
        "choices".to_owned(),
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}]),
    );
    head.insert("usage".to_owned(), usage);
    head.into()
}

/// Ids that were made are not the same twice.
fn without_made_ids(completion: &mut Value) {
    let is_made = |id: &Value, prefix: &str| {
        id.as_str()
            .is_some_and(|id| id.starts_with(prefix) && id.len() > 20)
    };
    if is_made(&completion["id"], "chatcmpl-") {
        completion["id"] = "made".into();
    }
    let calls = completion["choices"][0]["message"]["tool_calls"].as_array_mut();
    for call in calls.into_iter().flatten() {
        if is_made(&call["id"], "call_") {
            call["id"] = "made".into();
        }
    }
}

#[test]
fn chunks_joined_are_the_reply_that_is_no_stream() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for form in FORMS {
        let layer = layer(form.provider);
        let mut runner = TestRunner::new(Config::with_cases(64));
        let outcome = runner.run(&(said(), 1..40_usize), |(mut said, size)| {
            said.calls.truncate(form.max_calls);
            let asked = |stream| {
                json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream,
                    "stream_options": {"include_usage": true}})
            };
            let stream = Bytes::from((form.stream)(&said));
            let mut answer = Scripted::typed(form.content_type, Bytes::new());
            let starts = (0..stream.len()).step_by(size);
            answer.chunks = starts.map(|at| stream.slice(at..stream.len().min(at + size))).collect();
            let whole = Scripted::json(&(form.reply)(&said));

            let (streamed, whole) = runtime.block_on(async {
                let streamed = exchange(&layer, &asked(true), answer).await;
                (streamed, exchange(&layer, &asked(false), whole).await)
            });

            let (mut joined, mut whole) = (join(&streamed), whole.json());
            without_made_ids(&mut joined);
            without_made_ids(&mut whole);
            prop_assert_eq!(joined, whole);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", form.provider);
        }
    }
}
