use std::future::{pending, ready};

use portcullis_gateway_error::{Decision, WaitReason};
use portcullis_retry_on_gateway_error::{Facts, Hedging, Plan, Policy, ReplayBody, Verdict};
use portcullis_test_support::{BoxError, Probe, ScriptBody};
use portcullis_timeout::Deadline;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use super::*;

type Attempt = Request<ReplayBody<ScriptBody>>;

#[test]
fn readiness_is_the_inner_services() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempt| ready(answer(200)));
    let mut service = task::spawn(layer().layer(probe));
    handle.block();
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));

    handle.unblock();

    assert!(service.is_woken());
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    handle.fail_readiness("broken");
    let error = assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "broken", "the error stays what it was");
}

#[tokio::test(start_paused = true)]
async fn every_attempt_calls_the_instance_that_was_made_ready() {
    let (handler, seen) = upstream([answer(502), refused(), answer(200)]);
    // The probe panics where a clone is called that was not made ready.
    let (probe, handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().layer(probe);

    let response = service
        .ready()
        .await
        .unwrap()
        .call(request("GET", []))
        .await
        .unwrap();

    assert_eq!(story(&response), (3, StopReason::Success));
    assert_eq!(handle.calls(), 3);
    assert_eq!(seen.bodies().len(), 3);
    drop(service);
    assert_eq!(handle.instances(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_before_a_retry_is_an_attempt_like_another() {
    let (handler, _) = upstream([answer(502), answer(200)]);
    let (probe, handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().wait_for_ready(true).layer(probe);
    let future = service.ready().await.unwrap().call(request("GET", []));

    handle.fail_readiness(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    let response = future.await.unwrap();

    assert_eq!(story(&response), (3, StopReason::Success));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_ends_everything() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempt| pending::<Outcome>());
    let body = ScriptBody::new([portcullis_test_support::Step::Stall]);
    let dropped = body.dropped();
    let mut service = layer().layer(probe);
    let future = service.ready().await.unwrap().call(Request::new(body));
    let mut future = task::spawn(future);
    assert_pending!(future.poll());
    assert_eq!(handle.in_flight(), 1);

    drop((future, service));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
    assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_in_the_wait_ends_everything() {
    let (handler, _) = upstream([answer(502)]);
    let (probe, handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().layer(probe);
    let mut future = task::spawn(service.ready().await.unwrap().call(request("GET", [])));
    assert_pending!(future.poll());
    assert_eq!((handle.calls(), handle.in_flight()), (1, 0));

    drop((future, service));

    assert_eq!((handle.calls(), handle.instances()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_and_an_error_go_through_unchanged() {
    let teapot = || {
        let mut response = answer(418)?;
        response.headers_mut().insert("x-kept", "yes".parse()?);
        Ok(response)
    };
    let (handler, _) = upstream([teapot(), Err("unknown".into())]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().layer(probe);

    let response = service
        .ready()
        .await
        .unwrap()
        .call(request("GET", []))
        .await
        .unwrap();

    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-kept"]),
        (418, &"yes".parse().unwrap())
    );
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "body"
    );
    let error = service
        .ready()
        .await
        .unwrap()
        .call(request("GET", []))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "unknown");
}

#[test]
fn a_ready_answer_needs_no_runtime_and_no_timer() {
    let (probe, _handle) = Probe::<_, BoxError>::new(|_: Attempt| ready(answer(200)));
    let mut service = layer().layer(probe);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| service.poll_ready(cx)));

    let mut future = task::spawn(service.call(request("GET", ["a"])));

    let response = assert_ready!(future.poll()).unwrap();
    assert_eq!(response.status(), 200);
}

/// tower's own mock, which gives each attempt to the test and waits for what it does.
#[tokio::test(start_paused = true)]
async fn one_call_is_made_for_each_time_that_the_inner_service_was_ready() {
    let (mut service, mut handle) = tower_test::mock::spawn_layer::<Attempt, Response<ScriptBody>, _>(
        layer().wait_for_ready(true),
    );
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(request("GET", [])));
    assert_pending!(call.poll());

    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(502).unwrap());
    assert_pending!(call.poll());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_pending!(call.poll(), "the wait is over, and the service not ready");
    handle.allow(1);

    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(200).unwrap());
    let response = assert_ready_ok!(call.poll());
    assert_eq!(story(&response), (2, StopReason::Success));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_deadline() {
    for hedged in [false, true] {
        let (handler, _) = upstream([answer(503), answer(200)]);
        let (probe, handle) = Probe::<_, BoxError>::new(handler);
        let mut layer = layer().wait_for_ready(true);
        if hedged {
            layer = layer.hedging(Hedging::after(Duration::from_secs(9)));
        }
        let mut service = layer.layer(probe);
        let mut get = request("GET", []);
        let deadline = Deadline::after(Duration::from_secs(3));
        get.extensions_mut().insert(deadline);
        let future = service.ready().await.unwrap().call(get);
        handle.block();
        let unblocked = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            handle.unblock();
        };

        let (response, ()) = tokio::join!(future, unblocked);

        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), handle.calls()), (504, 1));
        assert_eq!(story(&response), (1, StopReason::Deadline), "{hedged}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own_is_held_to_the_deadline_and_to_its_plan() {
    /// Tries again whatever comes, after this wait.
    #[derive(Clone, Debug, Default)]
    struct Stubborn(Duration);

    impl Policy for Stubborn {
        fn plan(&self, _: &http::request::Parts) -> Plan {
            Plan::attempts(NonZeroU32::new(2).unwrap())
        }

        fn decide(&self, _: &Facts<'_>) -> Verdict {
            Verdict::new(Decision::Retry {
                wait: self.0,
                reason: WaitReason::Backoff,
            })
        }
    }

    for (wait, expected) in [
        (1, (2, StopReason::AttemptsExhausted)),
        (3600, (1, StopReason::Deadline)),
    ] {
        let (handler, _) = upstream([answer(503), answer(503)]);
        let (probe, _handle) = Probe::<_, BoxError>::new(handler);
        let mut get = request("GET", []);
        let deadline = Deadline::after(Duration::from_secs(60));
        get.extensions_mut().insert(deadline);
        let start = Instant::now();

        let service = layer()
            .policy(Stubborn(Duration::from_secs(wait)))
            .layer(probe);
        let response = service.oneshot(get).await.unwrap();

        assert_eq!(story(&response), expected);
        assert!(start.elapsed() <= Duration::from_secs(1));
    }
}
