use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::Settings;
use super::body::ErnieTokenBody;
use super::future::ErnieTokenFuture;
use super::shared::Shared;
use crate::RequestBody;

/// The service that [`ErnieTokenLayer`](crate::providers::ErnieTokenLayer) makes.
#[derive(Clone)]
pub struct ErnieToken<S> {
    inner: S,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

// === impl ErnieToken ===

impl<S> ErnieToken<S> {
    pub(super) const fn new(inner: S, settings: Arc<Settings>, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            settings,
            shared,
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

impl<S, ReqBody, ResBody> Service<Request<RequestBody<ReqBody>>> for ErnieToken<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ErnieTokenBody<ResBody>>;
    type Error = S::Error;
    type Future = ErnieTokenFuture<S::Future, S, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody<ReqBody>>) -> Self::Future {
        if request.body().again().is_none() {
            return ErnieTokenFuture::passing(self.inner.call(request));
        }
        // The instance that was made ready is called; its clone takes its place and must become ready anew.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        ErnieTokenFuture::asking(request, inner, Arc::clone(&self.settings), shared)
    }
}

impl<S: fmt::Debug> fmt::Debug for ErnieToken<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErnieToken")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
