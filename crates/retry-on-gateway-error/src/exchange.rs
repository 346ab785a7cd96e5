use std::num::NonZeroU32;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use portcullis_gateway_error::{
    AttemptLog, AttemptRecord, Classify, Decision, Failure, Outcome, RetryAfter, RetryOutcome,
    StopReason,
};
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower_service::Service;

use crate::drain::Drain;
use crate::map_body::ConvertBody;
use crate::replay::Replay;
use crate::{Attempt, Facts, Policy, RetryLayer};

/// One exchange with all its attempts: what the future needs between them.
pub(crate) struct Exchange<S, P, C, M, ReqBody> {
    /// The instance that was made ready for the first attempt; made ready again for each other.
    inner: S,
    layer: RetryLayer<P, C, M>,
    /// The head as the caller sent it.
    head: Parts,
    replay: Replay<ReqBody>,
    /// The number of the attempt that is under way.
    number: NonZeroU32,
    started: Instant,
    attempt_started: Instant,
    records: Vec<AttemptRecord>,
}

/// What becomes of the outcome of an attempt.
pub(crate) enum Verdict<ResBody, E> {
    /// The exchange ends with it.
    Return(Result<Response<ResBody>, E>),
    /// It is discarded, and another attempt follows after the wait.
    Retry {
        wait: Duration,
        drain: Drain<ResBody>,
    },
}

// === impl Exchange ===

impl<S, P, C, M, ReqBody> Exchange<S, P, C, M, ReqBody> {
    /// An exchange whose first attempt was just begun on this instance.
    pub(crate) fn new(
        inner: S,
        layer: RetryLayer<P, C, M>,
        head: Parts,
        replay: Replay<ReqBody>,
    ) -> Self {
        let now = Instant::now();
        Self {
            inner,
            layer,
            head,
            replay,
            number: NonZeroU32::MIN,
            started: now,
            attempt_started: now,
            records: Vec::new(),
        }
    }

    pub(crate) const fn drain_time(&self) -> Duration {
        self.layer.limits.drain.time
    }

    fn take_attempts(&mut self) -> RetryOutcome {
        std::mem::take(&mut self.records).into()
    }

    /// Leaves the records where a layer further out finds them, as there is no response to put them in.
    fn log_attempts(&mut self) {
        let attempts = self.take_attempts();
        if let Some(log) = self.head.extensions.get::<AttemptLog>() {
            log.set(attempts);
        }
    }
}

/// Dropped between attempts or in one, as by a limit of the whole exchange: what was recorded until then is not lost.
impl<S, P, C, M, ReqBody> Drop for Exchange<S, P, C, M, ReqBody> {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.log_attempts();
        }
    }
}

impl<S, P, C, M, ReqBody, ResBody> Exchange<S, P, C, M, ReqBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body,
{
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Begins the next attempt, from the head and the body as the caller sent them. The inner service was made ready for it.
    pub(crate) fn call(&mut self) -> S::Future {
        self.attempt_started = Instant::now();
        let mut head = self.head.clone();
        head.extensions.insert(Attempt::new(self.number));
        let body = self.layer.convert.convert(self.replay.start());
        self.inner.call(Request::from_parts(head, body))
    }

    /// Decides what becomes of the outcome of the attempt under way.
    pub(crate) fn judge(
        &mut self,
        result: Result<Response<ResBody>, S::Error>,
    ) -> Verdict<ResBody, S::Error> {
        match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let failure = self.layer.classifier.classify_head(&head);
                let outcome = failure.map_or(Outcome::Answered(head.status), Outcome::Failed);
                let hint = failure.and_then(|_| retry_after(&head.headers));
                if let Decision::Retry { wait, .. } = self.decide(outcome, hint) {
                    let drain = Drain::new(body, self.layer.limits.drain.bytes);
                    return Verdict::Retry { wait, drain };
                }
                self.replay.commit();
                let mut response = Response::from_parts(head, body);
                response.extensions_mut().insert(self.take_attempts());
                Verdict::Return(Ok(response))
            }
            Err(error) => {
                let failure = self.layer.classifier.classify_error(&error);
                if let Decision::Retry { wait, .. } = self.decide(Outcome::Failed(failure), None) {
                    return Verdict::Retry {
                        wait,
                        drain: Drain::Done,
                    };
                }
                self.log_attempts();
                Verdict::Return(Err(error))
            }
        }
    }

    /// Asks the policy, writes the record of the attempt, and counts on to the next one if there is one.
    fn decide(&mut self, outcome: Outcome, retry_after: Option<Duration>) -> Decision {
        let decision = match &outcome {
            Outcome::Answered(_) => Decision::Stop(StopReason::Success),
            Outcome::Failed(failure) => self.ask(failure, retry_after),
        };
        let mut record = AttemptRecord::new(self.number, outcome);
        record.endpoint = self
            .head
            .uri
            .authority()
            .map(|authority| authority.as_str().into());
        record.started_after = self.attempt_started.duration_since(self.started);
        record.duration = self.attempt_started.elapsed();
        record.bytes_sent = self.replay.sent();
        record.decision = decision;
        self.records.push(record);
        if let Decision::Retry { .. } = decision {
            self.number = self.number.saturating_add(1);
        }
        decision
    }

    fn ask(&self, failure: &Failure, retry_after: Option<Duration>) -> Decision {
        let deadline = self.head.extensions.get::<Deadline>();
        let mut facts = Facts::new(&self.head, failure);
        facts.attempts = self.number;
        facts.retry_after = retry_after;
        facts.replayable = self.replay.is_replayable();
        facts.remaining = deadline.map(Deadline::remaining);

        let decision = self.layer.policy.decide(&facts);
        match decision {
            Decision::Retry { wait, reason } => tracing::debug!(
                retry.attempt = self.number.get(),
                error.r#type = failure.error_type(),
                delivery = failure.delivery().as_str(),
                wait_ms = wait.as_secs_f64() * 1e3,
                wait_reason = reason.as_str(),
                "retrying",
            ),
            Decision::Stop(reason) => tracing::debug!(
                retry.attempt = self.number.get(),
                error.r#type = failure.error_type(),
                delivery = failure.delivery().as_str(),
                reason = reason.as_str(),
                "not retrying",
            ),
            _ => {}
        }
        decision
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a date that an upstream names is wall-clock time, which tests do not pause"
)]
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    RetryAfter::from_headers(headers, SystemTime::now())
}
