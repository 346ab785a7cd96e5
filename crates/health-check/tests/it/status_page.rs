use std::future::{pending, ready};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis_health_check::{
    Endpoints, EndpointsLayer, Health, Override, PageEndpoint, State, StatusPage, StatusPageLayer,
};
use portcullis_test_support::{BoxError, Probe, ScriptBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

/// A connection on which one `GET` was sent.
struct Connection {
    stream: TcpStream,
    seen: String,
}

impl Connection {
    async fn get(address: std::net::SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nx-operator: me\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let seen = String::new();
        Self { stream, seen }
    }

    /// Reads on until this is there, and returns what came up to it.
    async fn until(&mut self, text: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            if let Some(end) = self.seen.find(text) {
                let rest = self.seen.split_off(end + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let read = self.stream.read(&mut bytes);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await;
            let read = read.unwrap().unwrap();
            assert_ne!(read, 0, "{text:?} has not come: {:?}", self.seen);
            self.seen += &String::from_utf8_lossy(&bytes[..read]);
        }
    }
}

#[tokio::test]
async fn connections_share_the_places_and_see_changes_until_the_drain() {
    let endpoints = Endpoints::new().details(|head| head.headers.contains_key("x-operator"));
    let health = Health::fixed(State::Up);
    let page = StatusPage::new(endpoints.clone())
        .endpoint("orders", PageEndpoint::new("a").health(health.clone()))
        .listeners(1);
    let app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .layer(StatusPageLayer::new(page))
        .layer(EndpointsLayer::new(endpoints.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ending, ended) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = ended.await;
    });
    let server = tokio::spawn(server.into_future());

    let mut inner = Connection::get(address, "/hello").await;
    inner.until("\r\n\r\nhello").await;
    let mut whole = Connection::get(address, "/status").await;
    whole.until("</html>").await;
    let mut live = Connection::get(address, "/status/events").await;
    let head = live.until("\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"),
        "{head}"
    );
    live.until("event: rows").await;
    let mut second = Connection::get(address, "/status/events").await;
    let head = second.until("\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 503"),
        "another connection, the same places: {head}"
    );

    health.force(Override::Drain);
    live.until("Calls go to 0 of 1 endpoint: orders / a is drained")
        .await;
    live.until("up to down").await;

    let _ = ending.send(());
    endpoints.drain().await;
    live.until("\r\n0\r\n\r\n").await;
    server.await.unwrap().unwrap();
}

type Outcome = Result<Response<ScriptBody>, BoxError>;

fn request(path: &str) -> Request<ScriptBody> {
    Request::get(path).body(ScriptBody::chunks([])).unwrap()
}

fn layer() -> StatusPageLayer {
    StatusPageLayer::new(StatusPage::new(Endpoints::new().details(|_| true)))
}

#[tokio::test]
async fn the_ready_instance_gets_other_paths_and_never_the_page() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<ScriptBody>| {
        ready(Outcome::Ok(Response::new(ScriptBody::chunks(["a", "b"]))))
    });
    let mut service = layer().layer(probe);

    for (path, calls) in [("/", 1), ("/status", 1), ("/status/", 1), ("/status/x", 2)] {
        let response = service
            .ready()
            .await
            .unwrap()
            .call(request(path))
            .await
            .unwrap();
        let is_page = response.headers().contains_key("content-security-policy");
        let body = response.into_body().collect().await.unwrap().to_bytes();

        assert_eq!(handle.calls(), calls, "{path}");
        assert_eq!(
            body == "ab",
            !is_page,
            "{path}: what is not the page's goes through unchanged"
        );
    }
    assert_eq!(handle.instances(), 1, "no clone is called");
}

#[tokio::test]
async fn the_page_waits_for_nobody_and_errors_are_those_of_the_inner_service() {
    let (probe, handle) =
        Probe::<_, BoxError>::new(|_: Request<ScriptBody>| ready(Outcome::Err("inner".into())));
    let mut service = task::spawn(layer().layer(probe));

    handle.block();
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let page = service.call(request("/status")).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let mut late = task::spawn(service.call(request("/")));
    assert_pending!(late.poll(), "the inner service is not ready");
    handle.unblock();
    assert!(late.is_woken());
    assert_eq!(late.await.unwrap_err().to_string(), "inner");
    handle.fail_readiness("not ready");
    let error = assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "not ready");
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let error = service.call(request("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "inner");
}

#[tokio::test]
async fn dropping_the_future_drops_the_call() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Request<ScriptBody>| pending::<Outcome>());
    let mut service = layer().layer(probe);
    let mut call = task::spawn(service.ready().await.unwrap().call(request("/")));
    assert_pending!(call.poll());
    assert_eq!(handle.in_flight(), 1);

    drop((call, service));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
}
