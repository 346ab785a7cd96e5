//! A pool of real servers under constant load, of which one is killed, one hangs and one answers 502.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::health_check::{
    HttpProbe, Member, Monitor, OutlierDetection, Outliers, Pool, PoolSettings, ProbeBody,
};
use portcullis::retry::{Backoff, RetryLayer};
use portcullis::timeout::TimeoutLayer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

/// A server that can be told how to fail.
struct Upstream {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
    calls: Arc<AtomicU64>,
    server: JoinHandle<std::io::Result<()>>,
}

const GOOD: u8 = 0;
const HANGS: u8 = 1;
const FAILS: u8 = 2;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type ResponseBody = http_body_util::combinators::BoxBody<Bytes, BoxError>;
pub(crate) type Endpoint<B> =
    BoxCloneSyncService<Request<B>, http::Response<ResponseBody>, BoxError>;

// === impl Upstream ===

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, calls) = (Arc::default(), Arc::default());
        let server = Self::serve(listener, &mode, &calls);
        Self {
            address,
            mode,
            calls,
            server,
        }
    }

    fn serve(
        listener: TcpListener,
        mode: &Arc<AtomicU8>,
        calls: &Arc<AtomicU64>,
    ) -> JoinHandle<std::io::Result<()>> {
        let answer = |mode: Arc<AtomicU8>| async move {
            match mode.load(Ordering::SeqCst) {
                HANGS => std::future::pending().await,
                FAILS => StatusCode::BAD_GATEWAY.into_response(),
                _ => "well".into_response(),
            }
        };
        let (probed, called, calls) = (Arc::clone(mode), Arc::clone(mode), Arc::clone(calls));
        let app = Router::new()
            .route("/healthz", get(move || answer(Arc::clone(&probed))))
            .fallback(get(move || {
                calls.fetch_add(1, Ordering::SeqCst);
                answer(Arc::clone(&called))
            }));
        tokio::spawn(axum::serve(listener, app).into_future())
    }

    async fn kill(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.server = Self::serve(listener, &self.mode, &self.calls);
    }

    fn turn(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

/// One connection for each call, so that a server that is killed is gone.
pub(crate) fn client<B>() -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http()
}

fn member<B>(address: SocketAddr, outliers: &Outliers) -> Member<Endpoint<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let service = TimeoutLayer::new(Duration::from_secs(1))
        .layer(client())
        .map_request(move |mut request: Request<B>| {
            let path = request.uri().path().to_owned();
            let uri = Uri::builder().scheme("http").authority(address.to_string());
            *request.uri_mut() = uri.path_and_query(path).build().unwrap();
            request
        })
        .map_response(|response| response.map(|body| body.map_err(Into::into).boxed()))
        .map_err(Into::into);
    let uri = format!("http://{address}/healthz").parse().unwrap();
    let probe = HttpProbe::new(client::<ProbeBody>(), uri);
    let health = Monitor::new(probe)
        .name(address.to_string())
        .interval(Duration::from_millis(50))
        .timeout(Duration::from_millis(500))
        .start();
    let name = address.to_string();
    Member::new(name.as_str(), BoxCloneSyncService::new(service))
        .health(health)
        .passive(outliers.endpoint(name.as_str()))
}

pub(crate) fn pool_of<B>(addresses: &[SocketAddr]) -> Pool<Endpoint<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let outliers = OutlierDetection::new()
        .max_ejection_percent(100)
        .base_ejection_time(Duration::from_millis(500))
        .start();
    // Three of four are to fail, and the fourth is to get all calls then.
    // And a connection that was slow once is soon forgotten.
    let decay = Duration::from_millis(20);
    let pool = PoolSettings::new().panic_threshold(0).decay(decay).pool();
    pool.insert_all(addresses.iter().map(|address| member(*address, &outliers)));
    pool
}

/// Another attempt for each endpoint, at once, at another one.
pub(crate) fn retry() -> RetryLayer {
    RetryLayer::new()
        .max_attempts(4.try_into().unwrap())
        .backoff(Backoff::fixed(Duration::ZERO))
        .no_budget()
        .track_endpoints(true)
}

/// So many calls by so many callers at once; how many failed.
pub(crate) async fn load<S, ResBody>(service: &S, calls: usize) -> usize
where
    S: Service<Request<Empty<Bytes>>, Response = http::Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
    ResBody: Send + 'static,
{
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let service = service.clone();
        callers.spawn(async move {
            let mut failed = 0;
            for _ in 0..calls / CALLERS {
                let request = Request::get("/orders").body(Empty::new()).unwrap();
                let answer = service.clone().oneshot(request).await;
                failed += usize::from(!answer.is_ok_and(|answer| answer.status() == 200));
            }
            failed
        });
    }
    callers.join_all().await.into_iter().sum()
}

pub(crate) async fn until_usable<B, S, ResBody>(
    pool: &Pool<Endpoint<B>>,
    service: &S,
    number: usize,
) -> usize
where
    S: Service<Request<Empty<Bytes>>, Response = http::Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
    ResBody: Send + 'static,
{
    let mut failed = 0;
    let usable = || pool.members().iter().filter(|member| member.usable).count();
    let wait = async {
        while usable() != number {
            failed += load(service, CALLERS).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.unwrap();
    failed
}

async fn four() -> [Upstream; 4] {
    let [a, b] = [Upstream::start().await, Upstream::start().await];
    [a, b, Upstream::start().await, Upstream::start().await]
}

fn addresses(upstreams: &[Upstream]) -> Vec<SocketAddr> {
    upstreams.iter().map(|upstream| upstream.address).collect()
}

async fn fail_three(upstreams: &mut [Upstream; 4]) {
    upstreams[0].kill().await;
    upstreams[1].turn(HANGS);
    upstreams[2].turn(FAILS);
}

async fn recover(upstreams: &mut [Upstream; 4]) {
    upstreams[0].restart().await;
    upstreams[1].turn(GOOD);
    upstreams[2].turn(GOOD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_they_are_found_failing_hardly_a_call_sees_it() {
    let mut upstreams = four().await;
    let pool = pool_of::<Empty<Bytes>>(&addresses(&upstreams));
    assert_eq!(load(&pool, 100).await, 0);
    fail_three(&mut upstreams).await;
    until_usable(&pool, &pool, 1).await;

    let failed = load(&pool, 2000).await;

    assert!(failed <= 3, "one for each at most: {failed}");

    recover(&mut upstreams).await;
    until_usable(&pool, &pool, 4).await;
    let before: Vec<_> = upstreams.iter().map(calls).collect();
    assert_eq!(load(&pool, 400).await, 0);
    let more = upstreams.iter().map(calls).zip(before);
    assert!(
        more.into_iter().all(|(now, before)| now > before),
        "all are called again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_retry_no_call_sees_it_at_all() {
    let mut upstreams = four().await;
    let pool = pool_of(&addresses(&upstreams));
    let service = retry().layer(pool.clone());
    assert_eq!(load(&service, 100).await, 0);
    fail_three(&mut upstreams).await;

    // From the first failure on, not from when it is found.
    assert_eq!(until_usable(&pool, &service, 1).await, 0);
    assert_eq!(load(&service, 1000).await, 0);
    recover(&mut upstreams).await;
    assert_eq!(until_usable(&pool, &service, 4).await, 0);
    assert_eq!(load(&service, 400).await, 0);
}

fn calls(upstream: &Upstream) -> u64 {
    upstream.calls.load(Ordering::SeqCst)
}

/// How many callers there are at once.
const CALLERS: usize = 4;
const BOUND: Duration = Duration::from_secs(30);
