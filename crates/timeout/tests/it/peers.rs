//! The faults of other timeouts for Rust, each as a test that this one has not got it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use bytes::Bytes;
use http::{StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use portcullis_test_support::Step;
use portcullis_timeout::{Deadline, HeadStart, Refusal, RequestBody, TimeoutLayer};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

#[tokio::test(start_paused = true)]
async fn tower_http_makes_504_of_an_answer_that_is_ready_when_polled_late_and_we_keep_it() {
    let mut service = TimeoutLayer::new(ms(2000)).layer(service_fn(|_| answer_after(ms(1000))));
    let mut future = task::spawn(service.call(request()));
    assert_pending!(future.poll());

    advance(ms(3000)).await;

    assert_eq!(assert_ready!(future.poll()).unwrap().status(), 200);
}

#[test]
fn tower_http_registers_a_timer_for_every_request_and_we_make_none_without_need() {
    // There is no runtime here, so that making a timer would panic.
    let mut service = TimeoutLayer::new(ms(100))
        .head(ms(50))
        .layer(service_fn(|_| async {
            Outcome::Ok(Response::new(ScriptBody::chunks([])))
        }));

    let mut future = task::spawn(service.call(request()));

    assert_eq!(assert_ready!(future.poll()).unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn tower_http_loses_the_size_of_a_body_and_its_end_and_we_forward_both() {
    async fn hint<B>(body: B) -> (Option<u64>, bool)
    where
        B: Body<Data = Bytes> + Clone + 'static,
        B::Error: Into<BoxError>,
    {
        let layer = TimeoutLayer::new(ms(100))
            .response_idle(ms(50))
            .request_idle(ms(50));
        let service = layer.layer(service_fn(move |_: Request<RequestBody<ScriptBody>>| {
            let response = Response::new(body.clone());
            async { Ok::<_, BoxError>(response) }
        }));
        let response = service.oneshot(request()).await.unwrap();
        (
            response.body().size_hint().exact(),
            response.body().is_end_stream(),
        )
    }

    assert_eq!(
        hint(Full::new(Bytes::from("12345"))).await,
        (Some(5), false)
    );
    assert_eq!(hint(Empty::<Bytes>::new()).await, (Some(0), true));
}

#[tokio::test(start_paused = true)]
async fn tower_http_fails_at_each_poll_after_the_limit_and_we_end_for_ever() {
    let service = TimeoutLayer::default()
        .response_idle(ms(100))
        .layer(service_fn(|_| async {
            Outcome::Ok(Response::new(ScriptBody::new([Step::Stall])))
        }));
    let mut body = pin!(service.oneshot(request()).await.unwrap().into_body());

    assert!(body.frame().await.unwrap().is_err());

    for _ in 0..3 {
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn tower_http_answers_grpc_with_a_bare_504_and_tonic_with_cancelled_and_we_with_deadline_exceeded()
 {
    let service = TimeoutLayer::new(ms(100))
        .status(StatusCode::REQUEST_TIMEOUT)
        .layer(service_fn(|_| answer_after(ms(500))));
    let mut grpc = request();
    let content_type = "application/grpc".parse().unwrap();
    grpc.headers_mut()
        .insert(header::CONTENT_TYPE, content_type);

    let response = service.oneshot(grpc).await.unwrap();

    assert_eq!(response.status(), 200, "whatever the status of HTTP is");
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(response.body().is_end_stream(), "trailers only");
}

#[tokio::test(start_paused = true)]
async fn tonic_says_cancelled_or_fails_when_the_deadline_passes_and_we_look_at_the_clock() {
    for (wait, error, expected) in [
        (100, false, Ok("4")),
        (99, false, Ok("4")),
        (100, true, Ok("4")),
        (50, false, Ok("1")),
        (50, true, Err("timeout expired")),
    ] {
        let service = TimeoutLayer::new(ms(100)).layer(service_fn(move |_| async move {
            tokio::time::sleep(ms(wait)).await;
            if error {
                return Outcome::Err("timeout expired".into());
            }
            let response = Response::builder().header("grpc-status", "1");
            Ok(response.body(ScriptBody::chunks([])).unwrap())
        }));
        let mut grpc = request();
        let content_type = "application/grpc".parse().unwrap();
        grpc.headers_mut()
            .insert(header::CONTENT_TYPE, content_type);

        let result = service.oneshot(grpc).await;

        let result = result
            .map(|response| response.headers()["grpc-status"].clone())
            .map_err(|error| error.to_string());
        let result = result.as_ref().map(|status| status.to_str().unwrap());
        assert_eq!(result.map_err(String::as_str), expected, "after {wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn tonic_ends_its_limit_at_the_head_and_ours_holds_to_the_last_byte() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| async {
        let steps = (0..100).flat_map(|_| [Step::Wait(ms(30)), Step::data("a")]);
        Outcome::Ok(Response::new(ScriptBody::new(steps)))
    }));
    let start = Instant::now();

    let body = service.oneshot(request()).await.unwrap().into_body();

    assert!(body.collect().await.is_err());
    assert_eq!(start.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn tonic_accepts_a_sign_in_grpc_timeout_and_we_ignore_such_a_header() {
    let service = TimeoutLayer::default().layer(service_fn(|_| answer_after(ms(9000))));
    let mut grpc = request();
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("grpc-timeout", "+5S"),
    ] {
        grpc.headers_mut().insert(name, value.parse().unwrap());
    }

    let response = service.oneshot(grpc).await.unwrap();

    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test(start_paused = true)]
async fn tower_resilience_starts_at_the_first_poll_and_our_clock_starts_at_the_call() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let mut service = TimeoutLayer::new(ms(100)).layer(service_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Outcome>()
    }));
    let future = service.call(request());
    assert_eq!(calls.load(Ordering::SeqCst), 1, "called by call");
    advance(ms(60)).await;
    let start = Instant::now();

    let response = future.await.unwrap();

    assert_eq!((response.status().as_u16(), start.elapsed()), (504, ms(40)));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "inner")]
async fn tower_resilience_makes_a_timeout_of_a_panic_and_we_let_it_through() {
    let service = TimeoutLayer::new(ms(60_000)).layer(service_fn(|_| async {
        panic!("inner");
        #[expect(unreachable_code, reason = "names the type of the answer")]
        Outcome::Err("".into())
    }));

    let _ = service.oneshot(request()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_does_not_run_on_unless_its_user_detaches_it() {
    let done = Arc::new(AtomicUsize::new(0));
    let work = |done: Arc<AtomicUsize>| async move {
        let answer = answer_after(ms(500)).await;
        done.fetch_add(1, Ordering::SeqCst);
        answer
    };
    let ends = Arc::clone(&done);
    let ends = TimeoutLayer::new(ms(100)).layer(service_fn(move |_| work(Arc::clone(&ends))));
    let detached = Arc::clone(&done);
    let detached = TimeoutLayer::new(ms(100)).layer(service_fn(move |_| {
        let task = tokio::spawn(work(Arc::clone(&detached)));
        async { task.await? }
    }));

    let ended = ends.oneshot(request()).await.unwrap();
    advance(ms(1000)).await;
    let before = done.load(Ordering::SeqCst);
    let left = detached.oneshot(request()).await.unwrap();
    tokio::time::sleep(ms(1000)).await;

    assert_eq!(
        (ended.status().as_u16(), left.status().as_u16()),
        (504, 504)
    );
    assert_eq!((before, done.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn reqwest_kills_an_upload_that_goes_on_and_we_wait_for_its_end() {
    let layer = TimeoutLayer::default()
        .head(ms(500))
        .request_idle(ms(500))
        .head_from(HeadStart::RequestSent);
    let service = layer.layer(service_fn(
        |request: Request<RequestBody<ScriptBody>>| async {
            request.into_body().collect().await?;
            answer_after(ms(400)).await
        },
    ));
    let pieces = (0..1024).flat_map(|_| [Step::Wait(ms(10)), Step::data("64 KiB")]);

    let response = service.oneshot(Request::new(ScriptBody::new(pieces))).await;

    assert_eq!(response.unwrap().status(), 200, "after 10 s of upload");
}

#[tokio::test]
async fn axum_makes_a_service_for_each_connection_and_all_of_them_share_the_cap() {
    let app: Router = Router::new().route("/", get(|| async { "hello" }));
    // The sooner layer puts a deadline that has passed into each request.
    let app = app
        .layer(TimeoutLayer::default().late_requests(Refusal::at_most(0.0)))
        .layer(tower::util::MapRequestLayer::new(
            |mut request: Request<AxumBody>| {
                request
                    .extensions_mut()
                    .insert(Deadline::after(Duration::ZERO));
                request
            },
        ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let mut refused = 0;
    for _ in 0..30 {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("/")
            .header("host", "a")
            .body(Empty::<Bytes>::new());
        let response = client.send_request(request.unwrap()).await.unwrap();
        refused += usize::from(response.status() == StatusCode::GATEWAY_TIMEOUT);
        connection.abort();
    }

    assert_eq!(refused, 10, "ten and no more, over thirty connections");
    server.abort();
}
