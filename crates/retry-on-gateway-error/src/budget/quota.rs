use std::fmt;
use std::num::NonZeroU32;

use tokio::time::Instant;

use super::atomic::{AtomicU64, Ordering};
use super::{Budget, Cost, Score, Tokens};

/// Pays retries from a quota that successes fill again, as the AWS SDKs do.
///
/// The quota starts full. A retry pays the price of the failure before it; when it succeeds, it gets back what it paid, and a first attempt that succeeds adds 1.
/// What fails gets nothing back. So an upstream that is down costs the quota once, and then nothing until it is up again. Time plays no part.
///
/// The law and the numbers are those of the retry quota of [AWS SDKs](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html), in their
/// version 2.1 of standard mode: 500 tokens, 14 for a retry, 5 for one after throttling. A hedge, which it does not know, pays as a retry does;
/// cancelled because another attempt was answered, it gets nothing back.
///
/// ```
/// use std::num::NonZeroU32;
/// use portcullis_retry_on_gateway_error::QuotaBudget;
///
/// let small = QuotaBudget::new()
///     .capacity(50)
///     .transient_price(const { NonZeroU32::new(10).unwrap() });
/// # let _ = small;
/// ```
pub struct QuotaBudget {
    capacity: u32,
    transient_price: NonZeroU32,
    throttling_price: NonZeroU32,
    left: AtomicU64,
}

// === impl QuotaBudget ===

impl QuotaBudget {
    /// The budget with its defaults: 500 tokens, 14 for a retry, 5 after throttling.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            capacity: 500,
            transient_price: const { NonZeroU32::new(14).unwrap() },
            throttling_price: const { NonZeroU32::new(5).unwrap() },
            left: AtomicU64::new(500),
        }
    }

    /// Replaces how many tokens there are at most, and at the start. Default: 500 (AWS).
    #[must_use]
    pub fn capacity(mut self, tokens: u32) -> Self {
        self.capacity = tokens;
        self.left = AtomicU64::new(tokens.into());
        self
    }

    /// Replaces what a hedge pays, and a retry after a failure that may pass. Default: 14 tokens (AWS).
    #[must_use]
    pub const fn transient_price(mut self, tokens: NonZeroU32) -> Self {
        self.transient_price = tokens;
        self
    }

    /// Replaces what a retry pays when the attempt before it was refused because there were too many. Default: 5 tokens (AWS).
    #[must_use]
    pub const fn throttling_price(mut self, tokens: NonZeroU32) -> Self {
        self.throttling_price = tokens;
        self
    }

    fn add(&self, tokens: u64) {
        let added = |left: u64| Some(left.saturating_add(tokens).min(self.capacity.into()));
        let _ = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, added);
    }
}

impl Budget for QuotaBudget {
    fn withdraw(&self, _: Instant, cost: Cost) -> Option<Tokens> {
        let price = match cost {
            Cost::Throttling => self.throttling_price,
            Cost::Transient | Cost::Hedge => self.transient_price,
        };
        let price = u64::from(price.get());
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| {
                left.checked_sub(price)
            })
            .ok()
            .map(|_| Tokens::new(price))
    }

    fn refund(&self, tokens: Tokens) {
        self.add(tokens.amount());
    }

    fn settle(&self, score: Score, paid: Option<Tokens>) {
        match score {
            Score::Success => self.add(paid.map_or(1, Tokens::amount)),
            Score::Failure | Score::Ignored => {}
        }
    }
}

impl Default for QuotaBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for QuotaBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaBudget")
            .field("capacity", &self.capacity)
            .field("transient_price", &self.transient_price)
            .field("throttling_price", &self.throttling_price)
            .field("left", &self.left.load(Ordering::Acquire))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::thread;

    use super::*;

    enum Step {
        Pay(Cost),
        Denied(Cost),
        Settle(Score),
        Refund,
        First(Score),
    }

    #[test]
    fn the_quota_follows_the_rules_of_aws() {
        use Step::{Denied, First, Pay, Refund, Settle};

        for (name, capacity, steps) in [
            (
                "success returns the last price",
                500,
                vec![
                    (Pay(Cost::Transient), 486),
                    (Settle(Score::Failure), 486),
                    (Pay(Cost::Transient), 472),
                    (Settle(Score::Success), 486),
                ],
            ),
            (
                "throttling is cheaper, a hedge is not",
                500,
                vec![
                    (Pay(Cost::Throttling), 495),
                    (Pay(Cost::Hedge), 481),
                    (Settle(Score::Success), 495),
                ],
            ),
            (
                "an empty quota denies",
                20,
                vec![
                    (Pay(Cost::Transient), 6),
                    (Denied(Cost::Transient), 6),
                    (Denied(Cost::Hedge), 6),
                    (Pay(Cost::Throttling), 1),
                    (Denied(Cost::Throttling), 1),
                ],
            ),
            (
                "a first success adds one, a first failure nothing",
                14,
                vec![
                    (Pay(Cost::Transient), 0),
                    (First(Score::Failure), 0),
                    (First(Score::Ignored), 0),
                    (First(Score::Success), 1),
                    (First(Score::Success), 2),
                ],
            ),
            (
                "never above the capacity",
                500,
                vec![
                    (First(Score::Success), 500),
                    (Pay(Cost::Throttling), 495),
                    (First(Score::Success), 496),
                    (Settle(Score::Success), 500),
                ],
            ),
            (
                "a refund returns all, an attempt that was dropped nothing",
                500,
                vec![
                    (Pay(Cost::Transient), 486),
                    (Refund, 500),
                    (Pay(Cost::Transient), 486),
                    (Settle(Score::Ignored), 486),
                ],
            ),
        ] {
            let budget = QuotaBudget::new().capacity(capacity);
            let now = Instant::now();
            let mut paid = Vec::new();

            for (at, (step, left)) in steps.into_iter().enumerate() {
                match step {
                    Pay(cost) => paid.push(budget.withdraw(now, cost).unwrap()),
                    Denied(cost) => assert_eq!(budget.withdraw(now, cost), None, "{name}"),
                    Settle(score) => budget.settle(score, paid.pop()),
                    Refund => budget.refund(paid.pop().unwrap()),
                    First(score) => budget.settle(score, None),
                }
                assert_eq!(budget.left.load(Ordering::Relaxed), left, "{name}: {at}");
            }
        }
    }

    #[test]
    fn a_burst_from_many_threads_cannot_overdraw() {
        let budget = QuotaBudget::new();
        let now = Instant::now();
        let retried = AtomicU32::new(0);

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if budget.withdraw(now, Cost::Transient).is_some() {
                            retried.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });

        assert_eq!(retried.into_inner(), 35, "500 / 14");
    }
}
