//! Every phase, over HTTP/1.1, HTTP/2 and gRPC, at the client and at the server, with hyper on both ends of a pipe.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_test_support::Step;
use portcullis_timeout::{Elapsed, Phase, TimeoutLayer};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;
type Answering = Pin<Box<dyn Future<Output = Result<Response<AnyBody>, BoxError>> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http1,
    Http2,
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Server,
}

/// What the caller of the whole gets.
#[derive(Debug, PartialEq)]
enum Seen {
    /// An HTTP status, and for gRPC its own in the head.
    Head(u16, Option<String>),
    /// A status of gRPC in the trailers.
    Trailers(String),
    Cut,
}

fn any<B>(response: Response<B>) -> Response<AnyBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// A caller of this phase's kind, and an upstream that is too slow in it: one second, where the limit is 100 ms.
fn request_of(phase: Phase, protocol: Protocol) -> Request<AnyBody> {
    let slow = [
        Step::Wait(ms(10)),
        Step::data("a"),
        Step::Wait(ms(1000)),
        Step::data("b"),
    ];
    let body = match phase {
        Phase::Request | Phase::RequestIdle => ScriptBody::new(slow).boxed_unsync(),
        _ => Full::new(Bytes::from("a"))
            .map_err(Into::into)
            .boxed_unsync(),
    };
    let builder = Request::post("http://a/").header("host", "a");
    let builder = if protocol == Protocol::Grpc {
        builder.header("content-type", "application/grpc")
    } else {
        builder
    };
    builder.body(body).unwrap()
}

async fn upstream<B>(
    phase: Phase,
    protocol: Protocol,
    request: Request<B>,
) -> Result<Response<AnyBody>, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let body = request.into_body().collect().await;
    body.map_err(Into::into)?;
    if matches!(phase, Phase::Head | Phase::Total) {
        sleep(ms(1000)).await;
    }
    // For gRPC a whole message, so that trailers can follow it.
    let message = || Step::data("\0\0\0\0\u{1}a");
    let steps = match phase {
        Phase::FirstByte => vec![Step::Wait(ms(1000)), message()],
        Phase::ResponseIdle | Phase::Response => vec![message(), Step::Wait(ms(1000)), message()],
        _ => vec![message()],
    };
    let response = Response::builder().status(200);
    let response = if protocol == Protocol::Grpc {
        response.header("content-type", "application/grpc")
    } else {
        response
    };
    Ok(response.body(ScriptBody::new(steps).boxed_unsync())?)
}

fn layer(phase: Phase) -> TimeoutLayer {
    let none = TimeoutLayer::default();
    let limit = ms(100);
    match phase {
        Phase::Ready => none.ready(limit),
        Phase::Request => none.request(limit),
        Phase::RequestIdle => none.request_idle(limit),
        Phase::Head => none.head(limit),
        Phase::FirstByte => none.first_byte(limit),
        Phase::Response => none.response(limit),
        Phase::ResponseIdle => none.response_idle(limit),
        _ => none.total(limit),
    }
}

/// A service that is ready after so long.
#[derive(Clone)]
struct Late<S>(S, Option<Instant>);

impl<S: Service<Request<B>>, B> Service<Request<B>> for Late<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        match self.1 {
            // Nobody wakes it before its time, and the limit is sooner.
            Some(at) if Instant::now() < at => std::task::Poll::Pending,
            _ => self.0.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request)
    }
}

fn late<S>(phase: Phase, service: S) -> Late<S> {
    let at = (phase == Phase::Ready).then(|| Instant::now() + ms(1000));
    Late(service, at)
}

/// A client of hyper's on a pipe, at whose other end a server answers with this.
async fn client<H>(
    protocol: Protocol,
    handler: H,
) -> impl FnMut(Request<AnyBody>) -> Answering + Clone
where
    H: Fn(Request<Incoming>) -> Answering + Clone + Send + 'static,
{
    let (near, far) = duplex(64 * 1024);
    let service = hyper::service::service_fn(handler);
    let http1 = protocol == Protocol::Http1;
    tokio::spawn(async move {
        let io = TokioIo::new(far);
        if http1 {
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(io, service).await;
        } else {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(io, service).await;
        }
    });
    type Send = Arc<dyn Fn(Request<AnyBody>) -> Answering + std::marker::Send + Sync>;
    let io = TokioIo::new(near);
    let send: Send = if http1 {
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let sender = Arc::new(tokio::sync::Mutex::new(sender));
        Arc::new(move |request| {
            let sender = Arc::clone(&sender);
            Box::pin(async move { Ok(any(sender.lock().await.send_request(request).await?)) })
        })
    } else {
        let executor = TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, io).await;
        let (sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        Arc::new(move |request| {
            let mut sender = sender.clone();
            Box::pin(async move { Ok(any(sender.send_request(request).await?)) })
        })
    };
    move |request| send(request)
}

/// One exchange: what its caller saw, and the phase in the extensions where the layer is at his side.
async fn exchange(phase: Phase, protocol: Protocol, side: Side) -> (Seen, Option<Phase>) {
    let response = match side {
        Side::Client => {
            let plain = client(protocol, move |request| {
                Box::pin(upstream(phase, protocol, request)) as Answering
            })
            .await;
            let inner = service_fn(plain);
            let layer = layer(phase).map_body(BodyExt::boxed_unsync);
            let service = layer.layer(late(phase, inner));
            let request = request_of(phase, protocol);
            service.oneshot(request).await.map(any)
        }
        Side::Server => {
            let mut plain = client(protocol, move |request| {
                let inner = service_fn(move |request| upstream(phase, protocol, request));
                let service = layer(phase).layer(late(phase, inner));
                Box::pin(async move { Ok(any(service.oneshot(request).await?)) }) as Answering
            })
            .await;
            plain(request_of(phase, protocol)).await
        }
    };
    let Ok(response) = response else {
        return (Seen::Cut, None);
    };
    let struck = response.extensions().get::<Elapsed>().map(Elapsed::phase);
    let status = response.status().as_u16();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let grpc = response.headers().get("grpc-status").map(text);
    if status != 200 || grpc.is_some() {
        return (Seen::Head(status, grpc), struck);
    }
    let seen = match response.into_body().collect().await {
        Err(_) => Seen::Cut,
        Ok(body) => {
            let trailers = body
                .trailers()
                .and_then(|map| map.get("grpc-status").map(text));
            Seen::Trailers(trailers.unwrap_or_default())
        }
    };
    (seen, struck)
}

#[tokio::test(start_paused = true)]
async fn every_phase_strikes_over_every_protocol_on_both_sides() {
    for phase in Phase::ALL.iter().copied() {
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Grpc] {
            for side in [Side::Client, Side::Server] {
                let name = format!("{phase:?} {protocol:?} {side:?}");
                let start = Instant::now();

                let (seen, struck) = exchange(phase, protocol, side).await;

                let grpc = protocol == Protocol::Grpc;
                let in_head = |status| match grpc {
                    true => Seen::Head(200, Some("4".to_owned())),
                    false => Seen::Head(status, None),
                };
                let expected = match phase {
                    Phase::Ready => in_head(503),
                    Phase::Request | Phase::RequestIdle => in_head(408),
                    Phase::Head | Phase::Total => in_head(504),
                    _ if grpc => Seen::Trailers("4".to_owned()),
                    _ => Seen::Cut,
                };
                assert_eq!(seen, expected, "{name}");
                if side == Side::Client && matches!(expected, Seen::Head(..)) {
                    assert_eq!(struck, Some(phase), "{name}");
                }
                let elapsed = start.elapsed();
                assert!(
                    ms(100) <= elapsed && elapsed < ms(500),
                    "{name}: {elapsed:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_of_the_table_is_in_time_without_limits() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut plain = client(protocol, move |request| {
            Box::pin(async move {
                let service = TimeoutLayer::default().layer(service_fn(move |request| {
                    upstream(Phase::Response, protocol, request)
                }));
                Ok::<_, Infallible>(any(service.oneshot(request).await.unwrap()))
                    .map_err(Into::into)
            }) as Answering
        })
        .await;

        let response = plain(request_of(Phase::Request, protocol)).await.unwrap();

        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .len(),
            12
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_resets_a_stream_of_http2_and_ends_a_connection_of_http1() {
    for (protocol, expected) in [(Protocol::Http1, None), (Protocol::Http2, Some(200))] {
        let ended = Arc::new(AtomicUsize::new(0));
        let (calls, end) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&ended));
        let plain = client(protocol, move |_| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            let guard = Guard(Arc::clone(&end));
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
                drop(guard);
                Ok(any(answer_after(ms(0)).await?))
            }) as Answering
        })
        .await;
        let service = TimeoutLayer::default()
            .head(ms(100))
            .map_body(BodyExt::boxed_unsync)
            .layer(service_fn(plain));
        let request = || request_of(Phase::Head, protocol);

        let first = service.clone().oneshot(request()).await.unwrap();
        sleep(ms(10)).await;
        let work_has_ended = ended.load(Ordering::SeqCst) == 1;
        let second = service.oneshot(request()).await;

        assert_eq!(first.status(), 504, "{protocol:?}");
        assert!(work_has_ended, "{protocol:?}: the server knows of it");
        let second = second.ok().map(|response| response.status().as_u16());
        assert_eq!(second, expected, "{protocol:?}: there is one connection");
    }
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
