//! One exchange through the layer, with a provider that answers what it is told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_llm_mapping::{LlmMappingLayer, RequestBody, providers};
use portcullis_test_support::{ScriptBody, Step};
use serde_json::Value;
use tower::{Layer, ServiceExt};

/// What the provider answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) chunks: Vec<Bytes>,
    /// The body breaks off behind the chunks.
    pub(crate) breaks: bool,
}

/// What the provider got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the caller got.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: http::Extensions,
    /// Without the comments that keep a stream alive: how many there are depends on how it is cut.
    pub(crate) body: Bytes,
    pub(crate) got: Option<Got>,
}

// === impl Scripted ===

impl Scripted {
    pub(crate) fn json(body: &Value) -> Self {
        Self::typed("application/json", body.to_string())
    }

    pub(crate) fn typed(content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        Self {
            headers,
            chunks: vec![body.into()],
            ..Self::default()
        }
    }
}

// === impl Told ===

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A layer whose clock stands still at 1700000000 and whose ids repeat.
pub(crate) fn layer(provider: &str) -> LlmMappingLayer {
    let layer = LlmMappingLayer::shared(providers::by_name(provider).unwrap()).unwrap();
    layer
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .seed(1)
}

/// One exchange: this request, through this layer, with this answer.
pub(crate) async fn exchange(layer: &LlmMappingLayer, request: &Value, answer: Scripted) -> Told {
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("authorization", "Bearer caller-key")
        .body(Full::from(request.to_string()))
        .unwrap();
    send(layer, request, answer).await
}

pub(crate) async fn send(
    layer: &LlmMappingLayer,
    request: Request<Full<Bytes>>,
    answer: Scripted,
) -> Told {
    let got = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&got);
    let provider = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let seen = Arc::clone(&seen);
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            *seen.lock().unwrap() = Some(Got {
                uri: parts.uri.to_string(),
                headers: parts.headers,
                body,
            });
            let mut steps: Vec<_> = answer.chunks.into_iter().map(Step::Data).collect();
            if answer.breaks {
                steps.push(Step::Error("reset"));
            }
            let body = ScriptBody::new(steps);
            let mut response = Response::new(body);
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok::<_, Infallible>(response)
        }
    });

    let response = layer.layer(provider).oneshot(request).await.unwrap();

    let (parts, mut body) = response.into_parts();
    let mut told = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        if data != ":\n\n" {
            told.extend_from_slice(&data);
        }
    }
    let got = got.lock().unwrap().take();
    Told {
        status: parts.status,
        headers: parts.headers,
        extensions: parts.extensions,
        body: told.freeze(),
        got,
    }
}

/// Compares two values; in the expected one `<x>` stands for any text that begins with `x`.
pub(crate) fn is_like(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::String(actual), Value::String(expected)) => {
            let prefix = expected
                .strip_prefix('<')
                .and_then(|it| it.strip_suffix('>'));
            prefix.map_or(actual == expected, |prefix| {
                actual.len() > prefix.len() && actual.starts_with(prefix)
            })
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len()
                && actual
                    .iter()
                    .zip(expected)
                    .all(|(actual, expected)| is_like(actual, expected))
        }
        (Value::Object(actual), Value::Object(expected)) => {
            actual.len() == expected.len()
                && expected.iter().all(|(name, expected)| {
                    actual
                        .get(name)
                        .is_some_and(|actual| is_like(actual, expected))
                })
        }
        (actual, expected) => actual == expected,
    }
}

#[track_caller]
pub(crate) fn assert_like(actual: &Value, expected: &Value, case: &str) {
    assert!(
        is_like(actual, expected),
        "{case}\n  actual: {actual}\nexpected: {expected}"
    );
}
