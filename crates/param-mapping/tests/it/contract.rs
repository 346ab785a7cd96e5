//! What the contract of `Service` asks.

use std::future::pending;
use std::sync::atomic::Ordering;

use http::{Request, Response};
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
use portcullis_test_support::{BoxError, Probe, ScriptBody, Step};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};

use crate::{Fixture, fixture, full, json_post, nest_input, send, text};

#[tokio::test]
async fn the_ready_instance_is_called_after_the_body_was_read() {
    let Fixture {
        mut service,
        upstream,
        received,
    } = fixture(nest_input());

    for _ in 0..3 {
        // The probe panics where a clone that was not made ready is called.
        let body = ScriptBody::new([Step::data(r#"{"input""#), Step::Pending, Step::data(":1}")]);
        let response = send(&mut service, json_post(body)).await;
        assert_eq!(text(response.into_body()).await, "hello");
    }

    assert_eq!(upstream.calls(), 3);
    let received = received.lock().unwrap();
    assert_eq!(received.body, r#"{"parameters":{"input":1}}"#);
}

#[tokio::test]
async fn the_ready_instance_is_called_at_once_where_no_body_is_read() {
    let Fixture {
        mut service,
        upstream,
        ..
    } = fixture(Mapping::builder().build().unwrap());

    send(&mut service, json_post(full("{}"))).await;
    send(&mut service, json_post(full("{}"))).await;

    assert_eq!(upstream.calls(), 2);
}

#[test]
fn pending_readiness_is_passed_on_and_wakes() {
    let Fixture {
        service, upstream, ..
    } = fixture::<ScriptBody>(nest_input());
    upstream.block();
    let mut task = task::spawn(service);

    assert_pending!(task.enter(|cx, mut service| service.poll_ready(cx)));
    upstream.unblock();

    assert!(task.is_woken());
    assert_ready_ok!(task.enter(|cx, mut service| service.poll_ready(cx)));
}

#[test]
fn a_readiness_error_stays_what_it_was() {
    let Fixture {
        service, upstream, ..
    } = fixture::<ScriptBody>(nest_input());
    upstream.fail_readiness("gone");

    let poll = task::spawn(service).enter(|cx, mut service| service.poll_ready(cx));

    assert_eq!(assert_ready_err!(poll).to_string(), "gone");
}

#[tokio::test]
async fn an_error_of_the_inner_service_stays_what_it_was() {
    let (probe, _upstream) = Probe::<_, &'static str>::new(|_: Request<RequestBody<_>>| async {
        Err::<Response<ScriptBody>, _>("gone")
    });
    let mut service = ParamMappingLayer::new(nest_input()).layer(probe);
    std::future::poll_fn(|cx| Service::<Request<ScriptBody>>::poll_ready(&mut service, cx))
        .await
        .unwrap();

    let body = ScriptBody::chunks([r#"{"input":1}"#]);
    let result = service.call(json_post(body)).await;

    assert_eq!(result.map(|_| ()), Err("gone"));
}

#[tokio::test]
async fn dropping_the_future_frees_the_body_and_the_instance() {
    let Fixture {
        mut service,
        upstream,
        ..
    } = fixture(nest_input());
    let body = ScriptBody::new([Step::data("{"), Step::Stall]);
    let dropped = body.dropped();
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .unwrap();
    let mut future = task::spawn(service.call(json_post(body)));
    assert_pending!(future.poll());
    assert_eq!((upstream.calls(), upstream.instances()), (0, 2));

    drop(future);

    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(upstream.instances(), 1);
}

#[tokio::test]
async fn dropping_the_future_cancels_the_inner_call() {
    let (probe, upstream) = Probe::<_, BoxError>::new(|_: Request<RequestBody<_>>| {
        pending::<Result<Response<ScriptBody>, _>>()
    });
    let mut service = ParamMappingLayer::new(nest_input()).layer(probe);
    std::future::poll_fn(|cx| Service::<Request<ScriptBody>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    let body = ScriptBody::chunks([r#"{"input":1}"#]);
    let mut future = task::spawn(service.call(json_post(body)));
    assert_pending!(future.poll());
    assert_eq!(upstream.in_flight(), 1);

    drop(future);

    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn bodies_go_where_they_must_be_shared() {
    type Full = http_body_util::Full<bytes::Bytes>;

    let _: fn(RequestBody<Full>) = |body| drop(http_body_util::BodyExt::boxed(body));
    let _: fn(portcullis_param_mapping::ResponseBody<Full>) =
        |body| drop(http_body_util::BodyExt::boxed(body));
}
