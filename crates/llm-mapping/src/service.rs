use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::layer::Settings;
use crate::{RequestBody, ResponseBody};

/// The service that [`LlmMappingLayer`](crate::LlmMappingLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone)]
pub struct LlmMapping<S> {
    inner: S,
    settings: Arc<Settings>,
}

// === impl LlmMapping ===

impl<S> LlmMapping<S> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for LlmMapping<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Some(caller) = self.settings.caller.of(&request) else {
            return ResponseFuture::passing(self.inner.call(request.map(RequestBody::untouched)));
        };
        // The instance that was made ready is called once the body is here; its clone takes its place and must become ready anew.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::reading(request, caller, inner, Arc::clone(&self.settings))
    }
}

impl<S: fmt::Debug> fmt::Debug for LlmMapping<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmMapping")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
