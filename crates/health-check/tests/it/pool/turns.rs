//! Calls that come while healths turn.

use std::sync::atomic::AtomicBool;

use portcullis_health_check::{Health, Override, State};

use super::*;
use crate::{Look, Script, monitor, settle};

/// Of two one is up at any time, and a third is degraded: no call is refused for a look at what was, and none goes to the third.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_refused_or_goes_last_while_another_is_up() {
    let upstreams = ["a", "b", "c"].map(Upstream::new);
    let [a, b] = [State::Up, State::Down].map(Health::fixed);
    let c = monitor(&Script::new(&[Look::Degraded])).start();
    settle(&c).await;
    let pool = settings().panic_threshold(0).pool();
    for (upstream, health) in upstreams.iter().zip([&a, &b, &c]) {
        pool.insert(upstream.member().health(health.clone()));
    }
    let ended = Arc::new(AtomicBool::new(false));
    let turns = {
        let (ended, upstreams) = (Arc::clone(&ended), upstreams.clone());
        let calls = move || upstreams.iter().map(Upstream::calls).sum::<u64>();
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for (up, down) in [(&b, &a), (&a, &b)] {
                    up.force(Override::Up);
                    down.force(Override::Down);
                    // Some calls later the next turn.
                    let enough = calls() + 20;
                    while calls() < enough && !ended.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                }
            }
        })
    };

    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let pool = pool.clone();
        callers.spawn(async move { spread(&pool, 5000).await });
    }
    let seen = callers.join_all().await;

    ended.store(true, Ordering::Relaxed);
    turns.join().unwrap();
    for seen in seen {
        assert!(
            seen.keys().all(|name| name == "a" || name == "b"),
            "{seen:?}"
        );
    }
}
