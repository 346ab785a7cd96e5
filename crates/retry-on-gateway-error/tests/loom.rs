//! The lock-free core of the ratio budget, in every order that its steps can happen in. A binary of its own, since the core is built with other atomics here.
#![cfg(test)]

#[path = "../src/budget/window.rs"]
mod window;

use loom::sync::Arc;
use loom::thread;

use crate::window::{Law, Usage, Window};

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

/// Two ticks make a window: the least that has a tick in the middle.
const TICKS: usize = 2;

const ONE: Law = Law {
    ratio: 0,
    reserve: 1_000_000,
};

const AS_MANY_AS_REQUESTS: Law = Law {
    ratio: 1_000_000,
    reserve: 0,
};

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Withdraws at each of these ticks on a thread of its own; returns those at which it was granted.
fn race(window: &Arc<Window>, law: Law, ticks: &[u64]) -> Vec<u64> {
    let withdraw = |tick: u64| {
        let window = Arc::clone(window);
        move || window.withdraw(tick, law).map(|_| tick)
    };
    let threads: Vec<_> = ticks[1..]
        .iter()
        .map(|tick| thread::spawn(withdraw(*tick)))
        .collect();
    let mut granted = Vec::from_iter(withdraw(ticks[0])());
    for thread in threads {
        granted.extend(thread.join().unwrap());
    }
    granted
}

#[test]
fn of_three_that_ask_for_one_exactly_one_gets_it() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));

        let granted = race(&window, ONE, &[0, 0, 0]);

        assert_eq!(granted.len(), 1);
    });
}

#[test]
fn who_asks_while_another_begins_a_tick_is_held_to_the_law() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));

        let granted = race(&window, ONE, &[0, 1, 1]);

        assert_eq!(granted.len(), 1, "the three are in one window");
    });
}

#[test]
fn windows_apart_grant_one_each_and_no_more() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));
        assert!(window.withdraw(0, ONE).is_some());

        let granted = race(&window, ONE, &[2, 3]);

        assert!(granted.len() <= 1, "ticks 2 and 3 are in one window");
        // Tick 0 has left it, unless the other was still beginning the tick.
        assert!(window.withdraw(9, ONE).is_some(), "all of it has left");
        assert!(window.withdraw(9, ONE).is_none());
    });
}

#[test]
fn slots_that_are_used_again_are_not_taken_for_the_old_ones() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));
        let first = window.withdraw(0, ONE).unwrap();

        let other = Arc::clone(&window);
        let thread = thread::spawn(move || {
            // Every slot is written anew while the other reads.
            for tick in [2, 4] {
                other.begin(tick);
            }
        });
        let second = window.withdraw(1, ONE);
        thread.join().unwrap();

        // A receipt begins with its tick, in all but the lowest 8 bits.
        let ticks = second.map(|receipt| (receipt - first) >> 8);
        assert!(
            ticks.is_none_or(|ticks| ticks >= 2),
            "granted after {ticks:?} ticks, within the window of the first"
        );
    });
}

#[test]
fn requests_are_counted_while_ticks_begin() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));

        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.begin(1));
        window.begin(1);
        let granted = window.withdraw(1, AS_MANY_AS_REQUESTS);
        thread.join().unwrap();

        assert!(granted.is_some(), "its own request pays for it");
        let expected = Usage {
            begun: 2,
            withdrawn: 1,
        };
        assert_eq!(window.usage(), expected);
    });
}

#[test]
fn a_refund_is_given_out_once() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));
        let receipt = window.withdraw(0, ONE).unwrap();

        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.refund(receipt));
        let during = window.withdraw(1, ONE);
        thread.join().unwrap();
        let after = window.withdraw(1, ONE);

        assert!(during.is_some() != after.is_some(), "exactly one of them");
    });
}

#[test]
fn a_refund_that_comes_late_falls_to_no_other_tick() {
    check(|| {
        let window = Arc::new(Window::new(TICKS));
        let receipt = window.withdraw(0, ONE).unwrap();

        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.refund(receipt));
        // The third of these writes the slot of tick 0 anew.
        let granted: Vec<_> = [2, 4, 4]
            .into_iter()
            .filter(|tick| window.withdraw(*tick, ONE).is_some())
            .collect();
        thread.join().unwrap();

        assert_eq!(granted, [2, 4], "one in each window, refund or not");
        assert!(window.withdraw(4, ONE).is_none());
    });
}
