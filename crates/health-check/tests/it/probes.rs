use std::convert::Infallible;
use std::future::pending;
use std::ops::RangeInclusive;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis_health_check::{
    CallProbe, Composite, HttpProbe, Pattern, ProbeBody, State, TcpProbe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;

/// Ends the server with the test.
struct Server(JoinHandle<()>, String);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn http(app: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server(task, address)
}

/// A server that does this with every connection.
async fn tcp<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Server
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Server(task, address)
}

fn over_http(server: &Server, path: &str) -> HttpProbe<Client<HttpConnector, ProbeBody>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    HttpProbe::new(
        client,
        format!("http://{}{path}", server.1).parse().unwrap(),
    )
}

async fn outcome(probe: &impl Probe) -> String {
    probe
        .probe()
        .await
        .map_or_else(|error| error.to_string(), |()| "up".to_owned())
}

#[tokio::test]
async fn a_status_means_what_its_ranges_say() {
    let answer = async |headers: HeaderMap| {
        let status = headers["x-answer"].to_str().unwrap().parse::<u16>();
        StatusCode::from_u16(status.unwrap()).unwrap()
    };
    let server = http(Router::new().route("/", get(answer))).await;
    let ranges = |probe: HttpProbe<_>, ranges: &[RangeInclusive<u16>]| {
        let mut ranges = ranges.iter().cloned();
        let probe = probe.expected(ranges.next().unwrap());
        ranges.fold(probe, HttpProbe::also_expected)
    };
    for (status, expected, outcome_then) in [
        ("204", &[200..=399][..], "up"),
        ("204", &[200..=200], "answered 204 No Content"),
        ("404", &[200..=299, 404..=404], "up"),
        ("403", &[200..=299, 404..=404], "answered 403 Forbidden"),
        ("500", &[200..=399], "answered 500 Internal Server Error"),
    ] {
        let probe = ranges(over_http(&server, "/"), expected);
        let value = HeaderValue::from_str(status).unwrap();
        let probe = probe.header("x-answer".parse().unwrap(), value);
        assert_eq!(outcome(&probe).await, outcome_then, "{status} {expected:?}");
    }
}

#[tokio::test]
async fn a_body_must_have_what_is_asked_within_the_limit() {
    let long = format!("{}ready", "x".repeat(1000));
    let app = Router::new()
        .route("/", get(async || r#"{"status":"pass"}"#))
        .route("/long", get(async || long));
    let server = http(app).await;
    for (path, pattern, max, expected) in [
        ("/", Pattern::contains("pass"), 64, "up"),
        ("/", Pattern::starts_with("{").then("pass"), 64, "up"),
        (
            "/",
            Pattern::contains("fail"),
            64,
            r#"answered 200 OK with a body that is not .."fail".. within 17 bytes"#,
        ),
        (
            "/",
            Pattern::starts_with("pass"),
            64,
            r#"answered 200 OK with a body that is not "pass".. within 17 bytes"#,
        ),
        ("/long", Pattern::contains("ready"), 2000, "up"),
        (
            "/long",
            Pattern::contains("ready"),
            1000,
            r#"answered 200 OK with a body that is not .."ready".. within 1000 bytes"#,
        ),
    ] {
        let probe = over_http(&server, path).body(pattern).max_body(max);
        assert_eq!(outcome(&probe).await, expected, "{path}");
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read_for_ever() {
    let server = http(Router::new().route("/", get(async || "y".repeat(10 << 20)))).await;

    assert_eq!(outcome(&over_http(&server, "/")).await, "up");
}

#[tokio::test]
async fn the_request_is_what_was_asked() {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let answer = async move |method: Method, headers: HeaderMap| {
        *note.lock().unwrap() = Some((method, headers));
    };
    let server = http(Router::new().route("/", axum::routing::any(answer))).await;
    let probe = over_http(&server, "/")
        .method(Method::OPTIONS)
        .host(HeaderValue::from_static("orders.internal"))
        .header(
            http::header::USER_AGENT,
            HeaderValue::from_static("kubelet"),
        );

    probe.probe().await.unwrap();

    let (method, headers) = seen.lock().unwrap().take().unwrap();
    assert_eq!(method, Method::OPTIONS);
    assert_eq!(headers["host"], "orders.internal");
    assert_eq!(headers["user-agent"], "kubelet");
    assert_eq!(headers.get_all("user-agent").iter().count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure() {
    let server = tcp(async |mut stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok";
        let _ = stream.write_all(answer).await;
    })
    .await;

    let error = over_http(&server, "/").probe().await.unwrap_err();

    assert_eq!(error.kind(), Some(ErrorKind::HttpResponseIncomplete));
    let expected = "answered 200 OK with a body that broke off";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_upstream_that_says_that_it_is_degraded_is_up_and_that() {
    let degraded = [("x-envoy-degraded", "")];
    let going = [
        ("x-envoy-degraded", "true"),
        ("x-envoy-immediate-health-check-fail", "true"),
    ];
    let app = Router::new()
        .route("/", get(async || "ready"))
        .route("/degraded", get(async move || (degraded, "ready")))
        .route("/other", get(async move || (degraded, "starting")))
        .route("/going", get(async move || (going, "ready")))
        .route(
            "/busy",
            get(async move || (StatusCode::SERVICE_UNAVAILABLE, degraded)),
        );
    let server = http(app).await;
    for (path, state, is_degraded) in [
        ("/", State::Up, false),
        ("/degraded", State::Up, true),
        ("/other", State::Down, false),
        ("/going", State::Down, false),
        ("/busy", State::Down, false),
    ] {
        let probe = over_http(&server, path).body(Pattern::starts_with("ready"));
        let health = Monitor::new(probe).start();

        health.wait_for(state).await;

        assert_eq!(health.is_degraded(), is_degraded, "{path}");
        let reason = health.status().reason.map(|reason| reason.to_string());
        let expected = is_degraded.then(|| "answered 200 OK with x-envoy-degraded".to_owned());
        assert_eq!(reason.filter(|_| state == State::Up), expected, "{path}");
    }
}

#[tokio::test]
async fn an_answer_of_another_service_is_down() {
    let of = |names: &'static [&'static str]| {
        let fields = names.iter().map(|name| ("x-served-by", *name));
        get(async move || axum::response::AppendHeaders(fields.clone()))
    };
    let app = Router::new()
        .route("/orders", of(&["orders-7"]))
        .route("/both", of(&["users", "orders-8"]))
        .route("/users", of(&["users", "my-orders"]))
        .route("/none", of(&[]));
    let server = http(app).await;
    for (path, up) in [
        ("/orders", true),
        ("/both", true),
        ("/users", false),
        ("/none", false),
    ] {
        let value = Pattern::starts_with("orders-");
        let probe = over_http(&server, path).expected_header("x-served-by".parse().unwrap(), value);
        let down = r#"answered 200 OK without x-served-by: "orders-".."#;
        assert_eq!(
            outcome(&probe).await,
            if up { "up" } else { down },
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_says_that_it_goes_is_down_at_once() {
    let going = async || [("x-envoy-immediate-health-check-fail", "true")];
    let app = Router::new()
        .route("/going", get(going))
        .route("/gone", get(async || StatusCode::GONE))
        .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE));
    let server = http(app).await;
    for (path, decisive) in [("/going", true), ("/gone", true), ("/busy", false)] {
        let probe = over_http(&server, path).decisive(410..=410);
        let error = probe.probe().await.unwrap_err();
        assert_eq!(error.is_decisive(), decisive, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decisive_failure_does_not_wait_for_others() {
    let looks = Arc::new(Mutex::new(0));
    let probe = move || {
        let first = std::mem::replace(&mut *looks.lock().unwrap(), 1) == 0;
        let gone = ProbeError::new(ErrorKind::DestinationUnavailable, "gone").decisive();
        async move { if first { Ok(()) } else { Err(gone) } }
    };
    let start = tokio::time::Instant::now();
    let second = Duration::from_secs(1);
    let health = Monitor::new(probe).interval(second).jitter(0.0).start();
    health.wait_for(State::Up).await;

    health.wait_for(State::Down).await;

    assert_eq!(start.elapsed(), second);
}

#[tokio::test]
async fn a_connection_that_opens_is_enough_and_one_that_is_refused_is_not() {
    let server = tcp(async |stream| drop(stream)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);

    assert_eq!(outcome(&TcpProbe::new(server.1.as_str())).await, "up");
    let error = TcpProbe::new(closed).probe().await.unwrap_err();

    assert_eq!(error.kind(), Some(ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn what_a_server_says_over_tcp_must_fit() {
    let redis = tcp(async |mut stream| {
        let mut asked = [0; 6];
        let _ = stream.read_exact(&mut asked).await;
        // In two packets, most likely; the pattern does not care.
        let _ = stream.write_all(b"+PO").await;
        tokio::task::yield_now().await;
        let _ = stream
            .write_all(if &asked == b"PING\r\n" {
                b"NG\r\n"
            } else {
                b"ER\r\n"
            })
            .await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let closes = tcp(async |mut stream| {
        let _ = stream.write_all(b"22").await;
    })
    .await;
    let talks = tcp(async |mut stream| while stream.write_all(&[b'.'; 512]).await.is_ok() {}).await;
    let pong = || Pattern::starts_with("+PONG");
    for (server, send, pattern, expected, kind) in [
        (&redis, "PING\r\n", pong(), "up", None),
        (
            &redis,
            "PONG\r\n",
            pong(),
            r#"bytes came that are not "+PONG".."#,
            Some(ErrorKind::DestinationUnavailable),
        ),
        (
            &closes,
            "",
            Pattern::starts_with("220"),
            r#"closed after 2 bytes that are not "220".."#,
            Some(ErrorKind::ConnectionTerminated),
        ),
        (
            &talks,
            "",
            Pattern::contains("ok"),
            r#"1000 bytes came that are not .."ok".."#,
            Some(ErrorKind::DestinationUnavailable),
        ),
    ] {
        let probe = TcpProbe::new(server.1.as_str())
            .send(send)
            .receive(pattern)
            .max_bytes(1000);
        let result = probe.probe().await;
        let text = result
            .as_ref()
            .map_or_else(ToString::to_string, |()| "up".to_owned());
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(result.err().and_then(|error| error.kind()), kind, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_down_when_the_time_of_the_probe_is_over() {
    let server = tcp(async |stream| {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let short = Duration::from_millis(20);
    let probe = TcpProbe::new(server.1.as_str()).receive(Pattern::contains("hello"));
    let health = Monitor::new(probe.timeout(short))
        .timeout(Duration::from_secs(60))
        .start();

    health.wait_for(State::Down).await;

    let reason = health.status().reason.unwrap();
    assert_eq!(reason.to_string(), "no result within 20ms");
    assert_eq!(reason.kind(), Some(ErrorKind::HttpResponseTimeout));
}

#[tokio::test]
async fn a_call_is_judged_as_calls_are() {
    let answer = |status: u16, headers: &[(&'static str, &'static str)], trailers: Option<u16>| {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(*name, value);
        }
        let trailers = trailers.map(|code| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.into());
            Ok(trailers)
        });
        response.map(|()| Full::new(Bytes::new()).with_trailers(async move { trailers }))
    };
    let grpc = &[("content-type", "application/grpc")][..];
    let failed = &[("content-type", "application/grpc"), ("grpc-status", "14")][..];
    for (status, headers, trailers, expected) in [
        (200, &[][..], None, "up"),
        (404, &[], None, "up"),
        (429, &[], None, "up"),
        (500, &[], None, "answered 500 Internal Server Error"),
        (502, &[], None, "answered 502 Bad Gateway"),
        (200, grpc, Some(0), "up"),
        (200, grpc, Some(5), "up"),
        (200, grpc, Some(13), "answered INTERNAL"),
        (200, failed, None, "answered 200 OK"),
    ] {
        let service = service_fn(move |_: Request<()>| async move {
            Ok::<_, Infallible>(answer(status, headers, trailers))
        });
        let probe = CallProbe::new(service, || Request::new(()));
        assert_eq!(outcome(&probe).await, expected, "{status} {trailers:?}");
    }
    let broken = service_fn(async |_: Request<()>| {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Err::<Response<String>, _>(refused)
    });
    let error = CallProbe::new(broken, || Request::new(())).probe().await;
    assert_eq!(
        error.unwrap_err().kind(),
        Some(ErrorKind::ConnectionRefused)
    );
}

async fn up() -> Result<(), ProbeError> {
    Ok(())
}

async fn refused() -> Result<(), ProbeError> {
    Err(ProbeError::new(ErrorKind::ConnectionRefused, "refused"))
}

/// Three probes one after the other, each within its time, are late together; and one that hangs must not hide what the others say.
#[tokio::test(start_paused = true)]
async fn parts_run_at_once_and_each_has_its_own_time() {
    let hang = || async { pending().await };
    let panics = || async { panic!("a part of the test panics") };
    let all = Composite::all("a", up)
        .with("b", hang)
        .with("c", refused)
        .with("d", hang)
        .with("e", panics);
    let start = tokio::time::Instant::now();
    let health = Monitor::new(all).timeout(Duration::from_millis(1)).start();

    health.wait_for(State::Down).await;

    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let reason = health.status().reason.unwrap();
    assert_eq!(
        reason.to_string(),
        "b: no result within 1s; c: refused; d: no result within 1s; e: the probe panicked"
    );
    assert_eq!(reason.kind(), Some(ErrorKind::HttpResponseTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_composite_is_degraded_where_the_parts_that_decide_are() {
    let degraded = || async {
        let busy = ProbeError::new(ErrorKind::DestinationUnavailable, "busy");
        Err(busy.degraded())
    };
    for (probe, expected) in [
        (Composite::all("a", up).with("b", up), None),
        (
            Composite::all("a", up).with("b", degraded),
            Some(("b: busy", true)),
        ),
        (
            Composite::all("a", degraded).with("b", refused),
            Some(("b: refused", false)),
        ),
        (Composite::any("a", degraded).with("b", up), None),
        (
            Composite::any("a", degraded).with("b", refused),
            Some(("a: busy", true)),
        ),
    ] {
        let error = probe.probe().await.err();
        let seen = error.map(|error| (error.to_string(), error.is_degraded()));
        let expected = expected.map(|(text, is_degraded)| (text.to_owned(), is_degraded));
        assert_eq!(seen, expected, "{probe:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_good_part_is_enough_where_any_is() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    };
    let hang = || async { pending().await };
    let start = tokio::time::Instant::now();

    let any = Composite::any("a", refused).with("b", hang).with("c", slow);
    assert_eq!(outcome(&any).await, "up");
    assert_eq!(start.elapsed(), Duration::from_millis(500));

    let none = Composite::any("a", refused).with("b", refused);
    assert_eq!(outcome(&none).await, "a: refused; b: refused");
    let nested = Composite::all("pair", none).with("c", up);
    assert_eq!(outcome(&nested).await, "pair: a: refused; b: refused");
}
