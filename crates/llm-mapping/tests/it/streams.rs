//! Streams: `tests/cases/*/stream.json`.
//!
//! | member | what |
//! |---|---|
//! | `events` | the provider's events: a text is a `data:` event, an object with `event` and `data` one with a name, a `raw` text stands as it is |
//! | `lines` | instead of events: one JSON text a line |
//! | `frames` | instead of events: messages of Amazon's, see `frames` of `tests/support` |
//! | `headers` | of the provider's answer, beside the content type |
//! | `usage` | the caller asks for the usage; default no |
//! | `content_type` | default `text/event-stream` |
//! | `chunks` | what the caller gets: `id`, `created` and `model` stand in `head` and are in each of them; a text stands as it is |
//! | `end` | `[DONE]` by default; or the `error` that ends it |
//! | `status_out`, `error` | the answer where the first event is an error |

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portcullis_llm_mapping::LlmMappingLayer;
use portcullis_test_support::frames;
use serde_json::{Map, Value, json};

use crate::cases::{PROVIDERS, cases, headers_of, name_of};
use crate::exchange::{Scripted, Told, assert_like, layer, send};

pub(crate) fn asked(case: &Value) -> Value {
    let usage = case["usage"].as_bool().unwrap_or(false);
    json!({
        "model": "M", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
        "stream_options": {"include_usage": usage},
    })
}

/// The bytes of the provider's stream, with these line ends.
pub(crate) fn stream(case: &Value, line_end: &str) -> Bytes {
    if let Some(list) = case["frames"].as_array() {
        return frames(list).into();
    }
    let mut text = String::new();
    if let Some(lines) = case["lines"].as_array() {
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        return text.into();
    }
    for event in case["events"].as_array().expect("events or lines") {
        if let Some(raw) = event["raw"].as_str() {
            text.push_str(&raw.replace('\n', line_end));
            continue;
        }
        if let Some(name) = event["event"].as_str() {
            text.push_str(&format!("event: {name}{line_end}"));
        }
        let data = match (event.get("event"), event) {
            (Some(_), event) => event["data"].to_string(),
            (None, Value::String(text)) => text.clone(),
            (None, event) => event.to_string(),
        };
        text.push_str(&format!("data: {data}{line_end}{line_end}"));
    }
    text.into()
}

/// What the events of an answer hold; the last one may be `[DONE]`.
fn told_events(told: &Told, name: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&told.body).unwrap();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let events = text.split_terminator("\n\n").map(|event| {
        let data = event
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("{name}: {event}"));
        serde_json::from_str(data).unwrap_or_else(|_| data.into())
    });
    events.collect()
}

fn expected_events(case: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    let usage = case["usage"].as_bool().unwrap_or(false);
    for chunk in case["chunks"].as_array().expect("chunks") {
        let mut event = Map::new();
        for (name, value) in case["head"].as_object().into_iter().flatten() {
            event.insert(name.clone(), value.clone());
        }
        if !event.is_empty() {
            event.insert("object".to_owned(), "chat.completion.chunk".into());
            if usage {
                event.insert("usage".to_owned(), Value::Null);
            }
        }
        match chunk {
            Value::Object(members) => {
                // Short for one choice.
                if let Some(delta) = members.get("delta") {
                    let index = members.get("index").cloned().unwrap_or_else(|| 0.into());
                    let reason = members.get("finish_reason").cloned().unwrap_or(Value::Null);
                    let choice = json!({"index": index, "delta": delta, "finish_reason": reason});
                    event.insert("choices".to_owned(), json!([choice]));
                } else {
                    event.extend(members.clone());
                }
                events.push(Value::Object(event));
            }
            other => events.push(other.clone()),
        }
    }
    match case.get("end") {
        None => events.push("[DONE]".into()),
        Some(error) => events.push(json!({ "error": error })),
    }
    events
}

fn check(told: &Told, case: &Value, name: &str) {
    if let Some(error) = case.get("error") {
        assert_eq!(told.status.as_u16(), case["status_out"], "{name}");
        assert_like(&told.json(), &json!({ "error": error }), name);
        return;
    }
    assert_eq!(told.status, 200, "{name}: {:?}", told.body);
    assert_eq!(told.headers["content-type"], "text/event-stream", "{name}");
    assert_like(
        &Value::Array(told_events(told, name)),
        &Value::Array(expected_events(case)),
        name,
    );
}

/// The provider's answer with this body.
pub(crate) fn answer_of(case: &Value, body: Bytes) -> Scripted {
    let framed = if case["frames"].is_array() {
        "application/vnd.amazon.eventstream"
    } else {
        "text/event-stream"
    };
    let content_type = case["content_type"].as_str().unwrap_or(framed);
    let mut answer = Scripted::typed(content_type, body);
    answer.headers.extend(headers_of(case));
    answer
}

#[tokio::test]
async fn streams_become_chunks_whatever_their_line_ends_and_cuts() {
    let mut count = 0;
    for provider in PROVIDERS {
        let layer = layer(provider);
        for case in cases(provider, "stream") {
            let name = name_of(provider, &case);
            // Only events of a stream of texts have lines.
            let line_ends = if case["events"].is_array() {
                &["\n", "\r\n", "\r"][..]
            } else {
                &["\n"]
            };
            let asked = Bytes::from(asked(&case).to_string());
            for line_end in line_ends {
                let whole = stream(&case, line_end);
                let mut answer = answer_of(&case, whole.clone());
                let first = told(&layer, &asked, answer.clone()).await;
                check(&first, &case, &name);
                // Each byte by itself, and in pieces of some bytes that begin anywhere, so that each place is cut.
                let bytes = pieces(&whole, 1, 1);
                let longer = [13, 61].into_iter().flat_map(|size| {
                    let whole = &whole;
                    (1..=size).map(move |start| pieces(whole, size, start))
                });
                for chunks in std::iter::once(bytes).chain(longer) {
                    answer.chunks = chunks;
                    let told = told(&layer, &asked, answer.clone()).await;
                    if told.body != first.body {
                        // What passes may have other line ends.
                        check(&told, &case, &name);
                    }
                }
            }
            count += 1;
        }
    }
    assert!(count > 0);
}

/// A stream in pieces of this size, but for the first one.
fn pieces(whole: &Bytes, size: usize, first: usize) -> Vec<Bytes> {
    let starts = std::iter::once(0).chain((first..whole.len()).step_by(size));
    let ends = (first..whole.len()).step_by(size).chain([whole.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| whole.slice(start..end))
        .collect()
}

/// What the provider's answer becomes. The ids are the same each time.
async fn told(layer: &LlmMappingLayer, asked: &Bytes, answer: Scripted) -> Told {
    let request = Request::post("/v1/chat/completions").body(Full::new(asked.clone()));
    send(&layer.clone().seed(1), request.unwrap(), answer).await
}

/// The error behind as many whole events as are the same; none where all is the same.
fn error_behind(told: &Told, complete: &Told, name: &str) -> Option<Value> {
    if told.body == complete.body {
        return None;
    }
    let pairs = told.body.iter().zip(&complete.body);
    let same = pairs.take_while(|(one, other)| one == other).count();
    // Where the last event ended that is the same.
    let ends = memchr::memmem::rfind(&told.body[..same], b"\n\n");
    let rest = &told.body[ends.map_or(0, |at| at + 2)..];
    let text = std::str::from_utf8(rest).unwrap();
    let data = text
        .strip_prefix("data: ")
        .and_then(|it| it.strip_suffix("\n\n"));
    let last = data.and_then(|data| serde_json::from_str(data).ok());
    let last: Value = last.unwrap_or_else(|| panic!("{name}: {text}"));
    Some(last["error"].clone())
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_ends_anywhere_ends_with_an_error() {
    for provider in PROVIDERS {
        let layer = layer(provider);
        for case in cases(provider, "stream") {
            if case.get("end").is_some() || case.get("error").is_some() {
                continue;
            }
            let whole = stream(&case, "\n");
            let asked = Bytes::from(asked(&case).to_string());
            let complete = told(&layer, &asked, answer_of(&case, whole.clone())).await;
            for cut in 0..whole.len() {
                // What a stream that breaks off left of an event does not matter, so fewer places are enough.
                let near = whole.slice(cut.saturating_sub(1)..whole.len().min(cut + 2));
                let breaks = near.contains(&b'\n') || cut % 16 == 0;
                for breaks in [false, true].into_iter().take(1 + usize::from(breaks)) {
                    let mut answer = answer_of(&case, whole.slice(..cut));
                    answer.breaks = breaks;

                    let told = told(&layer, &asked, answer).await;

                    let name = format!(
                        "{provider}: {}: cut at {cut}, breaks: {breaks}",
                        case["name"]
                    );
                    if told.status != 200 {
                        assert_eq!(told.status, 502, "{name}");
                        assert!(told.json()["error"]["code"].is_string(), "{name}");
                    } else if let Some(error) = error_behind(&told, &complete, &name) {
                        assert!(error["code"].is_string(), "{name}: {error}");
                    }
                }
            }
        }
    }
}
