use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_gateway_error::Classify;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::judge::Judge;
use crate::refusal::Refusal;
use crate::wait::{Wait, Waited};

pin_project! {
    /// The future of [`HealthCheck`](crate::HealthCheck). Dropping it drops the inner call, or ends the wait; neither counts against the endpoint.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, ReqBody, C> {
        #[pin]
        state: State<F, Wait<S, ReqBody, C>, C>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, W, C> {
        // The gate was open; the judge is gone when the head is there.
        Called { #[pin] inner: F, judge: Option<Judge<C>> },
        // The gate was closed; `None` after it was told.
        Refused { refusal: Option<Box<Refusal>> },
        // The gate is closed, and may open.
        Waiting { wait: Box<W> },
    }
}

// === impl ResponseFuture ===

impl<F, S, ReqBody, C> ResponseFuture<F, S, ReqBody, C> {
    #[inline]
    pub(crate) const fn called(inner: F, judge: Option<Judge<C>>) -> Self {
        Self {
            state: State::Called { inner, judge },
        }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self {
            state: State::Refused {
                refusal: Some(Box::new(refusal)),
            },
        }
    }

    pub(crate) fn waiting(wait: Wait<S, ReqBody, C>) -> Self {
        Self {
            state: State::Waiting {
                wait: Box::new(wait),
            },
        }
    }
}

impl<F, S, ReqBody, ResBody, C> Future for ResponseFuture<F, S, ReqBody, C>
where
    F: Future<Output = Result<Response<ResBody>, S::Error>>,
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Future = F>,
    C: Classify<S::Error> + Clone,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let wait =
                match state.as_mut().project() {
                    StateProject::Called { inner, judge } => {
                        let result = ready!(inner.poll(cx));
                        let Some(judge) = judge.take() else {
                            return Poll::Ready(result.map(|response| {
                                response.map(|body| ResponseBody::inner(body, None))
                            }));
                        };
                        return Poll::Ready(match result {
                            Ok(response) => {
                                let watch = judge.head(&response);
                                Ok(response.map(|body| ResponseBody::inner(body, watch)))
                            }
                            Err(error) => {
                                judge.error(&error);
                                Err(error)
                            }
                        });
                    }
                    StateProject::Refused { refusal } => {
                        return match refusal.take() {
                            Some(refusal) => Poll::Ready(Ok(refusal.unavailable())),
                            // Polled after it was ready, which the contract of futures forbids.
                            None => Poll::Pending,
                        };
                    }
                    StateProject::Waiting { wait } => wait,
                };
            match ready!(wait.poll(cx)) {
                Waited::Called(inner, judge) => state.set(State::Called { inner, judge }),
                Waited::Unavailable(refusal) => {
                    return Poll::Ready(Ok(refusal.unavailable()));
                }
                Waited::TooLate(refusal) => return Poll::Ready(Ok(refusal.too_late())),
                Waited::Failed(error) => return Poll::Ready(Err(error)),
                Waited::Spent => return Poll::Pending,
            }
        }
    }
}

impl<F, S, ReqBody, C> fmt::Debug for ResponseFuture<F, S, ReqBody, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
