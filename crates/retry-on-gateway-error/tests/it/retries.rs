use portcullis_gateway_error::{AttemptLog, Decision, WaitReason};
use portcullis_retry_on_gateway_error::{Attempt, Idempotent};
use portcullis_test_support::{Probe, Step};
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::*;

async fn exchange(
    script: impl IntoIterator<Item = Outcome>,
    request: Request<ScriptBody>,
) -> (Returned, Seen, Duration) {
    let (handler, seen) = upstream(script);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let start = Instant::now();
    let outcome = layer()
        .max_replay_bytes(8)
        .layer(probe)
        .oneshot(request)
        .await;
    (outcome, seen, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn gateway_errors_are_retried_until_an_answer_comes() {
    for status in [502, 503, 504] {
        let mut request = request("PUT", ["a", "b"]);
        request
            .headers_mut()
            .insert("content-length", "2".parse().unwrap());

        let (outcome, seen, elapsed) =
            exchange([answer(status), answer(status), answer(200)], request).await;

        assert_eq!(
            story(&outcome.unwrap()),
            (3, StopReason::Success),
            "{status}"
        );
        assert_eq!(
            elapsed,
            Duration::from_secs(4),
            "{status}: two waits of 2 s"
        );
        let same = ("PUT".to_owned(), Some("2".to_owned()), "ab".to_owned());
        assert_eq!(
            *seen.0.lock().unwrap(),
            [same.clone(), same.clone(), same],
            "{status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn when_attempts_are_used_up_the_last_answer_is_handed_on() {
    let (outcome, ..) = exchange([answer(502), refused(), answer(503)], request("GET", [])).await;

    let response = outcome.unwrap();
    assert_eq!(story(&response), (3, StopReason::AttemptsExhausted));
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "body"
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_only_when_it_was_not_processed() {
    let (outcome, ..) = exchange([refused(), answer(200)], request("POST", ["a"])).await;
    assert_eq!(story(&outcome.unwrap()), (2, StopReason::Success));

    let (outcome, ..) = exchange([answer(502)], request("POST", ["a"])).await;
    let response = outcome.unwrap();
    assert_eq!(
        (response.status().as_u16(), story(&response)),
        (502, (1, StopReason::NotSafe))
    );

    let (outcome, ..) = exchange([reset()], request("POST", ["a"])).await;
    assert!(outcome.is_err());

    let mut keyed = request("POST", ["a"]);
    keyed
        .headers_mut()
        .insert("idempotency-key", "\"k\"".parse().unwrap());
    let (outcome, seen, _) = exchange([answer(502), reset(), answer(201)], keyed).await;
    assert_eq!(story(&outcome.unwrap()), (3, StopReason::Success));
    assert_eq!(seen.bodies(), ["a", "a", "a"]);

    let mut vouched = request("POST", ["a"]);
    vouched.extensions_mut().insert(Idempotent(true));
    let (outcome, ..) = exchange([answer(502), answer(200)], vouched).await;
    assert_eq!(story(&outcome.unwrap()), (2, StopReason::Success));
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_goes_through_and_is_not_retried() {
    let (outcome, seen, _) = exchange([answer(502)], request("PUT", ["12345", "6789"])).await;

    assert_eq!(story(&outcome.unwrap()), (1, StopReason::BodyTooLarge));
    assert_eq!(seen.bodies(), ["123456789"]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_and_never_shortened() {
    let with_hint = |seconds: &str| {
        let mut response = answer(503)?;
        response
            .headers_mut()
            .insert("retry-after", seconds.parse()?);
        Ok(response)
    };
    for (hint, expected) in [("7", 7), ("1", 2), ("soon", 2)] {
        let (outcome, _, elapsed) =
            exchange([with_hint(hint), answer(200)], request("GET", [])).await;

        assert_eq!(story(&outcome.unwrap()).0, 2, "{hint}");
        assert_eq!(elapsed, Duration::from_secs(expected), "{hint}");
    }

    let (outcome, _, elapsed) = exchange([with_hint("61")], request("GET", [])).await;
    assert_eq!(story(&outcome.unwrap()), (1, StopReason::WaitTooLong));
    assert_eq!(elapsed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let mut request = request("GET", []);
    request
        .extensions_mut()
        .insert(Deadline::after(Duration::from_secs(3)));

    let (outcome, _, elapsed) = exchange([answer(502), answer(503)], request).await;

    let response = outcome.unwrap();
    assert_eq!(
        (response.status().as_u16(), story(&response)),
        (503, (2, StopReason::Deadline))
    );
    assert_eq!(
        elapsed,
        Duration::from_secs(2),
        "one wait of 2 s fits into 3 s"
    );
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_its_record() {
    let (outcome, ..) = exchange(
        [answer(502), refused(), answer(200)],
        request("PUT", ["abc"]),
    )
    .await;

    let response = outcome.unwrap();
    let attempts: &RetryOutcome = response.extensions().get().unwrap();
    assert_eq!(
        attempts.to_string(),
        "1@upstream.test 502 0.000s retry(backoff 2.000s), \
         2@upstream.test connection_refused 0.000s retry(backoff 2.000s), \
         3@upstream.test 200 0.000s"
    );
    let [first, second, third] = attempts.records() else {
        panic!("{attempts}")
    };
    assert_eq!(first.bytes_sent, 3);
    assert_eq!(
        second.decision,
        Decision::Retry {
            wait: Duration::from_secs(2),
            reason: WaitReason::Backoff
        }
    );
    assert_eq!(third.started_after, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn the_records_of_an_exchange_that_fails_are_in_its_log() {
    let log = AttemptLog::default();
    let mut request = request("GET", []);
    request.extensions_mut().insert(log.clone());

    let (outcome, ..) = exchange([answer(502), refused(), reset()], request).await;

    assert!(outcome.is_err());
    assert_eq!(log.get().map(|attempts| attempts.records().len()), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_records_of_an_exchange_that_is_dropped_are_in_its_log() {
    let log = AttemptLog::default();
    let mut request = request("GET", []);
    request.extensions_mut().insert(log.clone());

    let exchange = exchange([answer(502), answer(503)], request);
    let cut = tokio::time::timeout(Duration::from_secs(3), exchange).await;

    assert!(cut.is_err(), "cut in the second wait");
    assert_eq!(log.get().map(|attempts| attempts.records().len()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn later_attempts_are_marked() {
    let (probe, _handle) = Probe::<_, BoxError>::new(|request: Request<ReplayBody<ScriptBody>>| {
        let number = request
            .extensions()
            .get::<Attempt>()
            .map_or(1, |attempt| attempt.number().get());
        std::future::ready(answer(if number < 3 { 503 } else { 200 }))
    });

    let response = layer()
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    assert_eq!(story(&response), (3, StopReason::Success));
}

#[tokio::test(start_paused = true)]
async fn what_is_bound_to_its_connection_is_passed_through() {
    for (method, name, value) in [
        ("CONNECT", "x-other", "1"),
        ("GET", "upgrade", "websocket"),
        ("PUT", "expect", "100-continue"),
    ] {
        let mut request = request(method, ["a"]);
        request.headers_mut().insert(name, value.parse().unwrap());

        let (outcome, seen, _) = exchange([answer(502)], request).await;

        let response = outcome.unwrap();
        assert_eq!(response.status(), 502, "{method}");
        assert_eq!(
            response.extensions().get::<RetryOutcome>(),
            None,
            "{method}"
        );
        assert_eq!(seen.bodies(), ["a"], "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_is_retried_and_the_new_attempt_takes_over_the_rest() {
    let (probe, _handle) = Probe::<_, BoxError>::new({
        // What a connection still holds after it has answered early.
        let held = Arc::new(Mutex::new(None));
        move |request: Request<ReplayBody<ScriptBody>>| {
            let held = Arc::clone(&held);
            async move {
                let mut body = request.into_body();
                let Some(mut first) = held.lock().unwrap().take() else {
                    body.frame().await.unwrap()?;
                    *held.lock().unwrap() = Some(body);
                    return answer(503);
                };
                let sent = body.collect().await?.to_bytes();
                assert_eq!(sent, "abc");
                let next: Option<Result<_, BoxError>> = BodyExt::frame(&mut first).await;
                assert!(
                    next.unwrap().is_err(),
                    "the first attempt never sees a clean end"
                );
                answer(200)
            }
        }
    });
    let body = ScriptBody::new([
        Step::data("a"),
        Step::Wait(Duration::from_secs(1)),
        Step::data("bc"),
    ]);
    let request = Request::builder().method("PUT").body(body).unwrap();

    let response = layer().layer(probe).oneshot(request).await.unwrap();

    assert_eq!(story(&response), (2, StopReason::Success));
}
