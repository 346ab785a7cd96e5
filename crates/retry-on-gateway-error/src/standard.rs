use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts as RequestParts;
use http::response::Parts as ResponseParts;
use http::{HeaderMap, HeaderName, StatusCode};
use portcullis_gateway_error::{
    Chance, Decision, Delivery, Failure, GrpcCode, RetryOutcome, StopReason, WaitReason, is_grpc,
};

use crate::hint::{HintDecision, forbids_more};
use crate::policy::is_plain_success;
use crate::retry_on::{Sight, never_left};
use crate::rules::Rules;
use crate::safety::Safety;
use crate::{
    Backoff, Cost, Facts, HeaderMatch, Hedging, Plan, Policy, RetryOn, Score, ServerHints,
    StatusCodes, Step, Transparent, Verdict,
};

/// The policy of a careful engineer: gateway errors, when it is safe, a few times, with backoff.
///
/// See the [crate docs](crate) for the table of what is retried.
#[derive(Clone, Debug)]
pub struct StandardPolicy {
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) retry_on: RetryOn,
    pub(crate) retriable_status_codes: StatusCodes,
    pub(crate) retriable_headers: Vec<HeaderMatch>,
    pub(crate) no_retry_headers: Vec<HeaderMatch>,
    pub(crate) retry_if: Option<RetryIf>,
    pub(crate) safety: Safety,
    pub(crate) transparent: bool,
    pub(crate) backoff: Backoff,
    pub(crate) throttling_backoff: Backoff,
    pub(crate) hints: ServerHints,
    pub(crate) hedging: Option<Hedging>,
    #[cfg(feature = "config")]
    pub(crate) service_config: Option<crate::ServiceConfig>,
    pub(crate) chance: Chance,
}

/// What a predicate makes of an attempt, as Finagle's response classes have it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// It is a success.
    Success,
    /// It is a failure, and another attempt may bring something else. Whether it is safe is decided as always.
    Retryable,
    /// It is a failure, and another attempt would bring the same.
    NotRetryable,
    /// It says nothing about the upstream, and moves no counter.
    Ignored,
}

/// A predicate of the user.
#[derive(Clone)]
pub(crate) struct RetryIf(Arc<Predicate>);

type Predicate = dyn Fn(&Facts<'_>) -> Option<Judgement> + Send + Sync;

// === impl StandardPolicy ===

impl StandardPolicy {
    fn sight<'a>(&self, facts: &Facts<'a>, rules: &Rules<'_>, grpc: bool) -> Sight<'a> {
        let failure = facts.failure;
        // An answer that a layer of ours made is known by its failure, whatever it is written as.
        let local = failure.is_some_and(Failure::is_local);
        let response = facts.response.filter(|_| !local);
        let status = response.map(|head| head.status);
        let headers = response.map(|head| facts.trailers.unwrap_or(&head.headers));
        let found = headers.and_then(GrpcCode::from_headers);
        let lost = failure.filter(|failure| failure.is_local() && is_lost(failure));
        let mapped = status
            .filter(|status| *status != StatusCode::OK)
            .map(GrpcCode::from_http_status)
            .or(lost.and_then(Failure::kind).map(|kind| kind.grpc_code()));
        Sight {
            failure,
            status,
            grpc: found.or(mapped.filter(|_| grpc)),
            // Asked only where it decides: each source is a look into the headers.
            hint: status == Some(StatusCode::TOO_MANY_REQUESTS)
                && headers
                    .is_some_and(|headers| self.hints.hint(headers, grpc, wall_clock()).is_some()),
            early_data: facts.request.headers.contains_key(EARLY_DATA),
            listed_status: status.is_some_and(|status| rules.lists(status)),
            listed_header: has_any(&self.retriable_headers, headers),
        }
    }

    /// Whether the request was not processed and can go again at no cost.
    fn transparent(&self, facts: &Facts<'_>, failure: &Failure) -> Option<Transparent> {
        if !self.transparent || facts.not_replayable.is_some() {
            None
        } else if failure.is_refused() {
            (facts.refused == 0).then_some(Transparent::Refused)
        } else if never_left(failure) {
            let allowed = facts.remaining.is_some() || facts.never_left < MAX_NEVER_LEFT;
            allowed.then_some(Transparent::NeverLeft)
        } else {
            None
        }
    }

    fn own_wait(&self, rules: &Rules<'_>, facts: &Facts<'_>, cost: Cost) -> Duration {
        let retry = NonZeroU32::MIN.saturating_add(facts.backoffs);
        let backoff = match cost {
            Cost::Throttling if !rules.named_backoff => &self.throttling_backoff,
            _ => &rules.backoff,
        };
        backoff.wait(Step::new(retry, facts.previous_wait), &self.chance)
    }

    /// Decides about a failure that is of a kind that is retried.
    fn again(
        &self,
        rules: &Rules<'_>,
        facts: &Facts<'_>,
        sight: &Sight<'_>,
        failure: &Failure,
    ) -> Verdict {
        let grpc = is_grpc(&facts.request.headers);
        let headers = facts
            .response
            .map(|head| facts.trailers.unwrap_or(&head.headers));
        let mut verdict = Verdict::new(Decision::Stop(StopReason::NotSafe));
        verdict.failure = Some(*failure);
        if is_throttling(sight) {
            verdict.cost = Cost::Throttling;
        }
        let own = self.own_wait(rules, facts, verdict.cost);
        let fits = |wait| facts.remaining.is_none_or(|remaining| wait < remaining);

        verdict.decision = if has_any(&self.no_retry_headers, headers) {
            Decision::Stop(StopReason::ServerSaidNo)
        } else if let Some(transparent) = self.transparent(facts, failure) {
            verdict.transparent = Some(transparent);
            let (wait, reason) = if facts.never_left == 0 || transparent == Transparent::Refused {
                (Duration::ZERO, WaitReason::Immediate)
            } else {
                (own, WaitReason::Backoff)
            };
            if fits(wait) {
                Decision::Retry { wait, reason }
            } else {
                Decision::Stop(StopReason::Deadline)
            }
        } else if !rules.vouched
            && !is_unprocessed(sight, failure)
            && !self.safety.is_idempotent(facts.request)
        {
            Decision::Stop(StopReason::NotSafe)
        } else if facts.attempts >= rules.max_attempts {
            Decision::Stop(StopReason::AttemptsExhausted)
        } else if let Some(reason) = facts.not_replayable {
            Decision::Stop(reason)
        } else {
            let hint = headers.map_or(HintDecision::Own, |headers| {
                self.hints
                    .wait(headers, grpc, wall_clock(), own, &self.chance)
            });
            match hint {
                HintDecision::TooLong => Decision::Stop(StopReason::WaitTooLong),
                HintDecision::Never => Decision::Stop(StopReason::ServerSaidNo),
                HintDecision::Own if fits(own) => Decision::Retry {
                    wait: own,
                    reason: WaitReason::Backoff,
                },
                HintDecision::Wait {
                    wait,
                    reason,
                    resets_backoff,
                } if fits(wait) => {
                    verdict.resets_backoff = resets_backoff;
                    Decision::Retry { wait, reason }
                }
                HintDecision::Own | HintDecision::Wait { .. } => {
                    Decision::Stop(StopReason::Deadline)
                }
            }
        };
        verdict
    }
}

impl Policy for StandardPolicy {
    fn plan(&self, request: &RequestParts) -> Plan {
        let rules = Rules::of(self, request);
        let retries = !rules.off && (self.transparent || rules.max_attempts > NonZeroU32::MIN);
        let safe = || rules.vouched || self.safety.is_idempotent(request);
        let hedging = rules.hedging.filter(|_| retries && safe());
        Plan {
            retries,
            max_attempts: rules.max_attempts,
            hedging: hedging.map(Cow::into_owned),
        }
    }

    fn peeks(&self, request: &RequestParts) -> bool {
        Rules::of(self, request).vouched || self.safety.is_idempotent(request)
    }

    fn accepts(&self, response: &ResponseParts) -> bool {
        is_plain_success(response)
            && self.retry_if.is_none()
            && self.retriable_headers.is_empty()
            && !self.retriable_status_codes.contains(response.status)
    }

    fn decide(&self, facts: &Facts<'_>) -> Verdict {
        let rules = Rules::of(self, facts.request);
        let grpc = is_grpc(&facts.request.headers);
        let sight = self.sight(facts, &rules, grpc);
        let judgement = self
            .retry_if
            .as_ref()
            .and_then(|retry_if| retry_if.0(facts));

        if let Some(inner) = facts
            .response
            .and_then(|head| head.extensions.get::<RetryOutcome>())
            && let Some(reason) = inner
                .stop_reason()
                .filter(|reason| *reason != StopReason::Success)
        {
            // A retry layer further in has done what can be done (Finagle's NonRetryable).
            return Verdict::stop(reason, Score::Ignored);
        }
        let retried = match judgement {
            Some(judgement) => judgement == Judgement::Retryable,
            None => rules.retries(&sight),
        };
        // gRPC retries transparently whatever codes its service config lists (gRFC A6).
        let retried = retried
            || rules.grpc_codes.is_some()
                && facts
                    .failure
                    .is_some_and(|failure| self.transparent(facts, failure).is_some());
        let answered = || match (sight.status, sight.grpc) {
            (Some(status), Some(code)) if grpc => Some(Failure::answered_grpc(status, code)),
            (Some(status), _) => Some(Failure::answered(status, None)),
            (None, _) => None,
        };
        let failure = facts.failure.copied().or_else(answered);
        let headers = facts
            .response
            .map(|head| facts.trailers.unwrap_or(&head.headers));
        let failed = sight.grpc.is_some_and(|code| code != GrpcCode::Ok);
        let forbidden = grpc && failed && headers.is_some_and(forbids_more);
        match failure {
            Some(failure) if retried => self.again(&rules, facts, &sight, &failure),
            // A server that forbids more is as busy as one that fails in a way that is retried (gRFC A6).
            _ if facts.failure.is_some() && forbidden => {
                Verdict::stop(StopReason::ServerSaidNo, Score::Failure)
            }
            _ if facts.failure.is_some() => Verdict::stop(StopReason::NotRetriable, Score::Ignored),
            _ if forbidden => Verdict::stop(StopReason::Success, Score::Failure),
            _ => {
                let good = match judgement {
                    Some(judgement) => judgement == Judgement::Success,
                    None => {
                        sight.status.is_some_and(|status| status.as_u16() < 400)
                            && sight.grpc.is_none_or(|code| code == GrpcCode::Ok)
                    }
                };
                let score = if good { Score::Success } else { Score::Ignored };
                Verdict::stop(StopReason::Success, score)
            }
        }
    }
}

/// Three attempts, 25 ms doubling to 250 ms with full jitter; 1 s doubling to 20 s where there was too much.
impl Default for StandardPolicy {
    fn default() -> Self {
        Self {
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            retry_on: RetryOn::default(),
            retriable_status_codes: StatusCodes::default(),
            retriable_headers: Vec::new(),
            no_retry_headers: NO_RETRY_HEADERS.map(HeaderMatch::present).into(),
            retry_if: None,
            safety: Safety::default(),
            transparent: true,
            backoff: Backoff::default(),
            throttling_backoff: Backoff::exponential(
                Duration::from_secs(1),
                Duration::from_secs(20),
            ),
            hints: ServerHints::new(),
            hedging: None,
            #[cfg(feature = "config")]
            service_config: None,
            chance: Chance::random(),
        }
    }
}

// === impl RetryIf ===

impl RetryIf {
    pub(crate) fn new(
        predicate: impl Fn(&Facts<'_>) -> Option<Judgement> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(predicate))
    }
}

impl fmt::Debug for RetryIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

fn has_any(matches: &[HeaderMatch], headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| matches.iter().any(|header| header.is_in(headers)))
}

/// Another attempt may bring an answer.
fn is_lost(failure: &Failure) -> bool {
    let sight = Sight::of(failure);
    RetryOn::RESET.matching(&sight).is_some()
}

/// The upstream has not processed the request and will not: nothing of it was sent, it was refused, or it came to the wrong place or too early.
fn is_unprocessed(sight: &Sight<'_>, failure: &Failure) -> bool {
    failure.delivery() == Delivery::NotSent
        || matches!(
            sight.status,
            Some(StatusCode::MISDIRECTED_REQUEST | StatusCode::TOO_EARLY)
        )
}

/// There was too much: it takes longer to pass than a fault does (AWS).
fn is_throttling(sight: &Sight<'_>) -> bool {
    sight.status == Some(StatusCode::TOO_MANY_REQUESTS)
        || sight.grpc == Some(GrpcCode::ResourceExhausted)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a date that an upstream names is wall-clock time, which tests do not pause"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

const DEFAULT_MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// How often a request that never left is sent again where no deadline ends it.
const MAX_NEVER_LEFT: u32 = 10;

const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

/// What proxies say when another attempt is not wanted: Envoy, Finagle.
const NO_RETRY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-envoy-overloaded"),
    HeaderName::from_static("x-envoy-ratelimited"),
    HeaderName::from_static("finagle-http-nonretryable-nack"),
];

#[cfg(test)]
mod tests;
