//! What was dropped, clamped and coerced is told: in the log, in the response's extensions, and in a header if one is named.

use http::{HeaderName, Request, Response};
use portcullis_param_mapping::{ChangeKind, Mapping, ParamMappingLayer, Report};
use portcullis_test_support::{Log, ScriptBody};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Instrument;

use crate::{full, send};

const HEADER: HeaderName = HeaderName::from_static("x-mapped");

type Body = http_body_util::Full<bytes::Bytes>;

/// The response to a request with this body and query, of an upstream that answers with `answer`.
async fn exchange(
    yaml: &str,
    query: &str,
    body: &'static str,
    answer: &'static str,
) -> Response<impl http_body::Body<Data = bytes::Bytes>> {
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(yaml);
    let mapping = Mapping::from_yaml(yaml).unwrap_or_else(|mistake| panic!("{yaml}: {mistake}"));
    let upstream = service_fn(
        async move |request: Request<portcullis_param_mapping::RequestBody<Body>>| {
            assert!(request.extensions().get::<Report>().is_none());
            let response = Response::builder().header("content-type", "application/json");
            // Whoever says so, it is not what this layer did.
            let response = response.header(HEADER, "dropped=(\"body:/lie\")");
            Ok::<_, std::convert::Infallible>(response.body(full(answer)).unwrap())
        },
    );
    let layer = ParamMappingLayer::new(mapping).report_header(HEADER);
    let content_type = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let request = Request::post(format!("/{query}"))
        .header("content-type", content_type)
        .header("cookie", "c=1; d=2")
        .header("x-debug", "1");
    let request = request.body(full(body)).unwrap();
    layer.layer(upstream).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn each_change_is_named_in_the_header_and_nothing_else_is() {
    for (rules, body, expected) in [
        (
            "{remove: body:/k}",
            r#"{"k":1}"#,
            Some(r#"dropped=("body:/k")"#),
        ),
        ("{remove: body:/k}", "{}", None),
        (
            "{move: [body:/new, body:/t], to: body:/new, with: {clamp: {max: 1}}}",
            r#"{"t":2}"#,
            Some(r#"clamped=("body:/t")"#),
        ),
        (
            "{remove: body:/k}, {set: body:/k, value: 1}",
            r#"{"k":2}"#,
            None,
        ),
        (
            "{remove: header:x-debug}",
            "{}",
            Some(r#"dropped=("header:x-debug")"#),
        ),
        ("{remove: header:x-none}", "{}", None),
        (
            "{remove: [cookie:c, cookie:x]}",
            "{}",
            Some(r#"dropped=("cookie:c")"#),
        ),
        ("{allow: cookie:c}", "{}", Some(r#"dropped=("cookie:")"#)),
        ("{allow: [cookie:c, cookie:d]}", "{}", None),
        (
            "{remove: [form:a, form:x]}",
            "a=1&b=2",
            Some(r#"dropped=("form:a")"#),
        ),
        ("{allow: form:a}", "a=1&b=2", Some(r#"dropped=("form:")"#)),
        ("{allow: [form:a, form:b]}", "a=1&b=2", None),
        (
            "{set: var:v, from: query:q, with: {coerce: integer}}, {set: body:/q, from: var:v}",
            "{}",
            Some(r#"coerced=("query:q")"#),
        ),
        (
            "{remove: [query:q, query:r]}",
            "{}",
            Some(r#"dropped=("query:q")"#),
        ),
        ("{move: body:/k, to: body:/l}", r#"{"k":1}"#, None),
        (
            "{update: body:/t, with: {clamp: {max: 1}}}",
            r#"{"t":2}"#,
            Some(r#"clamped=("body:/t")"#),
        ),
        (
            "{update: body:/t, with: {clamp: {max: 1}}}",
            r#"{"t":1.0}"#,
            None,
        ),
        (
            "{update: body:/t, with: [{coerce: number}, {clamp: {max: 1}}]}",
            r#"{"t":"2"}"#,
            Some(r#"clamped=("body:/t"), coerced=("body:/t")"#),
        ),
        (
            "{update: body:/t, with: {coerce: number}}",
            r#"{"t":2}"#,
            None,
        ),
        (
            "{move: query:q, to: body:/q, with: {coerce: integer}}",
            "{}",
            Some(r#"coerced=("query:q")"#),
        ),
        (
            "{update: body:/t, with: {validate: {max: 1}}, on_error: drop}",
            r#"{"t":2}"#,
            Some(r#"dropped=("body:/t")"#),
        ),
        (
            "{update: body:/t, with: [{coerce: number}, {validate: {max: 1}}], on_error: keep}",
            r#"{"t":"2"}"#,
            None,
        ),
        (
            "{update: body:/e, with: {map: {table: {a: b}, otherwise: drop}}}",
            r#"{"e":"x"}"#,
            Some(r#"dropped=("body:/e")"#),
        ),
        (
            "{update: 'body:$.m[*].t', with: {clamp: {max: 1}}}",
            r#"{"m":[{"t":2},{"t":3},{"t":0}]}"#,
            Some(r#"clamped=("item:/t")"#),
        ),
        (
            "{allow: [body:/a, query:q, header:x-a]}",
            r#"{"a":1,"b":2}"#,
            Some(r#"dropped=("body:" "header:")"#),
        ),
        (
            "{allow: query:r}",
            r#"{"a":1,"b":2}"#,
            Some(r#"dropped=("query:")"#),
        ),
        ("{allow: body:/a}", r#"{"a":1}"#, None),
    ] {
        let yaml = format!("rules: [{rules}]");

        let response = exchange(&yaml, "?q=7", body, "{}").await;

        let header = response.headers().get(HEADER);
        let header = header.map(|value| value.to_str().unwrap());
        assert_eq!(header, expected, "{rules} on {body}");
        assert_eq!(
            response.extensions().get::<Report>().is_some(),
            expected.is_some()
        );
    }
}

#[tokio::test]
async fn the_response_is_told_behind_the_request() {
    let yaml = "
request: {rules: [{remove: body:/k}], unmapped: drop}
response: {rules: [{remove: body:/secret}, {remove: header:x-none}]}";

    let response = exchange(yaml, "", r#"{"k":1,"l":2}"#, r#"{"secret":1}"#).await;

    assert_eq!(
        response.headers()[HEADER],
        r#"dropped=("body:/k" "body:" "body:/secret")"#
    );
    let report = response.extensions().get::<Report>().unwrap();
    let last = report.changes().last().unwrap();
    assert_eq!((last.kind(), last.count()), (ChangeKind::Dropped, 1));
}

#[tokio::test]
async fn a_response_that_is_refused_tells_what_was_done_to_its_request() {
    let rules = "{request: {rules: [{remove: query:z}]}, response: {rules: [{require: body:/a}]}}";

    let response = exchange(rules, "?z=1", "{}", "{}").await;

    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()[HEADER], "dropped=(\"query:z\")");
}

#[tokio::test]
async fn layers_around_each_other_tell_it_together() {
    let mapping = |rule: &str| Mapping::from_yaml(&format!("rules: [{rule}]")).unwrap();
    let upstream = service_fn(async |_: Request<_>| {
        Ok::<_, std::convert::Infallible>(Response::new(ScriptBody::chunks(["hello"])))
    });
    let inner = ParamMappingLayer::new(mapping("{remove: query:b}")).layer(upstream);
    let mut outer = ParamMappingLayer::new(mapping("{remove: query:a}"))
        .report_header(HEADER)
        .layer(inner);

    let request = Request::get("/?a=1&b=2").body(full("")).unwrap();
    let response = send(&mut outer, request).await;

    assert_eq!(
        response.headers()[HEADER],
        r#"dropped=("query:a" "query:b")"#
    );
}

#[tokio::test]
async fn a_change_is_one_event_without_the_value() {
    let log = Log::get();
    let rules = "rules: [{update: 'body:$.m[*].t', with: {clamp: {max: 1}}}, {update: body:/n, with: {validate: {type: boolean}}, on_error: drop}]";

    exchange(
        rules,
        "",
        r#"{"m":[{"t":777},{"t":778}],"n":"secret"}"#,
        "{}",
    )
    .instrument(log.span("changes"))
    .await;

    let lines = log.lines("changes");
    let [dropped, clamped] = &*lines else {
        panic!("{lines:?}")
    };
    for (line, parts) in [
        (
            clamped,
            [
                r#"kind="clamped" param="item:/t" count=2"#,
                "parameter changed",
            ],
        ),
        (
            dropped,
            [
                r#"kind="dropped" param="body:/n" count=1"#,
                r#"reason="body:/n must be a boolean, is a string""#,
            ],
        ),
    ] {
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("77") && !line.contains("secret"), "{line}");
    }
}

#[tokio::test]
async fn what_is_refused_tells_no_change() {
    let rules = "rules: [{remove: body:/a}, {require: body:/b}]";

    let response = exchange(rules, "", r#"{"a":1}"#, "{}").await;

    assert_eq!(response.status(), 400);
    assert!(response.headers().get(HEADER).is_none());
}

#[cfg(feature = "metrics")]
#[test]
fn changes_are_counted() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let rules = "rules: [{update: 'body:$.m[*]', with: {clamp: {max: 1}}}]";
    let mapping = Mapping::from_yaml(rules).unwrap();

    metrics::with_local_recorder(&recorder, || {
        mapping
            .apply(&r#"{"m":[2,3,1]}"#.into())
            .unwrap()
            .is_changed()
    });

    let all = snapshotter.snapshot().into_vec();
    let [(key, _, _, DebugValue::Counter(2))] = &*all else {
        panic!("{all:?}")
    };
    let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
    assert_eq!(key.key().name(), "param_mapping.changes");
    assert_eq!(labels, ["clamped", "item:", "request"]);
}
