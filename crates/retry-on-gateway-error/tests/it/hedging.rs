//! Several attempts beside each other.

use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_gateway_error::{Outcome as Came, RetryOutcome};
use portcullis_retry_on_gateway_error::{Hedging, InFlightBudget, RatioBudget};
use portcullis_test_support::{Probe, ProbeHandle, Step};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use super::*;

/// What an attempt does: it takes so many milliseconds, and then answers this status; 0 is a reset.
type Plan = (u64, u16);

/// Sends a GET that is hedged after 100 ms; each attempt does what the plan says for it.
async fn race(
    layer: RetryLayer,
    plans: impl IntoIterator<Item = Plan>,
) -> (Returned, Duration, ProbeHandle) {
    let (probe, handle) = upstream(plans);
    let start = Instant::now();
    let outcome = layer.layer(probe).oneshot(request("GET", [])).await;
    (outcome, start.elapsed(), handle)
}

#[expect(clippy::type_complexity, reason = "a probe whose handler has no name")]
fn upstream(
    plans: impl IntoIterator<Item = Plan>,
) -> (
    Probe<impl Fn(Request<ReplayBody<ScriptBody>>) -> futures::Boxed<Outcome> + Clone>,
    ProbeHandle,
) {
    let plans = Arc::new(Mutex::new(plans.into_iter().collect::<VecDeque<_>>()));
    Probe::new(move |_: Request<ReplayBody<ScriptBody>>| {
        let (millis, status) = plans
            .lock()
            .unwrap()
            .pop_front()
            .expect("a plan for each attempt");
        let future: futures::Boxed<Outcome> = Box::pin(async move {
            sleep(Duration::from_millis(millis)).await;
            if status == 0 { reset() } else { answer(status) }
        });
        future
    })
}

fn hedged() -> RetryLayer {
    layer().hedging(Hedging::after(Duration::from_millis(100)))
}

fn three() -> RetryLayer {
    let hedging =
        Hedging::after(Duration::from_millis(100)).max_attempts(NonZeroU32::new(3).unwrap());
    layer().hedging(hedging)
}

fn outcome<B>(response: &Response<B>) -> String {
    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    outcome.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_not_hedged() {
    let (outcome, elapsed, handle) = race(hedged(), [(99, 200)]).await;

    assert_eq!(outcome.unwrap().status(), 200);
    assert_eq!((elapsed, handle.calls()), (Duration::from_millis(99), 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins_and_the_other_attempt_is_cancelled() {
    let (returned, elapsed, handle) = race(hedged(), [(1000, 200), (50, 200)]).await;

    let response = returned.unwrap();
    assert_eq!(
        (elapsed, handle.calls(), handle.in_flight()),
        (Duration::from_millis(150), 2, 0)
    );
    assert_eq!(
        outcome(&response),
        "1@upstream.test cancelled 0.150s stop(superseded), 2@upstream.test 200 0.050s"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_wins_when_it_is_first_after_all() {
    let (returned, elapsed, handle) = race(hedged(), [(120, 200), (1000, 200)]).await;

    let response = returned.unwrap();
    assert_eq!(
        (elapsed, handle.in_flight()),
        (Duration::from_millis(120), 0)
    );
    let attempts: &RetryOutcome = response.extensions().get().unwrap();
    assert_eq!(attempts.records()[0].outcome, Came::Cancelled);
    assert_eq!(attempts.last().unwrap().number.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_result_does_not_win_when_it_is_a_failure_as_it_does_in_tower() {
    for failure in [503, 0] {
        let (outcome, elapsed, _) = race(hedged(), [(300, 200), (50, failure)]).await;

        assert_eq!(outcome.unwrap().status(), 200, "{failure}");
        assert_eq!(elapsed, Duration::from_millis(300), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_brings_the_next_attempt_at_once_where_tower_resilience_waits_the_delay() {
    let (returned, elapsed, handle) = race(hedged(), [(10, 502), (20, 200)]).await;

    let response = returned.unwrap();
    assert_eq!((elapsed, handle.calls()), (Duration::from_millis(30), 2));
    assert_eq!(
        outcome(&response),
        "1@upstream.test 502 0.010s retry(hedge 0.000s), 2@upstream.test 200 0.020s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fatal_answer_ends_all_attempts() {
    let (returned, elapsed, handle) = race(hedged(), [(1000, 200), (50, 404)]).await;

    assert_eq!(returned.unwrap().status(), 404);
    assert_eq!(
        (elapsed, handle.in_flight()),
        (Duration::from_millis(150), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_real_answer_is_handed_on_when_all_fail() {
    let (returned, elapsed, handle) = race(three(), [(500, 503), (300, 0), (100, 502)]).await;

    // The third fails at 300 ms, the second at 400, the first at 500.
    let response = returned.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (503, 3));
    assert_eq!(elapsed, Duration::from_millis(500));
    assert_eq!(story(&response), (3, StopReason::AttemptsExhausted));
}

#[tokio::test(start_paused = true)]
async fn hedging_and_retries_go_together() {
    // Two race and fail; there is an attempt left, which comes after the backoff of 2 s.
    let (returned, elapsed, _) = race(hedged(), [(300, 503), (100, 502), (10, 200)]).await;

    assert_eq!(returned.unwrap().status(), 200);
    assert_eq!(elapsed, Duration::from_millis(300 + 2000 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_pushback_shifts_the_next_attempt_and_a_negative_one_stops_hedging() {
    for (pushback, elapsed, calls) in [("70", 10 + 70 + 20, 2), ("-1", 10, 1)] {
        let count = Arc::new(AtomicU32::new(0));
        let (probe, handle) =
            Probe::<_, BoxError>::new(move |_: Request<ReplayBody<ScriptBody>>| {
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                async move {
                    sleep(Duration::from_millis(if first { 10 } else { 20 })).await;
                    let mut response = answer(200)?;
                    let headers = response.headers_mut();
                    headers.insert("content-type", "application/grpc".parse()?);
                    if first {
                        headers.insert("grpc-status", "14".parse()?);
                        headers.insert("grpc-retry-pushback-ms", pushback.parse()?);
                    }
                    Ok(response)
                }
            });
        let mut call = request("POST", []);
        let headers = call.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        let start = Instant::now();

        let response = three()
            .assume_idempotent(true)
            .layer(probe)
            .oneshot(call)
            .await
            .unwrap();

        assert_eq!(
            start.elapsed(),
            Duration::from_millis(elapsed),
            "{pushback}"
        );
        assert_eq!(handle.calls(), calls, "{pushback}");
        assert_eq!(
            response.headers().contains_key("grpc-status"),
            calls == 1,
            "{pushback}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_keeps_what_runs_alive() {
    let broke = || RatioBudget::new().reserve_per_second(0);

    let (returned, elapsed, handle) = race(hedged().budget(broke()), [(1000, 200)]).await;

    assert_eq!(returned.unwrap().status(), 200);
    assert_eq!((elapsed, handle.calls()), (Duration::from_secs(1), 1));
    let (returned, ..) = race(hedged().max_concurrent_retries(0), [(1000, 200)]).await;
    assert_eq!(returned.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_gives_its_place_back_however_it_ends() {
    let budget = Arc::new(InFlightBudget::fixed(1));
    let layer = hedged().shared_budget(budget.clone());
    let places = || {
        format!("{budget:?}").contains("retries: 0")
            && format!("{budget:?}").contains("requests: 0")
    };

    let (returned, ..) = race(layer.clone(), [(1000, 200), (50, 200)]).await;
    drop(returned);
    assert!(places(), "it won: {budget:?}");
    let (returned, ..) = race(layer.clone(), [(150, 200), (1000, 200)]).await;
    drop(returned);
    assert!(places(), "it lost: {budget:?}");
    let racing = race(layer, [(1000, 200), (1000, 200)]);
    assert!(
        tokio::time::timeout(Duration::from_millis(500), racing)
            .await
            .is_err()
    );
    assert!(places(), "it was dropped: {budget:?}");
}

#[tokio::test(start_paused = true)]
async fn hedged_attempts_send_the_same_body() {
    let seen = Seen::default();
    let log = seen.clone();
    let (probe, _handle) =
        Probe::<_, BoxError>::new(move |request: Request<ReplayBody<ScriptBody>>| {
            let log = log.clone();
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let text = String::from_utf8(body.to_vec())?;
                let first = log.0.lock().unwrap().is_empty();
                log.0.lock().unwrap().push((String::new(), None, text));
                if first {
                    std::future::pending::<()>().await;
                }
                answer(200)
            }
        });
    let body = ScriptBody::new([
        Step::data("a"),
        Step::Wait(Duration::from_millis(150)),
        Step::data("b"),
    ]);
    let put = Request::builder().method("PUT").body(body).unwrap();

    let response = hedged().layer(probe).oneshot(put).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(seen.bodies(), ["ab", "ab"]);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_not_hedged() {
    let (probe, handle) = upstream([(1000, 200)]);

    let response = hedged()
        .layer(probe)
        .oneshot(request("POST", ["a"]))
        .await
        .unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_percentile_of_what_was_measured_is_waited() {
    let hedging = Hedging::after_percentile(95.0, Duration::from_secs(5));
    let layer = layer().hedging(hedging);
    for _ in 0..40 {
        let (returned, ..) = race(layer.clone(), [(10, 200)]).await;
        assert_eq!(returned.unwrap().status(), 200);
    }

    let (_, elapsed, handle) = race(layer, [(1000, 200), (1, 200)]).await;

    assert_eq!(handle.calls(), 2);
    assert!(
        elapsed < Duration::from_millis(14),
        "about 10 ms, not 5 s: {elapsed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delay_can_differ_for_each_attempt() {
    let hedging = Hedging::after_each(|next| Duration::from_millis(100) * next.get())
        .max_attempts(NonZeroU32::new(3).unwrap());

    let (returned, elapsed, _) = race(
        layer().hedging(hedging),
        [(9000, 200), (9000, 200), (1, 200)],
    )
    .await;

    assert_eq!(returned.unwrap().status(), 200);
    assert_eq!(elapsed, Duration::from_millis(200 + 300 + 1));
}
