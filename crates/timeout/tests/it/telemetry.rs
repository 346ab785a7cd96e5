//! What the layer says while it runs.

use http_body_util::BodyExt;
use portcullis_test_support::{Log, Step};
use portcullis_timeout::{Deadline, Refusal, TimeoutLayer};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Instrument;

use super::*;

/// The lines of one exchange, which runs in a span of its own.
async fn said(
    name: &'static str,
    layer: TimeoutLayer,
    head: u64,
    request: Request<ScriptBody>,
) -> Vec<String> {
    let log = Log::get();
    let service = layer.layer(service_fn(move |_| async move {
        tokio::time::sleep(ms(head)).await;
        Outcome::Ok(Response::new(ScriptBody::new([
            Step::data("a"),
            Step::Stall,
        ])))
    }));
    let exchange = async {
        let response = service.oneshot(request).await.unwrap();
        let _ = response.into_body().collect().await;
    };
    exchange.instrument(log.span(name)).await;

    let text = |line: &String| line.split("telemetry: ").last().unwrap().to_owned();
    log.lines(name).iter().map(text).collect()
}

fn with(headers: &[(&'static str, &'static str)]) -> Request<ScriptBody> {
    let mut request = request();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn there_is_one_event_for_each_limit_that_strikes() {
    let head = TimeoutLayer::default().head(ms(100));
    assert_eq!(
        said("head", head, 101, request()).await,
        ["timed out phase=\"head\" limit_ms=100.0 elapsed_ms=100.0"]
    );
    let idle = TimeoutLayer::default().response_idle(ms(100));
    assert_eq!(
        said("idle", idle, 50, request()).await,
        ["timed out phase=\"response_idle\" limit_ms=100.0 elapsed_ms=100.0"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_request_is_told_whether_it_is_refused_or_not() {
    let layer = || TimeoutLayer::new(ms(100));
    for (name, layer, refused) in [
        ("refused", layer(), true),
        (
            "counted",
            layer().late_requests(Refusal::count_only()),
            false,
        ),
    ] {
        let mut request = request();
        request.extensions_mut().insert(Deadline::after(ms(0)));

        let said = said(name, layer, 0, request).await;

        let expected = format!(
            "the deadline had passed before the call phase=\"total\" late_ms=0.0 refused={refused}"
        );
        assert_eq!(said.first(), Some(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_a_warning_and_nothing_else() {
    let layer = TimeoutLayer::new(ms(100));
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-timeout", "5 seconds"),
    ];

    let said = said("malformed", layer, 0, with(&headers)).await;

    assert_eq!(
        said.first().unwrap(),
        "malformed timeout ignored header=\"grpc-timeout\""
    );
    assert!(
        said.iter().all(|line| !line.contains("5 seconds")),
        "{said:?}"
    );
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_are_counted_by_phase() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let layer = TimeoutLayer::default().head(ms(100));
            let service = layer.layer(service_fn(|_| answer_after(ms(500))));
            for _ in 0..3 {
                service.clone().oneshot(request()).await.unwrap();
            }
            let mut late = with(&[("content-type", "application/grpc"), ("grpc-timeout", "x")]);
            late.extensions_mut().insert(Deadline::after(ms(0)));
            service.oneshot(late).await.unwrap();
        });
    });

    let mut counted: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let label = key.key().labels().next().unwrap();
            let value = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Histogram(values) => values.len() as u64,
                DebugValue::Gauge(_) => 0,
            };
            let name = key.key().name();
            format!("{name} {}={} {value}", label.key(), label.value())
        })
        .collect();
    counted.sort();
    assert_eq!(
        counted,
        [
            "timeout.expired phase=head 3",
            "timeout.expired.duration phase=head 3",
            "timeout.late refused=true 1",
            "timeout.malformed header=grpc-timeout 1",
        ]
    );
}
