//! Streams through the layer.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::response::Builder;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody, ResponseBody};
use portcullis_test_support::{ScriptBody, Step};
use tower::{Layer, ServiceExt, service_fn};

use crate::{full, json_post};

const RULES: &str = "
response:
  rules:
    - {set: header:x-mapped, value: 1}
    - {set: body:/whole, value: 1}
stream:
  rules:
    - {move: data:/a, to: data:/b}
    - {set: data:/status, from: status, when: {data:/tell: {exists: true}, header:x-tell: \"yes\"}}
";

/// What comes of this response, to a request with this method.
async fn answer(
    yaml: &str,
    method: Method,
    response: Response<ScriptBody>,
) -> Response<ResponseBody<ScriptBody>> {
    let response = Arc::new(Mutex::new(Some(response)));
    let upstream = service_fn(
        move |_: Request<RequestBody<http_body_util::Full<Bytes>>>| {
            let response = response.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(response) }
        },
    );
    let mapping = Mapping::from_yaml(yaml).unwrap();
    let service = ParamMappingLayer::new(mapping).layer(upstream);
    let mut request = json_post(full(""));
    *request.method_mut() = method;
    service.oneshot(request).await.unwrap()
}

async fn text(response: Response<ResponseBody<ScriptBody>>) -> String {
    crate::text(response.into_body()).await
}

fn typed(content_type: &str) -> Builder {
    Response::builder().header("content-type", content_type)
}

#[tokio::test]
async fn a_stream_is_known_by_its_content_type_and_described_anew() {
    for (content_type, input, expected) in [
        (
            "text/event-stream; charset=utf-8",
            "data: {\"a\":1}\n\n",
            "data: {\"b\":1}\n\n",
        ),
        ("application/x-ndjson", "{\"a\":1}\n", "{\"b\":1}\n"),
    ] {
        let response = typed(content_type)
            .header("content-length", input.len())
            .header("etag", "\"1\"")
            .header("content-digest", "x")
            .header("accept-ranges", "bytes")
            .body(ScriptBody::chunks([input]))
            .unwrap();

        let response = answer(RULES, Method::POST, response).await;

        for gone in ["content-length", "etag", "content-digest", "accept-ranges"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        assert_eq!(
            response.headers()["x-mapped"],
            "1",
            "the head has its rules"
        );
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(text(response).await, expected);
    }
}

#[tokio::test]
async fn what_is_no_stream_is_a_response_like_any_other() {
    for (yaml, content_type, status, input, expected) in [
        (
            RULES,
            "application/json",
            200,
            "{\"a\":1}",
            "{\"a\":1,\"whole\":1}",
        ),
        (RULES, "text/plain", 502, "data: {\"a\":1}\n\n", ""),
        (
            "response: {rules: [{remove: body:/a}]}",
            "text/event-stream",
            200,
            "data: {\"a\":1}\n\n",
            "data: {\"a\":1}\n\n",
        ),
    ] {
        let response = typed(content_type)
            .body(ScriptBody::chunks([input]))
            .unwrap();

        let response = answer(yaml, Method::POST, response).await;

        assert_eq!(response.status(), status, "{content_type}");
        if status == 200 {
            assert_eq!(text(response).await, expected, "{content_type}");
        }
    }
}

#[tokio::test]
async fn a_json_response_is_a_stream_where_the_mapping_says_so() {
    let yaml = format!("{RULES}  framing: json_array\n");
    for (status, content_type, input, expected) in [
        (
            200,
            "application/json",
            "[{\"a\":1},\n{\"a\":2}]",
            "[{\"b\":1},{\"b\":2}]",
        ),
        (
            400,
            "application/json",
            "{\"a\":1}",
            "{\"a\":1,\"whole\":1}",
        ),
        (
            200,
            "text/event-stream",
            "data: {\"a\":1}\n\n",
            "data: {\"b\":1}\n\n",
        ),
        (200, "application/grpc", "[{\"a\":1}]", "[{\"a\":1}]"),
    ] {
        let response = typed(content_type).status(status);
        let response = response.body(ScriptBody::chunks([input])).unwrap();

        let response = answer(&yaml, Method::POST, response).await;

        assert_eq!(text(response).await, expected, "{status} {content_type}");
    }
}

#[tokio::test]
async fn a_response_without_a_body_keeps_its_head() {
    for (method, status) in [
        (Method::HEAD, 200),
        (Method::POST, 204),
        (Method::POST, 304),
    ] {
        let response = typed("text/event-stream")
            .status(status)
            .header("etag", "\"1\"");
        let response = response.body(ScriptBody::chunks([])).unwrap();

        let response = answer(RULES, method, response).await;

        assert!(response.headers().contains_key("etag"), "{status}");
    }
}

#[tokio::test]
async fn rules_see_the_head_of_the_response_as_it_came() {
    for (tell, expected) in [
        ("yes", "data: {\"tell\":0,\"status\":429}\n\n"),
        ("no", "data: {\"tell\":0}\n\n"),
    ] {
        let response = typed("text/event-stream")
            .status(429)
            .header("x-tell", tell);
        let response = response.body(ScriptBody::chunks(["data: {\"tell\":0}\n\n"]));

        let response = answer(RULES, Method::POST, response.unwrap()).await;

        assert_eq!(text(response).await, expected);
    }
}

#[tokio::test]
async fn what_was_written_for_the_request_is_known_for_each_event() {
    let yaml = "
request: {rules: [{set: var:model, from: header:x-model}, {set: var:other, value: 7}]}
stream: {state: {n: counter}, rules: [{set: data:/model, template: '{var:model}-{var:n}'}]}
";
    let upstream = service_fn(
        |request: Request<RequestBody<http_body_util::Full<Bytes>>>| {
            let accepts = request.headers()["accept-encoding"].clone();
            let response = typed("text/event-stream").header("x-accepts", accepts);
            let body = ScriptBody::chunks(["data: {}\n\n", "data: {}\n\n"]);
            async move { Ok::<_, Infallible>(response.body(body).unwrap()) }
        },
    );
    let service = ParamMappingLayer::new(Mapping::from_yaml(yaml).unwrap()).layer(upstream);
    let mut request = json_post(full("{}"));
    request
        .headers_mut()
        .insert("x-model", "m".parse().unwrap());
    request
        .headers_mut()
        .insert("accept-encoding", "x-odd, identity".parse().unwrap());

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(
        response.headers()["x-accepts"],
        "identity",
        "none that cannot be taken off"
    );
    let expected = "data: {\"model\":\"m-1\"}\n\ndata: {\"model\":\"m-2\"}\n\n";
    assert_eq!(text(response).await, expected);
}

#[tokio::test]
async fn an_event_leaves_once_it_is_complete_and_a_dropped_body_drops_the_inner_one() {
    let inner = ScriptBody::new([
        Step::Data("data: {\"a\":1}\n\ndata: {\"a\"".into()),
        Step::Stall,
    ]);
    let dropped = inner.dropped();
    let response = typed("text/event-stream").body(inner).unwrap();

    let mut body = answer(RULES, Method::POST, response).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();

    assert_eq!(first, "data: {\"b\":1}\n\n");
    let next = tokio_test::task::spawn(body.frame()).poll();
    assert!(next.is_pending());
    assert!(!dropped.load(Ordering::SeqCst));
    drop(body);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn nothing_is_asked_of_the_inner_body_before_the_caller_asks() {
    let polled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&polled);
    let chunks = std::iter::repeat_with(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(Bytes::from("data: {\"a\":1}\n\n")))
    });
    let chunks: Box<dyn Iterator<Item = _> + Send> = Box::new(chunks);
    let mapping = Mapping::from_yaml(RULES).unwrap();
    let inner = Endless(chunks);

    let mut body = mapping.event_body(inner, portcullis_param_mapping::Framing::Sse);

    for asked in 1..5 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(polled.load(Ordering::SeqCst), asked);
    }
}

type Frames = Box<dyn Iterator<Item = Result<Frame<Bytes>, Infallible>> + Send>;

/// A body that is there at once and never ends.
struct Endless(Frames);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn trailers_follow_the_events() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let inner = ScriptBody::new([
        Step::Data("data: {\"a\":1}\n\n".into()),
        Step::Trailers(trailers.clone()),
    ]);
    let response = typed("text/event-stream").body(inner).unwrap();

    let response = answer(RULES, Method::POST, response).await;
    let collected = response.into_body().collect().await.unwrap();

    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "data: {\"b\":1}\n\n");
}

#[tokio::test]
async fn an_unknown_coding_passes_with_its_stream() {
    let response = typed("text/event-stream").header("content-encoding", "x-odd");
    let response = response.body(ScriptBody::chunks(["?"])).unwrap();
    let rules = "stream: {rules: [{remove: data:/a}]}";

    let response = answer(rules, Method::POST, response).await;

    assert_eq!(response.headers()["content-encoding"], "x-odd");
    assert_eq!(text(response).await, "?");
}

#[cfg(feature = "codings")]
#[tokio::test]
async fn a_coding_is_taken_off() {
    // `data: {"a":1}` and an empty line, as a gzip member with one stored block.
    let gzip =
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x0f\0\xf0\xffdata: {\"a\":1}\n\n\x3eut\t\x0f\0\0\0";
    let steps = gzip
        .chunks(3)
        .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk)));
    let response = typed("text/event-stream").header("content-encoding", "gzip");
    let response = response.body(ScriptBody::new(steps)).unwrap();

    let response = answer(RULES, Method::POST, response).await;

    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(text(response).await, "data: {\"b\":1}\n\n");
}

#[tokio::test]
async fn events_come_one_by_one_over_a_socket() {
    let (events, received) = tokio::sync::mpsc::channel::<Bytes>(1);
    let received = Arc::new(Mutex::new(Some(received)));
    let upstream = post(move || {
        let received = received.lock().unwrap().take().unwrap();
        async move {
            let response = typed("text/event-stream");
            response
                .body(axum::body::Body::new(Received(received)))
                .unwrap()
        }
    });
    let mapping = Mapping::from_yaml(RULES).unwrap();
    let router = Router::new()
        .route("/", upstream)
        .layer(ParamMappingLayer::new(mapping));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, router).await });
    let client = Client::builder(TokioExecutor::new()).build_http();

    let mut request = json_post(full("{}"));
    *request.uri_mut() = format!("http://{address}/").parse().unwrap();
    let mut body = client.request(request).await.unwrap().into_body();

    // The next event is sent only once the one before was received.
    for index in 0..3 {
        let event = format!("data: {{\"a\":{index}}}\r\n\r\n");
        events.send(event.into()).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, format!("data: {{\"b\":{index}}}\r\n\r\n"));
    }
    drop(events);
    assert!(body.frame().await.is_none());
    server.abort();
}

/// A body of what is sent.
struct Received(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
