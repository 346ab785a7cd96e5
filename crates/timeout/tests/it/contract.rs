use std::future::{pending, ready};

use portcullis_test_support::Probe;
use portcullis_timeout::{RequestBody, TimeoutLayer};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use super::*;

type Call = Request<RequestBody<ScriptBody>>;

#[test]
fn readiness_is_the_inner_services() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Call| pending::<Outcome>());
    let mut service = task::spawn(TimeoutLayer::new(ms(1)).layer(probe));
    handle.block();
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));

    handle.unblock();

    assert!(service.is_woken());
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    handle.fail_readiness("broken");
    let error = assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "broken", "the error stays what it was");
}

#[tokio::test]
async fn the_ready_instance_is_called_and_its_error_unchanged() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Call| ready(Outcome::Err("inner".into())));
    let mut service = TimeoutLayer::new(ms(1000)).layer(probe);

    let error = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();

    assert_eq!((error.to_string().as_str(), handle.calls()), ("inner", 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_drops_the_call() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Call| pending::<Outcome>());
    let mut service = TimeoutLayer::new(ms(1000)).layer(probe);
    let mut future = task::spawn(service.ready().await.unwrap().call(request()));
    assert_pending!(future.poll());
    assert_eq!(handle.in_flight(), 1);

    drop((future, service));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_readiness_that_was_given_up_does_not_count_for_the_next_one() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Call| answer_after(ms(0)));
    let mut service = task::spawn(TimeoutLayer::default().ready(ms(2000)).layer(probe));
    handle.block();
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    sleep(ms(60_000)).await;

    // Another caller, much later.
    let start = Instant::now();
    service.ready().await.unwrap();

    assert_eq!(start.elapsed(), ms(2000));
}

#[tokio::test(start_paused = true)]
async fn who_is_never_woken_in_time_gets_an_answer_all_the_same() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Call| answer_after(ms(0)));
    let mut service = task::spawn(TimeoutLayer::default().ready(ms(100)).layer(probe));
    handle.block();

    for _ in 0..2 {
        assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
        sleep(ms(1500)).await;
    }

    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let response = service.call(request()).await.unwrap();
    assert_eq!(response.status(), 503);
}
