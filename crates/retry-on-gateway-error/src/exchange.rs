use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::response::Parts as ResponseParts;
use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::{AttemptRecord, Classify, Failure, is_grpc};
use tokio::time::Instant;
use tower_service::Service;

use crate::attempt_future::{AttemptFuture, Look};
use crate::body::ResponseBody;
use crate::drain::Drain;
use crate::head::Head;
use crate::layer::Settings;
use crate::map_body::ConvertBody;
use crate::peek::GrpcStatus;
use crate::replay::Replay;
use crate::ticket::{Paid, Ticket};
use crate::{Attempt, First, Peek, Plan, Policy};

mod judging;
mod payment;
mod report;

/// One exchange with all its attempts: what the future needs between them.
pub(crate) struct Exchange<S, P, C, M, ReqBody> {
    /// The instance that was made ready for the first attempt; made ready again for each other.
    inner: S,
    settings: Arc<Settings<P, C, M>>,
    head: Head,
    replay: Replay<ReqBody>,
    /// The request in its budget, until the body of its answer is dropped.
    ticket: Option<Ticket>,
    plan: Plan,
    /// What the attempts that carry it share, once there is one.
    tried: Option<Attempt>,
    /// What was paid for the attempt that is to come.
    next: Paid,
    started: Instant,
    /// Whether the server said that it wants no further attempt beside those that run.
    refused_more: bool,
    /// How many attempts were begun.
    begun: u32,
    /// How many of them never left, or were refused, and were sent again at no cost.
    never_left: u32,
    refused: u32,
    backoffs: u32,
    previous_wait: Option<Duration>,
    records: Vec<AttemptRecord>,
}

/// An attempt that is under way.
pub(crate) struct Run {
    pub(crate) number: NonZeroU32,
    /// What it is called in the replay; None for one that was not sent.
    lane: Option<u32>,
    started: Instant,
    paid: Paid,
}

/// An attempt and its future.
pub(crate) type Begun<F, B> = (AttemptFuture<F, B>, Run);

/// What becomes of the outcome of an attempt.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives from one function to its caller"
)]
pub(crate) enum Next<ResBody: Body, E> {
    /// The exchange ends with it.
    Return(Result<Response<ResponseBody<ResBody>>, E>),
    /// It is discarded, and another attempt follows after the wait, which was paid for.
    Retry {
        wait: Duration,
        discarded: Option<Drain<ResBody>>,
    },
    /// It is discarded, and other attempts are still under way.
    Wait { discarded: Option<Drain<ResBody>> },
}

// === impl Exchange ===

impl<S, P, C, M, ReqBody> Exchange<S, P, C, M, ReqBody> {
    /// Takes the instance that was made ready, for all attempts.
    pub(crate) fn new(
        inner: S,
        settings: Arc<Settings<P, C, M>>,
        head: &mut Parts,
        replay: Replay<ReqBody>,
        plan: Plan,
        now: Instant,
    ) -> Self {
        let budget = settings.budget.select(head);
        Self {
            inner,
            head: Head::keep(head),
            replay,
            ticket: budget.map(|budget| Ticket::begin(budget, now)),
            plan,
            tried: None,
            next: Paid::nothing(),
            settings,
            started: now,
            refused_more: false,
            begun: 0,
            never_left: 0,
            refused: 0,
            backoffs: 0,
            previous_wait: None,
            records: Vec::new(),
        }
    }

    /// How long to wait for an answer before the next attempt starts beside those that run; None: it does not.
    pub(crate) fn hedge_delay(&self) -> Option<Duration> {
        let next = NonZeroU32::MIN.saturating_add(self.begun);
        self.plan
            .hedging
            .as_ref()
            .map(|hedging| hedging.delay(next))
    }

    /// Whether there is this much time until the deadline, and more.
    pub(crate) fn has_time(&self, time: Duration) -> bool {
        self.head
            .deadline()
            .is_none_or(|deadline| deadline.remaining() > time)
    }

    /// How many attempts were begun that count.
    fn counted(&self) -> NonZeroU32 {
        let free = self.never_left.saturating_add(self.refused);
        NonZeroU32::new(self.begun.saturating_sub(free)).unwrap_or(NonZeroU32::MIN)
    }

    /// Whether an attempt may start beside those that run.
    pub(crate) fn allows_beside(&self) -> bool {
        !self.refused_more && self.replay.is_kept()
    }

    /// Whether a hedged request may have one attempt more.
    pub(crate) fn allows_hedge(&self) -> bool {
        let hedging = self
            .plan
            .hedging
            .as_ref()
            .map(|hedging| hedging.max_attempts);
        let max = hedging.map_or(self.plan.max_attempts, |max| {
            max.min(self.plan.max_attempts)
        });
        self.counted() < max && self.allows_beside()
    }

    /// An attempt that is over before it was sent: the inner service was not ready.
    pub(crate) fn unsent(&mut self) -> Run {
        self.begun = self.begun.saturating_add(1);
        Run {
            number: NonZeroU32::new(self.begun).unwrap_or(NonZeroU32::MIN),
            lane: None,
            started: Instant::now(),
            paid: std::mem::replace(&mut self.next, Paid::nothing()),
        }
    }
}

impl<S, P, C, M, ReqBody, ResBody> Exchange<S, P, C, M, ReqBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Begins the first attempt, with the head that the caller sent.
    pub(crate) fn begin(&mut self, head: Parts) -> Begun<S::Future, ResBody> {
        self.send(head, false, self.started)
    }

    /// Begins the next attempt, from the head and the body as the caller sent them. The inner service was made ready for it.
    pub(crate) fn call(&mut self, beside: bool) -> Begun<S::Future, ResBody> {
        let head = self.head.again();
        self.send(head, beside, Instant::now())
    }

    fn send(&mut self, mut head: Parts, beside: bool, now: Instant) -> Begun<S::Future, ResBody> {
        let sent = self
            .begun
            .saturating_sub(self.never_left.saturating_add(self.refused));
        self.begun = self.begun.saturating_add(1);
        let number = NonZeroU32::new(self.begun).unwrap_or(NonZeroU32::MIN);
        let settings = &self.settings;
        let sent = is_grpc(&head.headers).then_some(sent);
        settings.marks.apply(
            &mut head,
            number,
            self.plan.max_attempts,
            sent,
            &settings.chance,
        );
        if number > NonZeroU32::MIN || settings.track_endpoints {
            let tried = self.tried.get_or_insert_with(|| Attempt::new(number));
            head.extensions.insert(tried.again(number));
        }
        if let Some(prepare) = &settings.prepare {
            prepare.0(&mut head, number);
        }
        let (body, lane) = if beside {
            self.replay.start_beside()
        } else {
            self.replay.start()
        };
        let body = settings.convert.convert(body);
        let mut paid = std::mem::replace(&mut self.next, Paid::nothing());
        paid.send();
        let run = Run {
            number,
            lane: Some(lane),
            started: now,
            paid,
        };
        let call = self.inner.call(Request::from_parts(head, body));
        (AttemptFuture::new(call), run)
    }
}

impl<S, P, C, M, ReqBody> Look for Exchange<S, P, C, M, ReqBody>
where
    P: Policy,
    ReqBody: Body<Data = Bytes>,
{
    fn wants_first(&mut self, head: &ResponseParts) -> bool {
        let wanted =
            GrpcStatus.wants(head) || self.settings.peeks.iter().any(|peek| peek.wants(head));
        // A caller that still sends may wait for the head before it goes on.
        wanted && self.replay.is_sent() && self.settings.policy.peeks(self.head.whole())
    }

    fn judge_first(&self, head: &ResponseParts, first: First<'_>) -> Option<Failure> {
        let grpc = GrpcStatus.wants(head).then_some(&GrpcStatus as &dyn Peek);
        let peeks = self
            .settings
            .peeks
            .iter()
            .map(AsRef::as_ref)
            .filter(|peek| peek.wants(head));
        grpc.into_iter()
            .chain(peeks)
            .find_map(|peek| peek.judge(head, first))
    }

    fn time_for_first(&self) -> Duration {
        self.settings.limits.peek
    }
}
