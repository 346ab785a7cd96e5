use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::Classify;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use crate::Policy;
use crate::drain::Drain;
use crate::exchange::{Exchange, Verdict};
use crate::map_body::ConvertBody;

pin_project! {
    /// The future of [`Retry`](crate::Retry).
    ///
    /// Dropping it ends the running attempt, and lets go of everything that was kept for another.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, P, C, M, ReqBody, ResBody>
    where
        S: Service<Request<M::Body>>,
        M: ConvertBody<ReqBody>,
    {
        #[pin]
        state: State<S::Future, ResBody>,
        // None for a request that is never sent twice.
        exchange: Option<Exchange<S, P, C, M, ReqBody>>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, B> {
        // An attempt is under way.
        Called { #[pin] future: F },
        // The answer was discarded: what is left of it is read while the wait passes. `extended`: the wait has passed, and only the reading goes on.
        Waiting { #[pin] sleep: Sleep, #[pin] drain: Drain<B>, extended: bool },
        // The wait has passed; the inner service must be ready for the next attempt.
        Readying,
    }
}

// === impl ResponseFuture ===

impl<S, P, C, M, ReqBody, ResBody> ResponseFuture<S, P, C, M, ReqBody, ResBody>
where
    S: Service<Request<M::Body>>,
    M: ConvertBody<ReqBody>,
{
    /// A request that is never sent twice.
    pub(crate) const fn direct(future: S::Future) -> Self {
        Self {
            state: State::Called { future },
            exchange: None,
        }
    }

    /// A request whose first attempt was begun.
    pub(crate) const fn new(future: S::Future, exchange: Exchange<S, P, C, M, ReqBody>) -> Self {
        Self {
            state: State::Called { future },
            exchange: Some(exchange),
        }
    }
}

impl<S, P, C, M, ReqBody, ResBody> Future for ResponseFuture<S, P, C, M, ReqBody, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProject::Called { future } => ready!(future.poll(cx)),
                StateProject::Waiting {
                    mut sleep,
                    drain,
                    extended,
                } => {
                    let drained = drain.poll(cx).is_ready();
                    if drained && *extended {
                        this.state.set(State::Readying);
                        continue;
                    }
                    ready!(sleep.as_mut().poll(cx));
                    match this.exchange {
                        Some(exchange) if !drained && !*extended => {
                            *extended = true;
                            sleep.reset(Instant::now() + exchange.drain_time());
                        }
                        _ => this.state.set(State::Readying),
                    }
                    continue;
                }
                StateProject::Readying => {
                    let Some(exchange) = this.exchange else {
                        return Poll::Pending;
                    };
                    match ready!(exchange.poll_ready(cx)) {
                        Ok(()) => {
                            let future = exchange.call();
                            this.state.set(State::Called { future });
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
            };

            let Some(exchange) = this.exchange else {
                return Poll::Ready(result);
            };
            match exchange.judge(result) {
                Verdict::Return(result) => return Poll::Ready(result),
                Verdict::Retry { wait, drain } => {
                    this.state.set(State::Waiting {
                        sleep: sleep(wait),
                        drain,
                        extended: false,
                    });
                }
            }
        }
    }
}

impl<S, P, C, M, ReqBody, ResBody> fmt::Debug for ResponseFuture<S, P, C, M, ReqBody, ResBody>
where
    S: Service<Request<M::Body>>,
    M: ConvertBody<ReqBody>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "Called",
            State::Waiting { .. } => "Waiting",
            State::Readying => "Readying",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
