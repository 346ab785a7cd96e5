use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;
use tower_layer::Layer;
use tower_service::Service;

use super::Endpoints;

/// Answers for the [`Endpoints`], and passes every other path on.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct EndpointsLayer {
    endpoints: Endpoints,
}

/// The service that [`EndpointsLayer`] makes.
#[derive(Clone, Debug)]
pub struct WithEndpoints<S> {
    inner: S,
    endpoints: Endpoints,
}

pin_project! {
    /// The future of [`WithEndpoints`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct EndpointsFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, B> {
        // The path is another.
        Called { #[pin] inner: F },
        // The path is one of the endpoints; `None` after it was answered.
        Answered { response: Option<Response<AnswerBody<B>>> },
    }
}

// === impl EndpointsLayer ===

impl EndpointsLayer {
    /// A layer that answers for these endpoints.
    pub const fn new(endpoints: Endpoints) -> Self {
        Self { endpoints }
    }
}

impl<S> Layer<S> for EndpointsLayer {
    type Service = WithEndpoints<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithEndpoints {
            inner,
            endpoints: self.endpoints.clone(),
        }
    }
}

// === impl WithEndpoints ===

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for WithEndpoints<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<AnswerBody<ResBody>>;
    type Error = S::Error;
    type Future = EndpointsFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let response = self
            .endpoints
            .respond(request.method(), request.uri(), request.headers());
        let state = match response {
            Some(response) => State::Answered {
                response: Some(response),
            },
            None => State::Called {
                inner: self.inner.call(request),
            },
        };
        EndpointsFuture { state }
    }
}

// === impl EndpointsFuture ===

impl<F, ResBody, E> Future for EndpointsFuture<F, ResBody>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<AnswerBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Called { inner } => inner
                .poll(cx)
                .map_ok(|response| response.map(AnswerBody::inner)),
            // Polled after it was ready, which the contract of futures forbids.
            StateProject::Answered { response } => response
                .take()
                .map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
        }
    }
}
