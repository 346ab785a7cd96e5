//! What the layer says while it runs.

use portcullis_test_support::{Log, Probe};
use tower::{Layer, ServiceExt};
use tracing::Instrument;

use super::*;

/// The lines of one exchange, which runs in a span of its own.
async fn said(
    name: &'static str,
    script: impl IntoIterator<Item = Outcome>,
    request: Request<ScriptBody>,
) -> Vec<String> {
    let log = Log::get();
    let (handler, _) = upstream(script);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let exchange = async {
        let _ = layer()
            .max_replay_bytes(4)
            .layer(probe)
            .oneshot(request)
            .await;
        tracing::info!("end");
    };
    exchange.instrument(log.span(name)).await;

    log.lines(name)
}

#[tokio::test(start_paused = true)]
async fn there_is_one_event_for_each_retry_and_one_for_why_it_ended() {
    let lines = said(
        "all fail",
        [answer(502), refused(), answer(503)],
        request("GET", []),
    )
    .await;

    for (line, parts) in lines.iter().zip([
        ["DEBUG", "retrying retry.attempt=1 error.type=\"502\" delivery=\"answered\" wait_ms=2000.0 wait_reason=\"backoff\" transparent=false"],
        ["DEBUG", "retrying retry.attempt=2 error.type=\"connection_refused\" delivery=\"not_sent\""],
        ["DEBUG", "not retrying retry.attempt=3 error.type=\"503\" delivery=\"answered\" reason=\"attempts_exhausted\""],
        ["http.request.resend_count=2", "end"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
    }
    assert_eq!(lines.len(), 4, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_says_so_and_a_good_answer_says_nothing() {
    let quiet = said("well", [answer(200)], request("PUT", ["a"])).await;
    assert_eq!(quiet.len(), 1, "{quiet:?}");

    let large = said("large", [answer(200)], request("PUT", ["12345"])).await;
    assert!(
        large[0].contains("the request body is not kept any more")
            && large[0].contains("max_replay_bytes=4"),
        "{large:?}"
    );
}

#[cfg(feature = "metrics")]
#[test]
fn attempts_retries_and_why_they_ended_are_counted() {
    use metrics_util::MetricKind;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(said(
            "metrics",
            [answer(502), answer(503), answer(504)],
            request("GET", []),
        ));
    });

    let mut found: Vec<String> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Histogram(values) => format!("{values:?}"),
                DebugValue::Gauge(gauge) => gauge.to_string(),
            };
            assert_ne!(key.kind(), MetricKind::Gauge);
            format!("{} {labels:?} {value}", key.key().name())
        })
        .collect();
    found.sort();

    assert_eq!(
        found,
        [
            "retry.attempts [] [3.0]",
            "retry.backoff.duration [] [2.0, 2.0]",
            "retry.exhausted [\"reason=attempts_exhausted\"] 1",
            "retry.retries [\"error.type=502\", \"wait.reason=backoff\"] 1",
            "retry.retries [\"error.type=503\", \"wait.reason=backoff\"] 1",
        ]
    );
}
