//! `grpc.health.v1`, ours and that of others, each against the other over real sockets.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use portcullis::gateway_error::ErrorKind;
use portcullis::health_check::{
    Check, Endpoints, EndpointsLayer, GrpcProbe, Health, Monitor, Probe, ProbeBody, ProbeError,
    State,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::clients::Protocol;
use crate::processes::{Process, free_port, listening, python};

/// A health that a test turns.
async fn switched() -> (tokio::sync::watch::Sender<bool>, Health) {
    let (up, state) = tokio::sync::watch::channel(true);
    let probe = move || {
        let up = *state.borrow();
        async move {
            let down = || ProbeError::new(ErrorKind::ConnectionRefused, "switched off");
            up.then_some(()).ok_or_else(down)
        }
    };
    let health = Monitor::new(probe)
        .interval(Duration::from_millis(5))
        .rise(NonZeroU32::MIN)
        .fall(NonZeroU32::MIN)
        .start();
    health.wait_for(State::Up).await;
    (up, health)
}

/// Ours around a service of tonic, over HTTP/2.
async fn ours(endpoints: Endpoints) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let other = Router::new().route("/other", get(|| async { "through" }));
    let server = Server::builder()
        .layer(EndpointsLayer::new(endpoints))
        .add_routes(tonic::service::Routes::from(other));
    let server = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    (address, server)
}

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy()
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn a_client_of_tonic_checks_and_watches_ours_until_the_drain_ends_it() {
    let (up, health) = switched().await;
    let endpoints = Endpoints::new().check(Check::health("db", health).tag("orders.v1.Orders"));
    let (address, server) = ours(endpoints.clone()).await;
    let mut client = HealthClient::new(channel(address));

    for service in ["", "orders.v1.Orders"] {
        let answer = client.check(request(service)).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service:?} is SERVING");
    }
    let error = client.check(request("none")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let mut unknown = client.watch(request("none")).await.unwrap().into_inner();
    let first = unknown.message().await.unwrap().unwrap();
    assert_eq!(first.status, 3, "SERVICE_UNKNOWN");

    let watched = client.watch(request("orders.v1.Orders")).await;
    let mut watched = watched.unwrap().into_inner();
    let mut statuses = Vec::new();
    for turn in [None, Some(false), Some(true)] {
        if let Some(turn) = turn {
            up.send(turn).unwrap();
        }
        statuses.push(watched.message().await.unwrap().unwrap().status);
    }
    assert_eq!(statuses, [1, 2, 1], "each change once");

    endpoints.drain().await;
    let last = watched.message().await.unwrap().unwrap();
    assert_eq!(last.status, 2, "NOT_SERVING");
    for stream in [&mut watched, &mut unknown] {
        let ended = stream.message().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    }
    server.abort();
}

#[tokio::test]
async fn one_port_serves_kubernetes_grpc_and_the_service_itself() {
    let endpoints = Endpoints::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app: Router = Router::new()
        .route("/other", get(|| async { "through" }))
        .layer(EndpointsLayer::new(endpoints));
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let mut client = HealthClient::new(channel(address));

    let answer = client.check(request("")).await.unwrap();

    assert_eq!(answer.into_inner().status, 1, "SERVING");
    for protocol in Protocol::BOTH {
        let http = protocol.client();
        for (path, expected) in [("readyz", "ok"), ("other", "through")] {
            let request = Request::get(format!("http://{address}/{path}"));
            let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
            let answer = http.request(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, expected, "{path}, {protocol:?}");
        }
    }
    server.abort();
}

fn probe(address: SocketAddr) -> GrpcProbe<Client<HttpConnector, ProbeBody>> {
    let client = Protocol::Http2.client();
    GrpcProbe::new(client, format!("http://{address}").parse().unwrap())
}

fn reason(result: Result<(), ProbeError>) -> String {
    result
        .err()
        .map_or("up".to_owned(), |error| error.to_string())
}

#[tokio::test]
async fn our_probe_asks_and_watches_a_server_of_tonic() {
    let (reporter, service) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let orders = probe(address).service("orders");

    reporter
        .set_service_status("orders", ServingStatus::Serving)
        .await;
    assert_eq!(reason(probe(address).probe().await), "up");
    assert_eq!(reason(orders.probe().await), "up");
    let unknown = probe(address).service("none").probe().await;
    assert_eq!(reason(unknown), "answered NOT_FOUND");

    let health = orders.clone().watch().start();
    health.wait_for(State::Up).await;
    reporter
        .set_service_status("orders", ServingStatus::NotServing)
        .await;
    health.wait_for(State::Down).await;
    assert_eq!(reason(orders.probe().await), "NOT_SERVING");
    reporter
        .set_service_status("orders", ServingStatus::Serving)
        .await;
    health.wait_for(State::Up).await;
    server.abort();
    let _ = server.await;
    assert!(probe(address).probe().await.is_err());
}

#[tokio::test]
async fn a_server_without_the_service_is_down_unless_it_is_said_to_be_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = Server::builder().add_routes(tonic::service::Routes::default());
    let server = tokio::spawn(server.serve_with_incoming(incoming));

    let down = probe(address);
    assert_eq!(
        reason(down.probe().await),
        "the server has no health service"
    );
    let watched = down.clone().watch().start();
    watched.wait_for(State::Down).await;
    let up = down.unimplemented_is_up(true);
    assert_eq!(reason(up.probe().await), "up");
    // No Watch, so it is asked.
    up.watch().start().wait_for(State::Up).await;
    server.abort();
}

/// A server of Python: `orders` is as the last line of its input says.
const SERVER: &str = r#"
import sys
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor(8))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
servicer.set("", health_pb2.HealthCheckResponse.SERVING)
servicer.set("orders", health_pb2.HealthCheckResponse.SERVING)
assert server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
for line in sys.stdin:
    servicer.set("orders", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))
server.stop(0)
"#;

#[tokio::test]
async fn our_probe_asks_and_watches_a_server_of_python() {
    let test = "our_probe_asks_and_watches_a_server_of_python";
    let Some(python) = python(test, "grpc_health.v1.health", "grpcio-health-checking") else {
        return;
    };
    let port = free_port();
    let mut child = Command::new(python)
        .args(["-c", SERVER, &port.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let _process = Process(child);
    listening(port).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let orders = probe(address).service("orders");

    assert_eq!(reason(probe(address).probe().await), "up");
    let unknown = probe(address).service("none");
    assert_eq!(reason(unknown.probe().await), "answered NOT_FOUND");
    let unknown = unknown.watch().start();
    unknown.wait_for(State::Down).await;
    let why = unknown.status().reason.unwrap();
    assert_eq!(why.to_string(), "SERVICE_UNKNOWN");

    let health = orders.clone().watch().start();
    health.wait_for(State::Up).await;
    for (word, state) in [("NOT_SERVING", State::Down), ("SERVING", State::Up)] {
        writeln!(input, "{word}").unwrap();
        health.wait_for(state).await;
        let expected = if state == State::Up { "up" } else { word };
        assert_eq!(reason(orders.probe().await), expected);
    }
}

/// A client of Python: says what it is told, and says the statuses of its watches as they come.
const CLIENT: &str = r#"
import sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1])
stub = health_pb2_grpc.HealthStub(channel)
name = health_pb2.HealthCheckResponse.ServingStatus.Name
def say(text):
    print(text, flush=True)
request = lambda service: health_pb2.HealthCheckRequest(service=service)
for service in ["", "orders", "none"]:
    try:
        say(name(stub.Check(request(service)).status))
    except grpc.RpcError as error:
        say(error.code().name)
try:
    stub.Check(request("x" * 1000), compression=grpc.Compression.Gzip)
    say("compressed")
except grpc.RpcError as error:
    say(error.code().name)
try:
    stub.Check(request("x" * 5000))
except grpc.RpcError as error:
    say(error.code().name)
statuses = stub.List(health_pb2.HealthListRequest()).statuses
say(sorted((service, name(status.status)) for service, status in statuses.items()))
say(name(next(stub.Watch(request("none"))).status))
try:
    for answer in stub.Watch(request("orders")):
        say(name(answer.status))
except grpc.RpcError as error:
    say(error.code().name)
"#;

#[tokio::test]
async fn a_client_of_python_asks_and_watches_ours() {
    let test = "a_client_of_python_asks_and_watches_ours";
    let Some(python) = python(test, "grpc_health.v1.health", "grpcio-health-checking") else {
        return;
    };
    let (up, health) = switched().await;
    let endpoints = Endpoints::new()
        .required("other", Health::fixed(State::Up))
        .check(Check::health("db", health).tag("orders"));
    let (address, server) = ours(endpoints.clone()).await;
    let child = tokio::process::Command::new(python)
        .args(["-c", CLIENT, &address.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = async || lines.next_line().await.unwrap().unwrap();

    for expected in [
        "SERVING",
        "SERVING",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "RESOURCE_EXHAUSTED",
        "[('', 'SERVING'), ('orders', 'SERVING')]",
        "SERVICE_UNKNOWN",
        "SERVING",
    ] {
        assert_eq!(said().await, expected);
    }
    for (turn, expected) in [(false, "NOT_SERVING"), (true, "SERVING")] {
        up.send(turn).unwrap();
        assert_eq!(said().await, expected);
    }
    endpoints.drain().await;
    assert_eq!(said().await, "NOT_SERVING");
    assert_eq!(said().await, "UNAVAILABLE");
    server.abort();
}
