//! What a monitor is before its first results.

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
