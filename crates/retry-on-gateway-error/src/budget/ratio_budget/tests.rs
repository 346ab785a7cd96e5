use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

fn withdrawals(budget: &RatioBudget, now: Instant, most: usize) -> usize {
    (0..most)
        .take_while(|_| budget.withdraw(now, Cost::Transient).is_some())
        .count()
}

#[test]
fn a_ratio_is_what_it_says_where_towers_budget_truncates() {
    // tower's counts a whole number of requests for each retry: to it, the last three are all 1.
    for (ratio, expected) in [
        (0.0, 0),
        (0.15, 1_500),
        (0.2, 2_000),
        (0.4, 4_000),
        (0.6, 6_000),
        (0.7, 7_000),
        (0.75, 7_500),
        (0.9, 9_000),
        (1.0, 10_000),
        (2.5, 25_000),
    ] {
        for reserve in [0, 10] {
            let ratio = Ratio::from_f64(ratio).unwrap();
            let budget = RatioBudget::new().ratio(ratio).reserve_per_second(reserve);
            let now = budget.epoch;
            let mut retried = 0;

            for _ in 0..10_000 {
                budget.begin(now);
                retried += withdrawals(&budget, now, 100);
            }

            let reserve = 10 * usize::try_from(reserve).unwrap();
            assert_eq!(
                retried,
                expected + reserve,
                "10,000 requests, {ratio:?}, reserve {reserve}"
            );
        }
    }
}

#[test]
fn many_threads_on_a_frozen_clock_retry_what_the_law_allows_and_no_more() {
    let budget = RatioBudget::new();
    let now = budget.epoch;
    let retried = AtomicU32::new(0);

    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1250 {
                    budget.begin(now);
                    if budget.withdraw(now, Cost::Transient).is_some() {
                        retried.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });

    assert_eq!(retried.into_inner(), 2_100, "10,000 x 20 % + 10 x 10 s");
}

#[test]
fn a_burst_from_many_threads_cannot_overdraw() {
    for round in 0..50 {
        let budget = RatioBudget::new()
            .ratio(Ratio::percent(0))
            .reserve_per_second(1);
        let now = budget.epoch;
        let retried = AtomicU32::new(0);
        let start = std::sync::Barrier::new(8);

        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..10 {
                        if budget.withdraw(now, Cost::Transient).is_some() {
                            retried.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });

        assert_eq!(retried.into_inner(), 10, "80 ask for 10, round {round}");
    }
}

#[test]
fn an_idle_hour_costs_one_window_and_not_one_for_each_that_was_missed() {
    let budget = RatioBudget::new().window(MIN_WINDOW).unwrap();
    let mut now = budget.epoch;

    // A loop over each tick that was missed would have to make 3.6 x 10^12 steps here.
    for _ in 0..1_000_000 {
        now += MAX_WINDOW;
        budget.begin(now);
    }

    let usage = budget.counts.usage();
    assert_eq!((usage.begun, usage.withdrawn), (1, 0), "of the last window");
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let budget = RatioBudget::new().reserve_per_second(1);
    let start = budget.epoch;
    let at = |seconds| start + Duration::from_secs(seconds);

    for _ in 0..50 {
        budget.begin(start);
    }
    assert_eq!(withdrawals(&budget, at(0), 15), 15, "50 x 20 % + 10 are 20");
    assert_eq!(withdrawals(&budget, at(9), 100), 5, "the last tick of it");
    assert_eq!(
        withdrawals(&budget, at(10), 100),
        5,
        "the reserve alone, less the five of the tick before"
    );
    assert_eq!(withdrawals(&budget, at(18), 100), 0, "both still count");
    assert_eq!(withdrawals(&budget, at(19), 100), 5, "the first five left");
    assert_eq!(withdrawals(&budget, at(100), 100), 10, "all of it is new");
}

#[test]
fn a_refund_counts_until_its_withdrawal_leaves_the_window() {
    let budget = RatioBudget::new()
        .ratio(Ratio::percent(0))
        .reserve_per_second(1);
    let start = budget.epoch;
    let at = |seconds| start + Duration::from_secs(seconds);
    let early: Vec<_> = (0..10)
        .map(|_| budget.withdraw(at(0), Cost::Transient).unwrap())
        .collect();

    assert_eq!(budget.withdraw(at(5), Cost::Transient), None);
    budget.refund(early[0]);
    budget.refund(early[1]);
    assert_eq!(withdrawals(&budget, at(5), 100), 2, "two came back");

    // Too late: with these the window would hold less than nothing.
    assert_eq!(withdrawals(&budget, at(10), 100), 8, "the last two count");
    for tokens in &early[2..] {
        budget.refund(*tokens);
    }
    assert_eq!(withdrawals(&budget, at(10), 100), 0, "refunded too late");
    assert_eq!(withdrawals(&budget, at(30), 100), 10, "never above");
}

#[test]
fn time_that_goes_back_does_no_harm() {
    let budget = RatioBudget::new();
    let late = budget.epoch + Duration::from_secs(60);

    budget.begin(late);
    for seconds in [30, 0, 59] {
        let early = budget.epoch + Duration::from_secs(seconds);
        budget.begin(early);
        assert_ne!(budget.withdraw(early, Cost::Transient), None);
    }

    let usage = budget.counts.usage();
    assert_eq!((usage.begun, usage.withdrawn), (4, 3), "all count as late");
    let before = budget.epoch - Duration::from_secs(1);
    assert_eq!(RatioBudget::new().tick(before), 0, "before the first tick");
}

#[test]
fn a_window_out_of_range_is_refused() {
    for (window, expected) in [
        (
            Duration::from_millis(9),
            "window: must be from 10ms to 3600s, is 9ms",
        ),
        (
            Duration::from_secs(3601),
            "window: must be from 10ms to 3600s, is 3601s",
        ),
    ] {
        let mistake = RatioBudget::new().window(window).unwrap_err();

        assert_eq!(mistake.to_string(), expected);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(u16),
    Withdraw,
    Refund(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..20).prop_map(Step::Begin),
        8 => Just(Step::Withdraw),
        2 => any::<usize>().prop_map(Step::Refund),
        // In milliseconds: within a tick, a few ticks, many windows.
        2 => (0_u64..1_000).prop_map(Step::Wait),
        1 => (1_000_u64..12_000).prop_map(Step::Wait),
        1 => (100_000_u64..1_000_000).prop_map(Step::Wait),
    ]
}

/// The law word by word: every event with its tick.
#[derive(Default)]
struct Reference {
    begun: Vec<u64>,
    withdrawn: Vec<u64>,
}

impl Reference {
    fn may_withdraw(&self, tick: u64, ratio: u64, reserve: u64) -> bool {
        let count = |ticks: &mut dyn Iterator<Item = &u64>| {
            let within = ticks.filter(|then| **then + 10 > tick).count();
            u64::try_from(within).unwrap()
        };
        let limit = count(&mut self.begun.iter()) * ratio + reserve * 10 * 1_000_000;
        (count(&mut self.withdrawn.iter()) + 1) * 1_000_000 <= limit
    }
}

proptest! {
    #[test]
    fn every_sequence_is_decided_as_the_reference_does(
        steps in prop::collection::vec(step(), 0..300),
        ratio in 0_u32..2_000_000,
        reserve in 0_u32..3,
    ) {
        let budget = RatioBudget::new()
            .ratio(Ratio::per_million(ratio))
            .reserve_per_second(reserve);
        let mut reference = Reference::default();
        let mut paid = Vec::new();
        let mut elapsed = 0;

        for step in steps {
            let now = budget.epoch + Duration::from_millis(elapsed);
            let tick = elapsed / 1000;
            match step {
                Step::Begin(requests) => for _ in 0..requests {
                    budget.begin(now);
                    reference.begun.push(tick);
                },
                Step::Withdraw => {
                    let tokens = budget.withdraw(now, Cost::Transient);
                    let expected = reference.may_withdraw(tick, ratio.into(), reserve.into());
                    prop_assert_eq!(tokens.is_some(), expected, "at {} ms", elapsed);
                    if let Some(tokens) = tokens {
                        paid.push((tokens, tick));
                        reference.withdrawn.push(tick);
                    }
                }
                Step::Refund(which) => if !paid.is_empty() {
                    let (tokens, then) = paid.swap_remove(which % paid.len());
                    budget.refund(tokens);
                    let at = reference.withdrawn.iter().position(|tick| *tick == then);
                    reference.withdrawn.swap_remove(at.unwrap());
                }
                Step::Wait(millis) => elapsed += millis,
            }
        }
    }
}
