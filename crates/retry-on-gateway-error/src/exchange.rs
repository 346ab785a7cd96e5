use std::cell::LazyCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::response::Parts as ResponseParts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use portcullis_gateway_error::{
    AttemptRecord, Classify, Decision, Failure, Outcome, StopReason, WaitReason, is_grpc,
};
use tokio::time::Instant;
use tower_service::Service;

use crate::attempt::Tried;
use crate::attempt_future::{Answer, AttemptFuture, Look};
use crate::body::{ResponseBody, Seen};
use crate::drain::Drain;
use crate::head::Head;
use crate::layer::Settings;
use crate::map_body::ConvertBody;
use crate::peek::GrpcStatus;
use crate::replay::{Lost, Replay};
use crate::ticket::{Paid, Ticket};
use crate::{Attempt, Cost, Facts, First, Peek, Plan, Policy, Transparent, Verdict, telemetry};

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
    /// Shared with the attempts, once there is one that carries it.
    tried: Option<Tried>,
    /// What was paid for the attempt that is to come.
    next: Paid,
    started: Instant,
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

/// When an attempt ended, for whoever asks first.
type Now = LazyCell<Instant>;

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
        self.counted() < max && self.replay.lost().is_none()
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
            let tried = self.tried.get_or_insert_default().clone();
            head.extensions.insert(Attempt::new(number, tried));
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

    /// Decides what becomes of the outcome of an attempt. `others`: more attempts of the same request are under way.
    pub(crate) fn judge(
        &mut self,
        mut run: Run,
        result: Result<Answer<ResBody>, S::Error>,
        others: bool,
        cx: &mut Context<'_>,
    ) -> Next<ResBody, S::Error> {
        // Read once at most, and not at all where the first attempt went well.
        let now = Now::new(Instant::now);
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let failure = self.settings.classifier.classify_error(&error);
                let verdict = self.ask(None, None, Some(&failure), &now);
                let outcome = Outcome::Failed(failure);
                let decision = self.conclude(&mut run, verdict, outcome, !others, None, &now);
                return match decision {
                    Decision::Retry { wait, .. } => Next::Retry {
                        wait,
                        discarded: None,
                    },
                    Decision::Stop(reason) if others && !is_final(reason) => {
                        Next::Wait { discarded: None }
                    }
                    _ => Next::Return(Err(error)),
                };
            }
        };

        let Answer {
            head,
            body,
            first,
            failure,
        } = answer;
        let classifier = &self.settings.classifier;
        let failure = failure.or_else(|| classifier.classify_head(&head));
        let trailers = match &first {
            Some(Seen::Frame(frame)) => frame.trailers_ref(),
            _ => None,
        };
        let good_end = trailers
            .and_then(|map| map.get("grpc-status"))
            .is_none_or(|code| code == "0");
        let verdict = if failure.is_none() && good_end && self.settings.policy.accepts(&head) {
            Verdict::success()
        } else {
            self.ask(Some(&head), trailers, failure.as_ref(), &now)
        };
        let outcome = failure
            .or(verdict.failure)
            .map_or(Outcome::Answered(head.status), Outcome::Failed);
        let ready = (!others && !self.settings.wait_for_ready).then_some(cx);
        match self.conclude(&mut run, verdict, outcome, !others, ready, &now) {
            Decision::Retry { wait, .. } => Next::Retry {
                wait,
                discarded: Some(Drain::new(body, self.settings.limits.drain)),
            },
            Decision::Stop(reason) if others && !is_final(reason) => Next::Wait {
                discarded: Some(Drain::new(body, self.settings.limits.drain)),
            },
            _ => {
                if let Some(lane) = run.lane {
                    self.replay.commit(lane);
                }
                let body = ResponseBody::new(body, first, self.ticket.take());
                Next::Return(Ok(Response::from_parts(head, body)))
            }
        }
    }

    fn ask(
        &mut self,
        response: Option<&ResponseParts>,
        trailers: Option<&HeaderMap>,
        failure: Option<&Failure>,
        now: &Now,
    ) -> Verdict {
        let attempts = self.counted();
        let remaining = self
            .head
            .deadline()
            .map(|deadline| deadline.instant().saturating_duration_since(**now));
        let mut facts = Facts::new(self.head.whole());
        facts.response = response;
        facts.trailers = trailers;
        facts.failure = failure;
        facts.attempts = attempts;
        facts.never_left = self.never_left;
        facts.refused = self.refused;
        facts.backoffs = self.backoffs;
        facts.previous_wait = self.previous_wait;
        facts.not_replayable = self.replay.lost().map(Lost::reason);
        facts.remaining = remaining;
        self.settings.policy.decide(&facts)
    }

    /// Settles an attempt, pays for the next one if there is one, and writes the record. `ready`: there is no next one if the inner service is not ready for it now.
    fn conclude(
        &mut self,
        run: &mut Run,
        verdict: Verdict,
        outcome: Outcome,
        alone: bool,
        ready: Option<&mut Context<'_>>,
        now: &Now,
    ) -> Decision {
        let mut decision = verdict.decision;
        if verdict.transparent.is_some() && matches!(decision, Decision::Retry { .. }) {
            // What was paid for this attempt pays for the next one.
            self.next = std::mem::replace(&mut run.paid, Paid::nothing()).unsend();
        } else {
            self.settle(run, verdict.score);
            let hedge = self.plan.hedging.is_some() && self.allows_hedge();
            if let Decision::Retry { wait, reason } = &mut decision
                && *reason == WaitReason::Backoff
                && hedge
            {
                // A failure brings the next hedge at once, but where the server named a time (gRFC A6).
                (*wait, *reason) = (Duration::ZERO, WaitReason::Hedge);
            }
            let again = alone || hedge;
            if let Decision::Retry { .. } = decision
                && let Err(reason) = self.may_go_on(verdict.cost, again, ready, now)
            {
                decision = Decision::Stop(reason);
            }
        }

        let plain = decision == Decision::Stop(StopReason::Success) && self.begun == 1;
        if !plain || self.head.log().is_some() {
            self.record(run, outcome, decision, **now);
        }
        match (decision, &outcome) {
            (Decision::Retry { wait, reason }, Outcome::Failed(failure)) => {
                let transparent = verdict.transparent.is_some();
                telemetry::retrying(run.number, failure, wait, reason, transparent);
            }
            (Decision::Stop(reason), Outcome::Failed(failure)) => {
                telemetry::stopped(run.number, failure, reason);
            }
            _ => {}
        }
        if let Decision::Retry { wait, reason } = decision {
            self.count(&verdict, wait, reason);
        } else if decision == Decision::Stop(StopReason::Success)
            && let Some(hedging) = &self.plan.hedging
        {
            hedging.observe(|| now.saturating_duration_since(run.started));
        }
        decision
    }

    fn may_go_on(
        &mut self,
        cost: Cost,
        again: bool,
        ready: Option<&mut Context<'_>>,
        now: &Now,
    ) -> Result<(), StopReason> {
        if !again {
            return Err(StopReason::AttemptsExhausted);
        }
        // Asked of a clone that is dropped, so that no place is held during the wait.
        if let Some(cx) = ready
            && self.inner.clone().poll_ready(cx).is_pending()
        {
            return Err(StopReason::NotReady);
        }
        self.pay(**now, cost)
    }

    fn count(&mut self, verdict: &Verdict, wait: Duration, reason: WaitReason) {
        match verdict.transparent {
            Some(Transparent::NeverLeft) => self.never_left = self.never_left.saturating_add(1),
            Some(Transparent::Refused) => self.refused = self.refused.saturating_add(1),
            None => {}
        }
        if verdict.resets_backoff {
            self.backoffs = 0;
            self.previous_wait = None;
        } else if reason != WaitReason::Immediate {
            self.backoffs = self.backoffs.saturating_add(1);
            self.previous_wait = Some(wait);
        }
    }
}

impl<S, P, C, M, ReqBody> Look for Exchange<S, P, C, M, ReqBody>
where
    ReqBody: Body<Data = Bytes>,
{
    fn wants_first(&self, head: &ResponseParts) -> bool {
        let wanted =
            GrpcStatus.wants(head) || self.settings.peeks.iter().any(|peek| peek.wants(head));
        // A caller that still sends may wait for the head before it goes on.
        wanted && self.replay.is_sent()
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
}

/// Whether no attempt that is still under way can change what the caller gets.
const fn is_final(reason: StopReason) -> bool {
    matches!(
        reason,
        StopReason::Success | StopReason::NotRetriable | StopReason::NotSafe
    )
}
