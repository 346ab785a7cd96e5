use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::Classify;
use portcullis_retry_on_gateway_error::{
    Attempt, Direct, ReplayBody, ResponseBody, Retry, RetryLayer,
};
use tower_layer::Layer;
use tower_service::Service;

use super::future::FallbackFuture;
use super::policy::Chain;
use super::switch::{Outer, Switch};

/// The service that [`FallbackLayer`](crate::FallbackLayer) makes.
///
/// It can be sent to other threads where its targets can and are `Sync`: `tower::util::BoxCloneSyncService`, where they are boxed.
pub struct Fallback<S, C> {
    inner: Retry<Switch<S>, Chain, C, Direct>,
}

/// What makes the attempts, with the rules of one layer.
pub(crate) struct Engine<C>(pub(crate) RetryLayer<Chain, C>);

// === impl Fallback ===

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Fallback<S, C>
where
    S: Service<Request<ReplayBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    C: Classify<S::Error>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = FallbackFuture<S, C, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let extensions = request.extensions_mut();
        if let Some(attempt) = extensions.remove::<Attempt>() {
            extensions.insert(Outer(attempt));
        }
        FallbackFuture::new(self.inner.call(request))
    }
}

impl<S: Clone, C> Clone for Fallback<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Fallback<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("targets", self.inner.get_ref())
            .finish_non_exhaustive()
    }
}

// === impl Engine ===

impl<C: Clone> Engine<C> {
    pub(crate) fn build<S>(
        &self,
        first: (Arc<str>, S),
        rest: Vec<(Arc<str>, S)>,
    ) -> Fallback<S, C> {
        Fallback {
            inner: self.0.layer(Switch::new(first, rest)),
        }
    }
}
