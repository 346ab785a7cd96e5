use portcullis_health_check::{Detector, State};
use tokio::time::{Instant, advance};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_ejected_after_enough_failures_in_a_row_and_tried_when_the_time_is_over() {
    let passive = detection().endpoint("a");
    let start = Instant::now();
    fail(&passive, 2);
    admit(&passive).unwrap().settle(Observed::Success);
    fail(&passive, 2);
    assert_eq!(
        passive.status().state,
        PassiveState::Healthy,
        "a success in between"
    );

    fail(&passive, 1);

    let until = start + 30 * SECOND;
    assert_eq!(passive.status().state, PassiveState::Ejected { until });
    let detector = Some(Detector::ConsecutiveGatewayFailures);
    assert_eq!(passive.status().detector, detector);
    let Admission::Refused { retry_after } = passive.admit() else {
        panic!("it is ejected");
    };
    assert_eq!(retry_after, 30 * SECOND);
    advance(30 * SECOND - Duration::from_millis(1)).await;
    assert!(!passive.would_admit());
    advance(Duration::from_millis(1)).await;
    assert!(passive.would_admit());
    let trial = admit(&passive).unwrap();
    assert!(trial.is_trial());
    assert!(admit(&passive).is_none(), "one trial at a time");
    trial.settle(Observed::Success);
    assert_eq!(passive.status().state, PassiveState::Healthy);
    assert!(!admit(&passive).unwrap().is_trial());
}

#[tokio::test(start_paused = true)]
async fn ejections_grow_with_each_up_to_a_limit_and_shrink_again_in_health() {
    let passive = detection().endpoint("a");
    let mut times = Vec::new();
    for ejection in 0..12 {
        match ejection {
            0 => fail(&passive, 3),
            _ => admit(&passive).unwrap().settle(Observed::ServerFailure),
        }
        let Admission::Refused { retry_after } = passive.admit() else {
            panic!("it is ejected");
        };
        times.push(retry_after.as_secs());
        advance(retry_after).await;
    }
    assert_eq!(
        times,
        [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]
    );

    admit(&passive).unwrap().settle(Observed::Success);
    assert_eq!(passive.status().multiplier, 10, "it is what lasted longest");
    // Seven of ten steps are gone after seven windows of 10 s in health.
    advance(79 * SECOND).await;
    fail(&passive, 3);

    let Admission::Refused { retry_after } = passive.admit() else {
        panic!("it is ejected");
    };
    assert_eq!(
        (passive.status().multiplier, retry_after),
        (4, 120 * SECOND)
    );
    assert_eq!(passive.status().ejections, 13);
}

#[tokio::test(start_paused = true)]
async fn jitter_is_added_within_its_limit_and_repeats_for_a_seed() {
    let times = || async {
        let mut times = Vec::new();
        let outliers = detection()
            .ejection_jitter(3 * SECOND)
            .seed(5)
            .max_ejection_percent(100)
            .start();
        for _ in 0..50 {
            let passive = outliers.endpoint("a");
            fail(&passive, 3);
            match passive.admit() {
                Admission::Refused { retry_after } => times.push(retry_after),
                Admission::Pass(_) => panic!("it is ejected"),
            }
        }
        times
    };

    let first = times().await;

    assert!(
        first
            .iter()
            .all(|time| (30 * SECOND..=33 * SECOND).contains(time))
    );
    assert!(first.iter().any(|time| *time < 31 * SECOND));
    assert!(first.iter().any(|time| *time > 32 * SECOND));
    assert_eq!(first, times().await);
}

#[tokio::test(start_paused = true)]
async fn so_many_trials_and_no_more_go_through_and_all_must_be_good() {
    let passive = detection().trials(trials(3)).endpoint("a");
    fail(&passive, 3);
    advance(30 * SECOND).await;

    let mut given: Vec<_> = std::iter::from_fn(|| admit(&passive)).take(100).collect();

    assert_eq!(given.len(), 3);
    given.pop().unwrap().settle(Observed::Success);
    given.pop().unwrap().settle(Observed::Success);
    assert!(
        admit(&passive).is_none(),
        "decided places are not given anew"
    );
    assert_eq!(passive.status().state, PassiveState::Trying);
    given.pop().unwrap().settle(Observed::Success);
    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_first_trial_that_fails_ejects_anew_and_the_others_decide_nothing() {
    let passive = detection().trials(trials(3)).endpoint("a");
    fail(&passive, 3);
    advance(30 * SECOND).await;
    let [one, two, three] = [(); 3].map(|()| admit(&passive).unwrap());

    one.settle(Observed::LocalFailure);
    two.settle(Observed::Success);
    three.settle(Observed::Success);

    assert!(is_ejected(&passive));
    assert_eq!(passive.status().detector, Some(Detector::Trial));
    assert_eq!(passive.status().multiplier, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_trial_gives_its_place_back_and_one_that_hangs_loses_it() {
    let passive = detection().endpoint("a");
    fail(&passive, 3);
    advance(30 * SECOND).await;

    drop(admit(&passive).unwrap());
    let hanging = admit(&passive).expect("the place is free again");
    assert!(admit(&passive).is_none());
    advance(30 * SECOND).await;
    let next = admit(&passive).expect("it had its time");

    hanging.settle(Observed::GatewayFailure);
    assert_eq!(
        passive.status().state,
        PassiveState::Trying,
        "too late to count"
    );
    next.settle(Observed::Nothing);
    admit(&passive).unwrap().settle(Observed::Success);
    assert_eq!(passive.status().state, PassiveState::Healthy);
}

/// tower-resilience closes its breaker by any call that ends well, also one that began before it opened.
#[tokio::test(start_paused = true)]
async fn a_slow_call_from_before_the_ejection_decides_no_trial() {
    let passive = detection().endpoint("a");
    let slow = admit(&passive).unwrap();
    let slow_too = admit(&passive).unwrap();
    fail(&passive, 3);
    advance(30 * SECOND).await;
    let trial = admit(&passive).unwrap();

    slow.settle(Observed::Success);
    assert_eq!(passive.status().state, PassiveState::Trying);
    slow_too.settle(Observed::GatewayFailure);
    assert_eq!(passive.status().state, PassiveState::Trying);

    trial.settle(Observed::Success);
    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn being_told_to_slow_down_is_neither_a_failure_nor_a_recovery() {
    let passive = detection().endpoint("a");
    fail(&passive, 2);
    admit(&passive).unwrap().settle(Observed::Nothing);
    assert_eq!(passive.status().state, PassiveState::Healthy);

    fail(&passive, 1);
    advance(30 * SECOND).await;
    admit(&passive).unwrap().settle(Observed::Nothing);

    assert_eq!(passive.status().state, PassiveState::Trying);
}

/// Envoy #32442 and those before it: a check that failed un-ejected.
#[tokio::test(start_paused = true)]
async fn only_a_check_that_succeeds_while_its_state_is_up_ends_an_ejection() {
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).start();
    settle(&health).await;
    let passive = detection().base_ejection_time(1000 * SECOND).endpoint("a");
    let _gate = HealthCheckLayer::new(health.clone()).passive(passive.clone());
    script.then(Look::Down);
    fail(&passive, 3);

    // Two failed checks: the state is still up, for the third has not failed yet.
    tokio::time::sleep(21 * SECOND).await;
    assert!(health.is_up() && is_ejected(&passive), "a check failed");
    health.wait_for(State::Down).await;
    assert!(is_ejected(&passive), "the state turned down");
    script.then(Look::Up);
    tokio::time::sleep(11 * SECOND).await;
    assert!(
        !health.is_up() && is_ejected(&passive),
        "one success of two"
    );
    health.wait_for(State::Up).await;
    tokio::time::sleep(Duration::from_millis(1)).await;

    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn checks_end_no_ejection_where_they_are_told_not_to() {
    for (returns, expected) in [(true, false), (false, true)] {
        let passive = detection().return_on_check(returns).endpoint("a");
        fail(&passive, 3);

        passive.check_succeeded();

        assert_eq!(is_ejected(&passive), expected, "return_on_check: {returns}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_enforced_is_not_done() {
    let off = |detector| detection().enforcing(detector, 0).endpoint("a");
    let passive = off(Detector::ConsecutiveGatewayFailures);
    fail(&passive, 4);
    assert_eq!(passive.status().state, PassiveState::Healthy);
    fail(&passive, 1);
    assert_eq!(passive.status().detector, Some(Detector::Consecutive5xx));

    let half = (0..400).filter(|seed| {
        let passive = detection()
            .enforcing(Detector::ConsecutiveGatewayFailures, 50)
            .seed(*seed)
            .endpoint("a");
        fail(&passive, 3);
        is_ejected(&passive)
    });
    let half = half.count();
    assert!((150..=250).contains(&half), "{half} of 400");
}

#[tokio::test(start_paused = true)]
async fn origins_are_told_apart_where_that_is_asked_for() {
    let split = detection()
        .split_local_origin(true)
        .consecutive_local_origin_failures(NonZeroU16::new(2))
        .endpoint("a");
    admit(&split).unwrap().settle(Observed::LocalFailure);
    admit(&split).unwrap().settle(Observed::ServerFailure);
    admit(&split).unwrap().settle(Observed::LocalFailure);
    assert_eq!(
        split.status().state,
        PassiveState::Healthy,
        "it did answer in between"
    );

    admit(&split).unwrap().settle(Observed::LocalFailure);

    let detector = Some(Detector::ConsecutiveLocalOriginFailures);
    assert_eq!(split.status().detector, detector);
}
