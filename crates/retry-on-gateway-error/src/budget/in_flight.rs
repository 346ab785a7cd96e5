use std::fmt;

use tokio::time::Instant;

use super::atomic::{AtomicU64, Ordering};
use super::{Budget, Cost, Ratio, Score, Tokens};

/// Lets the retries that run at the same time be a share of the requests that do.
///
/// Retries and hedges in flight are at most `ratio` x requests in flight, or `min_concurrency` where that is more. It needs no clock: what lasts long holds its
/// place for as long. An attempt is in flight from before its wait, so a crowd in its backoff is not overlooked
/// ([Envoy #30205](https://github.com/envoyproxy/envoy/issues/30205)).
///
/// The law and the defaults are those of Envoy's
/// [`retry_budget`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto), but that requests are what the caller began,
/// each counted once.
///
/// ```
/// use portcullis_retry_on_gateway_error::{InFlightBudget, Ratio};
///
/// let tenth = InFlightBudget::new().ratio(Ratio::percent(10)).min_concurrency(1);
/// let at_most_three = InFlightBudget::fixed(3);
/// # let _ = (tenth, at_most_three);
/// ```
pub struct InFlightBudget {
    ratio: Ratio,
    min_concurrency: u32,
    /// Requests in the high half, retries and hedges in the low one: both are decided on at once.
    in_flight: AtomicU64,
}

// === impl InFlightBudget ===

impl InFlightBudget {
    /// The budget with its defaults: 20 %, at least 3.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ratio: Ratio::percent(20),
            min_concurrency: 3,
            in_flight: AtomicU64::new(0),
        }
    }

    /// At most so many at the same time, whatever the requests; 0 allows none.
    #[must_use]
    pub const fn fixed(retries: u32) -> Self {
        Self::new()
            .ratio(Ratio::percent(0))
            .min_concurrency(retries)
    }

    /// Replaces how many retries there may be for each request in flight. Default: 20 % (Envoy).
    #[must_use]
    pub const fn ratio(mut self, ratio: Ratio) -> Self {
        self.ratio = ratio;
        self
    }

    /// Replaces how many retries there may be at the same time, however few the requests. Default: 3 (Envoy).
    #[must_use]
    pub const fn min_concurrency(mut self, retries: u32) -> Self {
        self.min_concurrency = retries;
        self
    }

    fn limit(&self, requests: u64) -> u64 {
        let share = requests * u64::from(self.ratio.millionths()) / 1_000_000;
        share.max(self.min_concurrency.into()).min(LOW)
    }

    /// One fewer in this half, which never goes below zero: an `end` too many must not become a budget without limit.
    fn leave(&self, half: u64, one: u64) {
        let leave = |in_flight: u64| (in_flight & half >= one).then(|| in_flight - one);
        let _ = self
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, leave);
    }
}

impl Budget for InFlightBudget {
    fn begin(&self, _: Instant) {
        self.in_flight.fetch_add(ONE_REQUEST, Ordering::AcqRel);
    }

    fn end(&self) {
        self.leave(!LOW, ONE_REQUEST);
    }

    fn withdraw(&self, _: Instant, _: Cost) -> Option<Tokens> {
        let enter = |in_flight: u64| {
            let (requests, retries) = (in_flight >> 32, in_flight & LOW);
            (retries < self.limit(requests)).then(|| in_flight + 1)
        };
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter)
            .ok()
            .map(|_| Tokens::new(1))
    }

    fn refund(&self, _: Tokens) {
        self.leave(LOW, 1);
    }

    fn settle(&self, _: Score, paid: Option<Tokens>) {
        if let Some(tokens) = paid {
            self.refund(tokens);
        }
    }
}

impl Default for InFlightBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InFlightBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.in_flight.load(Ordering::Acquire);
        let (requests, retries) = (in_flight >> 32, in_flight & LOW);
        f.debug_struct("InFlightBudget")
            .field("ratio", &self.ratio)
            .field("min_concurrency", &self.min_concurrency)
            .field("requests", &requests)
            .field("retries", &retries)
            .field("left", &self.limit(requests).saturating_sub(retries))
            .finish()
    }
}

const LOW: u64 = 0xffff_ffff;

const ONE_REQUEST: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::thread;

    use super::*;

    fn withdrawals(budget: &InFlightBudget, most: usize) -> Vec<Tokens> {
        let now = Instant::now();
        (0..most)
            .map_while(|_| budget.withdraw(now, Cost::Transient))
            .collect()
    }

    fn with_requests(budget: InFlightBudget, requests: usize) -> InFlightBudget {
        for _ in 0..requests {
            budget.begin(Instant::now());
        }
        budget
    }

    #[test]
    fn the_limit_is_the_share_or_the_minimum() {
        for (ratio, min, requests, expected) in [
            (20, 3, 0, 3),
            (20, 3, 15, 3),
            (20, 3, 19, 3),
            (20, 3, 20, 4),
            (20, 0, 4, 0),
            (20, 0, 5, 1),
            (100, 0, 7, 7),
            (15, 0, 100, 15),
            (0, 0, 100, 0),
        ] {
            let budget = InFlightBudget::new()
                .ratio(Ratio::percent(ratio))
                .min_concurrency(min);

            let taken = withdrawals(&with_requests(budget, requests), 1000).len();

            let law = format!("max({min}, {ratio} % of {requests})");
            assert_eq!(taken, expected, "{law}");
        }
    }

    #[test]
    fn retries_in_their_backoff_count_as_in_envoys_issue_30205() {
        let budget = with_requests(InFlightBudget::new(), 1000);

        // All fail at once, and none is sent before the backoff has passed.
        let waiting = withdrawals(&budget, 1000);

        assert_eq!(waiting.len(), 200, "20 % of 1000, though none was sent yet");
    }

    #[test]
    fn a_place_is_free_again_however_the_attempt_ended() {
        let budget = InFlightBudget::fixed(1);
        let now = Instant::now();
        for score in [Score::Success, Score::Failure, Score::Ignored] {
            let tokens = budget.withdraw(now, Cost::Hedge).unwrap();
            assert_eq!(budget.withdraw(now, Cost::Transient), None, "{score:?}");

            budget.settle(score, None);
            assert_eq!(budget.withdraw(now, Cost::Transient), None, "{score:?}");
            budget.settle(score, Some(tokens));
        }

        let tokens = budget.withdraw(now, Cost::Throttling).unwrap();
        budget.refund(tokens);
        assert_ne!(budget.withdraw(now, Cost::Transient), None);
    }

    #[test]
    fn the_share_falls_as_requests_end_and_never_below_zero() {
        let budget = with_requests(InFlightBudget::new().min_concurrency(0), 10);
        let mut taken = withdrawals(&budget, 10);
        assert_eq!(taken.len(), 2);

        for _ in 0..5 {
            budget.end();
        }
        budget.refund(taken.pop().unwrap());
        assert_eq!(withdrawals(&budget, 10).len(), 0, "one of five is taken");

        for _ in 0..100 {
            budget.end();
            budget.settle(Score::Ignored, Some(Tokens::new(1)));
        }
        assert_eq!(withdrawals(&budget, 10).len(), 0, "no requests, no retries");
        assert!(format!("{budget:?}").ends_with("requests: 0, retries: 0, left: 0 }"));
    }

    #[test]
    fn a_burst_from_many_threads_cannot_overrun_it() {
        let budget = with_requests(InFlightBudget::new(), 100);
        let now = Instant::now();
        let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held = Vec::new();
                    for round in 0..10_000 {
                        if round % 3 == 2 {
                            held.drain(..).for_each(|tokens| {
                                running.fetch_sub(1, Ordering::SeqCst);
                                budget.settle(Score::Failure, Some(tokens));
                            });
                        } else if let Some(tokens) = budget.withdraw(now, Cost::Transient) {
                            most.fetch_max(
                                running.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            held.push(tokens);
                        }
                    }
                    held.drain(..).for_each(|tokens| budget.refund(tokens));
                });
            }
        });

        assert!(most.into_inner() <= 20, "20 % of 100");
        assert_eq!(withdrawals(&budget, 100).len(), 20, "all places are free");
    }
}
