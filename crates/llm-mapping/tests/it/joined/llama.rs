//! How those say it that serve Llama 2.

use serde_json::{Value, json};

use super::{Said, sse};
#[cfg(feature = "aws")]
use portcullis_test_support::frames;

fn tgi_details(said: &Said) -> Value {
    json!({"finish_reason": said.reason("eos_token", "length", "eos_token"), "generated_tokens": said.completion, "input_length": said.prompt})
}

pub(super) fn tgi(said: &Said) -> Value {
    json!({"generated_text": said.text(), "details": tgi_details(said)})
}

pub(super) fn tgi_stream(said: &Said) -> Vec<u8> {
    let token = |text: &str, special: bool| json!({"id": 1, "text": text, "special": special});
    let mut events: Vec<_> = said
        .pieces
        .iter()
        .map(|text| json!({"token": token(text, false), "generated_text": null, "details": null}))
        .collect();
    events.push(json!({"token": token("</s>", true), "generated_text": said.text(), "details": tgi_details(said)}));
    sse(events).into()
}

#[cfg(feature = "aws")]
fn generated(text: &str, said: Option<&Said>) -> Value {
    json!({
        "generation": text, "prompt_token_count": said.map(|said| said.prompt),
        "generation_token_count": said.map_or(1, |said| said.completion),
        "stop_reason": said.map(|said| said.reason("stop", "length", "stop")),
    })
}

#[cfg(feature = "aws")]
pub(super) fn bedrock(said: &Said) -> Value {
    generated(&said.text(), Some(said))
}

#[cfg(feature = "aws")]
pub(super) fn bedrock_stream(said: &Said) -> Vec<u8> {
    let pieces = said.pieces.iter().map(|text| generated(text, None));
    let chunks = pieces.chain([generated("", Some(said))]);
    let chunks: Vec<_> = chunks.map(|chunk| json!({ "chunk": chunk })).collect();
    frames(&chunks)
}

#[cfg(feature = "aws")]
fn converse_usage(said: &Said) -> Value {
    let total = said.prompt + said.completion;
    json!({"inputTokens": said.prompt, "outputTokens": said.completion, "totalTokens": total})
}

#[cfg(feature = "aws")]
fn converse_reason(said: &Said) -> &'static str {
    said.reason("end_turn", "max_tokens", "tool_use")
}

#[cfg(feature = "aws")]
pub(super) fn converse(said: &Said) -> Value {
    let texts = said.pieces.iter().map(|text| json!({"text": text}));
    let calls = said.calls.iter().enumerate().map(|(index, (name, input))| {
        json!({"toolUse": {"toolUseId": format!("t{index}"), "name": name, "input": input}})
    });
    let content: Vec<_> = texts.chain(calls).collect();
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": converse_reason(said), "usage": converse_usage(said),
    })
}

#[cfg(feature = "aws")]
pub(super) fn converse_stream(said: &Said) -> Vec<u8> {
    let mut list = Vec::new();
    let mut tell = |event: &str, data: Value| list.push(json!({"event": event, "data": data}));
    tell("messageStart", json!({"role": "assistant"}));
    for text in &said.pieces {
        tell("contentBlockDelta", json!({"delta": {"text": text}}));
    }
    tell("contentBlockStop", json!({"contentBlockIndex": 0}));
    for (index, (name, input)) in said.calls.iter().enumerate() {
        let start = json!({"toolUse": {"toolUseId": format!("t{index}"), "name": name}});
        tell("contentBlockStart", json!({"start": start}));
        let input = input.to_string();
        // What is empty is told by no piece.
        for piece in input.split_inclusive(',').filter(|_| input != "{}") {
            let delta = json!({"toolUse": {"input": piece}});
            tell("contentBlockDelta", json!({"delta": delta}));
        }
        tell("contentBlockStop", json!({"contentBlockIndex": index + 1}));
    }
    tell("messageStop", json!({"stopReason": converse_reason(said)}));
    tell("metadata", json!({"usage": converse_usage(said)}));
    frames(&list)
}
