use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_health_check::{Initial, State};
use tokio::time::{Instant, advance};

use super::*;

async fn turned(looks: &[Look], to: State) -> Duration {
    let health = monitor(&Script::new(looks)).start();
    let start = Instant::now();
    health.wait_for(to).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_state_turns_after_enough_results_in_a_row() {
    let seconds = Duration::from_secs;
    for (looks, to, expected) in [
        (&[Look::Up][..], State::Up, seconds(0)),
        (&[Look::Down], State::Down, seconds(0)),
        (&[Look::Up, Look::Down], State::Down, seconds(30)),
        (
            &[Look::Up, Look::Down, Look::Down, Look::Up, Look::Down],
            State::Down,
            seconds(60),
        ),
        (&[Look::Down, Look::Up], State::Up, seconds(20)),
        (&[Look::Hang], State::Down, seconds(1)),
        (&[Look::Up, Look::Hang], State::Down, seconds(31)),
        (&[Look::Panic], State::Down, seconds(0)),
        (&[Look::Panic, Look::Up], State::Up, seconds(20)),
    ] {
        assert_eq!(turned(looks, to).await, expected, "{looks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_says_why_and_since_when() {
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).name("orders").start();
    settle(&health).await;
    script.then(Look::Hang);
    health.wait_for(State::Down).await;

    advance(Duration::from_secs(4)).await;

    let status = health.status();
    assert_eq!(status.since.elapsed(), Duration::from_secs(4));
    let reason = status.reason.unwrap();
    assert_eq!(reason.kind(), Some(ErrorKind::HttpResponseTimeout));
    assert_eq!(reason.to_string(), "no result within 1s");
    assert_eq!(
        health.next_check(),
        Some(Duration::from_secs(5)),
        "10 s from the start, 1 s and 4 s ago"
    );
    assert_eq!(health.name(), "orders");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_yet_counts_as_was_chosen() {
    for (initial, expected) in [(Initial::Optimistic, true), (Initial::Pessimistic, false)] {
        let health = monitor(&Script::new(&[Look::Hang]))
            .initial(initial)
            .start();

        assert_eq!(
            (health.state(), health.is_up()),
            (State::Unknown, expected),
            "{initial:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn probes_never_overlap_and_end_with_the_last_handle() {
    let running = Arc::new(AtomicU32::new(0));
    let started = Arc::new(AtomicU32::new(0));
    struct Guard(Arc<AtomicU32>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let probe = {
        let (running, started) = (Arc::clone(&running), Arc::clone(&started));
        move || {
            let guard = Guard(Arc::clone(&running));
            started.fetch_add(1, Ordering::SeqCst);
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            async move {
                let _guard = guard;
                tokio::time::sleep(Duration::from_secs(15)).await;
                Ok(())
            }
        }
    };
    let health = Monitor::new(probe)
        .interval(Duration::from_secs(10))
        .timeout(Duration::from_secs(60))
        .jitter(0.0)
        .start();
    let clone = health.clone();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(
        (
            started.load(Ordering::SeqCst),
            running.load(Ordering::SeqCst)
        ),
        (3, 1)
    );

    drop(health);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(running.load(Ordering::SeqCst), 1, "a clone is left");
    drop(clone);
    tokio::time::sleep(Duration::from_secs(100)).await;

    assert_eq!(
        (
            started.load(Ordering::SeqCst),
            running.load(Ordering::SeqCst)
        ),
        (3, 0)
    );
}
