//! Retries that made things worse.

use portcullis_retry_on_gateway_error::{HeaderMatch, InFlightBudget};
use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn three_nested_layers_of_three_attempts_make_three_attempts_and_not_twenty_seven() {
    let (probe, handle) =
        Probe::<_, BoxError>::new(|_: Request<_>| std::future::ready(answer(503)));
    let service = layer().layer(layer().layer(layer().layer(probe)));

    let response = service.oneshot(request("GET", [])).await.unwrap();

    assert_eq!(response.status(), 503);
    assert_eq!(handle.calls(), 3);
    assert_eq!(story(&response).1, StopReason::AttemptsExhausted);
}

#[tokio::test(start_paused = true)]
async fn nested_layers_leave_errors_to_the_outermost_where_it_marks_its_first_attempt_too() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<_>| std::future::ready(reset()));
    let outer = layer().track_endpoints(true);
    let service = outer.layer(layer().layer(layer().layer(probe)));

    let outcome = service.oneshot(request("GET", [])).await;

    assert!(outcome.is_err());
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn nested_layers_that_are_told_to_multiply_do() {
    let (probe, handle) =
        Probe::<_, BoxError>::new(|_: Request<_>| std::future::ready(answer(503)));
    // An answer that the inner one gave up on is let be whatever the outer one is told, unless nothing in it says so.
    let forget = tower::util::MapResponseLayer::new(|mut response: Response<_>| {
        response.extensions_mut().clear();
        response
    });
    let inner = layer().retry_nested(true).layer(probe);
    let service = layer().layer(Layer::layer(&forget, inner));

    let response = service.oneshot(request("GET", [])).await.unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (503, 9));
}

#[tokio::test(start_paused = true)]
async fn layers_in_different_processes_do_not_multiply_when_a_header_tells_them() {
    let name = http::HeaderName::from_static("x-no-retry");
    let (probe, handle) =
        Probe::<_, BoxError>::new(|_: Request<_>| std::future::ready(answer(503)));
    let inner = layer().exhausted_header(name.clone()).layer(probe);
    // Only what is on the wire passes from one to the other.
    let wire = tower::ServiceBuilder::new()
        .map_request(|mut request: Request<_>| {
            request.extensions_mut().clear();
            request
        })
        .map_response(|mut response: Response<_>| {
            response.extensions_mut().clear();
            response
        })
        .service(inner);
    let outer = layer().no_retry_headers([HeaderMatch::present(name)]);

    let response = outer.layer(wire).oneshot(request("GET", [])).await.unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (503, 3));
    assert_eq!(story(&response), (1, StopReason::ServerSaidNo));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_in_backoff_do_not_pass_a_budget_of_20_percent_as_in_envoy_30205() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempted| async {
        sleep(Duration::from_secs(1)).await;
        answer(503)
    });
    let service = layer().budget(InFlightBudget::new()).layer(probe);

    // They all fail after 1 s, and those that have paid wait for 2 s.
    let all: Vec<_> = (0..1000)
        .map(|_| tokio::spawn(service.clone().oneshot(request("GET", []))))
        .collect();
    sleep(Duration::from_millis(3500)).await;

    let retries = handle.calls() - 1000;
    assert!(
        (1..=200).contains(&retries),
        "{retries} retries of 1000 requests"
    );
    assert_eq!(handle.in_flight(), retries, "all others have their answer");
    for task in all {
        assert_eq!(task.await.unwrap().unwrap().status(), 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_attempts_end_in_time_where_polly_waited_for_ever() {
    // Doubled a thousand times; its cap was lost in the overflow.
    let second = Duration::from_secs(1);
    let backoff = Backoff::exponential(second, second * 20)
        .jitter(portcullis_retry_on_gateway_error::Jitter::None);
    let stubborn = layer()
        .max_attempts(NonZeroU32::new(1000).unwrap())
        .backoff(backoff)
        .no_budget();

    let script = (0..1000).map(|_| answer(503));
    let (outcome, _, elapsed) = send(stubborn, script, request("GET", [])).await;

    assert_eq!(
        story(&outcome.unwrap()),
        (1000, StopReason::AttemptsExhausted)
    );
    assert_eq!(elapsed, second * (1 + 2 + 4 + 8 + 16 + 994 * 20));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_clients_of_a_dead_upstream_send_a_fifth_more_and_not_three_times_as_much() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempted| std::future::ready(answer(503)));
    // Nothing but the defaults (Envoy #10869, #24937).
    let service = RetryLayer::new().layer(probe);

    let all: Vec<_> = (0..10_000)
        .map(|_| tokio::spawn(service.clone().oneshot(request("GET", []))))
        .collect();
    for task in all {
        assert_eq!(task.await.unwrap().unwrap().status(), 503);
    }

    let retries = handle.calls() - 10_000;
    assert!(
        retries <= 2000 + 100,
        "the share and the reserve: {retries}"
    );
}
