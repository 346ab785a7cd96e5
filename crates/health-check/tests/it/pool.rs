//! The pool from outside.

mod contract;
mod health;
mod membership;
mod model;
mod names;
mod overview;
mod picks;
mod settling;
mod telling;
mod turns;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use portcullis_health_check::{Member, Pool, PoolBody, PoolSettings};
use tokio::sync::watch;
use tower::{Service, ServiceExt};

/// The body of all of them.
type Body = Full<bytes::Bytes>;
/// An answer of a pool.
type Answer = Response<PoolBody<Body>>;

/// A service that can be told how to behave, and says which one it is.
#[derive(Clone, Debug)]
struct Upstream {
    name: &'static str,
    behaviour: Arc<watch::Sender<Behaviour>>,
    calls: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
struct Behaviour {
    ready: bool,
    delay: Duration,
    /// None is an error.
    status: Option<StatusCode>,
    retry_after: Option<&'static str>,
}

// === impl Upstream ===

impl Upstream {
    fn new(name: &'static str) -> Self {
        let behaviour = Behaviour {
            ready: true,
            delay: Duration::ZERO,
            status: Some(StatusCode::OK),
            retry_after: None,
        };
        Self {
            name,
            behaviour: Arc::new(watch::Sender::new(behaviour)),
            calls: Arc::default(),
        }
    }

    fn takes(self, millis: u64) -> Self {
        self.behaviour
            .send_modify(|behaviour| behaviour.delay = Duration::from_millis(millis));
        self
    }

    fn answers(&self, status: u16) {
        let status = StatusCode::from_u16(status).ok();
        self.behaviour
            .send_modify(|behaviour| behaviour.status = status);
    }

    fn says_retry_after(&self, value: &'static str) {
        self.behaviour
            .send_modify(|behaviour| behaviour.retry_after = Some(value));
    }

    fn is_ready(&self, ready: bool) {
        self.behaviour
            .send_modify(|behaviour| behaviour.ready = ready);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn member(&self) -> Member<Self> {
        Member::new(self.name, self.clone())
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        loop {
            if self.behaviour.borrow().ready {
                return Poll::Ready(Ok(()));
            }
            // Woken by the sender: a future for each poll would lose its place.
            let mut changes = self.behaviour.subscribe();
            let waker = cx.waker().clone();
            if self.behaviour.borrow().ready {
                continue;
            }
            tokio::spawn(async move {
                let _ = changes.changed().await;
                waker.wake();
            });
            return Poll::Pending;
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Self { name, .. } = *self;
        let behaviour = *self.behaviour.borrow();
        Box::pin(async move {
            if !behaviour.delay.is_zero() {
                tokio::time::sleep(behaviour.delay).await;
            }
            let status = behaviour
                .status
                .ok_or(std::io::ErrorKind::ConnectionReset)?;
            let mut answer = Response::builder()
                .status(status)
                .header("x-endpoint", name);
            if let Some(value) = behaviour.retry_after {
                answer = answer.header("retry-after", value);
            }
            Ok(answer.body(Body::from("answer")).unwrap())
        })
    }
}

fn request() -> Request<Body> {
    Request::new(Body::default())
}

async fn ask(pool: &Pool<Upstream>) -> Answer {
    pool.clone().oneshot(request()).await.unwrap()
}

/// Which endpoint answered; the status where none did.
fn name(answer: &Answer) -> String {
    match answer.headers().get("x-endpoint") {
        Some(name) => name.to_str().unwrap().to_owned(),
        None => answer.status().as_str().to_owned(),
    }
}

/// How often each answers, of so many calls, one after the other.
async fn spread(pool: &Pool<Upstream>, calls: usize) -> BTreeMap<String, usize> {
    let mut spread = BTreeMap::new();
    for _ in 0..calls {
        *spread.entry(name(&ask(pool).await)).or_default() += 1;
    }
    spread
}

fn settings() -> PoolSettings {
    PoolSettings::new().seed(7)
}

fn pool_of<const N: usize>(settings: PoolSettings, upstreams: [&Upstream; N]) -> Pool<Upstream> {
    let pool = settings.pool();
    pool.insert_all(upstreams.map(Upstream::member));
    pool
}

/// Lets every task that can go on go on.
async fn settle_tasks() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    poll_fn(|_| Poll::Ready(())).await;
}
