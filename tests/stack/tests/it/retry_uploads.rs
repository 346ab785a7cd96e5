use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use portcullis::Stack;
use portcullis::gateway_error::StopReason;
use portcullis::retry::{Backoff, RetryLayer};
use portcullis_faulty_upstream::FaultyUpstream;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::{Layer, ServiceExt};

use crate::clients::{Chunks, Counted, Protocol, outcome, quick};

/// 10 MB of which no two chunks are the same, and their SHA-256 in hex.
fn upload() -> (Chunks, String) {
    let chunk = |n: u32| Bytes::from(n.to_le_bytes().repeat(CHUNK / 4));
    let chunks: Vec<_> = (0..COUNT).map(chunk).collect();
    let mut digest = Sha256::new();
    chunks.iter().for_each(|chunk| digest.update(chunk));
    let mut hex = String::new();
    for byte in digest.finalize() {
        write!(hex, "{byte:02x}").unwrap();
    }
    (Chunks(chunks.into()), hex)
}

fn order<B>(url: &str, key: &str, body: B) -> Request<B> {
    Request::post(url)
        .header("idempotency-key", key)
        .header("x-fault", "status=503;early=200000;times=1")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn an_early_answer_to_10_mb_is_tried_again_with_the_same_bytes() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let (_, sha256) = upload();
    for protocol in Protocol::BOTH {
        let retry = quick().max_replay_bytes(16 * 1024 * 1024);
        let service = Stack::new().retry(retry).layer(protocol.client());
        let key = format!("{protocol:?}");

        let request = order(&upstream.url(), &key, upload().0);
        let response = service.oneshot(request).await.unwrap();

        assert_eq!(response.status(), 200, "{protocol:?}");
        let outcome = outcome(&response);
        let statuses: Vec<_> = outcome.failures().map(|failure| failure.status()).collect();
        assert_eq!(
            statuses,
            [Some(StatusCode::SERVICE_UNAVAILABLE)],
            "{protocol:?}: {outcome}"
        );
        let entry = upstream.ledger().key(&key).unwrap();
        let [early, whole] = &entry.attempts[..] else {
            panic!("{protocol:?}: {entry:?}")
        };
        assert_eq!(early.body_sha256, None, "{protocol:?}: it saw no end");
        assert!(early.body_length < LENGTH, "{protocol:?}");
        assert_eq!(whole.body_length, LENGTH, "{protocol:?}");
        assert_eq!(whole.body_sha256.as_ref(), Some(&sha256), "{protocol:?}");
        assert_eq!(entry.totals.processed, 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn an_early_answer_to_more_than_is_kept_is_handed_on_as_it_is() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    for protocol in Protocol::BOTH {
        let service = Stack::new().retry(quick()).layer(protocol.client());
        for announced in [false, true] {
            let case = format!("{protocol:?}, length announced: {announced}");
            let body = if announced {
                Full::new(Vec::from(upload().0.0).concat().into()).boxed()
            } else {
                upload().0.boxed()
            };

            let request = order(&upstream.url(), &case, body);
            let response = service.clone().oneshot(request).await.unwrap();

            assert_eq!(response.status(), 503, "{case}");
            let outcome = outcome(&response);
            assert_eq!(outcome.records().len(), 1, "{case}: {outcome}");
            assert_eq!(
                outcome.stop_reason(),
                Some(StopReason::BodyTooLarge),
                "{case}"
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "a fault, as asked for\n", "{case}");
            let totals = upstream.ledger().key(&case).unwrap().totals;
            assert_eq!((totals.begun, totals.processed), (1, 0), "{case}");
        }
    }
}

/// An upstream that answers the first connection early and goes on to read it, as one does that does not look at what it answers. It must not take what it read for an order.
/// Returns what came on the first and the second connection.
async fn careless() -> (String, JoinHandle<(Vec<u8>, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let early = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let mut seen = read_until(&mut first, |bytes| bytes.len() >= 200_000).await;
        first.write_all(early).await.unwrap();
        let rest = tokio::spawn(async move {
            seen.extend(read_until(&mut first, |_| false).await);
            seen
        });
        let (mut second, _) = listener.accept().await.unwrap();
        let whole = read_until(&mut second, |bytes| bytes.ends_with(END)).await;
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        second.write_all(good).await.unwrap();
        (rest.await.unwrap(), whole)
    });
    (url, upstream)
}

/// An upload whose rest comes when this is ready.
fn gated(gate: impl Future<Output = ()> + Send + 'static) -> Gated {
    let mut before = upload().0.0;
    let after = before.split_off(8);
    Gated {
        before,
        gate: Some(Box::pin(gate)),
        after,
    }
}

async fn check_careless(upstream: JoinHandle<(Vec<u8>, Vec<u8>)>) {
    let (first, second) = timeout(BOUND, upstream).await.unwrap().unwrap();
    assert!(second.ends_with(END) && second.len() as u64 > LENGTH);
    assert!(!first.ends_with(END), "{} bytes and an end", first.len());
}

#[tokio::test]
async fn the_connection_of_an_attempt_that_was_given_up_never_carries_a_whole_body() {
    let (url, upstream) = careless().await;
    let (client, mut attempts) = Counted::new(Protocol::Http1.client());
    let retry = quick().max_replay_bytes(16 * 1024 * 1024);
    let service = Stack::new().retry(retry).layer(client);
    // The rest of the upload comes only when the second attempt is there: whatever goes out after that must go there.
    let body = gated(async move {
        attempts.wait_for(|count| *count >= 2).await.unwrap();
    });

    let call = service.oneshot(order(&url, "raw", body));
    let response = timeout(BOUND, call).await.unwrap().unwrap();

    assert_eq!(response.status(), 200);
    check_careless(upstream).await;
}

#[tokio::test]
async fn what_comes_during_the_wait_is_not_lost_to_the_attempt_that_was_given_up() {
    let (url, upstream) = careless().await;
    // The rest comes during the wait, and is more than is kept: sent on the first connection, nothing would be left for the second.
    let (decided, mut wait) = watch::channel(false);
    let retry = RetryLayer::new()
        .max_replay_bytes(1024 * 1024)
        .backoff(Backoff::fixed(Duration::from_millis(300)))
        .retry_if(move |_| {
            decided.send_replace(true);
            None
        });
    let service = Stack::new().retry(retry).layer(Protocol::Http1.client());
    let body = gated(async move {
        wait.wait_for(|decided| *decided).await.unwrap();
    });

    let call = service.oneshot(order(&url, "raw", body));
    let response = timeout(BOUND, call).await.unwrap().unwrap();

    assert_eq!(response.status(), 200);
    check_careless(upstream).await;
}

/// A body whose second part comes when a future is ready.
struct Gated {
    before: VecDeque<Bytes>,
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    after: VecDeque<Bytes>,
}

impl Body for Gated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(chunk) = self.before.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(cx));
            self.gate = None;
        }
        Poll::Ready(self.after.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Reads until this is enough, or until the connection ends in whatever way.
async fn read_until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !enough(&bytes) {
        let read: io::Result<usize> = stream.read_buf(&mut bytes).await;
        if matches!(read, Ok(0) | Err(_)) {
            break;
        }
    }
    bytes
}

const CHUNK: usize = 64 * 1024;
const COUNT: u32 = 160;
const LENGTH: u64 = 160 * 64 * 1024;
const BOUND: Duration = Duration::from_secs(60);
/// The last chunk of a body.
const END: &[u8] = b"\r\n0\r\n\r\n";
