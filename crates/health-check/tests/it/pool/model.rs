//! Which endpoints may get a call, whatever their states and priorities are.

use portcullis_health_check::Balancing;
use proptest::prelude::*;

use super::*;
use crate::{Look, Script, monitor};

/// `u` is up, `g` is degraded, `d` is down: a word for each priority. Most are down, so that some priorities panic beside others that do not.
fn states() -> impl Strategy<Value = Vec<String>> {
    let states = (0..3_usize, 0..4_usize, 0..6_usize);
    let states = states.prop_filter("no endpoint", |(up, degraded, down)| {
        up + degraded + down > 0
    });
    let word = states.prop_map(|(up, degraded, down)| {
        ["u".repeat(up), "g".repeat(degraded), "d".repeat(down)].concat()
    });
    prop::collection::vec(word, 1..4)
}

/// The priority and the state of those that are called, of 100 calls: `-` for a call that none got.
async fn called(priorities: &[String], threshold: u8, balancing: Balancing) -> Vec<&'static str> {
    let settings = settings().panic_threshold(threshold).balancing(balancing);
    let pool = settings.pool();
    for (states, (priority, names)) in priorities.iter().zip((0..).zip(NAMES)) {
        for (index, state) in states.chars().enumerate() {
            let (look, name) = match state {
                'u' => (Look::Up, names[0]),
                'g' => (Look::Degraded, names[1]),
                _ => (Look::Down, names[2]),
            };
            let member = Member::new(format!("{priority}.{index}"), Upstream::new(name));
            let health = monitor(&Script::new(&[look])).start();
            pool.insert(member.priority(priority).health(health));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut called = Vec::new();
    for _ in 0..100 {
        let answer = name(&ask(&pool).await);
        let name = NAMES.concat().into_iter().find(|name| *name == answer);
        called.push(name.unwrap_or("-"));
    }
    called
}

fn run(priorities: &[String], threshold: u8, balancing: Balancing) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let called = called(priorities, threshold, balancing);
    runtime.unwrap().block_on(called)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Without panic: the good ones, else the degraded ones, else none.
    #[test]
    fn calls_go_to_the_best_that_there_are(priorities in states(), balanced in any::<bool>()) {
        let balancing = if balanced { Balancing::LeastPending } else { Balancing::Random };

        let called = run(&priorities, 0, balancing);

        let all = priorities.concat();
        let best = ["u", "g"].into_iter().find(|state| all.contains(state)).unwrap_or("-");
        prop_assert!(called.iter().all(|called| called.ends_with(best)), "{called:?}");
    }

    /// No call is refused; one that is down is called only where too few of its own priority are up, and the others have their share all the same.
    #[test]
    fn a_priority_that_panics_panics_alone(priorities in states()) {
        let called = run(&priorities, 50, Balancing::Random);

        let up = |states: &String| states.chars().filter(|state| *state != 'd').count();
        let health = |states: &String| (1.4 * up(states) as f64 / states.len() as f64).min(1.0);
        let total = priorities.iter().map(health).sum::<f64>().min(1.0);
        let panics = |states: &String| total < 1.0 && 2 * up(states) < states.len();
        let any_panics = priorities.iter().any(panics);
        let (mut left, row) = (1.0_f64, format!("{priorities:?}: {called:?}"));
        prop_assert!(!called.contains(&"-"), "{row}");
        for (states, names) in priorities.iter().zip(NAMES) {
            let [_, degraded, down] = names.map(|name| called.contains(&name));
            prop_assert!(!down || panics(states), "{row}");
            prop_assert!(!degraded || any_panics || !priorities.concat().contains('u'), "{row}");
            let share = if total > 0.0 { (health(states) / total).min(left) } else { 0.0 };
            left -= share;
            // Of a hundred calls, none is less likely than one in a million.
            let has_calls = names.iter().any(|name| called.contains(name));
            prop_assert!(has_calls || !any_panics || share < 0.15, "{share} of {row}");
        }
    }
}

const NAMES: [[&str; 3]; 3] = [["0u", "0g", "0d"], ["1u", "1g", "1d"], ["2u", "2g", "2d"]];
