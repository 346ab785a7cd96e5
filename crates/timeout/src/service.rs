use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::Direct;
use crate::begin::begin;
use crate::future::ResponseFuture;
use crate::layer::Settings;
use crate::map_body::ConvertBody;
use crate::ready::Readiness;
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::wait::Wait;

/// The service that [`TimeoutLayer`](crate::TimeoutLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Timeout<S, M = Direct> {
    inner: S,
    settings: Arc<Settings>,
    convert: M,
    readiness: Readiness,
}

// === impl Timeout ===

impl<S, M> Timeout<S, M> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>, convert: M) -> Self {
        Self {
            inner,
            settings,
            convert,
            readiness: Readiness::default(),
        }
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

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Timeout<S, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.inner.poll_ready(cx) {
            Poll::Ready(result) => {
                self.readiness.over();
                Poll::Ready(result)
            }
            Poll::Pending => match self.settings.ready {
                Some(limit) => self.readiness.poll(limit, cx).map(Ok),
                None => Poll::Pending,
            },
        }
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        // All that is decided is decided elsewhere, so that this is small enough for requests to be moved once only.
        let wait = begin(&self.settings, &mut request, &mut self.readiness);
        if wait.as_ref().is_some_and(|wait| wait.refused.is_some()) {
            return ResponseFuture::refused(wait);
        }
        let upload = wait.as_ref().and_then(Wait::watched_upload);
        let request = request.map(|body| self.convert.convert(RequestBody::new(body, upload)));
        ResponseFuture::new(self.inner.call(request), wait)
    }
}
