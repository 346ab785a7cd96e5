use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;

use crate::{Delivery, Failure};

/// What happened in one attempt of an exchange.
///
/// Retry writes one per attempt; access logs, diagnoses and tests read them. It is plain data: every time is counted from the
/// start of the exchange.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The number of the attempt; the original is 1.
    pub number: NonZeroU32,
    /// The endpoint that the attempt went to, where a layer below said so.
    pub endpoint: Option<Arc<str>>,
    /// When the attempt started, from the start of the exchange.
    pub started_after: Duration,
    /// From the call of the inner service to the response head or the error.
    pub duration: Duration,
    /// How far the attempt got.
    pub phase: Phase,
    /// The bytes of the request body that were handed to the inner service.
    pub bytes_sent: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// What was decided then, and why.
    pub decision: Decision,
}

/// How far an attempt got.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The inner service was not ready for it, or nothing left the client.
    Connect,
    /// The request was being sent.
    Request,
    /// The request was sent, and the response head did not come.
    Head,
    /// The response head came.
    Body,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// An answer that is no failure.
    Answered(StatusCode),
    /// A failure: an answer that is one, or an error.
    Failed(Failure),
    /// Nothing: it was given up before anything came, as another attempt was answered first.
    Cancelled,
}

/// What was decided after an attempt, and why.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Another attempt, after this wait.
    Retry {
        /// How long to wait before it.
        wait: Duration,
        /// Where the wait comes from.
        reason: WaitReason,
    },
    /// The exchange ended with what this attempt brought.
    Stop(StopReason),
}

/// Where the wait before an attempt comes from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WaitReason {
    /// The layer's own backoff.
    Backoff,
    /// The `retry-after` of the answer.
    RetryAfter,
    /// The `grpc-retry-pushback-ms` of a gRPC answer.
    Pushback,
    /// Nothing: the request had not left, so there is nothing to wait for.
    Immediate,
    /// The delay after which a second attempt of a hedged request starts beside the first.
    Hedge,
    /// Nothing: the next attempt goes to another upstream, which has not failed.
    Fallback,
}

/// Why there was no further attempt.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopReason {
    /// The answer is no failure.
    Success,
    /// The failure is not of a kind that is retried.
    NotRetriable,
    /// The upstream may have processed the request, and its method is not idempotent.
    NotSafe,
    /// Every attempt that the settings allow was made.
    AttemptsExhausted,
    /// The deadline would have passed before the next attempt.
    Deadline,
    /// More of the request body was sent than is kept for another attempt.
    BodyTooLarge,
    /// The wait that the upstream asked for is longer than the settings allow.
    WaitTooLong,
    /// The body of the request cannot be sent again: it failed, or has a frame of a kind that cannot be kept.
    NotReplayable,
    /// The memory that all requests share for their replay was used up.
    ReplayMemoryFull,
    /// The budget for retries is empty.
    BudgetEmpty,
    /// As many retries as are allowed at a time were under way.
    TooManyRetries,
    /// The server said not to try again.
    ServerSaidNo,
    /// The inner service was not ready for another attempt: it is busy enough.
    NotReady,
    /// Another attempt of the same request was answered first.
    Superseded,
}

/// Every [`AttemptRecord`] of an exchange, in the extensions of its answer: how many attempts, of which kind, with which waits, and why there was no further one.
///
/// The records stand in the order in which the attempts ended; the last is the one whose outcome the caller got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryOutcome(Vec<AttemptRecord>);

/// Carries the [`RetryOutcome`] of an exchange that ends with an error, and so has no response to put them in.
///
/// [`GatewayErrorLayer`](crate::GatewayErrorLayer) puts one into the request's extensions and moves what it holds into the answer. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct AttemptLog(Arc<OnceLock<RetryOutcome>>);

// === impl AttemptRecord ===

impl AttemptRecord {
    /// A record of an attempt that brought this outcome and was the last.
    #[must_use]
    pub const fn new(number: NonZeroU32, outcome: Outcome) -> Self {
        let (phase, decision) = match outcome {
            Outcome::Answered(_) => (Phase::Body, Decision::Stop(StopReason::Success)),
            Outcome::Cancelled => (Phase::Request, Decision::Stop(StopReason::Superseded)),
            Outcome::Failed(failure) => (
                match failure.delivery() {
                    Delivery::NotSent => Phase::Connect,
                    Delivery::MaybeProcessed => Phase::Head,
                    Delivery::Answered => Phase::Body,
                },
                Decision::Stop(StopReason::NotRetriable),
            ),
        };
        Self {
            number,
            endpoint: None,
            started_after: Duration::ZERO,
            duration: Duration::ZERO,
            phase,
            bytes_sent: 0,
            outcome,
            decision,
        }
    }
}

/// One attempt in the manner of an access log: `2@10.0.0.7:80 502 0.013s retry(backoff 0.025s)`.
impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, "@{endpoint}")?;
        }
        match &self.outcome {
            Outcome::Answered(status) => write!(f, " {}", status.as_str())?,
            Outcome::Failed(failure) => write!(f, " {}", failure.error_type())?,
            Outcome::Cancelled => f.write_str(" cancelled")?,
        }
        write!(f, " {:.3}s", self.duration.as_secs_f64())?;
        match self.decision {
            Decision::Retry { wait, reason } => {
                write!(f, " retry({} {:.3}s)", reason.as_str(), wait.as_secs_f64())
            }
            Decision::Stop(StopReason::Success) => Ok(()),
            Decision::Stop(reason) => write!(f, " stop({})", reason.as_str()),
        }
    }
}

// === impl Phase ===

impl Phase {
    /// Returns the word used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::Head => "head",
            Self::Body => "body",
        }
    }
}

// === impl WaitReason ===

impl WaitReason {
    /// Returns the word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::RetryAfter => "retry_after",
            Self::Pushback => "pushback",
            Self::Immediate => "immediate",
            Self::Hedge => "hedge",
            Self::Fallback => "fallback",
        }
    }
}

// === impl StopReason ===

impl StopReason {
    /// Returns the word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotRetriable => "not_retriable",
            Self::NotSafe => "not_safe",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Deadline => "deadline",
            Self::BodyTooLarge => "body_too_large",
            Self::WaitTooLong => "wait_too_long",
            Self::NotReplayable => "not_replayable",
            Self::ReplayMemoryFull => "replay_memory_full",
            Self::BudgetEmpty => "budget_empty",
            Self::TooManyRetries => "too_many_retries",
            Self::ServerSaidNo => "server_said_no",
            Self::NotReady => "not_ready",
            Self::Superseded => "superseded",
        }
    }
}

// === impl RetryOutcome ===

impl RetryOutcome {
    /// Returns the records, the original attempt first.
    #[must_use]
    pub fn records(&self) -> &[AttemptRecord] {
        &self.0
    }

    /// Returns the record of the last attempt.
    #[must_use]
    pub fn last(&self) -> Option<&AttemptRecord> {
        self.0.last()
    }

    /// Returns why there was no further attempt; `None` where the last record does not say, as when the exchange was dropped in a wait.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        match self.last()?.decision {
            Decision::Stop(reason) => Some(reason),
            Decision::Retry { .. } => None,
        }
    }

    /// Returns the waits before further attempts, and where each came from.
    pub fn waits(&self) -> impl Iterator<Item = (Duration, WaitReason)> + '_ {
        self.0.iter().filter_map(|record| match record.decision {
            Decision::Retry { wait, reason } => Some((wait, reason)),
            Decision::Stop(_) => None,
        })
    }

    /// Returns what failed: the failures of all attempts that had one.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> + '_ {
        self.0.iter().filter_map(|record| match &record.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Answered(_) | Outcome::Cancelled => None,
        })
    }
}

impl From<Vec<AttemptRecord>> for RetryOutcome {
    fn from(records: Vec<AttemptRecord>) -> Self {
        Self(records)
    }
}

/// All attempts on one line, as nginx's list variables do.
impl fmt::Display for RetryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, record) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            record.fmt(f)?;
        }
        Ok(())
    }
}

// === impl AttemptLog ===

impl AttemptLog {
    /// Sets the attempts; what was set before stays.
    pub fn set(&self, attempts: RetryOutcome) {
        // The innermost retry is the first to end, and the one that saw the attempts.
        let _ = self.0.set(attempts);
    }

    /// Returns the attempts, if they were set.
    #[must_use]
    pub fn get(&self) -> Option<&RetryOutcome> {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, GrpcCode};

    fn record(number: u32, outcome: Outcome, decision: Decision) -> AttemptRecord {
        let mut record = AttemptRecord::new(NonZeroU32::new(number).unwrap(), outcome);
        record.decision = decision;
        record.duration = Duration::from_micros(12_600);
        record
    }

    fn wait(reason: WaitReason) -> Decision {
        let wait = Duration::from_millis(25);
        Decision::Retry { wait, reason }
    }

    #[test]
    fn one_attempt_is_a_few_words() {
        let bad_gateway = Failure::answered(StatusCode::BAD_GATEWAY, None);
        let looked_up = Failure::answered(StatusCode::BAD_GATEWAY, Some(ErrorKind::DnsError));
        let grpc = Failure::answered_grpc(StatusCode::OK, GrpcCode::Unavailable);
        let refused = Failure::new(ErrorKind::ConnectionRefused);
        for (outcome, decision, expected) in [
            (
                Outcome::Answered(StatusCode::OK),
                Decision::Stop(StopReason::Success),
                "1 200 0.013s",
            ),
            (
                Outcome::Failed(bad_gateway),
                wait(WaitReason::Backoff),
                "1 502 0.013s retry(backoff 0.025s)",
            ),
            (
                Outcome::Failed(looked_up),
                wait(WaitReason::RetryAfter),
                "1 dns_error 0.013s retry(retry_after 0.025s)",
            ),
            (
                Outcome::Failed(grpc),
                Decision::Stop(StopReason::AttemptsExhausted),
                "1 UNAVAILABLE 0.013s stop(attempts_exhausted)",
            ),
            (
                Outcome::Failed(refused),
                wait(WaitReason::Immediate),
                "1 connection_refused 0.013s retry(immediate 0.025s)",
            ),
            (
                Outcome::Failed(refused),
                Decision::Stop(StopReason::Deadline),
                "1 connection_refused 0.013s stop(deadline)",
            ),
        ] {
            assert_eq!(record(1, outcome, decision).to_string(), expected);
        }
    }

    #[test]
    fn an_exchange_is_one_line() {
        let failed = Outcome::Failed(ErrorKind::ConnectionRefused.into());
        let mut first = record(1, failed, wait(WaitReason::Backoff));
        first.endpoint = Some("10.0.0.7:80".into());
        let answered = Outcome::Answered(StatusCode::OK);
        let second = record(2, answered, Decision::Stop(StopReason::Success));

        let attempts = RetryOutcome::from(vec![first, second.clone()]);

        assert_eq!(
            attempts.to_string(),
            "1@10.0.0.7:80 connection_refused 0.013s retry(backoff 0.025s), 2 200 0.013s"
        );
        assert_eq!(attempts.last(), Some(&second));
        assert_eq!(attempts.stop_reason(), Some(StopReason::Success));
        let backoff = (Duration::from_millis(25), WaitReason::Backoff);
        assert_eq!(attempts.waits().collect::<Vec<_>>(), [backoff]);
        assert_eq!(attempts.failures().count(), 1);
        assert_eq!(RetryOutcome::default().to_string(), "");
    }

    #[test]
    fn the_phase_follows_from_how_far_the_request_got() {
        for (outcome, phase) in [
            (Outcome::Answered(StatusCode::OK), "body"),
            (
                Outcome::Failed(ErrorKind::ConnectionRefused.into()),
                "connect",
            ),
            (
                Outcome::Failed(ErrorKind::ConnectionTerminated.into()),
                "head",
            ),
            (
                Outcome::Failed(ErrorKind::HttpResponseIncomplete.into()),
                "body",
            ),
        ] {
            let record = AttemptRecord::new(NonZeroU32::MIN, outcome);

            assert_eq!(record.phase.as_str(), phase, "{outcome:?}");
        }
    }

    #[test]
    fn the_first_log_stays() {
        let log = AttemptLog::default();
        let answered = Outcome::Answered(StatusCode::OK);
        let inner = RetryOutcome::from(vec![AttemptRecord::new(NonZeroU32::MIN, answered)]);

        let clone = log.clone();

        log.set(inner.clone());
        log.set(RetryOutcome::default());

        assert_eq!(clone.get(), Some(&inner), "clones share what they hold");
    }
}
