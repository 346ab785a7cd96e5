use std::num::NonZeroU32;

use portcullis_health_check::{Detector, FailurePercentage, Outliers, SuccessRate};
use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn endpoints(outliers: &Outliers, count: usize) -> Vec<PassiveHealth> {
    (0..count)
        .map(|n| outliers.endpoint(format!("{n}")))
        .collect()
}

/// So many calls, of which so many of a hundred fail, never two in a row where that can be.
fn calls(passive: &PassiveHealth, count: usize, failing_percent: usize) {
    let mut owed = 0;
    for _ in 0..count {
        owed += failing_percent;
        let failed = owed >= 100;
        owed -= if failed { 100 } else { 0 };
        let observed = if failed {
            Observed::ServerFailure
        } else {
            Observed::Success
        };
        if let Some(pass) = admit(passive) {
            pass.settle(observed);
        }
    }
}

/// Windows alone: nothing is ejected for failures in a row.
fn windows() -> OutlierDetection {
    OutlierDetection::new()
        .consecutive_gateway_failures(None)
        .consecutive_5xx(None)
        .ejection_jitter(Duration::ZERO)
        .max_ejection_percent(100)
}

async fn tick() {
    tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_percentage_are_ejected_but_one_may_always_be() {
    for (percent, always_one, count, expected) in [
        (10, true, 1, 1),
        (10, false, 1, 0),
        (10, true, 9, 1),
        (10, false, 9, 0),
        (10, false, 10, 1),
        (50, true, 10, 5),
        (50, true, 3, 1),
        (100, true, 10, 10),
        (0, false, 10, 0),
        (0, true, 10, 1),
    ] {
        let outliers = detection()
            .max_ejection_percent(percent)
            .always_eject_one(always_one)
            .start();
        let all = endpoints(&outliers, count);

        for passive in &all {
            fail(passive, 3);
        }

        let row = format!("{percent} % of {count}, always one: {always_one}");
        assert_eq!(
            all.iter().filter(|passive| is_ejected(passive)).count(),
            expected,
            "{row}"
        );
        assert_eq!(
            (outliers.len(), outliers.ejected()),
            (count, expected),
            "{row}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_after_the_return_and_when_an_endpoint_goes() {
    let outliers = detection().start();
    let all = endpoints(&outliers, 10);
    fail(&all[0], 3);
    fail(&all[1], 3);
    assert!(is_ejected(&all[0]) && !is_ejected(&all[1]));
    assert!((outliers.healthy_percent() - 90.0).abs() < 1e-9);

    advance(30 * SECOND).await;
    let trial = admit(&all[0]).unwrap();
    fail(&all[1], 3);
    assert!(!is_ejected(&all[1]), "a trial is not decided yet");
    trial.settle(Observed::Success);
    fail(&all[1], 3);
    assert!(is_ejected(&all[1]));

    drop(all);
    assert_eq!((outliers.len(), outliers.ejected()), (0, 0));
    assert!((outliers.healthy_percent() - 100.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn a_success_rate_far_below_that_of_the_others_ejects() {
    let outliers = windows().failure_percentage(None).start();
    let all = endpoints(&outliers, 5);
    for passive in &all[..4] {
        calls(passive, 200, 0);
    }
    calls(&all[4], 200, 50);

    tick().await;

    let states: Vec<_> = all.iter().map(is_ejected).collect();
    assert_eq!(states, [false, false, false, false, true]);
    assert_eq!(all[4].status().detector, Some(Detector::SuccessRate));
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_over_the_limit_ejects_all_that_have_it() {
    let outliers = windows().start();
    let all = endpoints(&outliers, 5);
    for (passive, failing) in all.iter().zip([0, 80, 85, 90, 100]) {
        calls(passive, 60, failing);
    }

    tick().await;

    let states: Vec<_> = all.iter().map(is_ejected).collect();
    assert_eq!(states, [false, false, true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_too_small_or_too_quiet_is_not_compared() {
    for (count, volume) in [(4, 1000), (5, 49)] {
        let outliers = windows().start();
        let all = endpoints(&outliers, count);
        for passive in &all {
            calls(passive, volume, 100);
        }

        tick().await;

        assert_eq!(outliers.ejected(), 0, "{count} endpoints, {volume} calls");
    }
}

/// The window of tower-resilience is a count for life: after many successes it takes as many failures.
#[tokio::test(start_paused = true)]
async fn what_was_good_long_ago_weighs_nothing() {
    let rules = FailurePercentage {
        minimum_hosts: NonZeroU32::MIN,
        ..FailurePercentage::default()
    };
    let passive = windows()
        .success_rate(None)
        .failure_percentage(Some(rules))
        .endpoint("a");
    for _ in 0..100 {
        calls(&passive, 1000, 0);
        tick().await;
    }
    calls(&passive, 100, 100);
    tick().await;
    assert!(!is_ejected(&passive), "nine seconds of the window are good");

    for _ in 0..10 {
        calls(&passive, 10, 100);
        tick().await;
    }

    assert_eq!(passive.status().detector, Some(Detector::FailurePercentage));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_came_back_begins_with_an_empty_window() {
    let rules = FailurePercentage {
        minimum_hosts: NonZeroU32::MIN,
        ..FailurePercentage::default()
    };
    let passive = windows()
        .success_rate(None)
        .failure_percentage(Some(rules))
        .endpoint("a");
    calls(&passive, 100, 100);
    tick().await;
    assert!(is_ejected(&passive));

    passive.check_succeeded();
    tick().await;

    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn connections_have_a_window_of_their_own_where_they_are_told_apart() {
    let rules = SuccessRate {
        stdev_factor: 1.0,
        ..SuccessRate::default()
    };
    let outliers = windows()
        .success_rate(Some(rules))
        .failure_percentage(None)
        .consecutive_local_origin_failures(None)
        .split_local_origin(true)
        .start();
    let all = endpoints(&outliers, 5);
    for passive in &all {
        calls(passive, 100, 0);
    }
    for _ in 0..100 {
        admit(&all[2]).unwrap().settle(Observed::LocalFailure);
    }

    tick().await;

    let states: Vec<_> = all.iter().map(is_ejected).collect();
    assert_eq!(states, [false, false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_come_and_go_do_not_add_up_and_the_task_ends_with_the_group() {
    let outliers = windows().start();
    let kept = endpoints(&outliers, 5);
    for n in 0..10_000 {
        drop(outliers.endpoint(format!("{n}")));
    }
    assert_eq!(outliers.len(), 5);

    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert_eq!(alive(), 1, "one task for a group");
    drop((outliers, kept));
    tick().await;

    assert_eq!(alive(), 0);
}
