use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::StatusCode;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_timeout::TimeoutLayer;
use tower::{ServiceBuilder, ServiceExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_layer_goes_into_an_axum_router() {
    let never = get(|| async { std::future::pending::<StatusCode>().await });
    let app: Router = Router::new()
        .route("/", never)
        .layer(TimeoutLayer::new(ms(100)));

    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();

    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn the_layer_goes_around_a_hyper_client() {
    let app: Router = Router::new().route("/", get(|| async { "hello" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(60)).response_idle(Duration::from_secs(60)))
        .service(Client::builder(TokioExecutor::new()).build_http());

    let request = Request::get(uri)
        .body(Full::new(bytes::Bytes::new()))
        .unwrap();
    let response = client.oneshot(request).await.unwrap();

    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "hello");
    server.abort();
}
