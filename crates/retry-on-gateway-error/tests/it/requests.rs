//! What a single request says and carries.

use http::HeaderName;
use portcullis_retry_on_gateway_error::{
    AdaptiveThrottle, Attempt, AttemptHeader, ErrorEvent, RetryOn, RetryPolicy,
};
use portcullis_test_support::{Probe, Step};
use tower::{Layer, ServiceExt};

use super::*;

/// The heads of all attempts.
type Heads = Arc<Mutex<Vec<http::request::Parts>>>;

/// An upstream that keeps the head of each attempt and answers as the script says.
#[expect(clippy::type_complexity, reason = "a probe whose handler has no name")]
fn heads(
    script: impl IntoIterator<Item = Outcome>,
) -> (
    Probe<impl Fn(Request<ReplayBody<ScriptBody>>) -> std::future::Ready<Outcome> + Clone>,
    Heads,
) {
    let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
    let heads = Heads::default();
    let log = Arc::clone(&heads);
    let (probe, _handle) = Probe::new(move |request: Request<ReplayBody<ScriptBody>>| {
        log.lock().unwrap().push(request.into_parts().0);
        std::future::ready(
            script
                .lock()
                .unwrap()
                .pop_front()
                .expect("no more attempts"),
        )
    });
    (probe, heads)
}

fn header(heads: &Heads, name: &str) -> Vec<Option<String>> {
    let heads = heads.lock().unwrap();
    let values = heads.iter().map(|head| head.headers.get(name));
    values
        .map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
        .collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_request_can_switch_retries_off_and_ask_for_more() {
    let (probe, seen) = heads([answer(503)]);
    let mut off = request("GET", []);
    off.extensions_mut().insert(RetryPolicy::off());
    let response = layer().layer(probe).oneshot(off).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), seen.lock().unwrap().len()),
        (503, 1)
    );

    let (probe, seen) = heads((0..5).map(|_| answer(503)));
    let mut more = request("GET", []);
    more.extensions_mut()
        .insert(RetryPolicy::new().max_attempts(NonZeroU32::new(5).unwrap()));
    layer().layer(probe).oneshot(more).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_envoy_are_read_where_they_are_trusted_and_only_there() {
    let asking = || {
        let mut get = request("GET", []);
        let headers = get.headers_mut();
        headers.insert("x-envoy-retry-on", "retriable-4xx".parse().unwrap());
        headers.insert("x-envoy-max-retries", "1".parse().unwrap());
        get
    };
    let (probe, seen) = heads([answer(409), answer(409)]);
    let response = layer()
        .trust_envoy_headers(true)
        .layer(probe)
        .oneshot(asking())
        .await
        .unwrap();
    assert_eq!(story(&response), (2, StopReason::AttemptsExhausted));
    assert_eq!(
        header(&seen, "x-envoy-retry-on"),
        [None, None],
        "it goes no further"
    );

    let (probe, seen) = heads([answer(409)]);
    layer().layer(probe).oneshot(asking()).await.unwrap();
    assert_eq!(
        header(&seen, "x-envoy-retry-on"),
        [some("retriable-4xx")],
        "not ours to read"
    );
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_envoy_come_on_top_of_what_the_layer_retries() {
    for (name, value) in [
        ("x-envoy-retry-on", "retriable-4xx"),
        ("x-envoy-retry-on", "who-knows"),
        ("x-envoy-retriable-status-codes", "404"),
    ] {
        let (probe, seen) = heads([answer(503), answer(502), answer(200)]);
        let mut get = request("GET", []);
        get.headers_mut().insert(name, value.parse().unwrap());

        let service = layer().trust_envoy_headers(true).layer(probe);
        let response = service.oneshot(get).await.unwrap();

        assert_eq!(response.status(), 200, "{name}: {value}");
        assert_eq!(seen.lock().unwrap().len(), 3, "{name}: {value}");
    }

    // Statuses that a request names count even where they are a success.
    let (probe, seen) = heads([answer(202), answer(409), answer(200)]);
    let mut get = request("GET", []);
    let headers = get.headers_mut();
    headers.insert("x-envoy-retriable-status-codes", "202".parse().unwrap());
    let layer = layer()
        .trust_envoy_headers(true)
        .retry_on(RetryOn::RETRIABLE_STATUS_CODES)
        .retriable_status_codes([409]);

    let response = layer.layer(probe).oneshot(get).await.unwrap();

    assert_eq!(
        (response.status().as_u16(), seen.lock().unwrap().len()),
        (200, 3)
    );
}

#[cfg(feature = "config")]
#[tokio::test(start_paused = true)]
async fn a_service_config_vouches_for_methods_of_grpc_and_not_for_a_post() {
    use portcullis_retry_on_gateway_error::ServiceConfig;

    for policy in [
        r#""retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "1s",
            "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}"#,
        r#""hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0s", "nonFatalStatusCodes": ["UNAVAILABLE"]}"#,
    ] {
        let config = format!(r#"{{"methodConfig": [{{"name": [{{}}], {policy}}}]}}"#);
        let config = ServiceConfig::from_json(&config).unwrap();
        let (probe, seen) = heads([answer(503)]);

        let service = layer().service_config(config).layer(probe);
        let response = service.oneshot(request("POST", ["order"])).await.unwrap();

        assert_eq!(response.status(), 503);
        assert_eq!(seen.lock().unwrap().len(), 1, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_numbered_for_the_upstream_and_counted_for_the_caller() {
    let (probe, seen) = heads([answer(503), answer(200)]);
    let layer = layer()
        .attempt_header(AttemptHeader::envoy())
        .attempt_count_in_answer(true);
    let mut get = request("GET", []);
    get.headers_mut()
        .insert("x-envoy-attempt-count", "7".parse().unwrap());

    let response = layer.layer(probe).oneshot(get).await.unwrap();

    assert_eq!(
        header(&seen, "x-envoy-attempt-count"),
        [some("1"), some("2")]
    );
    assert_eq!(response.headers()["x-envoy-attempt-count"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_retry_says_how_many_attempts_went_before() {
    let unavailable = || {
        let mut response = answer(200)?;
        let headers = response.headers_mut();
        headers.insert("content-type", "application/grpc".parse()?);
        headers.insert("grpc-status", "14".parse()?);
        Ok(response)
    };
    let (probe, seen) = heads([unavailable(), unavailable(), answer(200)]);
    let mut call = request("POST", []);
    call.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    let listed = layer().idempotent_grpc_methods(["/"]);

    listed.layer(probe).oneshot(call).await.unwrap();

    assert_eq!(
        header(&seen, "grpc-previous-rpc-attempts"),
        [None, some("1"), some("2")]
    );
}

#[cfg(feature = "idempotency-key")]
#[tokio::test(start_paused = true)]
async fn a_key_that_the_layer_adds_is_the_same_on_all_attempts() {
    let (probe, seen) = heads([answer(503), reset(), answer(201)]);

    let response = layer()
        .idempotency_key(true)
        .layer(probe)
        .oneshot(request("POST", ["a"]))
        .await
        .unwrap();

    assert_eq!(story(&response), (3, StopReason::Success));
    let keys = header(&seen, "idempotency-key");
    assert!(
        keys[0].is_some() && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_given_up_on_can_say_so_in_a_header() {
    let name = HeaderName::from_static("x-no-retry");
    for (script, expected) in [
        (
            vec![answer(503), answer(503), answer(503)],
            Some("attempts_exhausted"),
        ),
        (vec![answer(503), answer(200)], None),
    ] {
        let (probe, _) = heads(script);

        let response = layer()
            .exhausted_header(name.clone())
            .layer(probe)
            .oneshot(request("GET", []))
            .await
            .unwrap();

        let value = response
            .headers()
            .get(&name)
            .map(|value| value.to_str().unwrap());
        assert_eq!(value, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_were_tried_travel_with_the_attempts() {
    let (probe, _handle) = Probe::<_, BoxError>::new(|request: Request<ReplayBody<ScriptBody>>| {
        let attempt: &Attempt = request.extensions().get().unwrap();
        let endpoint = if attempt.has_tried("10.0.0.1:80") {
            "10.0.0.2:80"
        } else {
            "10.0.0.1:80"
        };
        attempt.mark_tried(endpoint);
        std::future::ready(answer(if endpoint == "10.0.0.1:80" { 503 } else { 200 }))
    });

    let response = layer()
        .track_endpoints(true)
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    let endpoints: Vec<_> = outcome
        .records()
        .iter()
        .map(|record| record.endpoint.as_deref())
        .collect();
    assert_eq!(endpoints, [Some("10.0.0.1:80"), Some("10.0.0.2:80")]);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_prepared_from_what_the_caller_sent() {
    let (probe, seen) = heads([answer(503), answer(200)]);
    let layer = layer().prepare(|head, number| {
        assert!(!head.headers.contains_key("x-signed"), "from the original");
        head.headers.insert("x-signed", number.get().into());
    });

    layer
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    assert_eq!(header(&seen, "x-signed"), [some("1"), some("2")]);
}

#[tokio::test(start_paused = true)]
async fn an_error_event_at_the_start_of_a_stream_is_retried_and_a_later_one_is_not() {
    let stream = |frames: Vec<Step>| {
        let mut response = answer_with(200, ScriptBody::new(frames))?;
        response
            .headers_mut()
            .insert("content-type", "text/event-stream".parse()?);
        Ok(response)
    };
    let wait = || Step::Wait(Duration::from_millis(5));
    let bad = "event: error\ndata: {}\n\n";
    let (probe, seen) = heads([
        stream(vec![wait(), Step::data(bad), Step::Stall]),
        stream(vec![wait(), Step::data("data: 1\n\n"), Step::data(bad)]),
    ]);

    let response = layer()
        .peek(ErrorEvent)
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    assert_eq!(story(&response), (2, StopReason::Success));
    assert_eq!(seen.lock().unwrap().len(), 2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        format!("data: 1\n\n{bad}"),
        "nothing is lost, nothing twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_is_not_held_back_while_the_caller_still_sends() {
    // A bidirectional stream: the caller goes on when it has the head.
    let (probe, _) =
        heads([
            answer_with(200, ScriptBody::new([Step::Stall])).map(|mut response| {
                response
                    .headers_mut()
                    .insert("content-type", "application/grpc".parse().unwrap());
                response
            }),
        ]);
    let body = ScriptBody::new([Step::data("first"), Step::Stall]);
    let call = Request::post("http://upstream.test/a.B/C")
        .extension(Idempotent(true))
        .body(body)
        .unwrap();

    let response = layer().layer(probe).oneshot(call).await.unwrap();

    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_is_waited_for_where_an_attempt_could_follow_and_not_for_ever() {
    // A stream whose first message comes hours after its head.
    let watch = || {
        let answer = answer_with(200, ScriptBody::new([Step::Stall]));
        with(answer, "content-type", "application/grpc")
    };
    let unsafe_call = || {
        let mut call = grpc_call();
        call.extensions_mut().clear();
        call
    };
    for (layer, call, seconds) in [
        (layer(), unsafe_call(), 0),
        (layer(), grpc_call(), 5),
        (layer().peek_time(Duration::ZERO), grpc_call(), 0),
        (layer().peek_time(Duration::from_secs(60)), grpc_call(), 60),
    ] {
        let (outcome, _, elapsed) = send(layer, [watch()], call).await;

        assert_eq!(outcome.unwrap().status(), 200);
        assert_eq!(elapsed, Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_answers_here_when_the_upstream_refuses_everything() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<ReplayBody<ScriptBody>>| {
        std::future::ready(answer(503))
    });
    let service = layer()
        .no_budget()
        .retry_on(RetryOn::GATEWAY_ERROR)
        .max_attempts(NonZeroU32::MIN)
        .adaptive_throttle(AdaptiveThrottle::new().min_per_second(0))
        .layer(probe);

    let mut local = 0;
    for _ in 0..500 {
        let response = service.clone().oneshot(request("GET", [])).await.unwrap();
        assert_eq!(response.status(), 503);
        if response.headers().contains_key("proxy-status") {
            local += 1;
        }
    }

    assert_eq!(handle.calls(), 500 - local);
    assert!(
        (350..=470).contains(&local),
        "most were answered here: {local}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttle_takes_an_answer_of_the_application_for_accepted_whatever_it_is() {
    for status in [200, 401, 404, 500] {
        let (probe, handle) =
            Probe::<_, BoxError>::new(move |_: Request<ReplayBody<ScriptBody>>| {
                std::future::ready(answer(status))
            });
        let throttle = AdaptiveThrottle::new().min_per_second(0);
        let service = layer().adaptive_throttle(throttle).layer(probe);

        for _ in 0..200 {
            service.clone().oneshot(request("GET", [])).await.unwrap();
        }

        assert_eq!(handle.calls(), 200, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_inner_service_is_not_ready_the_answer_is_handed_on() {
    for (waits, expected) in [
        (false, (1, StopReason::NotReady)),
        (true, (2, StopReason::Success)),
    ] {
        let (handler, _) = upstream([answer(503), answer(200)]);
        let (probe, handle) = Probe::<_, BoxError>::new(handler);
        let mut service = layer().wait_for_ready(waits).layer(probe);
        let future = tower::Service::call(service.ready().await.unwrap(), request("GET", []));
        handle.block();
        let unblock = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            handle.unblock();
        };

        let (response, ()) = tokio::join!(future, unblock);

        assert_eq!(story(&response.unwrap()), expected);
    }
}
