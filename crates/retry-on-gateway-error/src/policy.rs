use std::num::NonZeroU32;
use std::time::Duration;

use http::request::Parts as RequestParts;
use http::response::Parts as ResponseParts;
use http::{HeaderMap, HeaderName};
use portcullis_gateway_error::{Decision, Failure, StopReason};

use crate::{Cost, Hedging, Score};

/// Decides what happens after an attempt.
///
/// [`StandardPolicy`](crate::StandardPolicy) is the one that [`RetryLayer`](crate::RetryLayer) has from the start; implement the trait for rules of your own. It is
/// asked with the facts of one attempt and holds no state of an exchange. Budgets, drains and deadlines of the layer, and the attempts of the [`Plan`], hold whatever the policy decides.
pub trait Policy {
    /// Says what this request may have; asked once, before its first attempt.
    fn plan(&self, request: &RequestParts) -> Plan;

    /// Says whether the first frame of an answer is worth waiting for: whether there could be another attempt after one that it shows to have failed. Default: yes.
    fn peeks(&self, request: &RequestParts) -> bool {
        let _ = request;
        true
    }

    /// Says whether an answer is a success at first sight, so that [`decide`](Self::decide) is not asked. It is always asked about a request with a
    /// [`RetryPolicy`](crate::RetryPolicy) of its own.
    ///
    /// The default is every 1xx and 2xx that carries no `grpc-status` but 0.
    fn accepts(&self, response: &ResponseParts) -> bool {
        is_plain_success(response)
    }

    /// Decides after an attempt that was not [accepted](Self::accepts).
    fn decide(&self, facts: &Facts<'_>) -> Verdict;
}

/// What a request may have.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether there may be another attempt at all. Where not, nothing is kept for one, and the request passes as it is.
    pub retries: bool,
    /// How many attempts there may be, the original included.
    pub max_attempts: NonZeroU32,
    /// How a second attempt starts beside the first, if it may.
    pub hedging: Option<Hedging>,
}

/// What is known after an attempt.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The head of the request, as the caller sent it.
    pub request: &'a RequestParts,
    /// The head of the answer, if there was one.
    pub response: Option<&'a ResponseParts>,
    /// The trailers of the answer, where they came before anything else of its body.
    pub trailers: Option<&'a HeaderMap>,
    /// What failed, and how far it got; `None` where the classifier calls the answer no failure.
    pub failure: Option<&'a Failure>,
    /// How many attempts were made, this one included; those that never left the client, and the first that was refused, are not counted.
    pub attempts: NonZeroU32,
    /// How many attempts were sent again because they never left the client.
    pub never_left: u32,
    /// How many attempts were sent again because the server refused them.
    pub refused: u32,
    /// How many waits by the layer's own backoff there were since the server last named one.
    pub backoffs: u32,
    /// The wait before this attempt, if there was one.
    pub previous_wait: Option<Duration>,
    /// Why the body cannot be sent again as the caller sent it, if it cannot.
    pub not_replayable: Option<StopReason>,
    /// The time until the deadline of the exchange, where it has one.
    pub remaining: Option<Duration>,
}

/// What a [`Policy`] decides.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Verdict {
    /// Whether there is another attempt.
    pub decision: Decision,
    /// What the attempt counts as in the budget.
    pub score: Score,
    /// What the next attempt costs.
    pub cost: Cost,
    /// What the record says of an answer that the classifier calls no failure and the policy does.
    pub failure: Option<Failure>,
    /// Why the next attempt costs neither an attempt nor anything of the budget, if it does not.
    pub transparent: Option<Transparent>,
    /// Whether the backoff starts anew, as after a wait that the server named (gRFC A6).
    pub resets_backoff: bool,
}

/// A retry that costs nothing, as the request was not processed (gRFC A6).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transparent {
    /// The request never left the client.
    NeverLeft,
    /// The server refused it before it processed any of it.
    Refused,
}

// === impl Plan ===

impl Plan {
    /// One attempt, whatever comes of it.
    #[must_use]
    pub const fn once() -> Self {
        Self {
            retries: false,
            max_attempts: NonZeroU32::MIN,
            hedging: None,
        }
    }

    /// As many attempts as this, one after the other.
    #[must_use]
    pub const fn attempts(max: NonZeroU32) -> Self {
        Self {
            retries: true,
            max_attempts: max,
            hedging: None,
        }
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// Facts about a first attempt whose body can be sent again, with nothing else known.
    #[must_use]
    pub const fn new(request: &'a RequestParts) -> Self {
        Self {
            request,
            response: None,
            trailers: None,
            failure: None,
            attempts: NonZeroU32::MIN,
            never_left: 0,
            refused: 0,
            backoffs: 0,
            previous_wait: None,
            not_replayable: None,
            remaining: None,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// This decision after a failure; another attempt costs what a passing fault costs.
    pub const fn new(decision: Decision) -> Self {
        Self {
            decision,
            score: Score::Failure,
            cost: Cost::Transient,
            failure: None,
            transparent: None,
            resets_backoff: false,
        }
    }

    /// The answer is a success.
    pub const fn success() -> Self {
        let mut verdict = Self::new(Decision::Stop(StopReason::Success));
        verdict.score = Score::Success;
        verdict
    }

    pub(crate) const fn stop(reason: StopReason, score: Score) -> Self {
        let mut verdict = Self::new(Decision::Stop(reason));
        verdict.score = score;
        verdict
    }
}

pub(crate) fn is_plain_success(response: &ResponseParts) -> bool {
    response.status.as_u16() < 300
        && response
            .headers
            .get(GRPC_STATUS)
            .is_none_or(|status| status == "0")
}

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
