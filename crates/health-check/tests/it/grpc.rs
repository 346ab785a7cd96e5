//! `grpc.health.v1` without a socket: what a peer of real libraries cannot be made to do.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use portcullis_health_check::{Check, Endpoints, GrpcProbe, ProbeBody, State};
use portcullis_test_support::{ScriptBody, Step};
use tokio::time::Instant;
use tower::{ServiceExt, service_fn};

use super::*;

const CHECK: &str = "/grpc.health.v1.Health/Check";

async fn call(
    endpoints: &Endpoints,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static [u8],
) -> (http::response::Parts, Option<http::HeaderMap>, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from_static(body))).unwrap();
    let response = endpoints.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (head, trailers, body.to_bytes())
}

#[tokio::test]
async fn what_is_no_call_is_refused_as_the_protocol_says() {
    let endpoints = Endpoints::new();
    let grpc = ("content-type", "application/grpc+proto");
    let gzip = ("grpc-encoding", "gzip");
    for (headers, path, body, expected) in [
        (&[grpc][..], CHECK, &b"\0\0\0\0\0"[..], "0"),
        (&[grpc, gzip], CHECK, b"\0\0\0\0\0", "0"),
        (&[grpc], CHECK, b"\x01\0\0\0\0", "13"),
        (&[grpc, gzip], CHECK, b"\x01\0\0\0\0", "12"),
        (&[grpc], CHECK, b"\0\0\0\x10\x01", "8"),
        (&[grpc], CHECK, b"\0\0\0\0\x05ab", "13"),
        (&[grpc], CHECK, b"", "13"),
        (&[grpc], CHECK, b"\0\0\0\0\0\0\0\0\0\0", "13"),
        (&[grpc], CHECK, b"\0\0\0\0\x01\x0b", "13"),
        (&[grpc], CHECK, b"\0\0\0\0\x03\x0a\x01x", "5"),
        (&[grpc], "/grpc.health.v1.Health/Other", b"\0\0\0\0\0", "12"),
    ] {
        let (head, trailers, data) = call(&endpoints, "POST", path, headers, body).await;

        // An error has no message, and its status stands in the head.
        let status = trailers.as_ref().unwrap_or(&head.headers);
        assert_eq!(status["grpc-status"], expected, "{path} {body:?}");
        assert_eq!(data.is_empty(), expected != "0", "{path} {body:?}");
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(head.headers["grpc-accept-encoding"], "identity");
    }
    for (method, headers, expected) in [("GET", &[grpc][..], 405), ("POST", &[], 415)] {
        let (head, _, _) = call(&endpoints, method, CHECK, headers, b"").await;
        assert_eq!(head.status, expected, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_probe_looks_again_and_says_only_what_changes() {
    let script = Script::new(&[Look::Up, Look::Up, Look::Down, Look::Down, Look::Up]);
    let endpoints = Endpoints::new().check(Check::probe("db", script));
    let request = Request::post("/grpc.health.v1.Health/Watch")
        .header("content-type", "application/grpc")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
        .unwrap();
    let response = endpoints.oneshot(request).await.unwrap();
    let mut body = pin!(response.into_body());
    let start = Instant::now();

    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        let data = frame.unwrap().unwrap().into_data().unwrap();
        seen.push((data.last().copied().unwrap(), start.elapsed().as_secs()));
    }

    assert_eq!(seen, [(1, 0), (2, 2), (1, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_monitor_on_demand_asks_it_again() {
    let script = Script::new(&[Look::Up, Look::Up, Look::Down, Look::Down, Look::Up]);
    let health = monitor(&script).on_demand(Duration::from_secs(30)).start();
    let endpoints = Endpoints::new().required("db", health);
    let request = Request::post("/grpc.health.v1.Health/Watch")
        .header("content-type", "application/grpc")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
        .unwrap();
    let response = endpoints.oneshot(request).await.unwrap();
    let mut body = pin!(response.into_body());
    let start = Instant::now();

    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = poll_fn(|cx| body.as_mut().poll_frame(cx));
        let frame = tokio::time::timeout(Duration::from_secs(600), frame).await;
        let data = frame.unwrap().unwrap().unwrap().into_data().unwrap();
        seen.push((data.last().copied().unwrap(), start.elapsed().as_secs()));
    }

    assert_eq!(seen, [(1, 0), (2, 60), (1, 120)]);
}

#[tokio::test]
async fn list_has_at_most_a_hundred_services() {
    let grpc = [("content-type", "application/grpc")];
    let list = "/grpc.health.v1.Health/List";
    for (tags, expected) in [(99, "0"), (100, "8")] {
        let check = Check::health("db", Health::fixed(State::Up));
        let check = (0..tags).fold(check, |check, tag| check.tag(format!("service.{tag}")));
        let endpoints = Endpoints::new().check(check);

        let (head, trailers, _) = call(&endpoints, "POST", list, &grpc, b"\0\0\0\0\0").await;

        let status = trailers.as_ref().unwrap_or(&head.headers);
        assert_eq!(
            status["grpc-status"], expected,
            "{tags} and the whole server"
        );
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, std::io::Error>> + Send>>;

/// A server that gives this answer, or none, and counts the calls.
fn server(
    calls: Arc<AtomicU32>,
    answer: fn() -> Option<Response<Full<Bytes>>>,
) -> impl tower::Service<
    Request<ProbeBody>,
    Response = Answer,
    Error = std::io::Error,
    Future = Answering,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_| {
        calls.fetch_add(1, Ordering::SeqCst);
        let answer = answer();
        let future = async move {
            match answer {
                Some(answer) => Ok(answer.map(BodyExt::boxed_unsync)),
                None => std::future::pending().await,
            }
        };
        Box::pin(future) as Answering
    })
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_is_opened_again_later_and_later() {
    let calls = Arc::new(AtomicU32::new(0));
    let hangs = server(Arc::clone(&calls), || None);
    let health = GrpcProbe::new(hangs, "http://orders".parse().unwrap())
        .watch()
        .start();

    health.wait_for(State::Down).await;
    assert_eq!(
        health.status().reason.unwrap().to_string(),
        "no message within 1s"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    // 1 s for each, and 1 s, 1.6 s, 2.56 s … between, 20 % more or less.
    let count = calls.load(Ordering::SeqCst);
    assert!((6..=9).contains(&count), "{count} calls");

    drop(health);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(calls.load(Ordering::SeqCst), count, "it ended");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_probe_counts_more_than_that_of_the_settings() {
    let hangs = server(Arc::default(), || None);
    let probe = GrpcProbe::new(hangs, "http://orders".parse().unwrap());
    let limit = Duration::from_millis(200);
    for (watch, expected) in [
        (false, "no result within 200ms"),
        (true, "no message within 200ms"),
    ] {
        let probe = probe.clone().timeout(limit);
        let start = Instant::now();
        let health = match watch {
            true => probe.watch().start(),
            false => Monitor::new(probe).start(),
        };

        health.wait_for(State::Down).await;

        assert_eq!(start.elapsed(), limit, "{expected}");
        assert_eq!(health.status().reason.unwrap().to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_waits_is_opened_at_once_when_somebody_asks() {
    let calls = Arc::new(AtomicU32::new(0));
    let hangs = server(Arc::clone(&calls), || None);
    let health = GrpcProbe::new(hangs, "http://orders".parse().unwrap())
        .watch()
        .start();
    let count = || calls.load(Ordering::SeqCst);
    // It waits for some two minutes each time now.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    while count() == 0 || health.next_check().unwrap() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let before = count();

    health.check_now();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(count(), before + 1);

    // It began just now: a tenth of the interval is between two.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    health.check_now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(count(), before + 2);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(count(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_right_is_down_and_says_what_is_wrong() {
    type Make = fn() -> Option<Response<Full<Bytes>>>;
    fn of(body: &'static [u8]) -> Option<Response<Full<Bytes>>> {
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(Full::new(Bytes::from_static(body))).ok()
    }
    let cases: [(Make, &str); 5] = [
        (|| of(b"\0\0\0\0\x02\x08\x01"), "no grpc-status"),
        (
            || of(b"\x01\0\0\0\0"),
            "a compressed message that was not asked for",
        ),
        (|| of(b"\0\x01\0\0\0"), "a message over 1024 bytes"),
        (|| of(b"\0\0\0\0\x01\x08"), "a malformed message"),
        (
            || Some(Response::new(Full::default())),
            "answered 200 OK, not gRPC",
        ),
    ];
    for (answer, expected) in cases {
        let client = server(Arc::default(), answer);
        let probe = GrpcProbe::new(client, "http://orders".parse().unwrap());

        let error = probe.probe().await.unwrap_err();

        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_open_is_not_due_and_never_stale() {
    let calls = Arc::new(AtomicU32::new(0));
    let client = service_fn(move |_: Request<ProbeBody>| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        let body = ScriptBody::new([Step::data("\0\0\0\0\x02\x08\x01"), Step::Stall]);
        let answer = Response::builder().header("content-type", "application/grpc");
        let answer = answer.body(body).unwrap();
        let refused = std::io::ErrorKind::ConnectionRefused;
        std::future::ready(if first {
            Err(refused.into())
        } else {
            Ok(answer)
        }) as std::future::Ready<Result<_, std::io::Error>>
    });
    let health = GrpcProbe::new(client, "http://orders".parse().unwrap())
        .watch()
        .start();

    health.wait_for(State::Down).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(health.next_check().is_some(), "it is opened again");
    health.wait_for(State::Up).await;
    assert_eq!(health.next_check(), None);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((health.state(), health.overdue()), (State::Up, None));
}
