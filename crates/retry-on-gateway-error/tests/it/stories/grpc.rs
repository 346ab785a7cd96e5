//! gRPC: where the status is, and what hedges cost.

use http::HeaderMap;
use portcullis_retry_on_gateway_error::{Attempt, Hedging, InFlightBudget};
use portcullis_test_support::Step;
use tokio::time::sleep;

use super::*;

fn unavailable() -> Step {
    let trailers = [("grpc-status".parse().unwrap(), "14".parse().unwrap())];
    Step::Trailers(HeaderMap::from_iter(trailers))
}

fn grpc(steps: impl IntoIterator<Item = Step>) -> Outcome {
    with(
        answer_with(200, ScriptBody::new(steps)),
        "content-type",
        "application/grpc",
    )
}

#[tokio::test(start_paused = true)]
async fn after_a_message_there_is_no_retry_and_the_stream_is_whole() {
    // The call is committed, as its caller has seen some of the answer (gRFC A6; grpc #38734, grpc-go #8223, istio #18423).
    let stream = grpc([Step::data("one"), Step::data("two"), unavailable()]);

    let (outcome, seen, _) = send(layer(), [stream], grpc_call()).await;

    assert_eq!(seen.bodies().len(), 1);
    let body = outcome.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "14");
    assert_eq!(body.to_bytes(), "onetwo");
}

#[tokio::test(start_paused = true)]
async fn headers_sent_before_the_error_do_not_prevent_the_retry_as_in_grpc_go_and_envoy() {
    // A server that sends its headers at once and fails then (grpc-go #3125, Envoy #11049, linkerd2 #7701).
    let late = Step::Wait(Duration::from_millis(20));

    let (outcome, seen, _) = send(
        layer(),
        [grpc([late, unavailable()]), grpc([Step::data("one")])],
        grpc_call(),
    )
    .await;

    let response = outcome.unwrap();
    assert_eq!(
        (story(&response), seen.bodies().len()),
        ((2, StopReason::Success), 2)
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "one");
}

#[tokio::test(start_paused = true)]
async fn a_status_in_trailers_that_is_final_is_handed_on_with_them() {
    let (outcome, seen, _) = send(
        layer().max_attempts(NonZeroU32::new(2).unwrap()),
        [grpc([unavailable()]), grpc([unavailable()])],
        grpc_call(),
    )
    .await;

    let response = outcome.unwrap();
    assert_eq!(story(&response), (2, StopReason::AttemptsExhausted));
    assert_eq!(seen.bodies().len(), 2);
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(
        body.trailers().unwrap()["grpc-status"],
        "14",
        "looked at, and still there"
    );
}

#[tokio::test(start_paused = true)]
async fn hedges_do_not_eat_capacity_beside_the_retries_they_share_one_budget() {
    // One place. While a hedge has it there is no retry, and while a retry has it there is no hedge.
    let budget = Arc::new(InFlightBudget::fixed(1));
    let hedged = layer()
        .shared_budget(budget.clone())
        .hedging(Hedging::after(Duration::from_millis(100)));
    let (slow, slow_handle) = Probe::<_, BoxError>::new(|_: Attempted| async {
        sleep(Duration::from_secs(10)).await;
        answer(200)
    });
    let retrying = layer().shared_budget(budget);
    let (first, first_handle) = Probe::<_, BoxError>::new(|request: Attempted| {
        let again = request.extensions().get::<Attempt>().is_some();
        std::future::ready(answer(if again { 200 } else { 503 }))
    });
    let slow = hedged.layer(slow);

    let hedging = tokio::spawn(slow.clone().oneshot(request("GET", [])));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(slow_handle.calls(), 2, "the hedge has the place");
    let response = retrying
        .layer(first.clone())
        .oneshot(request("GET", []))
        .await
        .unwrap();
    assert_eq!(story(&response), (1, StopReason::BudgetEmpty));
    hedging.await.unwrap().unwrap();

    let waiting = tokio::spawn(retrying.layer(first).oneshot(request("GET", [])));
    sleep(Duration::from_secs(1)).await;
    let unhedged = tokio::spawn(slow.oneshot(request("GET", [])));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(
        slow_handle.calls(),
        3,
        "the retry has the place, in its wait"
    );
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert_eq!(unhedged.await.unwrap().unwrap().status(), 200);
    assert_eq!((slow_handle.calls(), first_handle.calls()), (3, 3));
}
