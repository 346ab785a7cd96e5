use std::time::Duration;

use axum::Router;
use axum::routing::get;
use portcullis_health_check::{
    Endpoints, EndpointsLayer, Health, Override, PageEndpoint, State, StatusPage, StatusPageLayer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
