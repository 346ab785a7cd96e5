//! A tonic client and a tonic server, whose status comes in the headers or in trailers after the head.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use portcullis::retry::{Idempotent, RetryLayer};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer, Service};

use crate::clients::quick;

/// Where an attempt gets its status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// UNAVAILABLE in the headers, without trailers.
    Headers,
    /// UNAVAILABLE in trailers, right after the head.
    Trailers,
    /// UNAVAILABLE in trailers, after a message.
    AfterMessage,
    /// A message and OK.
    Well,
}

/// Answers each call as the script says, whatever the method is, and keeps what the calls said of the attempts before them.
#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Place>>>,
    previous: Arc<Mutex<Vec<Option<String>>>>,
}

/// A body of these frames.
struct Frames(VecDeque<Frame<Bytes>>);

// === impl Scripted ===

impl NamedService for Scripted {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl Service<Request<Body>> for Scripted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let previous = request.headers().get("grpc-previous-rpc-attempts");
        let previous = previous.map(|count| count.to_str().unwrap().to_owned());
        self.previous.lock().unwrap().push(previous);
        let place = self
            .script
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more attempts");
        ready(Ok(answer(place)))
    }
}

// === impl Frames ===

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn answer(place: Place) -> Response<Body> {
    let message = || Frame::data(Bytes::from_static(b"\0\0\0\0\x02\x08\x01"));
    let status = |code: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static(code));
        Frame::trailers(trailers)
    };
    let frames = match place {
        Place::Headers => return Status::unavailable("down").into_http(),
        Place::Trailers => vec![status("14")],
        Place::AfterMessage => vec![message(), status("14")],
        Place::Well => vec![message(), status("0")],
    };
    let mut response = Response::new(Body::new(Frames(frames.into())));
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/grpc"),
    );
    response
}

/// Calls `Check` through a retry layer; what came of it, and what each attempt said of those before it.
async fn check(script: &[Place], vouched: bool) -> (Result<i32, Code>, Vec<Option<String>>) {
    let scripted = Scripted {
        script: Arc::new(Mutex::new(script.iter().copied().collect())),
        previous: Arc::default(),
    };
    let previous = Arc::clone(&scripted.previous);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = Server::builder().add_service(scripted);
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let layer: RetryLayer = quick();

    let mut client = HealthClient::new(layer.map_body(Body::new).layer(channel));
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if vouched {
        request.extensions_mut().insert(Idempotent(true));
    }
    let answer = client.check(request).await;

    server.abort();
    let previous = previous.lock().unwrap().clone();
    (
        answer
            .map(|answer| answer.into_inner().status)
            .map_err(|status| status.code()),
        previous,
    )
}

#[tokio::test]
async fn unavailable_is_tried_again_wherever_it_stands_before_the_first_message() {
    for place in [Place::Headers, Place::Trailers] {
        let (answer, previous) = check(&[place, place, Place::Well], true).await;

        assert_eq!(answer, Ok(1), "{place:?}: SERVING");
        let expected = [None, Some("1".to_owned()), Some("2".to_owned())];
        assert_eq!(previous, expected, "{place:?}");
    }
}

#[tokio::test]
async fn unavailable_after_a_message_is_handed_on() {
    let (answer, previous) = check(&[Place::AfterMessage], true).await;

    assert_eq!((answer, previous.len()), (Err(Code::Unavailable), 1));
}

#[tokio::test]
async fn unavailable_is_handed_on_where_nobody_vouches_for_the_call() {
    for place in [Place::Headers, Place::Trailers] {
        let (answer, previous) = check(&[place], false).await;

        assert_eq!(
            (answer, previous.len()),
            (Err(Code::Unavailable), 1),
            "{place:?}"
        );
    }
}
