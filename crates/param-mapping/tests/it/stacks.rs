//! The layer where people put it.

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_param_mapping::{Mapping, ParamMappingLayer};
use tower::{Layer, ServiceExt};

use crate::{full, json_post, nest_input, text};

fn echo() -> Router {
    Router::new().route("/", post(|body: String| async move { body }))
}

#[tokio::test]
async fn it_goes_into_an_axum_router() {
    let router = echo().layer(ParamMappingLayer::new(nest_input()));

    let request = json_post(axum::body::Body::from(r#"{"input":1}"#));
    let mapped = router.clone().oneshot(request).await.unwrap();
    let refused = router
        .oneshot(json_post(axum::body::Body::from("{}")))
        .await
        .unwrap();

    assert_eq!(
        text(mapped.into_body()).await,
        r#"{"parameters":{"input":1}}"#
    );
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn it_goes_around_a_hyper_client() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, echo()).await });
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = ParamMappingLayer::new(nest_input()).layer(client);

    let mut request = json_post(full(r#"{"input":"ä"}"#));
    *request.uri_mut() = format!("http://{address}/").parse().unwrap();
    let response = service.oneshot(request).await.unwrap();

    assert_eq!(
        text(response.into_body()).await,
        r#"{"parameters":{"input":"ä"}}"#
    );
    server.abort();
}

#[tokio::test]
async fn two_of_them_stack() {
    let outer = crate::moves("body:/text", "body:/input");
    let outer = Mapping::builder().rule(outer).build().unwrap();
    let layers = (
        ParamMappingLayer::new(outer),
        ParamMappingLayer::new(nest_input()),
    );
    let service = layers.layer(echo());

    let request: Request<Full<Bytes>> = json_post(full(r#"{"text":1}"#));
    let response = service.oneshot(request).await.unwrap();

    assert_eq!(
        text(response.into_body()).await,
        r#"{"parameters":{"input":1}}"#
    );
}
