use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::{HeaderMap, Request, Response, StatusCode};
use portcullis_gateway_error::{
    Classify, DefaultClassifier, Delivery, ErrorForStatus, ErrorForStatusLayer, ErrorKind,
    StatusError, StatusOr,
};
use portcullis_test_support::{BoxError, Probe, ProbeHandle, ScriptBody, Step};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

fn answer(status: u16, body: ScriptBody) -> Response<ScriptBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

async fn raise(layer: ErrorForStatusLayer, response: Response<ScriptBody>) -> StatusError {
    let mut response = Some(response);
    let client =
        tower::service_fn(move |_: Request<()>| ready(response.take().ok_or("called twice")));
    match layer.layer(client).oneshot(Request::new(())).await {
        Err(StatusOr::Status(error)) => error,
        other => panic!("no status error: {other:?}"),
    }
}

#[tokio::test]
async fn statuses_from_400_to_599_are_errors() {
    for (status, expected) in [
        (200, false),
        (304, false),
        (399, false),
        (400, true),
        (404, true),
        (502, true),
        (599, true),
        (600, false),
    ] {
        let client = tower::service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(answer(
                status,
                ScriptBody::chunks(["x"]),
            )))
        });

        let result = ErrorForStatusLayer::new()
            .layer(client)
            .oneshot(Request::new(()))
            .await;

        assert_eq!(result.is_err(), expected, "{status}");
    }
    let layer = ErrorForStatusLayer::new().is_error(|status| status == StatusCode::OK);
    assert_eq!(
        raise(layer, answer(200, ScriptBody::chunks([])))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn the_first_bytes_of_the_body_are_kept() {
    let trailers = || Step::Trailers(HeaderMap::new());
    for (steps, limit, kept, whole) in [
        (
            vec![Step::data("abc"), Step::Pending, Step::data("de")],
            5,
            "abcde",
            true,
        ),
        (vec![Step::data("abc"), trailers()], 5, "abc", true),
        (
            vec![Step::data("abc"), Step::data("def")],
            5,
            "abcde",
            false,
        ),
        (
            vec![Step::data("abc"), Step::data("de"), Step::data("f")],
            5,
            "abcde",
            false,
        ),
        (
            vec![Step::data("abc"), Step::Error("broken")],
            5,
            "abc",
            false,
        ),
        (vec![Step::data("abc"), Step::Stall], 3, "abc", false),
        (vec![Step::Stall], 0, "", false),
        (vec![], 0, "", true),
    ] {
        let about = format!("{steps:?}");
        let body = ScriptBody::new(steps);
        let dropped = body.dropped();

        let error = raise(
            ErrorForStatusLayer::new().body_limit(limit),
            answer(500, body),
        )
        .await;

        assert_eq!(
            (&error.body()[..], error.is_whole()),
            (kept.as_bytes(), whole),
            "{about}"
        );
        assert!(
            dropped.load(Ordering::SeqCst),
            "the rest of the body is let go: {about}"
        );
    }
}

#[tokio::test]
async fn the_error_tells_what_the_answer_said() {
    let mut response = answer(
        503,
        ScriptBody::chunks([r#"{"title": "Down", "detail": "no host"}"#]),
    );
    for (name, value) in [
        ("content-type", "application/problem+json; charset=utf-8"),
        ("proxy-status", "cdn;error=destination_unavailable"),
        ("retry-after", "7"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }

    let error = raise(ErrorForStatusLayer::new(), response).await;

    assert_eq!(error.kind(), Some(ErrorKind::DestinationUnavailable));
    assert_eq!(error.headers()["retry-after"], "7");
    assert_eq!(
        error.retry_after(SystemTime::UNIX_EPOCH).unwrap().as_secs(),
        7
    );
    assert_eq!(error.problem().unwrap().detail.as_deref(), Some("no host"));
    assert_eq!(error.attempts(), None);
    let text = "the upstream answered 503 Service Unavailable (destination_unavailable)";
    assert_eq!(error.to_string(), text);
    let error = StatusOr::<BoxError>::Status(error);
    let failure = DefaultClassifier.classify_error(&error);
    assert_eq!(failure.delivery(), Delivery::Answered);
    assert_eq!(failure.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(DefaultClassifier.describe_error(&error), text);
}

#[tokio::test]
async fn an_error_of_the_inner_service_stays_what_it_was() {
    let client = tower::service_fn(|_: Request<()>| ready(Err::<Response<ScriptBody>, _>("gone")));

    let result = ErrorForStatusLayer::new()
        .layer(client)
        .oneshot(Request::new(()))
        .await;

    assert!(matches!(result, Err(StatusOr::Inner("gone"))), "{result:?}");
}

type Handler = fn(Request<()>) -> std::future::Pending<Result<Response<ScriptBody>, BoxError>>;

fn probe() -> (ErrorForStatus<Probe<Handler>>, ProbeHandle) {
    let (probe, handle) = Probe::new((|_| pending()) as Handler);
    (ErrorForStatusLayer::new().layer(probe), handle)
}

#[test]
fn readiness_passes_and_the_ready_instance_is_called() {
    let (mut service, handle) = probe();
    let mut ready = task::spawn(());
    handle.block();
    assert_pending!(ready.enter(|cx, _| service.poll_ready(cx)));
    handle.fail_readiness("gone");
    assert!(ready.is_woken(), "pending registers a waker");
    let error = assert_ready_err!(ready.enter(|cx, _| service.poll_ready(cx)));
    assert!(matches!(&error, StatusOr::Inner(error) if error.to_string() == "gone"));
    handle.unblock();
    assert_ready_ok!(ready.enter(|cx, _| service.poll_ready(cx)));

    let call = service.call(Request::new(()));

    assert_eq!((handle.calls(), handle.in_flight()), (1, 1));
    drop(call);
    assert_eq!(handle.in_flight(), 0, "a drop ends the call");
}
