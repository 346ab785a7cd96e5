//! Limits against peers that are slow on a real wire, in HTTP/1.1 to the byte.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use portcullis::gateway_error::{ErrorKind, Failure, classify_body_error};
use portcullis::timeout::{Elapsed, Phase, TimeoutLayer};
use portcullis_faulty_upstream::{RawStep, RawUpstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};

use crate::clients::{Chunks, Protocol};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Longer than any of these tests may take.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An upstream that reads a head, sends this, and then this again and again after each gap.
async fn trickles(start: &'static str, piece: &'static str, gap: Duration) -> RawUpstream {
    let pieces = (0..50).flat_map(|_| [RawStep::Stall(gap), RawStep::send(piece)]);
    let script = [RawStep::ReadHead, RawStep::send(start)];
    RawUpstream::start([script.into_iter().chain(pieces).collect()])
        .await
        .unwrap()
}

/// How an exchange ended: which limit struck, the kind it was classified as, and after how long.
pub(crate) async fn ended<B>(
    layer: TimeoutLayer,
    protocol: Protocol,
    url: &str,
    body: B,
) -> (Option<(Phase, ErrorKind)>, Duration)
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let service = layer.layer(protocol.client());
    let started = Instant::now();
    let request = Request::post(url).body(body).unwrap();

    let response = timeout(BOUND, service.oneshot(request))
        .await
        .unwrap()
        .unwrap();

    if let Some(elapsed) = response.extensions().get::<Elapsed>() {
        let failure: &Failure = response.extensions().get().unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let kind = failure.kind().unwrap();
        return (Some((elapsed.phase(), kind)), started.elapsed());
    }
    let body = timeout(BOUND, response.into_body().collect())
        .await
        .unwrap();
    let struck = body.err().map(|error| {
        let struck = std::error::Error::source(&*error).unwrap();
        let struck: &portcullis::timeout::TimeoutError = struck.downcast_ref().unwrap();
        (struck.phase(), classify_body_error(&*error).kind().unwrap())
    });
    (struck, started.elapsed())
}

#[tokio::test]
async fn one_byte_a_second_is_caught_by_the_limits_of_head_gap_and_whole() {
    let second = Duration::from_secs(1);
    let none = TimeoutLayer::default;
    for (start, layer, expected, at) in [
        (
            "HTTP",
            none().head(ms(1500)),
            (Phase::Head, ErrorKind::HttpResponseTimeout),
            ms(1500),
        ),
        (
            HEAD,
            none().head(ms(1500)).response_idle(ms(700)),
            (Phase::ResponseIdle, ErrorKind::ConnectionReadTimeout),
            ms(700),
        ),
        (
            HEAD,
            none()
                .head(ms(1500))
                .response_idle(ms(1500))
                .total(ms(2500)),
            (Phase::Total, ErrorKind::HttpResponseTimeout),
            ms(2500),
        ),
        (
            HEAD,
            none().first_byte(ms(500)),
            (Phase::FirstByte, ErrorKind::ConnectionReadTimeout),
            ms(500),
        ),
    ] {
        let upstream = trickles(start, "/", second).await;

        let (struck, elapsed) = ended(
            layer.clone(),
            Protocol::Http1,
            &upstream.url(),
            Empty::new(),
        )
        .await;

        assert_eq!(struck, Some(expected), "{layer:?}");
        assert!(
            at <= elapsed && elapsed < at + ms(400),
            "{layer:?} {elapsed:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_stalls_after_the_head_is_idle() {
    let script = vec![RawStep::ReadHead, RawStep::send(HEAD), RawStep::Hold];
    let upstream = RawUpstream::start([script]).await.unwrap();
    let layer = TimeoutLayer::default().head(ms(300)).response_idle(ms(300));

    let (struck, elapsed) = ended(layer, Protocol::Http1, &upstream.url(), Empty::new()).await;

    let expected = (Phase::ResponseIdle, ErrorKind::ConnectionReadTimeout);
    assert_eq!(struck, Some(expected));
    assert!(elapsed < ms(1500), "{elapsed:?}");
}

#[tokio::test]
async fn an_upstream_that_does_not_read_the_request_is_caught_by_head_and_by_request() {
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
        let upstream = RawUpstream::start([vec![RawStep::Stall(BOUND)]])
            .await
            .unwrap();
        // More than the buffers of both sides take.
        let body = Chunks((0..512).map(|_| Bytes::from(vec![b'x'; 65_536])).collect());

        let (struck, elapsed) = ended(layer.clone(), Protocol::Http1, &upstream.url(), body).await;

        assert_eq!(struck, Some(expected), "{layer:?}");
        assert!(ms(300) <= elapsed && elapsed < ms(1500), "{elapsed:?}");
    }
}

#[tokio::test]
async fn pings_keep_an_endless_stream_of_events_from_being_idle_but_not_from_its_total() {
    let idle = TimeoutLayer::default().response_idle(ms(600));
    let total = idle.clone().total(ms(1200));
    for (layer, expected, at) in [
        // Fifty pings are ten seconds.
        (total.clone(), None, ms(9000)),
        (
            total.total_on_streams(true),
            Some((Phase::Total, ErrorKind::HttpResponseTimeout)),
            ms(1200),
        ),
        (
            idle.response(ms(1200)),
            Some((Phase::Response, ErrorKind::HttpResponseTimeout)),
            ms(1200),
        ),
    ] {
        let upstream = trickles(SSE, ": ping\n\n", ms(200)).await;

        let (struck, elapsed) = ended(
            layer.clone(),
            Protocol::Http1,
            &upstream.url(),
            Empty::new(),
        )
        .await;

        assert_eq!(struck, expected, "{layer:?}");
        assert!(
            at <= elapsed && elapsed < at + ms(3000),
            "{layer:?} {elapsed:?}"
        );
    }
}

#[tokio::test]
async fn a_slow_reader_downstream_is_not_idle() {
    const CHUNKS: usize = 256;
    let app = Router::new().route(
        "/",
        get(|| async {
            let chunks: VecDeque<_> = (0..CHUNKS)
                .map(|_| Bytes::from(vec![b'x'; 65_536]))
                .collect();
            AxumBody::new(Chunks(chunks))
        }),
    );
    let app = app.layer(TimeoutLayer::default().response_idle(ms(200)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();

    let (mut read, mut buffer) = (0, vec![0; 1024 * 1024]);
    let mut naps = 0;
    loop {
        // Longer than the limit, as often as there is more.
        if naps < 5 {
            tokio::time::sleep(ms(300)).await;
            naps += 1;
        }
        match timeout(BOUND, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap()
        {
            0 => break,
            count => read += count,
        }
    }

    assert!(read > CHUNKS * 65_536, "{read} bytes, and so all of them");
    server.abort();
}

#[tokio::test]
async fn a_call_that_timed_out_leaves_no_connection_to_the_next_one() {
    let hold = vec![RawStep::ReadHead, RawStep::Hold];
    let well = vec![
        RawStep::ReadHead,
        RawStep::send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        RawStep::Hold,
    ];
    let upstream = RawUpstream::start([hold, well]).await.unwrap();
    let service = TimeoutLayer::default()
        .head(ms(200))
        .layer(Protocol::Http1.client::<_>());
    let request = || {
        Request::get(upstream.url())
            .body(Empty::<Bytes>::new())
            .unwrap()
    };

    let first = service.clone().oneshot(request()).await.unwrap();
    let second = service.oneshot(request()).await.unwrap();

    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (504, 200)
    );
    assert_eq!(upstream.connections(), 2);
}
