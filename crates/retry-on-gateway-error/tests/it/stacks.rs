use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;

/// A router whose handler answers 502 to the first call, and then 200.
fn flaky() -> Router {
    let calls = Arc::new(AtomicU32::new(0));
    Router::new().route(
        "/",
        get(move || {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    StatusCode::BAD_GATEWAY
                } else {
                    StatusCode::OK
                }
            }
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn the_layer_goes_into_an_axum_router() {
    let app: Router = flaky().layer(layer());

    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();

    assert_eq!(story(&response), (2, StopReason::Success));
}

#[tokio::test]
async fn the_layer_goes_around_a_hyper_client() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, flaky()).into_future());
    let client = ServiceBuilder::new()
        .layer(layer().backoff(Backoff::fixed(Duration::ZERO)))
        .service(Client::builder(TokioExecutor::new()).build_http());

    let request = Request::get(uri)
        .body(http_body_util::Full::new(Bytes::new()))
        .unwrap();
    let response = client.oneshot(request).await.unwrap();

    assert_eq!(story(&response), (2, StopReason::Success));
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_fixed_body_type_gets_its_body() {
    let app = flaky();
    let fixed = tower::service_fn(move |request: Request<Body>| app.clone().oneshot(request));

    let service = layer().map_body(Body::new).layer(fixed);
    let response = service
        .oneshot(Request::new(Body::from("a")))
        .await
        .unwrap();

    assert_eq!(story(&response), (2, StopReason::Success));
}
