use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{StatusPage, StatusPageBody, StatusPageFuture};
use crate::PassedOn;
use crate::passed_on::Onward;

/// Answers for the path of a [`StatusPage`], and passes every other path on.
///
/// It goes inside of an [`EndpointsLayer`](crate::EndpointsLayer) and around an axum `Router`. See the docs of [`StatusPage`] for an example.
///
/// It is ready at once, whatever the inner service is, as [`EndpointsLayer`](crate::EndpointsLayer) is: the page is there when it is needed, and back-pressure ends here.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct StatusPageLayer {
    page: StatusPage,
}

/// The service that [`StatusPageLayer`] makes. The inner service must be `Clone`.
#[derive(Clone, Debug)]
pub struct WithStatusPage<S> {
    inner: Onward<S>,
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
            inner: Onward::new(inner),
            page: self.page.clone(),
        }
    }
}

// === impl WithStatusPage ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for WithStatusPage<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<StatusPageBody<ResBody>>;
    type Error = S::Error;
    type Future = StatusPageFuture<PassedOn<S::Future, S, Request<ReqBody>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.page.route(request.uri()) {
            None => StatusPageFuture::called(self.inner.call(request)),
            Some(route) => {
                self.inner.release();
                let (head, _) = request.into_parts();
                StatusPageFuture::answered(self.page.respond(route, &head))
            }
        }
    }
}
