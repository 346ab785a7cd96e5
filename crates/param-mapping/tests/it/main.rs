//! The layer as a `tower::Service`.
#![cfg(test)]

mod bodies;
#[cfg(all(feature = "codings", feature = "config"))]
mod codings;
#[cfg(feature = "cli")]
mod command_line;
mod contract;
mod form_reference;
#[cfg(feature = "config")]
mod forms;
#[cfg(all(feature = "config", feature = "generate"))]
mod generated;
#[cfg(feature = "config")]
mod hostile;
mod known_bugs;
#[cfg(feature = "config")]
mod operations;
#[cfg(all(feature = "generate", feature = "schema"))]
mod pages;
#[cfg(feature = "config")]
mod places;
mod reference;
mod refusals;
#[cfg(feature = "config")]
mod reports;
mod responses;
#[cfg(feature = "schema")]
mod schema;
mod stacks;
#[cfg(feature = "config")]
mod streams;
#[cfg(feature = "config")]
mod variables;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use portcullis_param_mapping::{Mapping, ParamMapping, ParamMappingLayer, Rule};
use portcullis_test_support::{BoxError, Probe, ProbeHandle, ScriptBody};
use tower::{Layer, Service, ServiceExt};

/// What the upstream got.
#[derive(Debug, Default)]
struct Received {
    head: Option<Parts>,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// A mapping around an upstream that keeps what it gets and answers `hello`.
struct Fixture<S> {
    service: ParamMapping<S>,
    upstream: ProbeHandle<BoxError>,
    received: Arc<Mutex<Received>>,
}

fn moves(from: &str, to: &str) -> Rule {
    Rule::rename(from.parse().unwrap(), to.parse().unwrap())
}

/// `input` into `parameters`, required.
fn nest_input() -> Mapping {
    let rule = moves("body:/input", "body:/parameters/input").required();
    Mapping::builder()
        .rule(rule)
        .max_body_bytes(64)
        .build()
        .unwrap()
}

fn fixture<B>(
    mapping: Mapping,
) -> Fixture<
    impl Service<
        Request<portcullis_param_mapping::RequestBody<B>>,
        Response = Response<ScriptBody>,
        Error = BoxError,
        Future: Send,
    > + Clone,
>
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    let received = Arc::new(Mutex::new(Received::default()));
    let keep = Arc::clone(&received);
    let (probe, upstream) = Probe::new(move |request: Request<_>| {
        let keep = Arc::clone(&keep);
        async move {
            let (head, body): (Parts, portcullis_param_mapping::RequestBody<B>) =
                request.into_parts();
            let collected = body.collect().await.unwrap();
            let trailers = collected.trailers().cloned();
            let body = collected.to_bytes();
            *keep.lock().unwrap() = Received {
                head: Some(head),
                body,
                trailers,
            };
            Ok(Response::new(ScriptBody::chunks(["hello"])))
        }
    });
    Fixture {
        service: ParamMappingLayer::new(mapping).layer(probe),
        upstream,
        received,
    }
}

/// Calls the service as its contract asks.
async fn send<S, B, R>(service: &mut S, request: Request<B>) -> Response<R>
where
    S: Service<Request<B>, Response = Response<R>, Error: std::fmt::Debug>,
{
    service.ready().await.unwrap().call(request).await.unwrap()
}

async fn text<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: B) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_post<B>(body: B) -> Request<B> {
    let request = Request::post("/").header("content-type", "application/json");
    request.body(body).unwrap()
}

fn full(text: &'static str) -> http_body_util::Full<Bytes> {
    http_body_util::Full::from(text)
}
