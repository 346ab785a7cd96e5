use std::mem;
use std::num::NonZeroU32;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, header};
use http_body::Body;
use portcullis_gateway_error::Classify;
use tower_service::Service;

use crate::exchange::Exchange;
use crate::future::ResponseFuture;
use crate::map_body::ConvertBody;
use crate::replay::Replay;
use crate::{Policy, ReplayBody, RetryLayer};

/// The service that [`RetryLayer`] makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Retry<S, P, C, M> {
    inner: S,
    layer: RetryLayer<P, C, M>,
}

// === impl Retry ===

impl<S, P, C, M> Retry<S, P, C, M> {
    pub(crate) const fn new(inner: S, layer: RetryLayer<P, C, M>) -> Self {
        Self { inner, layer }
    }

    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the rest.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, C, M, ReqBody, ResBody> Service<Request<ReqBody>> for Retry<S, P, C, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    P: Policy + Clone,
    C: Classify<S::Error> + Clone,
    M: ConvertBody<ReqBody> + Clone,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S, P, C, M, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (head, body) = request.into_parts();
        if is_never_replayed(&head) || !self.layer.policy.allows_attempt(NonZeroU32::MIN) {
            let body = self.layer.convert.convert(ReplayBody::direct(body));
            return ResponseFuture::direct(self.inner.call(Request::from_parts(head, body)));
        }

        // The instance that was made ready is the one that is called, and called again; its clone waits here for the next request.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let replay = Replay::new(body, self.layer.limits.max_replay_bytes);
        let body = self.layer.convert.convert(replay.start());
        let future = inner.call(Request::from_parts(head.clone(), body));
        ResponseFuture::new(
            future,
            Exchange::new(inner, self.layer.clone(), head, replay),
        )
    }
}

/// What changes the connection or waits for a go-ahead is bound to its one attempt.
fn is_never_replayed(head: &Parts) -> bool {
    head.method == Method::CONNECT
        || head.headers.contains_key(header::UPGRADE)
        || head.headers.contains_key(header::EXPECT)
}
