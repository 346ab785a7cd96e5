use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::Stack;
use portcullis::gateway_error::{GatewayErrorLayer, RetryOutcome};
use portcullis::health_check::{Health, HealthCheckLayer, State};
use portcullis::param_mapping::{Mapping, ParamMappingLayer};
use portcullis::retry::RetryLayer;
use portcullis::timeout::TimeoutLayer;
use portcullis_faulty_upstream::{FaultyUpstream, RawStep, RawUpstream, Script};
use tower::{Layer, ServiceExt};

use crate::clients::Chunks;

fn stack() -> Stack {
    Stack::new()
        .timeout(TimeoutLayer::new(Duration::from_secs(30)))
        .attempt_timeout(TimeoutLayer::default().head(Duration::from_secs(10)))
        .health_check(HealthCheckLayer::new(Health::fixed(State::Up)))
        .param_mapping(ParamMappingLayer::new(
            Mapping::from_yaml("rules: [{move: body:/input, to: body:/parameters/input}]").unwrap(),
        ))
}

/// A handler that answers 502 once, and then echoes.
fn flaky() -> Router {
    let calls = Arc::new(AtomicU32::new(0));
    Router::new().route(
        "/",
        post(move |body: Bytes| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    Err(StatusCode::BAD_GATEWAY)
                } else {
                    Ok(body)
                }
            }
        }),
    )
}

fn order<B>(uri: &str, body: B) -> Request<B> {
    Request::post(uri)
        .header("content-type", "application/json")
        .header("idempotency-key", "\"one\"")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn the_whole_stack_goes_into_an_axum_router() {
    // `Router::layer` asks every error to be `Infallible` there: the router's own is, and no layer widens it.
    let app: Router = flaky()
        .layer(ParamMappingLayer::new(
            Mapping::from_yaml("rules: [{move: body:/input, to: body:/parameters/input}]").unwrap(),
        ))
        .layer(HealthCheckLayer::new(Health::fixed(State::Up)))
        .layer(TimeoutLayer::default().head(Duration::from_secs(10)))
        .layer(RetryLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .layer(GatewayErrorLayer::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let client = Client::builder(TokioExecutor::new()).build_http();
    let body = Full::new(Bytes::from_static(br#"{"input":"a"}"#));
    let response = client.request(order(&url, body)).await.unwrap();

    assert_eq!(response.status(), 200, "the 502 of the handler was retried");
    let echo = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        echo, r#"{"parameters":{"input":"a"}}"#,
        "each attempt was mapped from the original"
    );
    server.abort();
}

#[tokio::test]
async fn the_whole_stack_is_one_layer_around_a_router() {
    let service = stack().layer(flaky());

    let response = service
        .oneshot(order("/", Body::from(r#"{"input":"a"}"#)))
        .await
        .unwrap();

    assert_eq!(
        response
            .extensions()
            .get::<RetryOutcome>()
            .unwrap()
            .records()
            .len(),
        2
    );
    let echo = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(echo, r#"{"parameters":{"input":"a"}}"#);
}

#[tokio::test]
async fn the_whole_stack_goes_around_a_hyper_client() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    upstream.script(
        "hyper",
        "status=503, reset, ok;times=1".parse::<Script>().unwrap(),
    );
    let service = stack().layer(Client::builder(TokioExecutor::new()).build_http());
    let mut request = order(
        &upstream.url(),
        Full::new(Bytes::from_static(br#"{"input":1.0}"#)),
    );
    request
        .headers_mut()
        .insert("x-test-id", "hyper".parse().unwrap());

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(
        response
            .extensions()
            .get::<RetryOutcome>()
            .unwrap()
            .records()
            .len(),
        3
    );
    let seen = upstream.ledger().test("hyper").unwrap();
    assert_eq!((seen.totals.begun, seen.totals.processed), (3, 1));
    let echo = response.into_body().collect().await.unwrap().to_bytes();
    let echo: serde_json::Value = serde_json::from_slice(&echo).unwrap();
    assert_eq!(echo["body"]["text"], r#"{"parameters":{"input":1.0}}"#);
}

/// Where nothing discards by dropping, a connection is used again after a 503.
#[tokio::test]
async fn discarded_answers_do_not_cost_connections() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let service = stack().layer(Client::builder(TokioExecutor::new()).build_http());
    for n in 0..10 {
        let mut request = order(&upstream.url(), Full::new(Bytes::from_static(b"{}")));
        let headers = request.headers_mut();
        headers.insert("idempotency-key", format!("drain-{n}").parse().unwrap());
        headers.insert("x-fault", "status=503;times=2".parse().unwrap());

        let response = service.clone().oneshot(request).await.unwrap();

        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
    let totals = upstream.ledger().totals();
    assert_eq!((totals.begun, totals.connections), (30, 1));
}

/// 1 MiB of upload, answered early: the next attempt sends what was kept and takes over the rest.
#[tokio::test]
async fn an_early_answer_during_an_upload_is_retried() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let retry = RetryLayer::new().max_replay_bytes(2 * 1024 * 1024);
    let service = Stack::new()
        .retry(retry)
        .layer(Client::builder(TokioExecutor::new()).build_http());
    let body = Bytes::from(vec![b'x'; 1024 * 1024]);
    let chunks: Vec<_> = (0..16)
        .map(|n| body.slice(n * 65536..(n + 1) * 65536))
        .collect();
    let mut request = order(&upstream.url(), Chunks(chunks.into()));
    request
        .headers_mut()
        .insert("x-fault", "status=503;early=1000;times=1".parse().unwrap());

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(response.status(), 200);
    let entry = upstream.ledger().key("one").unwrap();
    let [early, whole] = &entry.attempts[..] else {
        panic!("{entry:?}")
    };
    assert_eq!(early.body_sha256, None, "the first never saw an end");
    assert_eq!(whole.body_length, 1024 * 1024);
    assert_eq!(entry.totals.processed, 1);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502() {
    let steps = vec![
        RawStep::ReadHead,
        RawStep::send("nonsense\r\n\r\n"),
        RawStep::Hold,
    ];
    let upstream = RawUpstream::start([steps]).await.unwrap();
    let service = stack().layer(Client::builder(TokioExecutor::new()).build_http());

    let response = service
        .oneshot(order(&upstream.url(), Full::new(Bytes::from_static(b"{}"))))
        .await
        .unwrap();

    assert_eq!(response.status(), 502);
    assert_eq!(
        response.headers()["proxy-status"],
        "portcullis;error=http_protocol_error"
    );
    assert_eq!(upstream.connections(), 3, "with a key it is tried again");
}
