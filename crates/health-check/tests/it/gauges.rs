//! The gauges of what is looked at no more.

use metrics_util::MetricKind;
use portcullis_health_check::State;

use super::*;
use crate::recorded::recorded_of;

fn gauges(live: impl Future<Output = ()>) -> Vec<String> {
    recorded_of(MetricKind::Gauge, live)
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn what_is_looked_at_no_more_is_not_up() {
    let seen = gauges(async {
        let script = Script::new(&[Look::Degraded]);
        let health = monitor(&script).start();
        health.wait_for(State::Up).await;

        drop(health);
        seconds(1).await;
    });

    assert_eq!(
        seen,
        [
            "health_check.degraded{upstream=upstream} 0",
            "health_check.up{upstream=upstream} 0"
        ]
    );
}

#[test]
fn one_that_is_replaced_by_another_of_its_name_does_not_speak_for_it() {
    // It outlives the look at the gauges.
    let mut kept = None;
    let seen = gauges(async {
        let [old, new] = [(); 2].map(|()| monitor(&Script::new(&[Look::Degraded])).start());
        old.wait_for(State::Up).await;
        new.wait_for(State::Up).await;

        drop(old);
        seconds(11).await;

        kept = Some(new);
    });

    assert_eq!(
        seen,
        [
            "health_check.degraded{upstream=upstream} 1",
            "health_check.up{upstream=upstream} 1"
        ]
    );
    drop(kept);
}
