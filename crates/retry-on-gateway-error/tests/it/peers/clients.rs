//! reqwest, reqwest-retry, tonic-xds and hyper-util.

use portcullis_gateway_error::{Classified, Delivery, ErrorKind, Failure};
use portcullis_retry_on_gateway_error::{
    Attempt, Hedging, Judgement, KeyedBudgets, Ratio, RatioBudget,
};
use portcullis_test_support::Step;
use tokio::time::sleep;

use super::*;

fn to(host: &str) -> Request<ScriptBody> {
    let mut get = request("GET", []);
    *get.uri_mut() = format!("http://{host}/").parse().unwrap();
    get
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_scope_is_not_retried_even_once_as_by_reqwest() {
    let scoped = || {
        layer().retry_if(|facts| {
            let inside = facts.request.uri.host() == Some("in.test");
            (!inside).then_some(Judgement::NotRetryable)
        })
    };

    let (outcome, seen, _) = send(scoped(), [answer(503)], to("out.test")).await;
    assert_eq!(story(&outcome.unwrap()), (1, StopReason::NotRetriable));
    assert_eq!(seen.bodies().len(), 1);

    let (outcome, ..) = send(scoped(), [answer(503), answer(200)], to("in.test")).await;
    assert_eq!(story(&outcome.unwrap()), (2, StopReason::Success));
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_one_host_is_not_fed_by_the_others_as_in_reqwest() {
    let half = || {
        RatioBudget::new()
            .ratio(Ratio::percent(50))
            .reserve_per_second(0)
    };
    let layer = layer().budgets(KeyedBudgets::by_authority(half));
    for _ in 0..100 {
        let (outcome, ..) = send(layer.clone(), [answer(200)], to("busy.test")).await;
        assert_eq!(outcome.unwrap().status(), 200);
    }

    let (outcome, ..) = send(layer, [answer(503)], to("down.test")).await;

    assert_eq!(story(&outcome.unwrap()), (1, StopReason::BudgetEmpty));
}

#[tokio::test(start_paused = true)]
async fn three_attempts_take_10_s_where_retry_after_is_5_s_and_reqwest_took_a_millisecond() {
    let busy = || with(answer(503), "retry-after", "5");

    let (outcome, _, elapsed) =
        send(layer(), [busy(), busy(), answer(200)], request("GET", [])).await;

    assert_eq!(story(&outcome.unwrap()), (3, StopReason::Success));
    assert_eq!(elapsed, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_post_answered_501_is_sent_once_where_reqwest_retry_sends_it_three_times() {
    let not_implemented = || with(answer(501), "retry-after", "5");

    for layer in [layer(), layer().assume_idempotent(true)] {
        let (outcome, seen, elapsed) =
            send(layer, [not_implemented()], request("POST", ["order"])).await;

        assert_eq!(outcome.unwrap().status(), 501);
        assert_eq!((seen.bodies().len(), elapsed), (1, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_is_sent_and_sent_again_where_reqwest_retry_fails_before_sending() {
    let body = ScriptBody::new([
        Step::data("a"),
        Step::Wait(Duration::from_secs(1)),
        Step::data("b"),
    ]);
    let put = Request::put("http://upstream.test/").body(body).unwrap();

    let (outcome, seen, _) = send(layer(), [answer(503), answer(200)], put).await;

    assert_eq!(story(&outcome.unwrap()), (2, StopReason::Success));
    assert_eq!(seen.bodies(), ["ab", "ab"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_puts_into_its_request_does_not_leak_into_the_next_as_in_reqwest_retry() {
    #[derive(Clone)]
    struct OfTheCaller;
    #[derive(Clone)]
    struct OfTheAttempt;
    for foreign in [false, true] {
        let (handler, seen) = upstream([answer(503), reset(), answer(200)]);
        // A layer between the retry and the upstream, that signs and marks.
        let marking = tower::service_fn(move |mut request: Attempted| {
            let found = request.extensions().get::<OfTheCaller>().is_some();
            assert_eq!(
                found, foreign,
                "what the caller put there is on each attempt"
            );
            assert!(
                request.extensions().get::<OfTheAttempt>().is_none(),
                "leaked"
            );
            assert!(!request.headers().contains_key("x-signed"), "leaked");
            request.extensions_mut().insert(OfTheAttempt);
            request
                .headers_mut()
                .append("x-signed", "1".parse().unwrap());
            *request.uri_mut() = "http://picked.test/".parse().unwrap();
            handler(request)
        });
        let mut get = request("GET", []);
        if foreign {
            get.extensions_mut().insert(OfTheCaller);
        }

        let response = layer().layer(marking).oneshot(get).await.unwrap();

        assert_eq!(story(&response), (3, StopReason::Success));
        assert_eq!(seen.bodies().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_attempt_answered_does_not_leak_into_the_answer() {
    let mut failed = with(answer(503), "x-failed", "1").unwrap();
    failed.extensions_mut().insert("of the failed attempt");

    let (outcome, ..) = send(layer(), [Ok(failed), answer(200)], request("GET", [])).await;

    let response = outcome.unwrap();
    assert!(!response.headers().contains_key("x-failed"));
    assert_eq!(response.extensions().get::<&str>(), None);
}

#[tokio::test(start_paused = true)]
async fn neither_a_retry_nor_a_hedge_calls_a_clone_that_was_never_ready_as_tonic_xds_does() {
    // The probe panics where a clone is called that was not made ready.
    let (probe, handle) = Probe::<_, BoxError>::new(|request: Attempted| async move {
        let attempt = request.extensions().get::<Attempt>();
        match attempt.map_or(1, |attempt| attempt.number().get()) {
            1 => {
                sleep(Duration::from_secs(1)).await;
                answer(503)
            }
            2 => reset(),
            _ => answer(200),
        }
    });
    let hedging = Hedging::after(Duration::from_millis(100));
    for (layer, calls) in [(layer(), 3), (layer().hedging(hedging), 3 + 3)] {
        let service = layer.layer(probe.clone());

        let response = service.oneshot(request("GET", [])).await.unwrap();

        assert_eq!((response.status().as_u16(), handle.calls()), (200, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_leaves_is_not_sent_for_ever_as_by_hyper_util_150() {
    // "Many many times": each connection is gone before a byte was written, and there is no deadline.
    let failure = Failure::new(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent);
    let (probe, handle) = Probe::<_, BoxError>::new(move |_: Attempted| {
        let error: BoxError = Classified::new(failure, "gone").into();
        std::future::ready(Err::<Response<ScriptBody>, _>(error))
    });

    let outcome = layer().layer(probe).oneshot(request("POST", ["a"])).await;

    assert!(outcome.is_err());
    assert_eq!(
        handle.calls(),
        10 + 3,
        "ten times for nothing, and then as any other"
    );
}
