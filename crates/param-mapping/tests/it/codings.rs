//! Bodies with a content coding, on both sides.

use bytes::Bytes;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, brotli, flate};
use http::{Request, Response, StatusCode, header, response};
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::Problem;
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
use portcullis_test_support::{BoxError, Probe};
use tower::{Layer, ServiceExt};

const NAMES: &[&str] = &[
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    #[cfg(feature = "zstd")]
    "zstd",
    "gzip, br",
];

fn encoded(coding: &str, text: &[u8]) -> Vec<u8> {
    if let Some((first, then)) = coding.split_once(", ") {
        return encoded(then, &encoded(first, text));
    }
    let level = || flate::params::FlateEncoderParams::from(Level::Default);
    let mut encoder: Box<dyn EncodeV2> = match coding {
        "deflate" => Box::new(ZlibEncoder::new(level())),
        "br" => Box::new(BrotliEncoder::new(brotli::params::EncoderParams::default())),
        #[cfg(feature = "zstd")]
        "zstd" => Box::new(compression_codecs::ZstdEncoder::new(3)),
        _ => Box::new(GzipEncoder::new(level())),
    };
    let mut encoded = Vec::new();
    let mut input = PartialBuffer::new(text);
    let mut room = vec![0; 4096];
    loop {
        let mut output = WriteBuffer::new_initialized(&mut room);
        let is_all = input.unwritten().is_empty();
        let is_done = if is_all {
            encoder.finish(&mut output).unwrap()
        } else {
            encoder.encode(&mut input, &mut output).unwrap();
            false
        };
        encoded.extend_from_slice(output.written());
        if is_done {
            return encoded;
        }
    }
}

/// The request as the upstream got it, which the head of the response tells of, and the response as the caller gets it. The upstream answers
/// with what it got.
async fn echoed(
    rules: &str,
    coding: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> (response::Parts, Bytes) {
    let mapping = Mapping::from_yaml(rules).unwrap();
    let (probe, _) = Probe::new(|request: Request<RequestBody<Full<Bytes>>>| async {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut response = Response::new(Full::new(body));
        *response.headers_mut() = head.headers;
        Ok::<_, BoxError>(response)
    });
    let body = body.into();
    let request = Request::post("/")
        .header("content-type", content_type)
        .header("content-encoding", coding)
        .header("content-length", body.len())
        .body(Full::from(body));

    let service = ParamMappingLayer::new(mapping).layer(probe);
    let response = service.oneshot(request.unwrap()).await.unwrap();

    let (head, body) = response.into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

const JSON: &str = "application/json";

const REQUEST: &str = "rules: [{move: body:/a, to: body:/b, require: true}]";

const RESPONSE: &str = "response: {rules: [{move: body:/a, to: body:/b, require: true}]}";

#[tokio::test]
async fn a_coded_body_is_read_on_both_sides_and_goes_on_without_coding() {
    for rules in [REQUEST, RESPONSE] {
        for coding in NAMES {
            let (head, body) = echoed(rules, coding, JSON, encoded(coding, br#"{"a":1.0}"#)).await;

            assert_eq!(body, r#"{"b":1.0}"#, "{coding}");
            assert_eq!(head.headers[header::CONTENT_LENGTH], "9");
            assert!(!head.headers.contains_key(header::CONTENT_ENCODING));
        }
    }
    let form = "application/x-www-form-urlencoded";
    let (head, body) = echoed(
        "rules: [{remove: form:a}]",
        "gzip",
        form,
        encoded("gzip", b"a=1&b=+"),
    )
    .await;
    assert_eq!(body, "b=+");
    assert!(!head.headers.contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn a_coded_body_that_no_rule_changes_goes_on_as_it_came() {
    for rules in [
        "rules: [{remove: body:/x}, {copy: body:/a, to: header:x}]",
        "response: {rules: [{remove: body:/x}, {copy: body:/a, to: header:x}]}",
    ] {
        let sent = encoded("gzip", br#"{"a": 1}"#);

        let (head, body) = echoed(rules, "gzip", JSON, sent.clone()).await;

        assert_eq!(body, sent);
        assert_eq!(head.headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(head.headers[header::CONTENT_LENGTH], sent.len().to_string());
        assert_eq!(head.headers["x"], "1");
    }
}

#[tokio::test]
async fn a_coding_that_is_unknown_streams_through_where_no_rule_needs_the_body() {
    for (rules, status) in [
        ("rules: [{move: body:/a, to: body:/b}]", 200),
        (REQUEST, 415),
        ("response: {rules: [{move: body:/a, to: body:/b}]}", 200),
        (RESPONSE, 502),
    ] {
        let (head, body) = echoed(rules, "lzw", JSON, r#"{"a":1}"#).await;

        assert_eq!(head.status, status, "{rules}");
        if status == 200 {
            assert_eq!(body, r#"{"a":1}"#);
            assert_eq!(head.headers[header::CONTENT_ENCODING], "lzw");
        }
    }
}

#[tokio::test]
async fn bombs_and_broken_bodies_are_refused_within_the_limits() {
    let ones = |count| format!("[{}1]", "1,".repeat(count));
    let limited = |rules: &str| format!("max_body_bytes: 65536\n{rules}");
    let numbers: Vec<_> = (0..20_000).collect();
    let too_long = encoded("gzip", format!("{numbers:?}").as_bytes());
    let bomb = encoded("gzip", ones(600_000).as_bytes());
    let twice = encoded("gzip, gzip", ones(600_000).as_bytes());
    let broken = b"\x1f\x8bno gzip at all".to_vec();
    let mut cut_off = encoded("gzip", br#"{"a":1}"#);
    cut_off.truncate(12);
    for (settings, coding, body, status, detail) in [
        (
            true,
            "gzip",
            too_long,
            413,
            "the decoded body is longer than 65536 bytes",
        ),
        (
            false,
            "gzip",
            bomb,
            413,
            "the body decodes to more than 200 times its size",
        ),
        (
            false,
            "gzip, gzip",
            twice,
            413,
            "the body decodes to more than 200 times its size",
        ),
        (false, "gzip", broken, 400, "the body is not valid gzip"),
        (false, "gzip", cut_off, 400, "the gzip body breaks off"),
        (
            true,
            "gzip",
            vec![0; 65_537],
            413,
            "the body is larger than 65536 bytes",
        ),
    ] {
        for (rules, status) in [(REQUEST, status), (RESPONSE, 502)] {
            let rules = if settings {
                limited(rules)
            } else {
                rules.to_owned()
            };

            let (head, problem) = echoed(&rules, coding, JSON, body.clone()).await;

            assert_eq!(
                head.status,
                StatusCode::from_u16(status).unwrap(),
                "{detail}"
            );
            let problem = Problem::from_slice(&problem).unwrap();
            assert_eq!(problem.detail.as_deref(), Some(detail));
        }
    }
}

#[tokio::test]
async fn what_is_accepted_is_narrowed_only_where_the_response_is_read() {
    let headers = "response: {rules: [{remove: header:x}]}";
    for (rules, before, after) in [
        (RESPONSE, Some("gzip, lzw, *"), Some("gzip")),
        (RESPONSE, Some("lzw"), Some("identity")),
        (RESPONSE, Some("gzip;q=0.5,br"), Some("gzip;q=0.5,br")),
        (RESPONSE, None, None),
        (headers, Some("lzw"), Some("lzw")),
        (REQUEST, Some("lzw"), Some("lzw")),
        (
            "{rules: [{set: header:accept-encoding, value: lzw}], response: {rules: [{remove: body:/a}]}}",
            Some("gzip"),
            Some("lzw"),
        ),
        (
            "{rules: [{copy: header:accept-encoding, to: header:y}], response: {rules: [{remove: body:/a}]}}",
            Some("lzw"),
            Some("identity"),
        ),
    ] {
        let mapping = Mapping::from_yaml(rules).unwrap();
        let (probe, _) = Probe::new(|request: Request<RequestBody<Full<Bytes>>>| async move {
            let mut response = Response::new(Full::from(r#"{"a":1}"#));
            let sent = request.headers().get(header::ACCEPT_ENCODING);
            if let Some(sent) = sent {
                response.headers_mut().insert("x-sent", sent.clone());
            }
            if let Some(seen) = request.headers().get("y") {
                assert_eq!(seen, "lzw", "rules see what the caller said");
            }
            let json = header::HeaderValue::from_static(JSON);
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok::<_, BoxError>(response)
        });
        let mut request = Request::post("/").header("content-type", JSON);
        if let Some(before) = before {
            request = request.header(header::ACCEPT_ENCODING, before);
        }
        let request = request.body(Full::from(r#"{"a":1}"#)).unwrap();

        let response = ParamMappingLayer::new(mapping)
            .layer(probe)
            .oneshot(request)
            .await;

        let response = response.unwrap();
        let sent = response.headers().get("x-sent");
        assert_eq!(sent.map(|sent| sent.to_str().unwrap()), after, "{rules}");
    }
}
