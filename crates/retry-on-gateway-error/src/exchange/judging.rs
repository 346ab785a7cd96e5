//! What becomes of an attempt that has ended, and with it of the exchange.

use std::cell::LazyCell;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts as ResponseParts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use portcullis_gateway_error::{
    Classify, Decision, Failure, GrpcCode, Outcome, StopReason, WaitReason,
};
use tokio::time::Instant;
use tower_service::Service;

use super::{Exchange, Next, Run};
use crate::attempt_future::Answer;
use crate::body::{ResponseBody, Seen};
use crate::drain::Drain;
use crate::map_body::ConvertBody;
use crate::replay::{Lost, Standing};
use crate::ticket::Paid;
use crate::{Cost, Facts, Policy, Score, Transparent, Verdict, telemetry};

/// When an attempt ended, for whoever asks first.
type Now = LazyCell<Instant>;

// === impl Exchange ===

impl<S, P, C, M, ReqBody, ResBody> Exchange<S, P, C, M, ReqBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
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
        let standing = match run.lane {
            Some(lane) if others => self.replay.standing(lane),
            _ => Standing::Beside,
        };
        let others = match standing {
            Standing::Superseded => return self.cut_off(run, result, *now),
            Standing::Alone => false,
            Standing::Beside => others,
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let failure = self.settings.classifier.classify_error(&error);
                let verdict = self.ask(None, None, Some(&failure), &now);
                let outcome = Outcome::Failed(failure);
                let decision = self.conclude(&mut run, verdict, outcome, !others, None, &now);
                return match decision {
                    Decision::Retry { wait, .. } => {
                        self.supersede_run(&run);
                        Next::Retry {
                            wait,
                            discarded: None,
                        }
                    }
                    Decision::Stop(reason) if others && !is_final(reason, &outcome) => {
                        self.supersede_run(&run);
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
        let verdict = if failure.is_none()
            && good_end
            && !self.head.has_policy()
            && self.settings.policy.accepts(&head)
        {
            Verdict::success()
        } else {
            self.ask(Some(&head), trailers, failure.as_ref(), &now)
        };
        if let Some(throttle) = &self.settings.throttle
            && failure.is_none_or(|failure| !failure.is_local())
            && !is_refusal(&head, trailers)
            && verdict.score != Score::Failure
        {
            throttle.accepted(run.started);
        }
        let outcome = failure
            .or(verdict.failure)
            .map_or(Outcome::Answered(head.status), Outcome::Failed);
        let ready = (!others && !self.settings.wait_for_ready).then_some(cx);
        match self.conclude(&mut run, verdict, outcome, !others, ready, &now) {
            Decision::Retry { wait, .. } => {
                self.supersede_run(&run);
                Next::Retry {
                    wait,
                    discarded: Some(Drain::new(body, self.settings.limits.drain)),
                }
            }
            Decision::Stop(reason) if others && !is_final(reason, &outcome) => {
                self.supersede_run(&run);
                Next::Wait {
                    discarded: Some(Drain::new(body, self.settings.limits.drain)),
                }
            }
            _ => {
                if let Some(lane) = run.lane {
                    self.replay.commit(lane);
                }
                let body = ResponseBody::new(body, first, self.ticket.take());
                Next::Return(Ok(Response::from_parts(head, body)))
            }
        }
    }

    /// An attempt has ended whose body was cut off, as another went on with it alone: the error is of our own making.
    fn cut_off(
        &mut self,
        mut run: Run,
        result: Result<Answer<ResBody>, S::Error>,
        now: Instant,
    ) -> Next<ResBody, S::Error> {
        self.settle(&mut run, Score::Ignored);
        let decision = Decision::Stop(StopReason::Superseded);
        self.record(&run, Outcome::Cancelled, decision, now);
        let body = result.ok().map(|answer| answer.body);
        Next::Wait {
            discarded: body.map(|body| Drain::new(body, self.settings.limits.drain)),
        }
    }

    fn supersede_run(&self, run: &Run) {
        if let Some(lane) = run.lane {
            self.replay.supersede(lane);
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
        let mut decision = self.within_limits(&verdict, now);
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
            if !alone && decision == Decision::Stop(StopReason::ServerSaidNo) {
                self.refused_more = true;
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
            // Of the whole: were it the winner's own time, the slow ones would not be seen, and ever more would be hedged.
            hedging.observe(|| now.saturating_duration_since(self.started));
        }
        decision
    }

    /// What the policy says, as far as the plan and the deadline let it.
    fn within_limits(&self, verdict: &Verdict, now: &Now) -> Decision {
        let Decision::Retry { wait, .. } = verdict.decision else {
            return verdict.decision;
        };
        let late = self
            .head
            .deadline()
            .is_some_and(|deadline| deadline.instant().saturating_duration_since(**now) <= wait);
        if self.refused_more {
            Decision::Stop(StopReason::ServerSaidNo)
        } else if late {
            Decision::Stop(StopReason::Deadline)
        } else if verdict.transparent.is_none() && self.counted() >= self.plan.max_attempts {
            Decision::Stop(StopReason::AttemptsExhausted)
        } else {
            verdict.decision
        }
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

/// Whether no attempt that is still under way can change what the caller gets: it is good, or the server said that it is bad (gRFC A6). What was found on this
/// side, such as a limit inside that refused a hedge, says nothing about the others.
const fn is_final(reason: StopReason, outcome: &Outcome) -> bool {
    match reason {
        StopReason::Success => true,
        StopReason::NotRetriable | StopReason::NotSafe => {
            !matches!(outcome, Outcome::Failed(failure) if failure.is_local())
        }
        _ => false,
    }
}

/// Whether the upstream, or one in front of it, did not take the request on.
fn is_refusal(head: &ResponseParts, trailers: Option<&HeaderMap>) -> bool {
    let grpc = GrpcCode::from_headers(trailers.unwrap_or(&head.headers));
    matches!(head.status.as_u16(), 429 | 502..=504)
        || matches!(
            grpc,
            Some(GrpcCode::ResourceExhausted | GrpcCode::Unavailable)
        )
}
