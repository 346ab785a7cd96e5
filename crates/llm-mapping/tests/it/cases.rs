//! The tables of `tests/cases`: for each provider what it is sent, and what its replies, errors and streams become.
//!
//! Each file is a list of cases with a `name`. Values are compared as JSON; in what is expected, `"<x>"` is any text that begins with `x`.
//!
//! | file | members |
//! |---|---|
//! | `request.json` | `input`; then `path`, `output`, `headers` (those that must be there, `null` for none), `mapped` (the report header), or `error` (`message`, `param`, `code` as far as given) |
//! | `reply.json` | `body` or `text`, `status`, `headers`; then `output`, or `status_out` and `error` |
//! | `error.json` | `status`, `headers`, `body` or `text`; then `status_out`, `error` (all of it), `headers_out` |
//! | `stream.json` | see `streams.rs` |

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::exchange::{Scripted, assert_like, exchange, layer};

pub(crate) const PROVIDERS: &[&str] = portcullis_llm_mapping::providers::NAMES;

/// The cases of one kind for one provider; none where there is no file.
pub(crate) fn cases(provider: &str, kind: &str) -> Vec<Value> {
    let path = format!(
        "{}/tests/cases/{provider}/{kind}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Vec::new();
    };
    let cases: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    cases
        .as_array()
        .unwrap_or_else(|| panic!("{path}: no list"))
        .clone()
}

pub(crate) fn name_of(provider: &str, case: &Value) -> String {
    format!(
        "{provider}: {}",
        case["name"].as_str().expect("each case has a name")
    )
}

pub(crate) fn headers_of(case: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    headers
}

pub(crate) fn scripted(case: &Value) -> Scripted {
    let body = match case["text"].as_str() {
        Some(text) => text.to_owned(),
        None => case["body"].to_string(),
    };
    let status = case["status"].as_u64().unwrap_or(200);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.extend(headers_of(case));
    Scripted {
        status: StatusCode::from_u16(status.try_into().unwrap()).unwrap(),
        headers,
        chunks: vec![body.into()],
        breaks: false,
    }
}

/// The least that is a chat.
fn hello() -> Value {
    json!({"model": "M", "messages": [{"role": "user", "content": "Hi"}]})
}

#[track_caller]
fn assert_error(actual: &Value, expected: &Value, name: &str) {
    for (member, expected) in expected.as_object().expect("an object") {
        assert_like(
            &actual["error"][member],
            expected,
            &format!("{name}: {member}"),
        );
    }
}

#[tokio::test]
async fn requests_become_what_the_provider_takes() {
    let mut count = 0;
    for provider in PROVIDERS {
        for case in cases(provider, "request") {
            let name = name_of(provider, &case);
            let mut input = hello();
            let object = input.as_object_mut().unwrap();
            for (member, value) in case["input"].as_object().expect("an input") {
                object.insert(member.clone(), value.clone());
            }

            let told = exchange(&layer(provider), &input, Scripted::json(&json!({}))).await;

            if let Some(error) = case.get("error") {
                assert!(told.got.is_none(), "{name}: the provider was called");
                assert_eq!(told.status, 400, "{name}: {:?}", told.body);
                assert_error(&told.json(), error, &name);
            } else {
                let got = told
                    .got
                    .as_ref()
                    .unwrap_or_else(|| panic!("{name}: {:?}", told.body));
                let output: Value = serde_json::from_slice(&got.body).unwrap();
                assert_like(&output, &case["output"], &name);
                if let Some(path) = case.get("path") {
                    assert_eq!(got.uri, path.as_str().unwrap(), "{name}");
                }
                for (header, value) in case["headers"].as_object().into_iter().flatten() {
                    let actual = got.headers.get(header).map(|value| value.to_str().unwrap());
                    assert_eq!(actual, value.as_str(), "{name}: {header}");
                }
                let length = got.headers["content-length"].to_str().unwrap();
                assert_eq!(length, got.body.len().to_string(), "{name}");
                let mapped = told.headers.get("x-portcullis-mapped");
                let mapped = mapped.map(|value| value.to_str().unwrap());
                if let Some(expected) = case.get("mapped") {
                    assert_eq!(mapped, expected.as_str(), "{name}");
                }
            }
            count += 1;
        }
    }
    assert!(count > 0);
}

#[tokio::test]
async fn replies_become_completions() {
    let mut count = 0;
    for provider in PROVIDERS {
        for case in cases(provider, "reply") {
            let name = name_of(provider, &case);

            let told = exchange(&layer(provider), &hello(), scripted(&case)).await;

            match case.get("error") {
                Some(error) => {
                    assert_eq!(
                        told.status.as_u16(),
                        case["status_out"],
                        "{name}: {:?}",
                        told.body
                    );
                    assert_error(&told.json(), error, &name);
                }
                None => {
                    assert_eq!(
                        told.status.as_u16(),
                        *case.get("status").unwrap_or(&json!(200)),
                        "{name}: {:?}",
                        told.body
                    );
                    assert_like(&told.json(), &case["output"], &name);
                }
            }
            assert_eq!(told.headers["content-type"], "application/json", "{name}");
            count += 1;
        }
    }
    assert!(count > 0);
}

#[tokio::test]
async fn errors_become_errors_that_openai_clients_know() {
    let mut count = 0;
    for provider in PROVIDERS {
        for case in cases(provider, "error") {
            let name = name_of(provider, &case);

            let told = exchange(&layer(provider), &hello(), scripted(&case)).await;

            let status = case.get("status_out").unwrap_or(&case["status"]);
            assert_eq!(told.status.as_u16(), *status, "{name}: {:?}", told.body);
            assert_like(&told.json(), &json!({"error": case["error"]}), &name);
            for (header, value) in case["headers_out"].as_object().into_iter().flatten() {
                let actual = told
                    .headers
                    .get(header)
                    .map(|value| value.to_str().unwrap());
                assert_eq!(actual, value.as_str(), "{name}: {header}");
            }
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn every_provider_has_cases_of_every_kind() {
    for provider in PROVIDERS {
        for kind in ["request", "reply", "stream", "error"] {
            assert!(!cases(provider, kind).is_empty(), "{provider}/{kind}.json");
        }
    }
}
