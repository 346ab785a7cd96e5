use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::service::Route;
use super::{Endpoints, EndpointsBody, EndpointsFuture};
use crate::PassedOn;
use crate::passed_on::Onward;

/// Answers for the [`Endpoints`], and passes every other path on. What it passes on is in flight for [`Endpoints::drain`] until the last byte of its answer.
///
/// It goes around an axum `Router` and a tonic `Server` alike. See the [crate docs](crate) for examples.
///
/// It is ready at once, whatever the inner service is, so that a full `ConcurrencyLimit` inside does not let the kubelet wait, and restart what only has much to do. A call
/// that is passed on while the inner service is not ready waits for it in its future, and is in flight meanwhile. So back-pressure ends here: a `LoadShed` or a bounded
/// `Buffer` outside sees none, and belongs inside. An error of the inner readiness is that of this one, or of the future where it comes later.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct EndpointsLayer {
    endpoints: Endpoints,
    grpc: bool,
}

/// The service that [`EndpointsLayer`] makes. The inner service must be `Clone`.
#[derive(Clone, Debug)]
pub struct WithEndpoints<S> {
    inner: Onward<S>,
    endpoints: Endpoints,
    grpc: bool,
}

// === impl EndpointsLayer ===

impl EndpointsLayer {
    /// A layer that answers for these endpoints.
    pub const fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            grpc: true,
        }
    }

    /// Replaces whether calls of `grpc.health.v1.Health` are answered too. Default: yes. No, where a service inside does.
    pub const fn grpc(mut self, grpc: bool) -> Self {
        self.grpc = grpc;
        self
    }
}

impl<S> Layer<S> for EndpointsLayer {
    type Service = WithEndpoints<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithEndpoints {
            inner: Onward::new(inner),
            endpoints: self.endpoints.clone(),
            grpc: self.grpc,
        }
    }
}

// === impl WithEndpoints ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for WithEndpoints<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data: Send> + Send + 'static,
{
    type Response = Response<EndpointsBody<ResBody>>;
    type Error = S::Error;
    type Future = EndpointsFuture<PassedOn<S::Future, S, Request<ReqBody>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match Route::of(request.uri()) {
            None => {}
            Some(Route::Grpc) if !self.grpc => {}
            Some(route) => {
                self.inner.release();
                return EndpointsFuture::answered(self.endpoints.answer(route, request));
            }
        }
        let in_flight = self.endpoints.lifecycle.enter();
        EndpointsFuture::called(self.inner.call(request), in_flight)
    }
}
