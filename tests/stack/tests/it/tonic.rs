use std::net::SocketAddr;
use std::time::Duration;

use portcullis::gateway_error::GatewayErrorLayer;
use portcullis::health_check::{Health, HealthCheckLayer, State};
use portcullis::retry::{Backoff, RetryLayer};
use portcullis::timeout::TimeoutLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;

use crate::processes::free_port;

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy()
}

/// A real tonic server; its `grpc.health.v1` says SERVING.
async fn serve(
    listener: TcpListener,
) -> tokio::task::JoinHandle<Result<(), tonic::transport::Error>> {
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        Server::builder()
            .add_service(health)
            .serve_with_incoming(incoming),
    )
}

/// A request body of a layer as the channel takes it.
fn boxed<B>(request: http::Request<B>) -> http::Request<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    request.map(Body::new)
}

#[tokio::test]
async fn every_layer_goes_around_a_channel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener).await;
    let service = ServiceBuilder::new()
        .layer(GatewayErrorLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .layer(RetryLayer::new().map_body(Body::new))
        .layer(HealthCheckLayer::new(Health::fixed(State::Up)))
        .service(channel(address));

    let answer = HealthClient::new(service)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();

    assert_eq!(answer.into_inner().status, 1, "SERVING");
    server.abort();
}

#[tokio::test]
async fn a_call_that_never_left_is_tried_again_until_the_server_is_there() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let retry = RetryLayer::new()
        .max_attempts(200.try_into().unwrap())
        .backoff(Backoff::fixed(Duration::from_millis(20)))
        .map_body(Body::new);
    let service = ServiceBuilder::new()
        .layer(GatewayErrorLayer::new())
        .layer(retry)
        .service(channel(address));
    let call = tokio::spawn(async move {
        HealthClient::new(service)
            .check(HealthCheckRequest::default())
            .await
            .map(|answer| answer.into_inner().status)
    });
    // The channel has been refused once, at least, when the next connection finds the server.
    let probe = channel(address);
    assert!(
        HealthClient::new(probe)
            .check(HealthCheckRequest::default())
            .await
            .is_err()
    );

    let server = serve(TcpListener::bind(address).await.unwrap()).await;

    assert_eq!(call.await.unwrap().unwrap(), 1, "SERVING");
    server.abort();
}

#[tokio::test]
async fn each_layer_answers_with_the_status_of_grpc() {
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let refused = ServiceBuilder::new()
        .layer(GatewayErrorLayer::new())
        .service(channel(dead));
    let late = ServiceBuilder::new()
        .layer(TimeoutLayer::default().head(Duration::from_millis(100)))
        .map_request(boxed)
        .service(channel(silent.local_addr().unwrap()));
    let closed = ServiceBuilder::new()
        .layer(HealthCheckLayer::new(Health::fixed(State::Down)))
        .service(channel(dead));

    let check = || Request::new(HealthCheckRequest::default());
    let refused = HealthClient::new(refused).check(check()).await.unwrap_err();
    let late = HealthClient::new(late).check(check()).await.unwrap_err();
    let closed = HealthClient::new(closed).check(check()).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    assert_eq!(closed.code(), Code::Unavailable, "{closed:?}");
    assert_eq!(closed.message(), "the upstream is considered unavailable");
}
