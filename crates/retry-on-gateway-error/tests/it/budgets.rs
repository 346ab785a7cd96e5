//! What retries may add to the load.

use std::future::ready;

use portcullis_retry_on_gateway_error::{
    Budget, Cost, InFlightBudget, KeyedBudgets, QuotaBudget, Ratio, RatioBudget, Score,
    ThrottleBudget, Tokens,
};
use portcullis_test_support::Probe;
use tokio::time::Instant;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt};

use super::*;

type Down = Probe<fn(Request<ReplayBody<ScriptBody>>) -> std::future::Ready<Outcome>>;

/// An upstream that answers 503 to everything.
fn down() -> (Down, portcullis_test_support::ProbeHandle) {
    fn unavailable(_: Request<ReplayBody<ScriptBody>>) -> std::future::Ready<Outcome> {
        ready(answer(503))
    }
    Probe::new(unavailable as fn(_) -> _)
}

fn at_once() -> RetryLayer {
    layer().backoff(Backoff::fixed(Duration::ZERO))
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_on_a_frozen_clock_retry_their_share_and_the_reserve() {
    for (ratio, share) in [(0.7, 7000), (0.2, 2000), (0.15, 1500)] {
        let (probe, handle) = down();
        let budget = RatioBudget::new().ratio(Ratio::from_f64(ratio).unwrap());
        let service = at_once().budget(budget).layer(probe);

        for _ in 0..10_000 {
            let response = service.clone().oneshot(request("GET", [])).await.unwrap();
            assert_eq!(response.status(), 503, "the real answer");
        }

        // The reserve is 10 per second over 10 s.
        let retries = handle.calls() - 10_000;
        assert!(retries.abs_diff(share + 100) <= 1, "{retries} for {ratio}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_empty_budget_the_answer_is_handed_on_and_says_so() {
    let (probe, handle) = down();
    let service = at_once()
        .budget(RatioBudget::new().reserve_per_second(0))
        .layer(probe);

    let response = service.oneshot(request("GET", [])).await.unwrap();

    assert_eq!(story(&response), (1, StopReason::BudgetEmpty));
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "body"
    );
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_comes_back_when_the_future_is_dropped_in_the_wait() {
    let budget = Arc::new(QuotaBudget::new());
    let (probe, _handle) = down();
    let mut service = layer().shared_budget(budget.clone()).layer(probe);
    let mut future = task::spawn(service.ready().await.unwrap().call(request("GET", [])));
    assert_pending!(future.poll());
    assert!(
        format!("{budget:?}").contains("left: 486"),
        "paid before the wait: {budget:?}"
    );

    drop(future);

    assert!(
        format!("{budget:?}").contains("left: 500"),
        "nothing was sent: {budget:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_for_an_attempt_that_was_sent_is_gone() {
    let budget = Arc::new(QuotaBudget::new());
    let (handler, _) = upstream([answer(503), answer(503), answer(503)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let service = at_once().shared_budget(budget.clone()).layer(probe);

    service.oneshot(request("GET", [])).await.unwrap();
    assert!(
        format!("{budget:?}").contains("left: 472"),
        "two retries: {budget:?}"
    );

    let (handler, _) = upstream([answer(503), answer(200)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let service = at_once().shared_budget(budget.clone()).layer(probe);
    service.oneshot(request("GET", [])).await.unwrap();
    assert!(
        format!("{budget:?}").contains("left: 472"),
        "a success brings back what it cost: {budget:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_is_in_flight_until_its_answer_is_read_or_dropped() {
    let budget = Arc::new(InFlightBudget::new());
    let (handler, _) = upstream([answer(200)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let service = layer().shared_budget(budget.clone()).layer(probe);

    let response = service.oneshot(request("GET", [])).await.unwrap();
    assert!(format!("{budget:?}").contains("requests: 1"), "{budget:?}");
    drop(response);
    assert!(format!("{budget:?}").contains("requests: 0"), "{budget:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_cannot_overrun_the_limit_of_retries_at_a_time() {
    let (probe, handle) = down();
    let service = layer().no_budget().max_concurrent_retries(3).layer(probe);

    let burst: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(request("GET", []))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        handle.calls(),
        100,
        "three wait for their retry, whose places they have"
    );

    let mut reasons = Vec::new();
    for task in burst {
        reasons.push(story(&task.await.unwrap().unwrap()).1);
    }
    let limited = reasons
        .iter()
        .filter(|reason| **reason == StopReason::TooManyRetries)
        .count();
    assert_eq!((limited, handle.calls()), (97, 100 + 3 * 2));
}

#[tokio::test(start_paused = true)]
async fn each_upstream_has_its_own_budget() {
    let (probe, handle) = down();
    let budgets = KeyedBudgets::by_authority(|| InFlightBudget::fixed(0));
    let service = at_once().budgets(budgets).layer(probe);
    let response = service.oneshot(request("GET", [])).await.unwrap();
    assert_eq!(
        (story(&response).1, handle.calls()),
        (StopReason::BudgetEmpty, 1)
    );

    let (probe, handle) = down();
    let one_each = KeyedBudgets::by_authority(|| {
        RatioBudget::new()
            .ratio(Ratio::percent(0))
            .reserve_per_second(1)
            .window(Duration::from_secs(1))
            .unwrap()
    });
    let service = at_once().budgets(one_each).layer(probe);
    for host in ["a.test", "b.test", "a.test"] {
        let mut get = request("GET", []);
        *get.uri_mut() = format!("http://{host}/").parse().unwrap();
        service.clone().oneshot(get).await.unwrap();
    }
    assert_eq!(handle.calls(), 3 + 2, "one retry for each of the two");
}

#[tokio::test(start_paused = true)]
async fn the_throttle_of_grpc_stops_retries_while_more_fail_than_succeed() {
    let (probe, handle) = down();
    let service = at_once()
        .budget(ThrottleBudget::new(10, 0.5).unwrap())
        .layer(probe);

    for _ in 0..10 {
        service.clone().oneshot(request("GET", [])).await.unwrap();
    }

    // Ten tokens: after the fifth failure there are five, which is half. The first request makes three attempts, the second two.
    assert_eq!(handle.calls(), 10 + 3);
}

#[tokio::test(start_paused = true)]
async fn what_costs_nothing_asks_no_budget() {
    #[derive(Debug)]
    struct Never;
    impl Budget for Never {
        fn withdraw(&self, _: Instant, _: Cost) -> Option<Tokens> {
            None
        }
        fn refund(&self, _: Tokens) {
            panic!("nothing was given");
        }
        fn settle(&self, score: Score, paid: Option<Tokens>) {
            assert_eq!(
                (score, paid),
                (Score::Success, None),
                "the last attempt alone counts"
            );
        }
    }
    let gone = || {
        let failure = portcullis_gateway_error::Failure::new(
            portcullis_gateway_error::ErrorKind::ConnectionTerminated,
        );
        let failure = failure.delivered(portcullis_gateway_error::Delivery::NotSent);
        Err(portcullis_gateway_error::Classified::new(failure, "gone").into())
    };
    let (handler, seen) = upstream([gone(), gone(), gone(), gone(), answer(200)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);

    let response = layer()
        .budget(Never)
        .layer(probe)
        .oneshot(request("POST", ["a"]))
        .await
        .unwrap();

    assert_eq!(
        (story(&response), seen.bodies().len()),
        ((5, StopReason::Success), 5)
    );
}
