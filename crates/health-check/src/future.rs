use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
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
        // The gate was closed; `None` after that was told.
        Refused { refusal: Option<Arc<Refusal>> },
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

    pub(crate) const fn refused(refusal: Arc<Refusal>) -> Self {
        Self {
            state: State::Refused {
                refusal: Some(refusal),
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
        if let StateProject::Called { inner, judge } = state.as_mut().project() {
            return inner.poll(cx).map(|result| answered(result, judge));
        }
        poll_closed(state, cx)
    }
}

impl<F, S, ReqBody, C> fmt::Debug for ResponseFuture<F, S, ReqBody, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[inline]
fn answered<ResBody, E, C: Classify<E>>(
    result: Result<Response<ResBody>, E>,
    judge: &mut Option<Judge<C>>,
) -> Result<Response<ResponseBody<ResBody>>, E> {
    match result {
        Ok(response) => {
            let watch = judge.take().and_then(|judge| judge.head(&response));
            Ok(response.map(|body| ResponseBody::inner(body, watch)))
        }
        Err(error) => {
            if let Some(judge) = judge.take() {
                judge.error(&error);
            }
            Err(error)
        }
    }
}

type Calling<S, F, ReqBody, C> = State<F, Wait<S, ReqBody, C>, C>;

#[cold]
fn poll_closed<S, ReqBody, ResBody, C>(
    mut state: Pin<&mut Calling<S, S::Future, ReqBody, C>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ResponseBody<ResBody>>, S::Error>>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Classify<S::Error> + Clone,
{
    let waited = match state.as_mut().project() {
        StateProject::Waiting { wait } => ready!(wait.poll(cx)),
        StateProject::Refused { refusal } => match refusal.take() {
            Some(refusal) => return Poll::Ready(Ok(refusal.respond())),
            None => Waited::Spent,
        },
        StateProject::Called { .. } => Waited::Spent,
    };
    match waited {
        Waited::Called(inner, judge) => {
            state.set(State::Called { inner, judge });
            let StateProject::Called { inner, judge } = state.project() else {
                return Poll::Pending;
            };
            inner.poll(cx).map(|result| answered(result, judge))
        }
        Waited::Refused(refusal) => Poll::Ready(Ok(refusal.respond())),
        Waited::Failed(error) => Poll::Ready(Err(error)),
        // Polled after it was ready, which the contract of futures forbids.
        Waited::Spent => Poll::Pending,
    }
}
