use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::Classify;
use portcullis_retry_on_gateway_error::{Direct, ReplayBody, ResponseBody, ResponseFuture};
use tower_service::Service;

use super::AnsweredBy;
use super::policy::Chain;
use super::switch::Switch;

pin_project! {
    /// The future of [`Fallback`](crate::Fallback).
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, C, ReqBody, ResBody>
    where
        S: Service<Request<ReplayBody<ReqBody>>, Response = Response<ResBody>>,
        S: Clone,
        ResBody: Body,
    {
        #[pin]
        inner: ResponseFuture<Switch<S>, Chain, C, Direct, ReqBody, ResBody>,
    }
}

// === impl FallbackFuture ===

impl<S, C, ReqBody, ResBody> FallbackFuture<S, C, ReqBody, ResBody>
where
    S: Service<Request<ReplayBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ResBody: Body,
{
    pub(crate) const fn new(
        inner: ResponseFuture<Switch<S>, Chain, C, Direct, ReqBody, ResBody>,
    ) -> Self {
        Self { inner }
    }
}

impl<S, C, ReqBody, ResBody> Future for FallbackFuture<S, C, ReqBody, ResBody>
where
    S: Service<Request<ReplayBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    C: Classify<S::Error>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().inner.poll(cx));
        if let Ok(response) = &result
            && let Some(answered) = response.extensions().get()
        {
            tell(answered);
        }
        Poll::Ready(result)
    }
}

impl<S, C, ReqBody, ResBody> fmt::Debug for FallbackFuture<S, C, ReqBody, ResBody>
where
    S: Service<Request<ReplayBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ResBody: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture").finish_non_exhaustive()
    }
}

fn tell(answered: &AnsweredBy) {
    let failed = answered.number().get() - 1;
    if failed > 0 {
        tracing::debug!(
            fallback.target = answered.name(),
            fallback.failed = failed,
            "another target answered"
        );
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("fallback.answers", "target" => answered.name().to_owned()).increment(1);
}
