use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::Classify;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use crate::attempt_future::{Answer, AttemptFuture};
use crate::drain::Drain;
use crate::exchange::{Begun, Exchange, Next, Run};
use crate::map_body::ConvertBody;
use crate::{Policy, telemetry};

/// Several attempts of one request beside each other.
pub(crate) struct Race<F, B> {
    racers: Vec<Racer<F, B>>,
    start: Start,
    /// What is left of the answers that lost.
    discarded: Vec<Drain<B>>,
}

/// What an attempt brought.
type Ended<B, E> = Result<Answer<B>, E>;

struct Racer<F, B> {
    run: Run,
    attempt: Pin<Box<AttemptFuture<F, B>>>,
}

/// When the next attempt starts.
enum Start {
    /// When this much time has passed. `paid`: it was paid for, because one before it failed.
    After {
        wait: Duration,
        timer: Option<Pin<Box<Sleep>>>,
        paid: bool,
    },
    /// As soon as the inner service is ready. It was paid for.
    Due,
    /// Not at all.
    Never,
}

// === impl Race ===

impl<F, B> Race<F, B> {
    /// A race of one, which others join after this wait.
    pub(crate) fn new(begun: Begun<F, B>, wait: Duration) -> Self {
        Self {
            racers: vec![Racer::new(begun)],
            start: Start::after(wait, false),
            discarded: Vec::new(),
        }
    }

    /// Polls everything; ready when the race is decided, or when nobody is left in it.
    pub(crate) fn poll<S, P, C, M, ReqBody>(
        &mut self,
        exchange: &mut Exchange<S, P, C, M, ReqBody>,
        cx: &mut Context<'_>,
    ) -> Poll<Next<B, S::Error>>
    where
        S: Service<Request<M::Body>, Response = Response<B>, Future = F> + Clone,
        F: Future<Output = Result<Response<B>, S::Error>>,
        P: Policy,
        C: Classify<S::Error>,
        M: ConvertBody<ReqBody>,
        ReqBody: Body<Data = Bytes>,
        B: Body<Data = Bytes> + Unpin,
    {
        self.discarded
            .retain_mut(|drain| drain.poll(cx).is_pending());
        loop {
            // The answers first: one that is there when the next attempt would start makes it needless.
            if let Some((run, result)) = self.poll_racers(exchange, cx) {
                if let Some(next) = self.end_one(run, result, exchange, cx) {
                    return Poll::Ready(next);
                }
                continue;
            }
            match &mut self.start {
                Start::Never => return Poll::Pending,
                Start::After { wait, timer, paid } => {
                    if !wait.is_zero() {
                        let timer = timer.get_or_insert_with(|| Box::pin(sleep(*wait)));
                        ready!(timer.as_mut().poll(cx));
                    }
                    let starts = exchange.allows_beside()
                        && (*paid || exchange.allows_hedge() && exchange.pay_hedge(*wait));
                    self.start = if starts { Start::Due } else { Start::Never };
                }
                Start::Due => match ready!(exchange.poll_ready(cx)) {
                    Ok(()) if !exchange.has_time(Duration::ZERO) => {
                        self.stop_starting(exchange);
                        if self.racers.is_empty() {
                            return Poll::Ready(exchange.late());
                        }
                    }
                    Ok(()) => {
                        self.racers.push(Racer::new(exchange.call(true)));
                        self.start = match exchange.hedge_delay() {
                            Some(delay) if exchange.allows_hedge() => Start::after(delay, false),
                            _ => Start::Never,
                        };
                    }
                    Err(error) => {
                        self.start = Start::Never;
                        let run = exchange.unsent();
                        if let Some(next) = self.end_one(run, Err(error), exchange, cx) {
                            return Poll::Ready(next);
                        }
                    }
                },
            }
        }
    }

    /// One attempt has ended: the race goes on without it, or what it brought decides it.
    fn end_one<S, P, C, M, ReqBody>(
        &mut self,
        run: Run,
        result: Ended<B, S::Error>,
        exchange: &mut Exchange<S, P, C, M, ReqBody>,
        cx: &mut Context<'_>,
    ) -> Option<Next<B, S::Error>>
    where
        S: Service<Request<M::Body>, Response = Response<B>, Future = F> + Clone,
        F: Future<Output = Result<Response<B>, S::Error>>,
        P: Policy,
        C: Classify<S::Error>,
        M: ConvertBody<ReqBody>,
        ReqBody: Body<Data = Bytes>,
        B: Body<Data = Bytes> + Unpin,
    {
        let number = run.number;
        let others = self.racers.len();
        match exchange.judge(run, result, others > 0, cx) {
            Next::Retry { wait, discarded } if others > 0 || exchange.allows_hedge() => {
                self.discarded.extend(discarded);
                if !self.start.is_paid_for_later(wait) {
                    self.start = Start::after(wait, true);
                }
                None
            }
            Next::Wait { discarded } => {
                self.discarded.extend(discarded);
                if !exchange.allows_beside() {
                    self.stop_starting(exchange);
                }
                None
            }
            next => {
                if matches!(next, Next::Return(_)) {
                    self.stop_starting(exchange);
                    exchange.supersede(self.racers.drain(..).map(|loser| loser.run));
                    if exchange.has_hedged() {
                        telemetry::won(number, others);
                    }
                }
                Some(next)
            }
        }
    }

    /// No other attempt starts in this race.
    fn stop_starting<S, P, C, M, ReqBody>(&mut self, exchange: &mut Exchange<S, P, C, M, ReqBody>) {
        self.start = Start::Never;
        exchange.unpay();
    }

    /// The first attempt that has ended.
    fn poll_racers<S, P, C, M, ReqBody>(
        &mut self,
        exchange: &mut Exchange<S, P, C, M, ReqBody>,
        cx: &mut Context<'_>,
    ) -> Option<(Run, Ended<B, S::Error>)>
    where
        S: Service<Request<M::Body>, Response = Response<B>, Future = F>,
        F: Future<Output = Result<Response<B>, S::Error>>,
        P: Policy,
        M: ConvertBody<ReqBody>,
        ReqBody: Body<Data = Bytes>,
        B: Body<Data = Bytes> + Unpin,
    {
        let (index, result) = self
            .racers
            .iter_mut()
            .enumerate()
            .find_map(
                |(index, racer)| match racer.attempt.as_mut().poll(cx, exchange) {
                    Poll::Ready(result) => Some((index, result)),
                    Poll::Pending => None,
                },
            )?;
        Some((self.racers.remove(index).run, result))
    }
}

// === impl Racer ===

impl<F, B> Racer<F, B> {
    fn new((attempt, run): Begun<F, B>) -> Self {
        Self {
            run,
            attempt: Box::pin(attempt),
        }
    }
}

// === impl Start ===

impl Start {
    const fn after(wait: Duration, paid: bool) -> Self {
        Self::After {
            wait,
            timer: None,
            paid,
        }
    }

    /// Whether it was paid for and comes later than after this wait: a server that named a time is not asked before, whatever became of another attempt.
    fn is_paid_for_later(&self, wait: Duration) -> bool {
        match self {
            Self::After {
                wait: planned,
                timer,
                paid: true,
            } => match timer {
                Some(timer) => timer.deadline() > Instant::now() + wait,
                None => *planned > wait,
            },
            _ => false,
        }
    }
}
