use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_health_check::{Override, State};
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
async fn degraded_comes_and_goes_with_one_success_and_stays_through_a_failure() {
    let looks = [
        (Look::Up, "up"),
        (Look::Degraded, "degraded"),
        (Look::Down, "degraded"),
        (Look::Up, "up"),
        (Look::Degraded, "degraded"),
        (Look::Down, "degraded"),
        (Look::Down, "degraded"),
        (Look::Down, "down"),
        (Look::Degraded, "down"),
        (Look::Degraded, "degraded"),
        (Look::Up, "up"),
    ];
    let script = Script::new(&looks.map(|(look, _)| look));
    let health = monitor(&script).start();
    for (index, (look, expected)) in looks.into_iter().enumerate() {
        advance(Duration::from_secs(if index == 0 { 1 } else { 10 })).await;
        tokio::time::sleep(Duration::from_millis(1)).await;

        let status = health.status();
        let word = if status.degraded {
            "degraded"
        } else {
            status.state.as_str()
        };
        assert_eq!(word, expected, "{index}: {look:?}");
        assert_eq!(health.is_degraded(), status.degraded, "{index}: {look:?}");
        assert_eq!(status.reason.is_some(), word != "up", "{index}: {look:?}");
    }
    let failures = health.last_check().map(|last| last.failures);
    assert_eq!(failures, Some(4), "what is degraded is no failure");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_by_hand_is_not_degraded() {
    let script = Script::new(&[Look::Degraded]);
    let health = monitor(&script).start();
    settle(&health).await;
    let mut changes = health.changes();
    for (decided, state) in [(Override::Up, State::Up), (Override::Drain, State::Down)] {
        health.force(decided);
        let status = changes.next().await.unwrap();
        assert_eq!((status.state, status.degraded), (state, false));
        assert!(!health.is_degraded(), "{decided:?}");
    }

    health.release();

    let status = changes.next().await.unwrap();
    assert_eq!((status.state, status.degraded), (State::Up, true));
    script.then(Look::Up);
    let status = changes.next().await.unwrap();
    assert_eq!((status.state, status.degraded), (State::Up, false));
}

#[tokio::test(start_paused = true)]
async fn a_probe_on_demand_says_degraded_too() {
    let script = Script::new(&[Look::Degraded, Look::Up]);
    let age = Duration::from_secs(5);
    let health = monitor(&script).on_demand(age).start();

    let first = health.fresh().await;
    advance(age).await;
    let second = health.fresh().await;

    assert_eq!((first.state, first.degraded), (State::Up, true));
    assert_eq!((second.state, second.degraded), (State::Up, false));
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

/// A monitor of the script, and how often it was looked at.
fn counted(look: Look) -> (Monitor<impl Probe>, Arc<AtomicU32>, Script) {
    let (script, looks) = (Script::new(&[look]), Arc::new(AtomicU32::new(0)));
    let (played, counter) = (script.clone(), Arc::clone(&looks));
    let probe = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let script = played.clone();
        async move { script.probe().await }
    };
    let monitor = Monitor::new(probe)
        .interval(Duration::from_secs(10))
        .jitter(0.0);
    (monitor, looks, script)
}

async fn after(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn each_edge_has_its_interval_once() {
    let (monitor, _, script) = counted(Look::Up);
    let health = monitor
        .unhealthy_interval(Duration::from_secs(4))
        .unhealthy_edge_interval(Duration::from_secs(2))
        .changing_interval(Duration::from_secs(1))
        .start();
    health.wait_for(State::Up).await;
    let start = Instant::now();

    script.then(Look::Down);
    health.wait_for(State::Down).await;
    assert_eq!(
        start.elapsed().as_secs(),
        12,
        "10, then 1 and 1 while it changes"
    );
    after(0.5).await;
    assert_eq!(
        health.next_check(),
        Some(Duration::from_millis(1500)),
        "edge"
    );
    after(2.0).await;
    assert_eq!(
        health.next_check(),
        Some(Duration::from_millis(3500)),
        "down"
    );
}

#[tokio::test(start_paused = true)]
async fn while_no_call_comes_probes_are_rare_and_the_first_call_brings_one() {
    let (monitor, looks, _) = counted(Look::Up);
    let health = monitor.no_traffic_interval(Duration::from_secs(60)).start();
    after(59.0).await;
    assert_eq!(looks.load(Ordering::SeqCst), 1);

    health.call_came();
    after(0.1).await;
    assert_eq!(looks.load(Ordering::SeqCst), 2, "the first call brings one");
    health.call_came();
    after(59.0).await;
    assert_eq!(
        looks.load(Ordering::SeqCst),
        4,
        "10 s after a call, 10 s after the last, and then it is quiet again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_while_a_rare_probe_is_under_way_brings_no_other() {
    let looks = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&looks);
    let probe = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        }
    };
    let monitor = Monitor::new(probe).interval(Duration::from_secs(10));
    let monitor = monitor.jitter(0.0);
    let health = monitor.no_traffic_interval(Duration::from_secs(60)).start();
    after(60.2).await;
    assert_eq!(looks.load(Ordering::SeqCst), 2);

    health.call_came();

    after(9.0).await;
    assert_eq!(looks.load(Ordering::SeqCst), 2, "it is answered already");
    after(1.0).await;
    assert_eq!(looks.load(Ordering::SeqCst), 3, "10 s after the last began");
}

#[tokio::test(start_paused = true)]
async fn a_gate_tells_the_monitor_of_calls() {
    use portcullis_health_check::HealthCheckLayer;
    use tower::{Layer, ServiceExt, service_fn};

    let (monitor, looks, _) = counted(Look::Up);
    let health = monitor.no_traffic_interval(Duration::from_secs(60)).start();
    after(30.0).await;
    let inner = service_fn(|_: http::Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });

    let service = HealthCheckLayer::new(health.clone()).layer(inner);
    service.oneshot(http::Request::new(())).await.unwrap();
    after(0.1).await;

    assert_eq!(looks.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn nudges_bring_a_probe_and_never_many() {
    let (monitor, looks, _) = counted(Look::Up);
    let health = monitor.start();
    after(5.0).await;

    for _ in 0..1000 {
        health.check_now();
        after(0.001).await;
    }

    assert_eq!(
        looks.load(Ordering::SeqCst),
        2,
        "not within 1 s of one another"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_by_hand_counts_until_it_is_released() {
    let (monitor, looks, script) = counted(Look::Up);
    let health = monitor.start();
    let mut changes = health.changes();
    health.wait_for(State::Up).await;

    health.force(Override::Drain);
    assert!(!health.is_up());
    let status = health.status();
    assert_eq!(status.forced, Some(Override::Drain));
    assert_eq!(status.reason.unwrap().to_string(), "draining");
    after(35.0).await;
    assert_eq!(looks.load(Ordering::SeqCst), 4, "probes go on");
    assert!(!health.is_up(), "and turn nothing");
    health.force(Override::Up);
    script.then(Look::Down);
    after(60.0).await;
    assert!(health.is_up());
    health.release();

    assert_eq!(health.state(), State::Down, "what probes found meanwhile");
    assert_eq!(changes.next().await.unwrap().state, State::Down);
    let seen: Vec<_> = health
        .history()
        .into_iter()
        .map(|turn| (turn.to, turn.forced, turn.lasted.as_secs()))
        .collect();
    assert_eq!(
        seen,
        [
            (State::Up, None, 0),
            (State::Down, Some(Override::Drain), 0),
            (State::Up, Some(Override::Up), 35),
            (State::Down, None, 60),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_last_transitions_are_kept_with_their_reasons() {
    let script = Script::new(&[Look::Up, Look::Down, Look::Up, Look::Down]);
    let one = NonZeroU32::MIN;
    let health = monitor(&script).rise(one).fall(one).history(2).start();
    after(35.0).await;

    let history = health.history();

    assert_eq!(history.len(), 2);
    assert_eq!(history[1].to, State::Down);
    assert_eq!(history[1].lasted, Duration::from_secs(10));
    let kind = history[1].reason.as_ref().and_then(ProbeError::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionRefused));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_for_ever_is_down_and_is_seen_to_be_looked_at() {
    let health = monitor(&Script::new(&[Look::Up, Look::Panic])).start();
    after(95.0).await;

    let last = health.last_check().unwrap();

    assert_eq!(health.state(), State::Down);
    assert_eq!((last.checks, last.failures), (10, 9));
    assert_eq!(last.at.elapsed(), Duration::from_secs(5), "not frozen");
    assert_eq!(last.error.unwrap().to_string(), "the probe panicked");
}

#[tokio::test(start_paused = true)]
async fn first_probes_are_spread_and_a_nudge_does_not_wait_for_them() {
    let (monitor, looks, _) = counted(Look::Up);
    let health = monitor
        .initial_jitter(Duration::from_secs(100))
        .seed(3)
        .start();
    after(0.1).await;
    assert_eq!(
        (looks.load(Ordering::SeqCst), health.state()),
        (0, State::Unknown)
    );
    assert!(health.next_check().unwrap() <= Duration::from_secs(100));

    health.check_now();
    after(0.1).await;

    assert_eq!(health.state(), State::Up);
}

#[cfg(feature = "metrics")]
#[test]
fn each_probe_and_each_decision_by_hand_is_counted() {
    let seen = recorded::recorded(async {
        let script = Script::new(&[
            Look::Degraded,
            Look::Down,
            Look::Hang,
            Look::Panic,
            Look::Down,
        ]);
        let health = monitor(&script).name("orders").start();
        after(45.0).await;
        health.force(Override::Up);
        health.release();
    });

    assert_eq!(
        seen,
        [
            "health_check.check.duration{upstream=orders} 5",
            "health_check.checks{upstream=orders,result=connection_refused} 2",
            "health_check.checks{upstream=orders,result=http_response_timeout} 1",
            "health_check.checks{upstream=orders,result=proxy_internal_error} 1",
            "health_check.checks{upstream=orders,result=success} 1",
            "health_check.degraded{upstream=orders} 0",
            "health_check.overrides{upstream=orders,decided=release} 1",
            "health_check.overrides{upstream=orders,decided=up} 1",
            "health_check.transitions{upstream=orders,to=down} 2",
            "health_check.transitions{upstream=orders,to=up} 2",
            "health_check.up{upstream=orders} 0",
        ]
    );
}
