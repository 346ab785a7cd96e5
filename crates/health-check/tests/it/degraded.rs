//! What is up, but degraded: who says so, and what is remembered of it.

use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use portcullis_health_check::{CallProbe, GrpcProbe, ProbeBody, State};
use portcullis_test_support::{ScriptBody, Step};
use tower::service_fn;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_history_says_when_it_became_degraded_and_when_no_more() {
    let looks = [
        Look::Up,
        Look::Degraded,
        Look::Degraded,
        Look::Up,
        Look::Degraded,
        Look::Down,
    ];
    let health = monitor(&Script::new(&looks)).start();
    health.wait_for(State::Down).await;

    let history = health.history();

    let turns: Vec<_> = history
        .iter()
        .map(|turn| {
            let (from, to) = (turn.from.as_str(), turn.to.as_str());
            let degraded = (turn.was_degraded, turn.degraded);
            let reason = turn.reason.as_ref().map(ToString::to_string);
            (from, to, degraded, turn.lasted.as_secs(), reason)
        })
        .collect();
    let (degraded, refused) = ("degraded by the script", "refused by the script");
    let because = |text: &str| Some(text.to_owned());
    assert_eq!(
        turns,
        [
            ("unknown", "up", (false, false), 0, None),
            ("up", "up", (false, true), 10, because(degraded)),
            ("up", "up", (true, false), 20, None),
            ("up", "up", (false, true), 10, because(degraded)),
            ("up", "down", (true, false), 30, because(refused)),
        ]
    );
}

/// Answers so much of gRPC, degraded or not.
fn answer(degraded: bool, grpc: bool, status: u16, steps: Vec<Step>) -> Response<ScriptBody> {
    let mut response = Response::builder().status(status);
    if degraded {
        response = response.header("x-envoy-degraded", "");
    }
    if grpc {
        response = response.header("content-type", "application/grpc");
    }
    response.body(ScriptBody::new(steps)).unwrap()
}

/// A message of `grpc.health.v1`.
fn message(status: u8) -> Step {
    Step::Data(bytes::Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))
}

fn trailers(code: &'static str) -> Step {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    Step::Trailers(trailers)
}

#[tokio::test]
async fn every_probe_with_a_head_reads_what_it_says() {
    let degraded = Some((true, "answered 200 OK with x-envoy-degraded"));
    let refused = |text| Some((false, text));
    type Row = (
        bool,
        bool,
        u16,
        fn() -> Vec<Step>,
        Option<(bool, &'static str)>,
    );
    let call: [Row; 5] = [
        (true, false, 200, Vec::new, degraded),
        (false, false, 200, Vec::new, None),
        (
            true,
            false,
            503,
            Vec::new,
            refused("answered 503 Service Unavailable"),
        ),
        (true, true, 200, || vec![trailers("0")], degraded),
        (
            true,
            true,
            200,
            || vec![trailers("14")],
            refused("answered UNAVAILABLE"),
        ),
    ];
    for (is_degraded, grpc, status, steps, expected) in call {
        let inner = service_fn(move |_: Request<()>| async move {
            Ok::<_, std::io::Error>(answer(is_degraded, grpc, status, steps()))
        });
        let probe = CallProbe::new(inner, || Request::new(()));
        let error = probe.probe().await.err();
        let said = error.map(|error| (error.is_degraded(), error.to_string()));
        let said = said
            .as_ref()
            .map(|(degraded, text)| (*degraded, text.as_str()));
        assert_eq!(said, expected, "call: {is_degraded} {grpc} {status}");
    }
    let check: [Row; 4] = [
        (
            true,
            true,
            200,
            || vec![message(1), trailers("0")],
            degraded,
        ),
        (false, true, 200, || vec![message(1), trailers("0")], None),
        (
            true,
            true,
            200,
            || vec![message(2), trailers("0")],
            refused("NOT_SERVING"),
        ),
        (
            true,
            true,
            200,
            || vec![message(1), trailers("13")],
            refused("answered INTERNAL"),
        ),
    ];
    for (is_degraded, grpc, status, steps, expected) in check {
        let client = service_fn(move |_: Request<ProbeBody>| async move {
            Ok::<_, std::io::Error>(answer(is_degraded, grpc, status, steps()))
        });
        let probe = GrpcProbe::new(client, "http://orders".parse().unwrap());
        let error = probe.probe().await.err();
        let said = error.map(|error| (error.is_degraded(), error.to_string()));
        let said = said
            .as_ref()
            .map(|(degraded, text)| (*degraded, text.as_str()));
        assert_eq!(said, expected, "gRPC: {is_degraded} {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_watch_counts_for_what_its_stream_tells() {
    let opened = Arc::new(AtomicU32::new(0));
    let client = service_fn(move |_: Request<ProbeBody>| {
        let first = opened.fetch_add(1, Ordering::SeqCst) == 0;
        let second = Duration::from_secs(1);
        let steps = if first {
            vec![message(1), Step::Wait(second), Step::Error("gone")]
        } else {
            vec![message(1), Step::Stall]
        };
        let answer = answer(first, true, 200, steps);
        async move { Ok::<_, std::io::Error>(answer) }
    });
    let health = GrpcProbe::new(client, "http://orders".parse().unwrap())
        .watch()
        .start();

    health.wait_for(State::Up).await;
    assert!(health.is_degraded());
    let last = health.last_check().unwrap();
    assert_eq!((last.checks, last.failures), (1, 0), "it is no failure");
    health.wait_for(State::Down).await;
    health.wait_for(State::Up).await;
    assert!(!health.is_degraded());
}
