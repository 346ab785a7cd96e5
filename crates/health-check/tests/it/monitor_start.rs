//! What a monitor is before its first results, while failures are too few, and after its last.

use portcullis_health_check::{Initial, State};
use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_not_known_yet_counts_as_was_chosen() {
    for (initial, expected) in [
        (Initial::Optimistic, true),
        (Initial::FullyUp, true),
        (Initial::Pessimistic, false),
        (Initial::FullyDown, false),
    ] {
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
async fn what_is_assumed_in_full_is_turned_by_as_many_results_as_later_on() {
    let seconds = Duration::from_secs;
    for (initial, looks, to, expected) in [
        (Initial::FullyUp, &[Look::Down][..], State::Down, 20),
        (Initial::FullyUp, &[Look::Down, Look::Up], State::Up, 10),
        (Initial::FullyUp, &[Look::Up], State::Up, 0),
        (Initial::FullyDown, &[Look::Up], State::Up, 10),
        (Initial::FullyDown, &[Look::Down], State::Down, 0),
        (Initial::FullyDown, &[Look::Up, Look::Down], State::Down, 10),
    ] {
        let health = monitor(&Script::new(looks)).initial(initial).start();
        let start = Instant::now();
        health.wait_for(to).await;
        assert_eq!(start.elapsed(), seconds(expected), "{initial:?} {looks:?}");
    }
    let decisive = || async { Err(ProbeError::new(ErrorKind::DnsError, "gone").decisive()) };
    let health = Monitor::new(decisive).initial(Initial::FullyUp).start();
    let start = Instant::now();
    health.wait_for(State::Down).await;
    assert_eq!(start.elapsed(), seconds(0), "it need not wait for others");
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_waits_for_its_delay_unless_somebody_asks() {
    let minute = Duration::from_secs(60);
    for asks in [false, true] {
        let monitor = monitor(&Script::new(&[Look::Up])).initial_delay(minute);
        let health = monitor.start();
        let start = Instant::now();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(health.state(), State::Unknown);
        assert_eq!(health.next_check(), Some(Duration::from_secs(50)));

        if asks {
            health.check_now();
        }
        health.wait_for(State::Up).await;

        let expected = if asks { 10 } else { 60 };
        assert_eq!(start.elapsed().as_secs(), expected, "{asks}");
    }
}

/// The last result of one that nobody looks at any more would count for ever.
#[tokio::test]
async fn one_whose_runtime_ends_is_not_known_any_more() {
    for (look, state) in [(Look::Up, State::Up), (Look::Down, State::Down)] {
        for (initial, is_up) in [(Initial::Optimistic, true), (Initial::Pessimistic, false)] {
            let monitor = monitor(&Script::new(&[look])).initial(initial);
            let (tell, told) = tokio::sync::oneshot::channel();
            let other = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_time().build().unwrap();
                let health = runtime.block_on(async {
                    let health = monitor.start();
                    health.wait_for(state).await;
                    health
                });
                tell.send(health).unwrap();
            });
            let health = told.await.unwrap();

            other.join().unwrap();

            let status = health.status();
            assert_eq!(status.state, State::Unknown, "{look:?}");
            assert_eq!(health.is_up(), is_up, "{initial:?}");
            assert_eq!(status.next_check, None);
            assert_eq!(status.reason.unwrap().to_string(), "the monitor has ended");
            assert_eq!(health.history().last().map(|last| last.from), Some(state));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failures_turn_it_down_once_they_are_many_and_have_lasted() {
    let (up, down) = (Look::Up, Look::Down);
    // A probe each 10 s, of which three must fail.
    for (row, lasts, looks, expected) in [
        ("many", 0, &[up, down][..], 30),
        ("many and as long", 20, &[up, down], 30),
        ("many, and long later", 25, &[up, down], 40),
        ("much longer", 300, &[up, down], 310),
        (
            "a success begins it anew",
            40,
            &[up, down, down, up, down],
            80,
        ),
        ("the first result of all", 300, &[down], 0),
    ] {
        let monitor = monitor(&Script::new(looks));
        let health = monitor
            .max_time_in_error(Duration::from_secs(lasts))
            .start();
        let start = Instant::now();

        health.wait_for(State::Down).await;

        assert_eq!(start.elapsed().as_secs(), expected, "{row}");
    }
    let (probes, limit) = (Arc::new(Mutex::new(0)), Duration::from_secs(300));
    let decisive = move || {
        let mut probes = probes.lock().unwrap();
        *probes += 1;
        let gone = ProbeError::new(ErrorKind::DnsError, "gone").decisive();
        std::future::ready(if *probes > 1 { Err(gone) } else { Ok(()) })
    };
    let monitor = Monitor::new(decisive).interval(Duration::from_secs(10));
    let health = monitor.jitter(0.0).max_time_in_error(limit).start();
    let start = Instant::now();
    health.wait_for(State::Down).await;
    assert_eq!(start.elapsed().as_secs(), 10, "decisive");
}
