//! What is answered in band, with the upstream not called.

use http::{Request, StatusCode};
use portcullis_gateway_error::{ErrorKind, Failure, Problem};
use portcullis_param_mapping::{Mapping, Rule};
use portcullis_test_support::{Log, ScriptBody, Step};
use tracing::Instrument;

use crate::{Fixture, fixture, full, json_post, nest_input, send, text};

#[tokio::test]
async fn each_refusal_has_its_status_and_names_the_parameter() {
    let long = || Step::data("0123456789012345678901234567890123456789");
    for (content_type, steps, status, param, detail) in [
        (
            "application/json",
            vec![Step::data(r#"{"a":1}"#)],
            400,
            "body:/input",
            "required parameter body:/input is missing",
        ),
        (
            "application/json",
            vec![Step::data("{\"input\"")],
            400,
            "body:",
            "the body is not valid JSON at line 1, column 8",
        ),
        (
            "application/json",
            vec![Step::data(r#"{"input":1,"parameters":7}"#)],
            400,
            "body:/parameters/input",
            "body:/parameters/input cannot be written: body:/parameters is a number",
        ),
        (
            "application/json",
            vec![Step::data("{"), Step::Error("reset")],
            400,
            "body:",
            "the body ended before it was complete",
        ),
        (
            "application/json",
            vec![long(), long()],
            413,
            "body:",
            "the body is larger than 64 bytes",
        ),
        (
            "application/json",
            vec![Step::Pending, long(), Step::Pending, long(), Step::Stall],
            413,
            "body:",
            "the body is larger than 64 bytes",
        ),
        (
            "application/x-www-form-urlencoded",
            vec![Step::data("input=1")],
            415,
            "body:/input",
            "body:/input needs a body of type application/json, in no coding unknown here",
        ),
        (
            "text/plain",
            vec![],
            400,
            "body:/input",
            "required parameter body:/input is missing",
        ),
    ] {
        let Fixture {
            mut service,
            upstream,
            ..
        } = fixture(nest_input());
        let request = Request::post("/").header("content-type", content_type);

        let response = send(&mut service, request.body(ScriptBody::new(steps)).unwrap()).await;

        let (head, body) = response.into_parts();
        assert_eq!(head.status, status, "{detail}");
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert_eq!(
            head.headers["proxy-status"],
            "portcullis;error=http_request_error"
        );
        let failure: &Failure = head.extensions.get().unwrap();
        assert_eq!(failure.kind(), Some(ErrorKind::HttpRequestError));
        let problem = Problem::from_slice(text(body).await.as_bytes()).unwrap();
        assert_eq!(problem.extensions["param"], param);
        assert_eq!(problem.detail.as_deref(), Some(detail));
        assert_eq!(upstream.calls(), 0, "{detail}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_refused_unread() {
    let Fixture {
        mut service,
        upstream,
        ..
    } = fixture(nest_input());
    let hint = http_body::SizeHint::with_exact(65);

    // It would stall for ever.
    let body = ScriptBody::new([Step::Stall]).hint(hint);
    let response = send(&mut service, json_post(body)).await;

    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_body_of_just_the_limit_passes() {
    let Fixture {
        mut service,
        upstream,
        ..
    } = fixture(nest_input());
    let just = r#"{"input":"0123456789012345678901234567890123456789012345678901"}"#;
    let over = r#"{"input":"01234567890123456789012345678901234567890123456789012"}"#;
    assert_eq!((just.len(), over.len()), (64, 65));

    let just = send(&mut service, json_post(full(just))).await;
    let over = send(&mut service, json_post(full(over))).await;

    assert_eq!(over.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(just.status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_refusal_is_logged_once_and_without_a_value() {
    let log = Log::get();
    let rule = Rule::require("body:/logged".parse().unwrap());
    let mapping = Mapping::builder().rule(rule).build().unwrap();
    let Fixture { mut service, .. } = fixture(mapping);
    let mut request = json_post(full(r#"{"log":"secret-a"}"#));
    *request.uri_mut() = "/?access_token=secret-b".parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", "secret-c".parse().unwrap());

    let response = send(&mut service, request)
        .instrument(log.span("refused"))
        .await;

    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let lines = log.lines("refused");
    let [line] = &*lines else {
        panic!("one line: {lines:?}")
    };
    assert!(
        line.contains("DEBUG") && line.contains("request refused"),
        "{line}"
    );
    assert!(line.contains(r#"param="body:/logged""#), "{line}");
    assert!(!line.contains("secret"), "{line}");
    assert!(!text(response.into_body()).await.contains("secret"));
}

#[tokio::test]
async fn two_content_types_are_refused_where_the_body_must_be_read() {
    for (rule, status) in [("body:/a", 400), ("header:x", 200)] {
        let mapping = Mapping::builder().rule(Rule::remove(rule.parse().unwrap()));
        let Fixture { mut service, .. } = fixture(mapping.build().unwrap());
        let mut request = json_post(full(r#"{"a":1}"#));
        let other = "text/plain".parse().unwrap();
        request.headers_mut().append("content-type", other);

        let response = send(&mut service, request).await;

        assert_eq!(response.status(), status, "{rule}");
    }
}
