use std::future::{pending, ready};

use http::{Request, Response};
use portcullis_health_check::{Endpoints, EndpointsLayer};
use portcullis_test_support::{BoxError, Probe, ScriptBody};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

type Outcome = Result<Response<ScriptBody>, BoxError>;

fn ok(_: Request<ScriptBody>) -> std::future::Ready<Outcome> {
    ready(Ok(Response::new(ScriptBody::chunks(["ok"]))))
}

fn request(path: &str) -> Request<ScriptBody> {
    Request::get(path).body(ScriptBody::chunks([])).unwrap()
}

fn layer() -> EndpointsLayer {
    EndpointsLayer::new(Endpoints::new())
}

#[tokio::test]
async fn the_ready_instance_gets_other_paths_and_never_those_of_the_endpoints() {
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    let mut service = layer().layer(probe);

    for (path, calls) in [("/", 1), ("/livez", 1), ("/readyz", 1), ("/readyzz", 2)] {
        let response = service.ready().await.unwrap().call(request(path)).await;

        assert_eq!(response.unwrap().status(), 200, "{path}");
        assert_eq!(handle.calls(), calls, "{path}");
        assert_eq!(handle.instances(), 1, "{path}: no clone is called");
    }
}

#[tokio::test]
async fn own_paths_are_answered_while_the_service_is_not_ready_and_others_wait_for_it() {
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    handle.block();
    let mut service = task::spawn(layer().layer(probe));

    for path in ["/livez", "/readyz", "/startupz", "/healthz"] {
        assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
        let response = service.call(request(path)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let mut late = task::spawn(service.call(request("/")));
    assert_pending!(late.poll());
    assert_eq!(handle.calls(), 0, "it is not ready");
    handle.unblock();

    assert!(late.is_woken());
    let response = assert_ready_ok!(late.poll());
    assert_eq!((response.status().as_u16(), handle.calls()), (200, 1));
}

#[tokio::test]
async fn a_place_in_a_queue_goes_with_the_call_or_back() {
    let (probe, handle) = Probe::<_, BoxError>::new(|request: Request<ScriptBody>| {
        let hangs = request.uri().path() == "/hangs";
        async move {
            if hangs {
                pending::<()>().await;
            }
            Outcome::Ok(Response::new(ScriptBody::chunks([])))
        }
    });
    let mut service = task::spawn(layer().layer(ConcurrencyLimit::new(probe, 1)));
    let mut another = task::spawn(service.clone());
    let mut call = |path: &str| {
        assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
        task::spawn(service.call(request(path)))
    };
    let mut first = call("/hangs");
    assert_pending!(first.poll());

    // This instance is not called again; were its place in the queue still its own, nobody else would ever be called.
    let mut second = call("/");
    assert_pending!(second.poll());
    drop(first);
    assert!(second.is_woken());
    assert_eq!(assert_ready_ok!(second.poll()).status(), 200);
    drop(second);
    assert_eq!(assert_ready_ok!(call("/livez").poll()).status(), 200);

    assert_ready_ok!(another.enter(|cx, mut service| service.poll_ready(cx)));
    let mut third = task::spawn(another.call(request("/")));
    assert_eq!(assert_ready_ok!(third.poll()).status(), 200);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test]
async fn an_error_of_readiness_reaches_the_caller_whenever_it_comes() {
    let (probe, handle) = Probe::<_, BoxError>::new(ok);
    let mut service = task::spawn(layer().layer(probe));

    handle.fail_readiness("broken");
    let error = assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "broken");

    handle.block();
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let mut late = task::spawn(service.call(request("/")));
    assert_pending!(late.poll());
    handle.fail_readiness("broken later");
    let error = assert_ready!(late.poll()).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), handle.calls()),
        ("broken later", 0)
    );
}

#[tokio::test]
async fn dropping_the_future_drops_the_call_and_the_wait_for_it() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<ScriptBody>| pending::<Outcome>());
    let mut service = layer().layer(probe);
    let mut called = task::spawn(service.ready().await.unwrap().call(request("/")));
    assert_pending!(called.poll());
    handle.block();
    let mut late = task::spawn(service.ready().await.unwrap().call(request("/")));
    assert_pending!(late.poll());
    assert_eq!((handle.in_flight(), handle.calls()), (1, 1));

    drop((called, late, service));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
}
