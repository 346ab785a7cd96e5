use std::convert::Infallible;
use std::future::Pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::Answer;
use super::respond::plain;
use super::{StatusPage, StatusPageBody};

pin_project! {
    /// The future of [`WithStatusPage`](crate::WithStatusPage) and of [`StatusPage`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct StatusPageFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F> {
        // The path is another.
        Called { #[pin] inner: F },
        // The path is that of the page; `None` after that was told. On the heap, so that other calls are not larger for it.
        Answered { answer: Option<Box<Response<Answer>>> },
    }
}

// === impl StatusPage ===

/// The page alone: 404 for every other path.
impl<B> Service<Request<B>> for StatusPage {
    type Response = Response<StatusPageBody<B>>;
    type Error = Infallible;
    type Future = StatusPageFuture<Pending<Result<Response<B>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        StatusPageFuture::answered(match self.route(request.uri()) {
            Some(route) => self.respond(route, &request.into_parts().0),
            None => plain(StatusCode::NOT_FOUND, "not found\n"),
        })
    }
}

// === impl StatusPageFuture ===

impl<F> StatusPageFuture<F> {
    pub(super) const fn called(inner: F) -> Self {
        Self {
            state: State::Called { inner },
        }
    }

    pub(super) fn answered(answer: Response<Answer>) -> Self {
        Self {
            state: State::Answered {
                answer: Some(Box::new(answer)),
            },
        }
    }
}

impl<F, ResBody, E> Future for StatusPageFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<StatusPageBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Called { inner } => {
                let result = ready!(inner.poll(cx));
                Poll::Ready(result.map(|response| response.map(StatusPageBody::inner)))
            }
            StateProject::Answered { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer.map(StatusPageBody::answer))),
                // Polled after it was ready, which the contract of futures forbids.
                None => Poll::Pending,
            },
        }
    }
}
