//! What becomes of the bodies and the headers that describe them.

use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody, Rule};
use portcullis_test_support::{BoxError, Probe, ScriptBody, Step};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt};

use crate::{Fixture, fixture, full, json_post, moves, nest_input, send};

#[tokio::test]
async fn a_body_that_no_rule_touches_streams_through_whatever_its_size() {
    let rule = moves("query:text", "header:x-text");
    let mapping = Mapping::builder().max_body_bytes(1).rule(rule).build();
    let (probe, upstream) = Probe::new(|request: Request<RequestBody<ScriptBody>>| async {
        Ok::<_, BoxError>(Response::new(request.into_body()))
    });
    let service = ParamMappingLayer::new(mapping.unwrap()).layer(probe);
    let body = ScriptBody::new([Step::data("not json"), Step::Stall]);

    // The upstream answers while the body is still open.
    let response = service.oneshot(json_post(body)).await.unwrap();

    let mut body = task::spawn(response.into_body());
    let frame = body.enter(|cx, body| body.poll_frame(cx));
    let std::task::Poll::Ready(Some(Ok(frame))) = frame else {
        panic!("the first frame is there: {frame:?}");
    };
    assert_eq!(frame.into_data().unwrap(), "not json");
    assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_mapped_body_is_described_as_it_is_and_keeps_its_trailers() {
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(nest_input());
    let end = header::HeaderName::from_static("x-end");
    let trailers = HeaderMap::from_iter([(end, "x".parse().unwrap())]);
    for (trailers, expected) in [
        (None, ["content-length", "content-type"]),
        (Some(trailers), ["content-type", "transfer-encoding"]),
    ] {
        let data = Step::data(r#"{"input":1}"#);
        // A digest is that of what came.
        let sent = trailers.clone().map(|mut sent: HeaderMap| {
            sent.insert("content-digest", "sha-256=:AA==:".parse().unwrap());
            sent
        });
        let steps = std::iter::once(data).chain(sent.map(Step::Trailers));
        let mut request = json_post(ScriptBody::new(steps));
        let headers = request.headers_mut();
        headers.insert(header::TRANSFER_ENCODING, "chunked".parse().unwrap());
        headers.insert("content-digest", "sha-256=:AA==:".parse().unwrap());

        send(&mut service, request).await;

        let received = received.lock().unwrap();
        let head = received.head.as_ref().unwrap();
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(received.body, r#"{"parameters":{"input":1}}"#);
        assert_eq!(received.trailers, trailers);
    }
}

#[tokio::test]
async fn a_body_that_was_read_says_its_size() {
    let (probe, _upstream) = Probe::new(|request: Request<RequestBody<_>>| async move {
        let body = request.body();
        assert_eq!(body.size_hint().exact(), Some(26));
        assert!(!body.is_end_stream());
        Ok::<_, BoxError>(Response::new(ScriptBody::chunks([])))
    });
    let service = ParamMappingLayer::new(nest_input()).layer(probe);

    let response = service.oneshot(json_post(full(r#"{"input":1}"#))).await;

    let body = response.unwrap().into_body();
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test]
async fn an_empty_body_becomes_an_object() {
    let rule = Rule::set("body:/a".parse().unwrap(), 1);
    let mapping = Mapping::builder().rule(rule).build().unwrap();
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(mapping);
    for body in [
        ScriptBody::new([]),
        ScriptBody::new([Step::Pending, Step::data("")]),
    ] {
        send(&mut service, json_post(body)).await;

        let received = std::mem::take(&mut *received.lock().unwrap());
        let head = received.head.unwrap();
        assert_eq!(received.body, r#"{"a":1}"#);
        assert_eq!(head.headers[header::CONTENT_LENGTH], "7");
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
    }
}

#[tokio::test]
async fn grpc_messages_are_never_read() {
    let mapping = Mapping::builder()
        .rule(Rule::require("body:/a".parse().unwrap()))
        .rule(moves("header:x-a", "header:x-b"))
        .build();
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(mapping.unwrap());
    let request = Request::post("/package.Service/Method")
        .header("content-type", "application/grpc")
        .header("x-a", "1")
        .body(full("\0\0\0\0\u{2}{}"))
        .unwrap();

    send(&mut service, request).await;

    let received = received.lock().unwrap();
    assert_eq!(received.body, "\0\0\0\0\u{2}{}");
    assert_eq!(received.head.as_ref().unwrap().headers["x-b"], "1");
}
