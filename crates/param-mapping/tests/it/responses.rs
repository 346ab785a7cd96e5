//! The other side: responses, reloads, and which exchanges are mapped at all.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::Problem;
use portcullis_param_mapping::{
    Is, Mapping, ParamMapping, ParamMappingLayer, RequestBody, Route, Rule, Rules, Source, When,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{full, json_post, moves};

type Sent = Request<RequestBody<Full<Bytes>>>;

fn at(text: &str) -> portcullis_param_mapping::Address {
    text.parse().unwrap()
}

fn response_rules(rules: impl IntoIterator<Item = Rule>) -> Mapping {
    let rules = Rules::new().rules(rules);
    Mapping::builder().response(rules).build().unwrap()
}

/// A mapping around an upstream that answers this.
fn answering(
    mapping: Mapping,
    answer: Response<&'static str>,
) -> ParamMapping<
    impl Service<Sent, Response = Response<Full<Bytes>>, Error = std::convert::Infallible, Future: Send>
    + Clone,
> {
    let upstream = service_fn(move |_: Sent| {
        let answer = answer.clone().map(Full::from);
        async move { Ok(answer) }
    });
    ParamMappingLayer::new(mapping).layer(upstream)
}

fn json_answer(status: u16, body: &'static str) -> Response<&'static str> {
    let response = Response::builder().status(status);
    let response = response.header("content-type", "application/json");
    response.header("etag", "\"1\"").body(body).unwrap()
}

async fn call<S, B>(service: S, request: Request<Full<Bytes>>) -> (http::response::Parts, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_response_is_mapped_and_described_anew() {
    let mapping = response_rules([
        moves("body:/a", "body:/b"),
        Rule::remove(at("header:x-internal")),
    ]);
    let mut answer = json_answer(200, r#"{"a":1.0,"c":2}"#);
    answer
        .headers_mut()
        .insert("x-internal", "1".parse().unwrap());
    answer
        .headers_mut()
        .insert("content-length", "15".parse().unwrap());
    answer
        .headers_mut()
        .insert("accept-ranges", "bytes".parse().unwrap());

    let (parts, body) = call(answering(mapping, answer), json_post(full("{}"))).await;

    assert_eq!(body, r#"{"c":2,"b":1.0}"#);
    assert_eq!(parts.headers["content-length"], "15");
    for gone in ["etag", "accept-ranges", "x-internal"] {
        assert!(!parts.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn response_rules_choose_by_status_and_set_it() {
    let in_band = When::at(at("body:/error_code"), Is::Exists);
    let only_errors = When::at(at("status"), Is::Gte(400.into()));
    let rules = || {
        [
            Rule::set(at("status"), 503).when(in_band.clone()),
            moves("body:/message", "body:/error/message").when(only_errors.clone()),
        ]
    };
    for (status, body, expected, mapped) in [
        (200, r#"{"ok":1}"#, 200, r#"{"ok":1}"#),
        (200, r#"{"error_code":17}"#, 503, r#"{"error_code":17}"#),
        (
            400,
            r#"{"message":"no"}"#,
            400,
            r#"{"error":{"message":"no"}}"#,
        ),
    ] {
        let service = answering(response_rules(rules()), json_answer(status, body));

        let (parts, body) = call(service, json_post(full("{}"))).await;

        assert_eq!((parts.status.as_u16(), body.as_str()), (expected, mapped));
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_mapped_is_a_502_and_never_half_an_answer() {
    for (body, detail) in [
        ("{\"a\":", "the body is not valid JSON at line 1, column 5"),
        (r#"{"b":"secret"}"#, "required parameter body:/a is missing"),
    ] {
        let mapping = response_rules([moves("body:/a", "body:/c").required()]);

        let (parts, body) = call(
            answering(mapping, json_answer(200, body)),
            json_post(full("{}")),
        )
        .await;

        assert_eq!(parts.status, StatusCode::BAD_GATEWAY);
        let problem = Problem::from_slice(body.as_bytes()).unwrap();
        assert_eq!(problem.detail.as_deref(), Some(detail));
        assert!(!body.contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn what_has_no_body_or_is_not_ours_is_not_touched() {
    let rules = || {
        [
            Rule::set(at("body:/a"), 1),
            Rule::set(at("header:x-seen"), "yes"),
        ]
    };
    let head = Request::head("/").body(full("")).unwrap();
    for (request, status, content_type, seen) in [
        (head, 200, "application/json", true),
        (json_post(full("{}")), 204, "application/json", true),
        (json_post(full("{}")), 304, "application/json", true),
        (json_post(full("{}")), 101, "application/json", false),
        (json_post(full("{}")), 200, "application/grpc", true),
    ] {
        let mut answer = json_answer(status, "{}");
        answer
            .headers_mut()
            .insert("content-type", content_type.parse().unwrap());

        let (parts, body) = call(answering(response_rules(rules()), answer), request).await;

        assert_eq!(
            (parts.status.as_u16(), body.as_str()),
            (status, "{}"),
            "{content_type}"
        );
        assert!(parts.headers.contains_key("etag"), "{status}");
        assert_eq!(
            parts.headers.contains_key("x-seen"),
            seen,
            "{status} {content_type}"
        );
    }
}

#[tokio::test]
async fn only_the_route_is_mapped_in_both_directions() {
    let rule = Rule::set(at("header:x-seen"), "yes");
    let mapping = Mapping::builder()
        .route(Route::new("/v1/{kind}").unwrap().method(Method::POST))
        .rule(Rule::require(at("query:key")))
        .response(Rules::new().rule(rule))
        .build()
        .unwrap();
    let service = answering(mapping, json_answer(200, "{}"));
    for (method, target, status, seen) in [
        (Method::POST, "/v1/chat?key=1", 200, true),
        (Method::POST, "/v1/chat", 400, false),
        (Method::GET, "/v1/chat", 200, false),
        (Method::POST, "/v1/chat/more", 200, false),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri(target)
            .body(full(""))
            .unwrap();

        let (parts, _) = call(service.clone(), request).await;

        assert_eq!(parts.status, status, "{method} {target}");
        assert_eq!(
            parts.headers.contains_key("x-seen"),
            seen,
            "{method} {target}"
        );
    }
}

#[tokio::test]
async fn a_reload_reaches_all_services_and_no_exchange_that_has_begun() {
    let stamped = |stamp: &str| response_rules([Rule::set(at("header:x-stamp"), stamp)]);
    let (go, gate) = tokio::sync::watch::channel(false);
    let upstream = service_fn(move |_: Sent| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let layer = ParamMappingLayer::new(stamped("old"));
    let service = layer.layer(upstream);
    let mut begun = Box::pin(service.clone().oneshot(json_post(full("{}"))));
    assert!(futures_pending(begun.as_mut()));

    layer.clone().reload(stamped("new"));
    go.send(true).unwrap();

    assert_eq!(begun.await.unwrap().headers()["x-stamp"], "old");
    let later = service.oneshot(json_post(full("{}"))).await.unwrap();
    assert_eq!(later.headers()["x-stamp"], "new");
}

fn futures_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    future.poll(&mut cx).is_pending()
}

#[tokio::test]
async fn heads_are_mapped_by_the_same_pieces() {
    let echo = service_fn(|request: Sent| async move {
        let mut response = Response::new(Full::<Bytes>::default());
        response.headers_mut().extend(request.headers().clone());
        let uri = request.uri().to_string().parse().unwrap();
        response.headers_mut().insert("x-uri", uri);
        Ok::<_, std::convert::Infallible>(response)
    });
    let mapping = Mapping::builder()
        .rules([
            Rule::set_from(
                at("header:authorization"),
                Source::Template("Bearer {query:key}".to_owned()),
            ),
            Rule::remove(at("query:key")),
            Rule::append(at("query:tag"), Source::Value("b c".into())),
            Rule::prepend(at("header:via"), Source::Value("1.1 a".into())),
            Rule::add(at("header:x-one"), Source::Value(1.into())),
            Rule::replace(at("header:x-none"), Source::Value(1.into())),
            Rule::allow([at("header:via"), at("header:x-one"), at("header:x-none")]),
            Rule::set(at("header:x-odd"), "no").when(When::at(at("method"), Is::Ne("POST".into()))),
        ])
        .build()
        .unwrap();
    let request = Request::post("/p?tag=a&key=k%201")
        .header("via", "1.1 b")
        .header("x-secret", "s");

    let service = ParamMappingLayer::new(mapping).layer(echo);
    let (parts, _) = call(service, request.body(full("")).unwrap()).await;

    let lines: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    for expected in [
        "authorization: Bearer k 1",
        "via: 1.1 a",
        "via: 1.1 b",
        "x-one: 1",
        "x-uri: /p?tag=a&tag=b%20c",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}: {lines:?}"
        );
    }
    assert_eq!(lines.len(), 5, "{lines:?}");
}

#[tokio::test]
async fn no_part_is_asked_for_where_the_whole_must_be_read() {
    for (rule, is_asked) in [
        (Rule::remove(at("body:/secret")), false),
        (Rule::remove(at("header:x")), true),
    ] {
        let upstream = service_fn(|request: Sent| async move {
            let mut answer = Response::new(Full::from("{}"));
            let range = request.headers().get("range").cloned();
            answer.extensions_mut().insert(range.is_some());
            Ok::<_, std::convert::Infallible>(answer)
        });
        let service = ParamMappingLayer::new(response_rules([rule])).layer(upstream);
        let request = Request::get("/").header("range", "bytes=0-9");

        let (parts, _) = call(service, request.body(Full::default()).unwrap()).await;

        assert_eq!(parts.extensions.get(), Some(&is_asked));
    }
}
