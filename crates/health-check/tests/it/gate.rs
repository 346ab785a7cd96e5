use std::future::{pending, ready};

use http::{Request, Response, StatusCode, header};
use portcullis_gateway_error::{Delivery, Failure};
use portcullis_health_check::{HealthCheckLayer, Mode, State};
use portcullis_test_support::{BoxError, Probe, ScriptBody};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use super::*;

type Outcome = Result<Response<ScriptBody>, BoxError>;

fn ok(_: Request<ScriptBody>) -> std::future::Ready<Outcome> {
    ready(Ok(Response::new(ScriptBody::chunks(["ok"]))))
}

fn request() -> Request<ScriptBody> {
    Request::new(ScriptBody::chunks([]))
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_answers_at_once_and_calls_nothing() {
    let health = monitor(&Script::new(&[Look::Down])).start();
    health.wait_for(State::Down).await;
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    // Whatever the service behind it does, a closed gate is ready.
    handle.block();
    let service = HealthCheckLayer::new(health).name("edge").layer(probe);
    let mut grpc = request();
    grpc.headers_mut()
        .insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());

    let http = service.clone().oneshot(request()).await.unwrap();
    let grpc = service.oneshot(grpc).await.unwrap();

    assert_eq!(http.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(http.headers()["retry-after"], "10", "the next probe");
    assert_eq!(
        http.headers()["proxy-status"],
        "edge;error=destination_unavailable"
    );
    let failure: &Failure = http.extensions().get().unwrap();
    assert_eq!(
        (failure.kind(), failure.delivery()),
        (Some(ErrorKind::DestinationUnavailable), Delivery::NotSent)
    );
    assert_eq!(
        (grpc.status().as_u16(), &grpc.headers()["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
    assert_eq!(handle.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_again_with_the_health() {
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).start();
    health.wait_for(State::Down).await;
    let (probe, _handle) = Probe::<_, BoxError>::new(ok);
    let mut service = HealthCheckLayer::new(health.clone()).layer(probe);
    assert_eq!(
        service
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap()
            .status(),
        503
    );

    script.then(Look::Up);
    settle(&health).await;

    assert_eq!(
        service
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closed_after_readiness_refuses_and_one_that_opened_does_not_call_unready() {
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).start();
    settle(&health).await;
    // The probe of the tests panics where it is called without readiness.
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    let mut service = HealthCheckLayer::new(health.clone()).layer(probe);

    service.ready().await.unwrap();
    script.then(Look::Down);
    health.wait_for(State::Down).await;
    assert_eq!(
        service.call(request()).await.unwrap().status(),
        503,
        "closed in between"
    );

    let mut clone = service.clone();
    clone.ready().await.unwrap();
    script.then(Look::Up);
    settle(&health).await;
    assert_eq!(
        clone.call(request()).await.unwrap().status(),
        503,
        "opened in between"
    );
    assert_eq!(
        clone
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_service_is_woken_when_the_gate_closes() {
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).start();
    settle(&health).await;
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    handle.block();
    let mut service = task::spawn(HealthCheckLayer::new(health.clone()).layer(probe));
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));

    script.then(Look::Down);
    health.wait_for(State::Down).await;

    assert!(service.is_woken());
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn observing_lets_everything_through() {
    let health = Health::fixed(State::Down);
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    let service = HealthCheckLayer::new(health)
        .mode(Mode::Observe)
        .layer(probe);

    let response = service.oneshot(request()).await.unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (200, 1));
}

#[test]
fn readiness_errors_stay_what_they_were_and_an_open_gate_needs_no_runtime() {
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    let mut service = tokio_test::block_on(async {
        HealthCheckLayer::new(Health::fixed(State::Up)).layer(probe)
    });
    let mut task = task::spawn(());
    handle.fail_readiness("broken");
    let error = assert_ready_err!(task.enter(|cx, _| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "broken");

    assert_ready_ok!(task.enter(|cx, _| service.poll_ready(cx)));
    let response = tokio_test::assert_ready!(task::spawn(service.call(request())).poll()).unwrap();

    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn dropping_the_future_drops_the_call() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<ScriptBody>| pending::<Outcome>());
    let mut service = HealthCheckLayer::new(Health::fixed(State::Up)).layer(probe);
    let mut future = task::spawn(service.ready().await.unwrap().call(request()));
    assert_pending!(future.poll());
    assert_eq!(handle.in_flight(), 1);

    drop((future, service));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
}
