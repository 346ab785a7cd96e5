use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use http::{HeaderMap, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Classify, RetryAfter};
use tokio::time::Instant;
use tower_service::Service;

use crate::pass::Pass;
use crate::pool::body::PoolBody;
use crate::pool::load::InFlight;
use crate::pool::waiting::{Waited, Waiting};
use crate::refusal::Refusal;
use crate::{Observed, ResponseBody, judge};

pin_project! {
    /// The future of a [`Pool`](crate::Pool). Dropping it drops the inner call, or ends the wait for an endpoint.
    #[must_use = "futures do nothing unless polled"]
    pub struct PoolFuture<F, S, ReqBody, C> {
        #[pin]
        state: State<F, Waiting<S, ReqBody, C>, C>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, W, C> {
        // The endpoint is called; the call is gone when the head is there.
        Called { #[pin] inner: F, call: Option<Call<C>> },
        // No endpoint may be called; `None` after that was told.
        Refused { refusal: Option<Arc<Refusal>> },
        // No endpoint may be called, or none is ready.
        Waiting { waiting: Box<W> },
    }
}

/// A call until its head is there. Dropped before, it says how long it took at least.
pub(crate) struct Call<C> {
    /// `None` once it is answered.
    in_flight: Option<InFlight>,
    pass: Option<Pass>,
    started: Instant,
    classifier: C,
}

// === impl PoolFuture ===

impl<F, S, ReqBody, C> PoolFuture<F, S, ReqBody, C> {
    #[inline]
    pub(crate) const fn called(inner: F, call: Call<C>) -> Self {
        Self {
            state: State::Called {
                inner,
                call: Some(call),
            },
        }
    }

    pub(crate) const fn refused(refusal: Arc<Refusal>) -> Self {
        Self {
            state: State::Refused {
                refusal: Some(refusal),
            },
        }
    }

    pub(crate) fn waiting(waiting: Waiting<S, ReqBody, C>) -> Self {
        Self {
            state: State::Waiting {
                waiting: Box::new(waiting),
            },
        }
    }
}

impl<F, S, ReqBody, ResBody, C> Future for PoolFuture<F, S, ReqBody, C>
where
    F: Future<Output = Result<Response<ResBody>, S::Error>>,
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Future = F> + Clone,
    C: Classify<S::Error> + Clone,
{
    type Output = Result<Response<PoolBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let waited = match state.as_mut().project() {
                StateProject::Called { inner, call } => {
                    let result = ready!(inner.poll(cx));
                    return Poll::Ready(match call.take() {
                        Some(call) => call.answered(result),
                        None => result.map(|response| {
                            response
                                .map(|body| PoolBody::new(ResponseBody::inner(body, None), None))
                        }),
                    });
                }
                StateProject::Refused { refusal } => match refusal.take() {
                    Some(refusal) => Waited::Refused(refusal),
                    None => Waited::Spent,
                },
                StateProject::Waiting { waiting } => ready!(waiting.poll(cx)),
            };
            match waited {
                Waited::Called(inner, call) => state.set(State::Called {
                    inner,
                    call: Some(call),
                }),
                Waited::Refused(refusal) => {
                    let response = refusal.respond();
                    return Poll::Ready(Ok(response.map(|body| PoolBody::new(body, None))));
                }
                Waited::Failed(error) => return Poll::Ready(Err(error)),
                // Polled after it was ready, which the contract of futures forbids.
                Waited::Spent => return Poll::Pending,
            }
        }
    }
}

impl<F, S, ReqBody, C> fmt::Debug for PoolFuture<F, S, ReqBody, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFuture").finish_non_exhaustive()
    }
}

// === impl Call ===

impl<C> Call<C> {
    #[inline]
    pub(crate) const fn new(
        pass: Option<Pass>,
        in_flight: InFlight,
        started: Instant,
        classifier: C,
    ) -> Self {
        Self {
            in_flight: Some(in_flight),
            pass,
            started,
            classifier,
        }
    }

    #[inline]
    fn answered<ResBody, E>(
        mut self,
        result: Result<Response<ResBody>, E>,
    ) -> Result<Response<PoolBody<ResBody>>, E>
    where
        C: Classify<E>,
    {
        let (in_flight, pass) = (self.in_flight.take(), self.pass.take());
        match result {
            Ok(response) => {
                let head = judge::look_at(&self.classifier, &response);
                if let Some(in_flight) = &in_flight {
                    in_flight.load().record(self.started, head.is_failure());
                    if matches!(response.status(), BUSY | UNAVAILABLE) {
                        rest(in_flight, response.headers());
                    }
                }
                let watch = pass.and_then(|pass| head.tell(pass));
                Ok(response.map(|body| PoolBody::new(ResponseBody::inner(body, watch), in_flight)))
            }
            Err(error) => {
                self.settle(in_flight.as_ref(), pass, &error);
                Err(error)
            }
        }
    }

    /// The endpoint failed before it was called.
    pub(crate) fn failed<E>(mut self, error: &E)
    where
        C: Classify<E>,
    {
        let (in_flight, pass) = (self.in_flight.take(), self.pass.take());
        self.settle(in_flight.as_ref(), pass, error);
    }

    fn settle<E>(&self, in_flight: Option<&InFlight>, pass: Option<Pass>, error: &E)
    where
        C: Classify<E>,
    {
        let failure = self.classifier.classify_error(error);
        if let Some(in_flight) = in_flight {
            let failed = Observed::of_failure(&failure).is_failure();
            in_flight.load().record(self.started, failed);
        }
        if let Some(pass) = pass {
            pass.fail(&failure);
        }
    }
}

impl<C> Drop for Call<C> {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.load().record_at_least(self.started);
        }
    }
}

/// It says itself when it is worth another call.
#[cold]
#[expect(
    clippy::disallowed_methods,
    reason = "a date that an upstream names is wall-clock time, which tests do not pause"
)]
fn rest(in_flight: &InFlight, headers: &HeaderMap) {
    if let Some(wait) = RetryAfter::from_headers(headers, SystemTime::now()) {
        in_flight.load().rest(wait);
    }
}

const BUSY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
