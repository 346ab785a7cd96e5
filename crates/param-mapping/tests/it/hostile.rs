//! What others send to do harm: it is refused, with little memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::Problem;
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody, ResponseBody};
use tower::{Layer, ServiceExt, service_fn};

/// A body of a beginning and then one chunk again and again, up to a length.
#[derive(Clone)]
struct Endless {
    start: Option<Bytes>,
    chunk: Bytes,
    left: u64,
    taken: Arc<AtomicU64>,
}

impl Endless {
    fn new(start: &'static str, chunk: &'static [u8], length: u64) -> Self {
        Self {
            start: (!start.is_empty()).then(|| Bytes::from_static(start.as_bytes())),
            chunk: Bytes::from_static(chunk),
            left: length,
            taken: Arc::default(),
        }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.start.take().unwrap_or_else(|| self.chunk.clone());
        let length = u64::try_from(chunk.len()).unwrap();
        if length == 0 || self.left < length {
            return Poll::Ready(None);
        }
        self.left -= length;
        self.taken.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

/// Sends a request through a mapping, to an upstream that answers with this body and says how much it was given. Returns the answer, and the
/// most bytes that were held at a time.
fn exchange(
    mapping: &Mapping,
    request: Request<Endless>,
    answer: Endless,
) -> (StatusCode, String, u64) {
    let answer_type = request.headers()["content-type"].clone();
    let upstream = service_fn(move |request: Request<RequestBody<Endless>>| {
        let (answer, answer_type) = (answer.clone(), answer_type.clone());
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            let response = Response::builder().header("content-type", answer_type);
            Ok::<_, Infallible>(response.body(answer).unwrap())
        }
    });
    let service = ParamMappingLayer::new(mapping.clone()).layer(upstream);
    let mut outcome = None;
    let info = allocation_counter::measure(|| {
        let response: Response<ResponseBody<Endless>> =
            tokio_test::block_on(service.oneshot(request)).unwrap();
        outcome = Some(response);
    });
    let response = outcome.unwrap();
    let status = response.status();
    let detail = if status == StatusCode::OK {
        String::new()
    } else {
        let body = tokio_test::block_on(response.into_body().collect()).unwrap();
        let problem = Problem::from_slice(&body.to_bytes()).unwrap();
        problem.detail.unwrap()
    };
    (status, detail, info.bytes_max)
}

const GIGABYTE: u64 = 1 << 30;

const LETTERS: &[u8] = &[b'a'; 64 * 1024];

fn posted(content_type: &str, body: Endless) -> Request<Endless> {
    let request = Request::post("/").header("content-type", content_type);
    request.body(body).unwrap()
}

#[test]
fn a_string_of_a_gigabyte_is_refused_at_the_limit_and_never_held() {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    for (rules, content_type, start) in [
        ("{remove: body:/a}", json, "{\"a\":\""),
        ("{remove: body:/b}", json, "{\"a\":\""),
        ("{remove: body:/a}", json, "[["),
        ("{remove: form:a}", form, "a="),
        (
            "{remove: form:a}",
            "multipart/form-data; boundary=x",
            "--x\r\n",
        ),
    ] {
        for side in ["request", "response"] {
            let rules = format!("{{{side}: {{rules: [{rules}]}}}}");
            let mapping = Mapping::from_yaml(&rules).unwrap();
            let hostile = Endless::new(start, LETTERS, GIGABYTE);
            let taken = Arc::clone(&hostile.taken);
            let small = || Endless::new("{}", b"", 2);

            let (status, detail, held) = if side == "request" {
                exchange(&mapping, posted(content_type, hostile), small())
            } else {
                exchange(&mapping, posted(content_type, small()), hostile)
            };

            let expected = if side == "request" { 413 } else { 502 };
            assert_eq!(status, expected, "{rules}");
            assert_eq!(detail, "the body is larger than 2097152 bytes");
            assert!(
                taken.load(Ordering::Relaxed) <= (2 << 20) + 65_536,
                "it was read on"
            );
            assert!(held < 5 << 20, "{rules}: {held} bytes were held");
        }
    }
}

#[test]
fn a_gigabyte_that_no_rule_is_about_streams_through_and_is_never_held() {
    let mapping = Mapping::from_yaml("rules: [{set: header:x, value: 1}]").unwrap();
    let body = Endless::new("{\"a\":\"", LETTERS, GIGABYTE);
    let taken = Arc::clone(&body.taken);

    let (status, _, held) = exchange(
        &mapping,
        posted("application/json", body),
        Endless::new("", b"", 0),
    );

    assert_eq!(status, StatusCode::OK);
    assert!(taken.load(Ordering::Relaxed) > GIGABYTE - 65_536);
    assert!(held < 64 << 10, "{held} bytes were held");
}

#[test]
fn a_million_levels_are_refused_with_no_memory_for_each() {
    let mapping = Mapping::from_yaml("rules: [{remove: body:/a}]").unwrap();
    static LEVELS: &[u8] = &[b'['; 1_000_000];

    let (status, detail, held) = exchange(
        &mapping,
        posted("application/json", Endless::new("", LEVELS, 1_000_000)),
        Endless::new("", b"", 0),
    );

    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(detail, "the body is nested deeper than 128 levels");
    assert!(held < 64 << 10, "{held} bytes were held");
}

#[cfg(feature = "codings")]
#[test]
fn a_bomb_is_refused_before_it_takes_memory() {
    use compression_codecs::core::Level;
    use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
    use compression_codecs::{EncodeV2, GzipEncoder, flate};

    // 256 MiB of one letter in less than 300 KiB.
    let mut encoder = GzipEncoder::new(flate::params::FlateEncoderParams::from(Level::Fastest));
    let mut bomb = Vec::new();
    let mut room = vec![0; 1 << 16];
    for _ in 0..(256 << 20) / LETTERS.len() {
        let mut input = PartialBuffer::new(LETTERS);
        while !input.unwritten().is_empty() {
            let mut output = WriteBuffer::new_initialized(&mut room);
            encoder.encode(&mut input, &mut output).unwrap();
            bomb.extend_from_slice(output.written());
        }
    }
    let mapping = Mapping::from_yaml("rules: [{remove: body:/a}]").unwrap();
    let length = u64::try_from(bomb.len()).unwrap();
    let body = Endless {
        start: None,
        chunk: bomb.into(),
        left: length,
        taken: Arc::default(),
    };
    let mut request = posted("application/json", body);
    let gzip = http::HeaderValue::from_static("gzip");
    request.headers_mut().insert("content-encoding", gzip);

    let (status, detail, held) = exchange(&mapping, request, Endless::new("", b"", 0));

    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        [
            "the decoded body is longer than 2097152 bytes",
            "the body decodes to more than 200 times its size"
        ]
        .contains(&&*detail),
        "{detail}"
    );
    assert!(held < 6 << 20, "{held} bytes were held");
}

#[tokio::test]
async fn no_value_ends_a_header_line() {
    for (rule, target, content_type, body) in [
        (
            "{copy: body:/a, to: header:x}",
            "/p",
            "application/json",
            r#"{"a":"1\r\ny: 2"}"#,
        ),
        (
            "{copy: body:/a, to: header:x}",
            "/p",
            "application/json",
            r#"{"a":"1\n"}"#,
        ),
        (
            "{copy: body:/a, to: header:x}",
            "/p",
            "application/json",
            r#"{"a":"\u0000"}"#,
        ),
        (
            "{set: header:x, template: 'a {body:/a}'}",
            "/p",
            "application/json",
            r#"{"a":"\r"}"#,
        ),
        (
            "{copy: query:a, to: header:x}",
            "/p?a=1%0d%0ay:2",
            "application/json",
            "",
        ),
        (
            "{copy: 'path:{p}', to: header:x}",
            "/a%0d%0ay:2",
            "application/json",
            "",
        ),
        (
            "{copy: form:a, to: header:x}",
            "/p",
            "application/x-www-form-urlencoded",
            "a=1%0D%0Ay:2",
        ),
        (
            "{copy: body:/a, to: var:v}, {set: header:x, from: var:v}",
            "/p",
            "application/json",
            r#"{"a":"\n"}"#,
        ),
    ] {
        let rules = format!("match: {{path: '/{{p}}'}}\nrules: [{rule}]");
        let upstream = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
            Ok::<_, Infallible>(Response::new(Full::from("called")))
        });
        let layer = ParamMappingLayer::new(Mapping::from_yaml(&rules).unwrap());
        let request = Request::post(target).header("content-type", content_type);

        let response = layer
            .layer(upstream)
            .oneshot(request.body(Full::from(body)).unwrap());

        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{rule}");
        let problem = response.into_body().collect().await.unwrap().to_bytes();
        let problem = Problem::from_slice(&problem).unwrap();
        let detail = problem.detail.unwrap();
        assert!(
            detail.ends_with("holds a character that header:x cannot hold"),
            "{detail}"
        );
    }
}
