//! What is left behind of an exchange: the records of its attempts, in the answer or in the log of the request.

use http::{HeaderValue, Response};
use http_body::Body;
use portcullis_gateway_error::{
    Answer, Attempt, AttemptRecord, Audience, Decision, ErrorKind, Outcome, RetryOutcome,
    StopReason,
};
use tokio::time::Instant;

use super::{Exchange, Next, Run};
use crate::body::ResponseBody;
use crate::{AttemptHeader, telemetry};

// === impl Exchange ===

impl<S, P, C, M, ReqBody> Exchange<S, P, C, M, ReqBody> {
    pub(super) fn record(&mut self, run: &Run, outcome: Outcome, decision: Decision, now: Instant) {
        let mut record = AttemptRecord::new(run.number, outcome);
        let tried = self.tried.as_ref().and_then(Attempt::last_tried);
        record.endpoint = tried.or_else(|| self.head.authority());
        record.started_after = run.started.duration_since(self.started);
        record.duration = now.saturating_duration_since(run.started);
        record.bytes_sent = run.lane.map_or(0, |lane| self.replay.sent(lane));
        record.decision = decision;
        self.records.push(record);
    }

    fn take_outcome(&mut self) -> RetryOutcome {
        std::mem::take(&mut self.records).into()
    }

    /// Leaves the records where a layer further out finds them, as there is no response to put them in.
    fn log_outcome(&mut self) {
        let outcome = self.take_outcome();
        if let Some(log) = self.head.log() {
            log.set(outcome);
        }
    }

    /// The deadline passed while the inner service was not ready for the attempt that was to come. The answer before is gone by then.
    pub(crate) fn late<B: Body, E>(&mut self) -> Next<B, E> {
        self.unpay();
        if let Some(last) = self.records.last_mut() {
            last.decision = Decision::Stop(StopReason::Deadline);
        }
        let head = self.head.whole();
        let audience = Audience::from_parts(&head.method, &head.headers);
        let answer = Answer::new(ErrorKind::HttpResponseTimeout)
            .detail("the deadline passed before the next attempt could begin")
            .into_response(&audience);
        Next::Return(Ok(answer.map(ResponseBody::answer)))
    }

    /// Records the attempts that are given up because another one was answered, before the record of that one.
    pub(crate) fn supersede(&mut self, losers: impl Iterator<Item = Run>) {
        let winner = self.records.pop();
        let now = Instant::now();
        for loser in losers {
            self.record(
                &loser,
                Outcome::Cancelled,
                Decision::Stop(StopReason::Superseded),
                now,
            );
        }
        self.records.extend(winner);
    }

    /// Says what came of the exchange, where there is more to say than that the first attempt went well: in the answer, or where there is none, in the log of the request.
    pub(crate) fn finish<B, E>(&mut self, result: &mut Result<Response<B>, E>) {
        telemetry::finished(self.counted());
        match result {
            Ok(response) => self.mark(response),
            Err(_) => self.log_outcome(),
        }
    }

    fn mark<B>(&mut self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        if self.settings.count_in_answer
            && let AttemptHeader::Count(name) = &self.settings.marks.attempt
        {
            headers.insert(name.clone(), self.begun.into());
        }
        if self.records.is_empty() {
            return;
        }
        let outcome = self.take_outcome();
        if let Some(name) = &self.settings.exhausted_header
            && let Some(reason) = outcome
                .stop_reason()
                .filter(|reason| *reason != StopReason::Success)
        {
            headers.insert(name.clone(), HeaderValue::from_static(reason.as_str()));
        }
        response.extensions_mut().insert(outcome);
    }
}

/// Dropped between attempts or in one, as by a limit of the whole exchange: what was recorded until then is not lost.
impl<S, P, C, M, ReqBody> Drop for Exchange<S, P, C, M, ReqBody> {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.log_outcome();
        }
    }
}
