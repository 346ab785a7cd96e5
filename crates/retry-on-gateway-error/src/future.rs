use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::Classify;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use crate::Policy;
use crate::attempt_future::AttemptFuture;
use crate::body::ResponseBody;
use crate::drain::{Drain, LINGER};
use crate::exchange::{Begun, Exchange, Next, Run};
use crate::map_body::ConvertBody;
use crate::race::Race;

pin_project! {
    /// The future of [`Retry`](crate::Retry).
    ///
    /// Dropping it ends the attempts that run, and lets go of everything that was kept or paid for another.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, P, C, M, ReqBody, ResBody>
    where
        S: Service<Request<M::Body>>,
        M: ConvertBody<ReqBody>,
        ResBody: Body,
    {
        #[pin]
        state: State<S::Future, ResBody>,
        // None for a request that is never sent twice.
        exchange: Option<Exchange<S, P, C, M, ReqBody>>,
        // What is left of the answer that was discarded last.
        drain: Option<Drain<ResBody>>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, B: Body> {
        // The request is never sent twice.
        Direct { #[pin] call: F },
        // It was answered here.
        Answered { response: Option<Response<ResponseBody<B>>> },
        // An attempt is under way.
        Called { #[pin] attempt: AttemptFuture<F, B>, run: Option<Run> },
        // Several are, or will be.
        Racing { race: Race<F, B> },
        // The wait before the next attempt. `extended`: it has passed, and only the reading of the discarded answer goes on.
        Waiting { #[pin] sleep: Sleep, extended: bool },
        // The wait has passed; the inner service must be ready for the next attempt.
        Readying,
    }
}

// === impl ResponseFuture ===

impl<S, P, C, M, ReqBody, ResBody> ResponseFuture<S, P, C, M, ReqBody, ResBody>
where
    S: Service<Request<M::Body>>,
    M: ConvertBody<ReqBody>,
    ResBody: Body,
{
    /// A request that is never sent twice.
    pub(crate) const fn direct(call: S::Future) -> Self {
        Self::of(State::Direct { call }, None)
    }

    /// A request that was answered here.
    pub(crate) const fn answered(response: Response<ResponseBody<ResBody>>) -> Self {
        let response = Some(response);
        Self::of(State::Answered { response }, None)
    }

    /// A request of which nothing was sent yet: [`begin`](Self::begin) does that.
    pub(crate) const fn new(exchange: Exchange<S, P, C, M, ReqBody>) -> Self {
        Self::of(State::Readying, Some(exchange))
    }

    /// Begins the first attempt, with the head that the caller sent. In place, as the whole is large.
    pub(crate) fn begin(&mut self, head: Parts)
    where
        S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
        P: Policy,
        C: Classify<S::Error>,
        ReqBody: Body<Data = Bytes>,
        ResBody: Body<Data = Bytes> + Unpin,
    {
        if let Some(exchange) = &mut self.exchange {
            let begun = exchange.begin(head);
            self.state = match exchange.hedge_delay() {
                None => State::called(begun),
                Some(delay) => State::Racing {
                    race: Race::new(begun, delay),
                },
            };
        }
    }

    const fn of(
        state: State<S::Future, ResBody>,
        exchange: Option<Exchange<S, P, C, M, ReqBody>>,
    ) -> Self {
        Self {
            state,
            exchange,
            drain: None,
        }
    }
}

impl<S, P, C, M, ReqBody, ResBody> Future for ResponseFuture<S, P, C, M, ReqBody, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(drain) = this.drain
            && drain.poll(cx).is_ready()
        {
            *this.drain = None;
        }
        loop {
            let Some(exchange) = this.exchange.as_mut() else {
                return this.state.poll_alone(cx);
            };
            let next = match this.state.as_mut().project() {
                StateProject::Called { attempt, run } => {
                    let result = ready!(attempt.poll(cx, exchange));
                    let Some(run) = run.take() else {
                        return Poll::Pending;
                    };
                    exchange.judge(run, result, false, cx)
                }
                StateProject::Racing { race } => ready!(race.poll(exchange, cx)),
                StateProject::Waiting {
                    mut sleep,
                    extended,
                } => {
                    if !(*extended && this.drain.is_none()) {
                        ready!(sleep.as_mut().poll(cx));
                    }
                    if this.drain.is_some() && !*extended && exchange.has_time(LINGER) {
                        *extended = true;
                        sleep.reset(Instant::now() + LINGER);
                    } else {
                        this.state.set(State::Readying);
                    }
                    continue;
                }
                StateProject::Readying => match ready!(exchange.poll_ready(cx)) {
                    Ok(()) if !exchange.has_time(Duration::ZERO) => exchange.late(),
                    Ok(()) => {
                        this.state.set(State::called(exchange.call(false)));
                        continue;
                    }
                    Err(error) => {
                        let run = exchange.unsent();
                        exchange.judge(run, Err(error), false, cx)
                    }
                },
                StateProject::Direct { .. } | StateProject::Answered { .. } => {
                    return this.state.poll_alone(cx);
                }
            };

            match next {
                Next::Return(mut result) => {
                    exchange.finish(&mut result);
                    return Poll::Ready(result);
                }
                Next::Wait { .. } => return Poll::Pending,
                Next::Retry { wait, discarded } => {
                    *this.drain = discarded;
                    let drained = this
                        .drain
                        .as_mut()
                        .is_none_or(|drain| drain.poll(cx).is_ready());
                    if drained {
                        *this.drain = None;
                    }
                    // Nothing is timed where there is nothing to wait for.
                    this.state.set(if wait.is_zero() && drained {
                        State::Readying
                    } else {
                        State::waiting(wait)
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
    ResBody: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Direct { .. } => "Direct",
            State::Answered { .. } => "Answered",
            State::Called { .. } => "Called",
            State::Racing { .. } => "Racing",
            State::Waiting { .. } => "Waiting",
            State::Readying => "Readying",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

// === impl State ===

impl<F, B: Body> State<F, B> {
    fn called((attempt, run): Begun<F, B>) -> Self {
        Self::Called {
            attempt,
            run: Some(run),
        }
    }

    fn waiting(wait: Duration) -> Self {
        Self::Waiting {
            sleep: sleep(wait),
            extended: false,
        }
    }

    /// Polls what is no exchange of several attempts.
    fn poll_alone<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, E>>
    where
        F: Future<Output = Result<Response<B>, E>>,
    {
        match self.project() {
            StateProject::Direct { call } => call.poll(cx).map(|result| {
                result.map(|response| response.map(|body| ResponseBody::new(body, None, None)))
            }),
            StateProject::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }
}
