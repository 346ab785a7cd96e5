//! The layer as a `tower::Service`.
#![cfg(test)]

mod budgets;
mod contract;
mod drain;
mod hedging;
mod peers;
mod races;
mod requests;
mod retries;
mod stacks;
mod stories;
mod telemetry;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_gateway_error::{DefaultClassifier, RetryOutcome, StopReason};
use portcullis_retry_on_gateway_error::{
    Backoff, Direct, Idempotent, ReplayBody, ResponseBody, RetryLayer, ServerHints, StandardPolicy,
};
use portcullis_test_support::{BoxError, Probe, ScriptBody};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

/// What the upstream of a test does with one attempt.
type Outcome = Result<Response<ScriptBody>, BoxError>;

/// What comes out of the layer.
type Returned = Result<Response<ResponseBody<ScriptBody>>, BoxError>;

/// What an upstream of a test saw of each attempt.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Sight>>>);

/// Method, `content-length` and body of one attempt.
type Sight = (String, Option<String>, String);

impl Seen {
    fn bodies(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(.., body)| body.clone())
            .collect()
    }
}

fn layer() -> RetryLayer<StandardPolicy, DefaultClassifier, Direct> {
    RetryLayer::new()
        .max_attempts(NonZeroU32::new(3).unwrap())
        .backoff(Backoff::fixed(Duration::from_secs(2)))
        .server_hints(ServerHints::new().jitter(0))
}

fn answer(status: u16) -> Outcome {
    answer_with(status, ScriptBody::chunks(["body"]))
}

fn answer_with(status: u16, body: ScriptBody) -> Outcome {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn refused() -> Outcome {
    Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
}

fn reset() -> Outcome {
    Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

/// An upstream that reads each request to its end and then does what the script says.
fn upstream(
    script: impl IntoIterator<Item = Outcome>,
) -> (
    impl Fn(Request<ReplayBody<ScriptBody>>) -> futures::Boxed<Outcome> + Clone,
    Seen,
) {
    let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
    let seen = Seen::default();
    let log = seen.clone();
    let handler = move |request: Request<ReplayBody<ScriptBody>>| {
        let (script, log) = (Arc::clone(&script), log.clone());
        let future: futures::Boxed<Outcome> = Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let length = head.headers.get(http::header::CONTENT_LENGTH);
            log.0.lock().unwrap().push((
                head.method.to_string(),
                length.map(|length| length.to_str().unwrap().to_owned()),
                String::from_utf8(body.to_vec()).unwrap(),
            ));
            script
                .lock()
                .unwrap()
                .pop_front()
                .expect("no more attempts than the script has")
        });
        future
    };
    (handler, seen)
}

mod futures {
    use std::pin::Pin;

    pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
}

fn request(method: &str, chunks: impl IntoIterator<Item = &'static str>) -> Request<ScriptBody> {
    Request::builder()
        .method(method)
        .uri("http://upstream.test/")
        .body(ScriptBody::chunks(chunks))
        .unwrap()
}

/// A gRPC call, whose method the caller vouches for.
fn grpc_call() -> Request<ScriptBody> {
    let mut call = request("POST", ["message"]);
    let content_type = "application/grpc".parse().unwrap();
    call.headers_mut().insert("content-type", content_type);
    call.extensions_mut().insert(Idempotent(true));
    call
}

/// This answer with one more header.
fn with(outcome: Outcome, name: &'static str, value: &str) -> Outcome {
    let mut response = outcome?;
    response.headers_mut().insert(name, value.parse()?);
    Ok(response)
}

/// Sends the request through the layer to an upstream that reads it and does what the script says. Returns how long that took, too.
async fn send(
    layer: RetryLayer,
    script: impl IntoIterator<Item = Outcome>,
    request: Request<ScriptBody>,
) -> (Returned, Seen, Duration) {
    let (handler, seen) = upstream(script);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let start = Instant::now();
    let outcome = layer.layer(probe).oneshot(request).await;
    (outcome, seen, start.elapsed())
}

/// The decisions of all attempts on one line, with why it ended.
fn story<B>(response: &Response<B>) -> (usize, StopReason) {
    let attempts: &RetryOutcome = response.extensions().get().unwrap();
    let last = attempts.last().unwrap();
    let portcullis_gateway_error::Decision::Stop(reason) = last.decision else {
        panic!("the last attempt stops: {attempts}");
    };
    (attempts.records().len(), reason)
}
