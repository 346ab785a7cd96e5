//! Real threads on the parts without a lock. The clock is paused: who moves it is the test.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::time::advance;

use super::*;

const THREADS: usize = 8;

fn paused() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn exactly_the_trials_are_given_to_threads_that_race_for_them() {
    for round in 0..200 {
        let runtime = paused();
        let entered = runtime.enter();
        let passive = detection().trials(trials(5)).endpoint("a");
        fail(&passive, 3);
        drop(entered);
        runtime.block_on(advance(Duration::from_secs(30)));
        let barrier = Barrier::new(THREADS);

        let given = AtomicUsize::new(0);
        let passes: Vec<_> = thread::scope(|scope| {
            let race = || {
                let _entered = runtime.enter();
                barrier.wait();
                let passes: Vec<_> = (0..20).filter_map(|_| admit(&passive)).collect();
                given.fetch_add(passes.len(), Ordering::Relaxed);
                passes
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(race)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });

        assert_eq!(given.into_inner(), 5, "round {round}");
        assert!(passes.iter().all(portcullis_health_check::Pass::is_trial));
    }
}

#[test]
fn trials_that_come_back_at_once_close_once() {
    for _ in 0..200 {
        let runtime = paused();
        let entered = runtime.enter();
        let outliers = detection().trials(trials(8)).start();
        let passive = outliers.endpoint("a");
        fail(&passive, 3);
        drop(entered);
        runtime.block_on(advance(Duration::from_secs(30)));
        let entered = runtime.enter();
        let passes: Vec<_> = std::iter::from_fn(|| admit(&passive)).take(8).collect();
        drop(entered);
        let barrier = Barrier::new(passes.len());

        thread::scope(|scope| {
            for pass in passes {
                let (runtime, barrier) = (&runtime, &barrier);
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    barrier.wait();
                    pass.settle(Observed::Success);
                });
            }
        });

        assert_eq!(passive.status().state, PassiveState::Healthy);
        assert_eq!(outliers.ejected(), 0);
    }
}

#[test]
fn a_place_for_an_ejected_endpoint_is_given_once() {
    for _ in 0..200 {
        let runtime = paused();
        let entered = runtime.enter();
        let outliers = detection().max_ejection_percent(25).start();
        let all: Vec<_> = (0..THREADS)
            .map(|n| outliers.endpoint(format!("{n}")))
            .collect();
        drop(entered);
        let barrier = Barrier::new(THREADS);

        thread::scope(|scope| {
            for passive in &all {
                scope.spawn(|| {
                    let _entered = runtime.enter();
                    barrier.wait();
                    fail(passive, 3);
                });
            }
        });

        assert_eq!(outliers.ejected(), 2, "25 % of 8");
        assert_eq!(all.iter().filter(|passive| is_ejected(passive)).count(), 2);
    }
}

#[test]
fn two_who_find_it_failing_at_once_do_not_spare_it() {
    let runtime = paused();
    let limit = NonZeroU16::new(2);
    for round in 0..5000 {
        let entered = runtime.enter();
        let passive = detection()
            .consecutive_gateway_failures(limit)
            .endpoint("a");
        fail(&passive, 1);
        let passes = [admit(&passive).unwrap(), admit(&passive).unwrap()];
        drop(entered);
        let barrier = Barrier::new(passes.len());

        thread::scope(|scope| {
            for pass in passes {
                let (runtime, barrier) = (&runtime, &barrier);
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    barrier.wait();
                    pass.settle(Observed::GatewayFailure);
                });
            }
        });

        assert!(
            is_ejected(&passive),
            "three failures in a row, round {round}"
        );
    }
}

#[test]
fn whatever_threads_do_the_counts_stay_right() {
    let runtime = paused();
    let entered = runtime.enter();
    let outliers = detection()
        .trials(trials(3))
        .max_ejection_percent(50)
        .start();
    let all: Vec<_> = (0..4).map(|n| outliers.endpoint(format!("{n}"))).collect();
    drop(entered);
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        for seed in 0..4 {
            let (all, stop, runtime, outliers) = (&all, &stop, &runtime, &outliers);
            scope.spawn(move || {
                let _entered = runtime.enter();
                let mut random = fastrand::Rng::with_seed(seed);
                let mut held = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let passive = &all[random.usize(..all.len())];
                    held.extend(admit(passive));
                    if held.len() > 8 {
                        let pass = held.swap_remove(random.usize(..held.len()));
                        match random.u8(..8) {
                            0 => drop(pass),
                            1..4 => pass.settle(Observed::Success),
                            _ => pass.settle(Observed::GatewayFailure),
                        }
                    }
                    if random.u16(..) == 0 {
                        passive.check_succeeded();
                    }
                    assert!(outliers.ejected() <= 2, "half of four");
                }
            });
        }
        let ejections = |passive: &PassiveHealth| passive.status().ejections;
        for _ in 0..10_000_000 {
            runtime.block_on(advance(Duration::from_secs(7)));
            if all.iter().all(|passive| ejections(passive) >= 50) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });

    let out = all
        .iter()
        .filter(|passive| passive.status().state != PassiveState::Healthy);
    assert_eq!(outliers.ejected(), out.count());
    assert!(
        all.iter().all(|passive| passive.status().ejections >= 50),
        "each was ejected and came back"
    );
    for passive in &all {
        passive.check_succeeded();
        assert!(admit(passive).is_some());
    }
    drop(all);
    assert_eq!((outliers.len(), outliers.ejected()), (0, 0));
}
