//! axum makes the service of a layer anew for each connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_retry_on_gateway_error::QuotaBudget;
use tower::layer::layer_fn;

use super::*;

#[tokio::test]
async fn all_connections_of_a_router_share_one_budget_though_axum_calls_layer_for_each() {
    const CONNECTIONS: usize = 50;
    let (calls, made) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (called, layered) = (Arc::clone(&calls), Arc::clone(&made));
    // It pays for 35 retries, and then for none. No clock plays a part.
    let retry = layer()
        .backoff(Backoff::fixed(Duration::ZERO))
        .budget(QuotaBudget::new());
    let app = Router::new()
        .route(
            "/",
            get(move || {
                called.fetch_add(1, Ordering::SeqCst);
                std::future::ready(StatusCode::SERVICE_UNAVAILABLE)
            }),
        )
        .layer(layer_fn(move |inner| {
            layered.fetch_add(1, Ordering::SeqCst);
            retry.layer(inner)
        }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: http::Uri = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let uri = uri.clone();
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
                client.get(uri).await.unwrap().status()
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), 503, "the real answer");
    }

    assert!(
        made.load(Ordering::SeqCst) >= CONNECTIONS,
        "what was made in `layer` would be a budget for each connection"
    );
    assert_eq!(calls.load(Ordering::SeqCst), CONNECTIONS + 35);
    server.abort();
}
