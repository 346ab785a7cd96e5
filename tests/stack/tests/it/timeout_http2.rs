//! The limits against the same slow peers over HTTP/2, where a stream is reset and the connection goes on.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path};
use axum::routing::any;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use portcullis::gateway_error::ErrorKind;
use portcullis::timeout::{Phase, TimeoutLayer};
use portcullis_test_support::{ScriptBody, Step};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

use crate::clients::{Chunks, Protocol};
use crate::timeouts::{BOUND, ended, ms};

/// The other ends of the connections that there were.
type Peers = Arc<Mutex<HashSet<SocketAddr>>>;

/// Each path is another way to be slow. A request body is not read by any of them.
async fn slow(
    Path(way): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(peers): Extension<Peers>,
) -> Response<Body> {
    peers.lock().unwrap().insert(peer);
    let trickle = |piece: &'static str, gap| {
        (0..50).flat_map(move |_| [Step::Wait(ms(gap)), Step::data(piece)])
    };
    let (content_type, steps): (_, Vec<_>) = match way.as_str() {
        "head" => {
            sleep(BOUND).await;
            ("text/plain", Vec::new())
        }
        "trickle" => ("text/plain", trickle("/", 1000).collect()),
        "pings" => ("text/event-stream", trickle(": ping\n\n", 200).collect()),
        "stall" => ("text/plain", vec![Step::Stall]),
        _ => ("text/plain", vec![Step::data("well")]),
    };
    let response = Response::builder().header("content-type", content_type);
    response.body(Body::new(ScriptBody::new(steps))).unwrap()
}

/// The server, where its paths begin, and who came.
async fn server() -> (JoinHandle<std::io::Result<()>>, String, Peers) {
    let peers = Peers::default();
    let app = Router::new()
        .route("/{way}", any(slow))
        .layer(Extension(Arc::clone(&peers)))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    (server, url, peers)
}

#[tokio::test]
async fn each_limit_catches_a_stream_of_http2_as_it_does_a_connection_of_http1() {
    let none = TimeoutLayer::default;
    let read = ErrorKind::ConnectionReadTimeout;
    let response = ErrorKind::HttpResponseTimeout;
    let (server, url, _) = server().await;
    for (way, layer, expected, at) in [
        (
            "head",
            none().head(ms(600)),
            Some((Phase::Head, response)),
            600,
        ),
        (
            "head",
            none().total(ms(600)),
            Some((Phase::Total, response)),
            600,
        ),
        (
            "trickle",
            none().response_idle(ms(600)),
            Some((Phase::ResponseIdle, read)),
            600,
        ),
        (
            "trickle",
            none().response_idle(ms(1500)).total(ms(2500)),
            Some((Phase::Total, response)),
            2500,
        ),
        (
            "trickle",
            none().first_byte(ms(500)),
            Some((Phase::FirstByte, read)),
            500,
        ),
        (
            "stall",
            none().head(ms(400)).response_idle(ms(400)),
            Some((Phase::ResponseIdle, read)),
            400,
        ),
        (
            "pings",
            none().response_idle(ms(600)).total(ms(1200)),
            None,
            9000,
        ),
        (
            "pings",
            none()
                .response_idle(ms(600))
                .total(ms(1200))
                .total_on_streams(true),
            Some((Phase::Total, response)),
            1200,
        ),
    ] {
        let url = format!("{url}{way}");

        let (struck, elapsed) = ended(layer.clone(), Protocol::Http2, &url, Empty::new()).await;

        assert_eq!(struck, expected, "{way} {layer:?}");
        assert!(
            ms(at) <= elapsed && elapsed < ms(at + 3000),
            "{way} {layer:?} {elapsed:?}"
        );
    }
    server.abort();
}

#[tokio::test]
async fn an_upstream_that_gives_no_window_for_the_request_is_caught_by_head_and_by_request() {
    let (server, url, _) = server().await;
    for (layer, expected) in [
        (
            TimeoutLayer::default().head(ms(300)),
            (Phase::Head, ErrorKind::HttpResponseTimeout),
        ),
        (
            TimeoutLayer::default()
                .request(ms(300))
                .request_idle(ms(100)),
            (Phase::Request, ErrorKind::ConnectionWriteTimeout),
        ),
    ] {
        // More than the windows of a stream and of a connection take.
        let body = Chunks((0..512).map(|_| Bytes::from(vec![b'x'; 65_536])).collect());

        let (struck, elapsed) =
            ended(layer.clone(), Protocol::Http2, &format!("{url}head"), body).await;

        assert_eq!(struck, Some(expected), "{layer:?}");
        assert!(ms(300) <= elapsed && elapsed < ms(3000), "{elapsed:?}");
    }
    server.abort();
}

#[tokio::test]
async fn a_stream_that_timed_out_leaves_the_connection_to_the_others() {
    let (server, url, peers) = server().await;
    let service = TimeoutLayer::default()
        .head(ms(300))
        .layer(Protocol::Http2.client());
    let request = |way: &str| {
        let request = Request::get(format!("{url}{way}"));
        request.body(Empty::<Bytes>::new()).unwrap()
    };

    let first = service.clone().oneshot(request("head")).await.unwrap();
    let second = service.oneshot(request("well")).await.unwrap();

    assert_eq!(
        (first.status(), second.status()),
        (StatusCode::GATEWAY_TIMEOUT, StatusCode::OK)
    );
    let body = second.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "well");
    assert_eq!(peers.lock().unwrap().len(), 1, "connections");
    server.abort();
}
