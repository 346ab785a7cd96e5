use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{StatusPage, StatusPageBody, StatusPageFuture};

/// Answers for the path of a [`StatusPage`], and passes every other path on.
///
/// It goes inside of an [`EndpointsLayer`](crate::EndpointsLayer) and around an axum `Router`. See the docs of [`StatusPage`] for an example.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct StatusPageLayer {
    page: StatusPage,
}

/// The service that [`StatusPageLayer`] makes.
#[derive(Clone, Debug)]
pub struct WithStatusPage<S> {
    inner: S,
    page: StatusPage,
}

// === impl StatusPageLayer ===

impl StatusPageLayer {
    /// A layer that answers with this page.
    pub const fn new(page: StatusPage) -> Self {
        Self { page }
    }
}

impl<S> Layer<S> for StatusPageLayer {
    type Service = WithStatusPage<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithStatusPage {
            inner,
            page: self.page.clone(),
        }
    }
}

// === impl WithStatusPage ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for WithStatusPage<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<StatusPageBody<ResBody>>;
    type Error = S::Error;
    type Future = StatusPageFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.page.route(request.uri()) {
            None => StatusPageFuture::called(self.inner.call(request)),
            Some(route) => {
                let (head, _) = request.into_parts();
                StatusPageFuture::answered(self.page.respond(route, &head))
            }
        }
    }
}
