use std::task::{Context, Poll};

use http::{Request, Response};
use portcullis_gateway_error::Audience;
use tokio::time::Instant;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody};
use crate::future::{Pending, ResponseFuture};
use crate::{Deadline, TimeoutLayer};

/// The service that [`TimeoutLayer`] makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    layer: TimeoutLayer,
}

// === impl Timeout ===

impl<S> Timeout<S> {
    pub(crate) const fn new(inner: S, layer: TimeoutLayer) -> Self {
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Timeout<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let now = Instant::now();
        let TimeoutLayer { limits, answer } = &self.layer;
        let given = request.extensions().get::<Deadline>().copied();
        let end = limits.end(now, given);
        let pending = Pending {
            started: now,
            head: limits.head(now, end),
            end,
            response_idle: limits.response_idle,
            audience: Audience::of(&request),
            form: answer.clone(),
        };
        match end {
            Some(end) if end.at <= now => return ResponseFuture::expired(pending),
            Some(end) if given != Some(Deadline::at(end.at)) => {
                request.extensions_mut().insert(Deadline::at(end.at));
            }
            _ => {}
        }

        let request = request.map(|body| RequestBody::new(body, limits.request_idle));
        ResponseFuture::new(self.inner.call(request), pending)
    }
}
