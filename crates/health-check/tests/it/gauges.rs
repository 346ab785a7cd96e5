//! The gauges of what is looked at no more.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_health_check::State;

use super::*;

/// The gauges after this, in order.
fn gauges(live: impl Future<Output = ()>) -> Vec<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(live));

    let all = snapshotter.snapshot().into_vec().into_iter();
    let gauges = all.filter_map(|(key, _, _, value)| match value {
        DebugValue::Gauge(value) => Some(format!("{} {value}", key.key().name())),
        DebugValue::Counter(_) | DebugValue::Histogram(_) => None,
    });
    let mut gauges: Vec<_> = gauges.collect();
    gauges.sort_unstable();
    gauges
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

    assert_eq!(seen, ["health_check.degraded 0", "health_check.up 0"]);
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

    assert_eq!(seen, ["health_check.degraded 1", "health_check.up 1"]);
    drop(kept);
}
