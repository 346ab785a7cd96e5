use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts as RequestParts;
use portcullis_gateway_error::{Decision, Delivery, Failure, StopReason, WaitReason};
use portcullis_retry_on_gateway_error::{Facts, Idempotent, Plan, Policy, Verdict};

use super::FallbackOn;

/// Which failures lead to the next target.
#[derive(Clone)]
pub(crate) enum Rule {
    On(FallbackOn),
    When(Arc<dyn Fn(&Facts<'_>) -> bool + Send + Sync>),
}

/// One attempt for each target, in their order, without a wait.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    rule: Rule,
    targets: NonZeroU32,
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Self {
        Self::On(FallbackOn::default())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(on) => on.fmt(f),
            Self::When(_) => f.write_str(".."),
        }
    }
}

// === impl Chain ===

impl Chain {
    /// `others`: how many targets there are besides the first.
    pub(crate) fn new(rule: Rule, others: usize) -> Self {
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        Self {
            rule,
            targets: NonZeroU32::MIN.saturating_add(others),
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new(Rule::default(), 0)
    }
}

impl Policy for Chain {
    fn plan(&self, _: &RequestParts) -> Plan {
        if self.targets > NonZeroU32::MIN {
            Plan::attempts(self.targets)
        } else {
            Plan::once()
        }
    }

    fn decide(&self, facts: &Facts<'_>) -> Verdict {
        let leads = match &self.rule {
            Rule::On(on) => on.includes(facts.response, facts.failure),
            Rule::When(when) => when(facts),
        };
        let status = facts.response.map(|response| response.status);
        let delivery = facts.failure.map_or(Delivery::Answered, Failure::delivery);
        let vouched = facts.request.extensions.get::<Idempotent>();
        let stop = if !leads {
            let failed =
                facts.failure.is_some() || status.is_none_or(|status| status.as_u16() >= 400);
            Some(if failed {
                StopReason::NotRetriable
            } else {
                StopReason::Success
            })
        } else if facts.attempts >= self.targets {
            Some(StopReason::AttemptsExhausted)
        } else if vouched == Some(&Idempotent(false)) && delivery == Delivery::MaybeProcessed {
            Some(StopReason::NotSafe)
        } else {
            facts.not_replayable
        };
        let mut verdict = Verdict::new(stop.map_or(
            Decision::Retry {
                wait: Duration::ZERO,
                reason: WaitReason::Fallback,
            },
            Decision::Stop,
        ));
        if stop != Some(StopReason::Success) {
            // What the classifier calls no failure is one for whoever reads the records.
            verdict.failure = status.map(|status| Failure::answered(status, None));
        }
        verdict
    }
}
