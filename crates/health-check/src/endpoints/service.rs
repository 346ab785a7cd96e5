use std::convert::Infallible;
use std::fmt;
use std::future::Pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::Answer;
use super::lifecycle::InFlight;
use super::respond::{Asked, plain};
use super::{Endpoints, EndpointsBody, grpc};

pin_project! {
    /// The future of [`WithEndpoints`](crate::WithEndpoints) and of [`Endpoints`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct EndpointsFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F> {
        // The path is another.
        Called { #[pin] inner: F, in_flight: Option<InFlight> },
        // The path is one of the endpoints, and the checks are asked.
        Answering { answer: Answering },
    }
}

/// Which of the endpoints a request is for.
pub(super) enum Route {
    Http(Asked),
    Grpc,
}

/// The endpoints at work. On the heap, so that other calls are not larger for it.
pub(super) struct Answering(Pin<Box<dyn Future<Output = Response<Answer>> + Send>>);

// === impl Endpoints ===

impl Endpoints {
    /// Answers for one of the endpoints.
    pub(super) fn answer<B>(&self, route: Route, request: Request<B>) -> Answering
    where
        B: Body<Data: Send> + Send + 'static,
    {
        let endpoints = self.clone();
        match route {
            Route::Grpc => Answering(Box::pin(grpc::respond(endpoints, request))),
            Route::Http(asked) => {
                let (head, _) = request.into_parts();
                Answering(Box::pin(async move {
                    let response = endpoints.respond(asked, head).await;
                    response.map(Answer::whole)
                }))
            }
        }
    }
}

/// The endpoints alone: 404 for every other path.
impl<B> Service<Request<B>> for Endpoints
where
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<EndpointsBody<B>>;
    type Error = Infallible;
    type Future = EndpointsFuture<Pending<Result<Response<B>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        EndpointsFuture::answered(match Route::of(request.uri()) {
            Some(route) => self.answer(route, request),
            None => {
                let response = plain(StatusCode::NOT_FOUND, "not found\n").map(Answer::whole);
                Answering(Box::pin(std::future::ready(response)))
            }
        })
    }
}

// === impl Route ===

impl Route {
    /// `None` where it is for none.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        if grpc::is_for_health(uri) {
            return Some(Self::Grpc);
        }
        Asked::of(uri).map(Self::Http)
    }
}

// === impl EndpointsFuture ===

impl<F> EndpointsFuture<F> {
    pub(super) const fn called(inner: F, in_flight: InFlight) -> Self {
        let in_flight = Some(in_flight);
        Self {
            state: State::Called { inner, in_flight },
        }
    }

    pub(super) const fn answered(answer: Answering) -> Self {
        Self {
            state: State::Answering { answer },
        }
    }
}

impl<F, ResBody, E> Future for EndpointsFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<EndpointsBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Called { inner, in_flight } => {
                let result = ready!(inner.poll(cx));
                let in_flight = in_flight.take();
                Poll::Ready(
                    result
                        .map(|response| response.map(|body| EndpointsBody::inner(body, in_flight))),
                )
            }
            StateProject::Answering { answer } => {
                let response = ready!(answer.0.as_mut().poll(cx));
                Poll::Ready(Ok(response.map(EndpointsBody::answer)))
            }
        }
    }
}

// === impl Answering ===

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}
