//! The numbers that are recorded while something lives.

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// The numbers after this, each as `name{label=value,…} number`, in order; of a histogram how many there are. The clock is paused.
pub(crate) fn recorded(live: impl Future<Output = ()>) -> Vec<String> {
    let all = numbers(live).into_iter().map(|(_, line)| line);
    all.collect()
}

/// Those of one kind.
pub(crate) fn recorded_of(kind: MetricKind, live: impl Future<Output = ()>) -> Vec<String> {
    let all = numbers(live).into_iter();
    all.filter_map(|(of, line)| (of == kind).then_some(line))
        .collect()
}

fn numbers(live: impl Future<Output = ()>) -> Vec<(MetricKind, String)> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(live));
    let all = snapshotter.snapshot().into_vec().into_iter();
    let lines = all.map(|(key, _, _, value)| {
        let labels = key.key().labels();
        let labels = labels.map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.0,
            DebugValue::Histogram(values) => values.len() as f64,
        };
        let line = format!("{}{{{labels}}} {value}", key.key().name());
        (key.kind(), line)
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
    lines
}
