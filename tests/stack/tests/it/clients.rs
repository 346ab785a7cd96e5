//! Hyper's client for each version of HTTP, and what is seen of its attempts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::gateway_error::RetryOutcome;
use portcullis::retry::{Backoff, RetryLayer};
use tokio::sync::watch;
use tower::Service;

/// A version of HTTP that a test is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    /// By prior knowledge.
    Http2,
}

/// A body that gives a chunk whenever it is asked, and says nothing of its length.
pub(crate) struct Chunks(pub(crate) VecDeque<Bytes>);

/// Counts the attempts that come to a client, for a test that acts between two of them.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    count: watch::Sender<u32>,
}

// === impl Protocol ===

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// A client with a pool.
    pub(crate) fn client<B>(self) -> Client<HttpConnector, B>
    where
        B: Body<Data: Send> + Send,
    {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Client::builder(TokioExecutor::new())
            .http2_only(self == Self::Http2)
            .build(connector)
    }
}

// === impl Chunks ===

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

// === impl Counted ===

impl<S> Counted<S> {
    pub(crate) fn new(inner: S) -> (Self, watch::Receiver<u32>) {
        let (count, attempts) = watch::channel(0);
        (Self { inner, count }, attempts)
    }
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.count.send_modify(|count| *count += 1);
        self.inner.call(request)
    }
}

/// Three attempts that do not wait long for each other, and as many in all as a test wants to see.
pub(crate) fn quick() -> RetryLayer {
    RetryLayer::new()
        .backoff(Backoff::fixed(Duration::from_millis(1)))
        .no_budget()
}

/// As many attempts as it takes until a test has repaired what is broken, within a bound.
pub(crate) fn patient() -> RetryLayer {
    RetryLayer::new()
        .max_attempts(200.try_into().unwrap())
        .backoff(Backoff::fixed(Duration::from_millis(20)))
}

/// What the retry layer says of an exchange in which something failed.
pub(crate) fn outcome<B>(response: &Response<B>) -> &RetryOutcome {
    response
        .extensions()
        .get()
        .expect("an attempt failed, and so there are records")
}
