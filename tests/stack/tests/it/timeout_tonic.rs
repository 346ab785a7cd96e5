//! The deadline of a call, over two servers of tonic and a retry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use portcullis::retry::{Backoff, Idempotent, RetryLayer};
use portcullis::timeout::{Deadline, TimeoutLayer};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer, Service, ServiceExt};

/// What each call that came said of its time, in the order in which they came: `grpc-timeout`, and what is left by the `Deadline`.
type Seen = Arc<Mutex<Vec<(String, Duration)>>>;

/// A server: takes its time, fails at first, and hands on to the next one where there is one.
#[derive(Clone)]
struct Hop {
    seen: Seen,
    fails: Arc<Mutex<u32>>,
    next: Option<Channel>,
}

// === impl Hop ===

impl NamedService for Hop {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl Service<Request<Body>> for Hop {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let hop = self.clone();
        Box::pin(async move { Ok(hop.answer(request).await) })
    }
}

impl Hop {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let header = request.headers()["grpc-timeout"].to_str().unwrap();
        let deadline: Deadline = *request.extensions().get().unwrap();
        let seen = (header.to_owned(), deadline.remaining());
        self.seen.lock().unwrap().push(seen);
        sleep(Duration::from_millis(100)).await;
        let fails = {
            let mut fails = self.fails.lock().unwrap();
            let before = *fails;
            *fails = before.saturating_sub(1);
            before > 0
        };
        if fails {
            return Status::unavailable("not yet").into_http();
        }
        let Some(next) = &self.next else {
            let message = Bytes::from_static(b"\0\0\0\0\x02\x08\x01");
            let body = Full::new(message).with_trailers(async {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                Some(Ok(trailers))
            });
            let response = Response::builder().header("content-type", "application/grpc");
            return response.body(Body::new(body)).unwrap();
        };
        let service = TimeoutLayer::default()
            .map_body(Body::new)
            .layer(next.clone());
        let response = service.oneshot(request).await.unwrap();
        response.map(Body::new)
    }
}

async fn serve(hop: Hop) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(TimeoutLayer::default())
        .add_service(hop);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy()
}

fn hop(fails: u32, next: Option<Channel>) -> Hop {
    Hop {
        seen: Seen::default(),
        fails: Arc::new(Mutex::new(fails)),
        next,
    }
}

#[tokio::test]
async fn servers_see_the_time_shrink_over_two_hops_and_a_retry() {
    let last = hop(0, None);
    let at_last = Arc::clone(&last.seen);
    let first = hop(1, Some(serve(last).await));
    let at_first = Arc::clone(&first.seen);
    let service = TimeoutLayer::new(Duration::from_secs(5)).layer(
        RetryLayer::new()
            .backoff(Backoff::fixed(Duration::from_millis(200)))
            .no_budget()
            .layer(
                TimeoutLayer::default()
                    .map_body(Body::new)
                    .layer(serve(first).await),
            ),
    );
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.extensions_mut().insert(Idempotent(true));

    let answer = HealthClient::new(service).check(request).await.unwrap();

    assert_eq!(answer.into_inner().status, 1, "SERVING");
    let seen: Vec<_> = [at_first, at_last]
        .iter()
        .flat_map(|seen| seen.lock().unwrap().clone())
        .collect();
    assert_eq!(
        seen.len(),
        3,
        "two attempts, and one of them handed on: {seen:?}"
    );
    let whole = Duration::from_secs(5);
    // Each is later by what the one before it took: nothing, a failure and a wait, and the work of the first server.
    for ((header, left), spent) in seen.iter().zip([0, 300, 400]) {
        let spent = Duration::from_millis(spent);
        assert!(*left <= whole - spent, "{left:?} after {spent:?}: {seen:?}");
        assert!(
            header.ends_with('u'),
            "{header}: the finest unit with eight digits"
        );
        let told: u64 = header.trim_end_matches('u').parse().unwrap();
        assert!(Duration::from_micros(told) >= *left, "{seen:?}");
    }
    assert!(
        seen.windows(2).all(|pair| pair[0].1 > pair[1].1),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_deadline_that_passes_at_the_second_hop_is_deadline_exceeded_for_the_caller() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let next = format!("http://{}", silent.local_addr().unwrap());
    let next = Endpoint::from_shared(next).unwrap().connect_lazy();
    let channel = serve(hop(0, Some(next))).await;
    let service = TimeoutLayer::new(Duration::from_millis(500))
        .map_body(Body::new)
        .layer(channel);

    let status = HealthClient::new(service)
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}
