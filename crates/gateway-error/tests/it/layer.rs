//! `GatewayErrorLayer` as a service.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_gateway_error::{
    AnswerBody, AttemptLog, AttemptRecord, Classified, ErrorKind, Failure, GatewayErrorLayer,
    Outcome, Problem, RetryOutcome,
};
use portcullis_test_support::{BoxError, Probe, ScriptBody, Step};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

type Answered = Response<AnswerBody<ScriptBody>>;

const SECRET: &str = "10.0.0.7:5432 /etc/upstream.conf";

/// The answer to a request whose inner service fails with this failure and an internal text.
async fn answer(layer: GatewayErrorLayer, failure: Failure, request: Request<()>) -> Answered {
    let client = tower::service_fn(move |_: Request<()>| {
        ready(Err::<Response<ScriptBody>, BoxError>(
            Classified::new(failure, SECRET).into(),
        ))
    });
    let Ok(response) = layer.layer(client).oneshot(request).await;
    response
}

async fn text(response: Answered) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn get(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("http://upstream.test/a?token=hunter2");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

#[tokio::test]
async fn an_error_becomes_an_answer_in_the_form_that_the_caller_takes() {
    let failure = Failure::new(ErrorKind::DnsError).come_back_after(Duration::from_millis(4100));
    for (headers, status, content_type, part) in [
        (
            &[][..],
            503,
            "application/problem+json",
            r#""error":"dns_error""#,
        ),
        (
            &[("accept", "text/plain")],
            503,
            "text/plain; charset=utf-8",
            "503 Service Unavailable\n",
        ),
        (
            &[("accept", "text/html,*/*;q=0.8")],
            503,
            "text/html; charset=utf-8",
            "<h1>503",
        ),
        (
            &[("content-type", "application/grpc")],
            200,
            "application/grpc",
            "",
        ),
    ] {
        let response = answer(GatewayErrorLayer::new(), failure, get(headers)).await;

        let (head, body) = response.into_parts();
        assert_eq!(head.status.as_u16(), status, "{headers:?}");
        assert_eq!(head.headers["content-type"], content_type);
        assert_eq!(head.headers["proxy-status"], "portcullis;error=dns_error");
        assert_eq!(
            head.headers["retry-after"], "5",
            "what the failure says, rounded up"
        );
        assert_eq!(head.extensions.get(), Some(&failure));
        let body = text(Response::new(body)).await;
        assert!(body.contains(part), "{body}");
    }
}

#[tokio::test]
async fn nothing_internal_goes_to_the_caller_unless_asked_for() {
    for (layer, exposed) in [
        (GatewayErrorLayer::new(), false),
        (GatewayErrorLayer::new().expose_details(true), true),
    ] {
        for headers in [
            &[][..],
            &[("accept", "text/plain")],
            &[("accept", "text/html")],
            &[("content-type", "application/grpc")],
        ] {
            let failure = Failure::new(ErrorKind::ConnectionRefused);

            let response = answer(layer.clone(), failure, get(headers)).await;

            let seen = format!("{:?}", response.headers()) + &text(response).await;
            assert_eq!(seen.contains(SECRET), exposed, "{headers:?}: {seen}");
        }
    }
}

#[tokio::test]
async fn grpc_gets_the_code_and_a_percent_encoded_message_in_the_headers() {
    let layer = GatewayErrorLayer::new().expose_details(true);
    for (kind, code) in [
        (ErrorKind::ConnectionRefused, "14"),
        (ErrorKind::HttpResponseTimeout, "4"),
        (ErrorKind::HttpProtocolError, "13"),
    ] {
        let client = tower::service_fn(move |_: Request<()>| {
            let error = Classified::new(kind, "100% f\u{fc}r nichts");
            ready(Err::<Response<ScriptBody>, _>(error))
        });

        let Ok(response) = layer
            .layer(client)
            .oneshot(get(&[("content-type", "application/grpc+proto")]))
            .await;

        assert_eq!(response.headers()["grpc-status"], code, "{kind}");
        let message = response.headers()["grpc-message"].to_str().unwrap();
        assert!(message.ends_with(": 100%25 f%C3%BCr nichts"), "{message}");
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test]
async fn statuses_can_be_replaced() {
    let rfc = || GatewayErrorLayer::new().recommended_statuses();
    let teapot = GatewayErrorLayer::new().status(ErrorKind::DnsError, StatusCode::IM_A_TEAPOT);
    for (layer, kind, expected) in [
        (GatewayErrorLayer::new(), ErrorKind::DnsError, 503),
        (rfc(), ErrorKind::DnsError, 502),
        (rfc(), ErrorKind::DestinationNotFound, 500),
        (teapot.clone(), ErrorKind::DnsError, 418),
        (teapot, ErrorKind::ConnectionTimeout, 504),
    ] {
        let response = answer(layer, Failure::new(kind), get(&[])).await;

        assert_eq!(response.status().as_u16(), expected, "{kind}");
        let problem = Problem::from_slice(text(response).await.as_bytes()).unwrap();
        assert_eq!(problem.status.map(|status| status.as_u16()), Some(expected));
    }
}

#[tokio::test]
async fn an_answer_goes_through_unchanged() {
    let client = tower::service_fn(|_: Request<()>| {
        let body = ScriptBody::new([Step::data("a"), Step::Error("broken")]);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.headers_mut().insert("x", "y".parse().unwrap());
        ready(Ok::<_, Infallible>(response))
    });

    for diagnose in [false, true] {
        let layer = GatewayErrorLayer::new().diagnose(diagnose);
        let Ok(response) = layer.layer(client).oneshot(get(&[])).await;

        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(response.headers().len(), 1);
        let mut body = response.into_body();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "a"
        );
        assert_eq!(
            body.frame().await.unwrap().unwrap_err().to_string(),
            "broken"
        );
    }
}

#[tokio::test]
async fn the_attempts_of_a_retry_are_in_the_answer() {
    let record = AttemptRecord::new(NonZeroU32::MIN, Outcome::Failed(ErrorKind::DnsError.into()));
    let attempts = RetryOutcome::from(vec![record]);
    let left = attempts.clone();
    let client = tower::service_fn(move |request: Request<()>| {
        request
            .extensions()
            .get::<AttemptLog>()
            .unwrap()
            .set(left.clone());
        ready(Err::<Response<ScriptBody>, _>(io::Error::other("gone")))
    });

    let Ok(response) = GatewayErrorLayer::new()
        .layer(client)
        .oneshot(get(&[]))
        .await;

    assert_eq!(response.extensions().get(), Some(&attempts));
}

#[test]
fn a_readiness_error_is_the_answer_of_the_next_call() {
    let (probe, handle) = Probe::<_, io::Error>::new(|_: Request<()>| {
        ready(Ok(Response::new(ScriptBody::chunks([]))))
    });
    let mut service = GatewayErrorLayer::new().layer(probe);
    let mut cx = Context::from_waker(Waker::noop());
    handle.fail_readiness(io::ErrorKind::ConnectionRefused);
    assert!(service.poll_ready(&mut cx).is_ready());
    let other = service.clone();

    let refused = assert_ready_ok!(task::spawn(service.call(get(&[]))).poll());

    assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(
        handle.calls(),
        0,
        "an instance that is not ready is not called"
    );
    for mut service in [service, other] {
        assert!(service.poll_ready(&mut cx).is_ready());
        let answered = assert_ready_ok!(task::spawn(service.call(get(&[]))).poll());
        assert_eq!(
            answered.status(),
            StatusCode::OK,
            "told once, and not to clones"
        );
    }
}

#[test]
fn the_ready_instance_is_called_and_a_drop_ends_the_call() {
    let (probe, handle) =
        Probe::<_, io::Error>::new(|_: Request<()>| pending::<Result<Response<ScriptBody>, _>>());
    let mut service = GatewayErrorLayer::new().layer(probe);
    let mut readiness = task::spawn(());
    handle.block();
    assert_pending!(readiness.enter(|cx, _| service.poll_ready(cx)));
    handle.unblock();
    assert!(readiness.is_woken(), "pending registers a waker");
    assert_ready_ok!(readiness.enter(|cx, _| service.poll_ready(cx)));

    let mut call = task::spawn(service.call(get(&[])));

    assert_pending!(call.poll());
    assert_eq!((handle.in_flight(), handle.instances()), (1, 1));
    drop(call);
    assert_eq!(handle.in_flight(), 0);
}

#[test]
fn the_log_tells_all() {
    let plain = logged(GatewayErrorLayer::new());
    let diagnosed = logged(GatewayErrorLayer::new().diagnose(true));

    for event in [&plain, &diagnosed] {
        assert_eq!(event["level"], "WARN");
        let fields = &event["fields"];
        assert_eq!(fields["message"], "exchange failed");
        assert_eq!(fields["error.type"], "connection_refused");
        assert_eq!(fields["delivery"], "not_sent");
        let error = fields["error"].as_str().unwrap();
        assert!(error.contains(SECRET), "{error}");
    }
    assert!(plain["fields"].get("curl").is_none());
    let fields = &diagnosed["fields"];
    assert_eq!(fields["url.full"], "http://upstream.test/a?token=REDACTED");
    assert_eq!(fields["http.request.method"], "GET");
    assert_eq!(fields["hop"], "this one, on the way to upstream.test");
    assert!(fields["elapsed_ms"].is_number());
    assert!(!diagnosed.to_string().contains("hunter2"), "{diagnosed}");
}

/// The one event of a failed exchange.
fn logged(layer: GatewayErrorLayer) -> serde_json::Value {
    let written = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&written);
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || Writer(Arc::clone(&writer)))
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let failure = Failure::new(ErrorKind::ConnectionRefused);
        tokio_test::block_on(answer(layer, failure, get(&[])));
    });
    let written = written.lock().unwrap();
    serde_json::from_slice(&written).unwrap()
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn it_goes_into_a_router_as_it_is() {
    fn refuse(_: Request<Body>) -> Ready<Result<Response<Body>, BoxError>> {
        ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()))
    }
    let upstream = GatewayErrorLayer::new().layer(tower::service_fn(refuse));
    let router = Router::new()
        .fallback_service(upstream)
        .layer(GatewayErrorLayer::new().name("outer"));

    let response = router.oneshot(Request::new(Body::empty())).await.unwrap();

    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let body: Bytes = response.into_body().collect().await.unwrap().to_bytes();
    let problem = Problem::from_slice(&body).unwrap();
    assert_eq!(problem.extensions["error"], "connection_refused");
}
