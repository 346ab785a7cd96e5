//! An endpoint whose health answers with `x-envoy-degraded`: called where no other is up, and only then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty};
use portcullis::health_check::{
    HttpProbe, Initial, Member, Monitor, Pool, PoolSettings, ProbeBody,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::gateway::ask;
use crate::nginx::nginx_at;
use crate::pools::{Endpoint, client, load};
use crate::processes::{folder, free_port, gateway, listening};

/// A server that says its name; its health says this too.
struct Server {
    address: SocketAddr,
    calls: Arc<AtomicU64>,
    probes: Arc<Probes>,
    task: JoinHandle<std::io::Result<()>>,
}

/// How many probes run at once, and how many did at most.
#[derive(Default)]
struct Probes {
    now: AtomicUsize,
    most: AtomicUsize,
}

// === impl Server ===

impl Server {
    async fn start(name: &'static str, degraded: bool) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut server = Self {
            address,
            calls: Arc::default(),
            probes: Arc::default(),
            task: tokio::spawn(async { Ok(()) }),
        };
        server.run(name, degraded).await;
        server
    }

    async fn run(&mut self, name: &'static str, degraded: bool) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (calls, probes) = (Arc::clone(&self.calls), Arc::clone(&self.probes));
        let health = get(move || {
            let probes = Arc::clone(&probes);
            async move {
                let now = probes.now.fetch_add(1, Ordering::SeqCst) + 1;
                probes.most.fetch_max(now, Ordering::SeqCst);
                // Long enough for two that come at once to meet.
                tokio::time::sleep(Duration::from_millis(2)).await;
                probes.now.fetch_sub(1, Ordering::SeqCst);
                let mut headers = closing();
                if degraded {
                    headers.insert("x-envoy-degraded", HeaderValue::from_static("true"));
                }
                headers
            }
        });
        let app = Router::new()
            .route("/healthz", health)
            .fallback(get(move || {
                calls.fetch_add(1, Ordering::SeqCst);
                async move { (closing(), name) }
            }));
        self.task = tokio::spawn(axum::serve(listener, app).into_future());
    }

    async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// No connection outlives its server.
fn closing() -> HeaderMap {
    HeaderMap::from_iter([(header::CONNECTION, HeaderValue::from_static("close"))])
}

/// Of these, with probes alone, which may take their time: what is slow on a busy machine is not down.
fn pool_of<const N: usize>(addresses: [SocketAddr; N]) -> Pool<Endpoint<Empty<Bytes>>> {
    let pool = PoolSettings::new().panic_threshold(0).pool();
    for address in addresses {
        let uri = format!("http://{address}/healthz").parse().unwrap();
        let health = Monitor::new(HttpProbe::new(client::<ProbeBody>(), uri))
            .interval(Duration::from_millis(20))
            .timeout(Duration::from_secs(20))
            .initial(Initial::Pessimistic)
            .start();
        let service = client()
            .map_request(move |mut request: Request<Empty<Bytes>>| {
                *request.uri_mut() = format!("http://{address}/orders").parse().unwrap();
                request
            })
            .map_response(|response| response.map(|body| body.map_err(Into::into).boxed()))
            .map_err(Into::into);
        let member = Member::new(address.to_string(), BoxCloneSyncService::new(service));
        pool.insert(member.health(health));
    }
    pool
}

/// Waits until so many endpoints are degraded, and so many up, those included.
async fn until(pool: &Pool<Endpoint<Empty<Bytes>>>, degraded: usize, usable: usize) {
    let count = || {
        let members = pool.members();
        let degraded = members.iter().filter(|member| member.degraded).count();
        let usable = members.iter().filter(|member| member.usable).count();
        (degraded, usable)
    };
    let wait = async {
        while count() != (degraded, usable) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(waited.is_ok(), "{:?}", pool.members());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_degraded_server_gets_calls_only_while_no_other_is_up() {
    let [mut a, mut b] = [
        Server::start("a", false).await,
        Server::start("b", false).await,
    ];
    let c = Server::start("c", true).await;
    let pool = pool_of([a.address, b.address, c.address]);
    until(&pool, 1, 3).await;

    assert_eq!(load(&pool, 400).await, 0);
    assert_eq!(c.calls(), 0, "two others are up");

    a.kill().await;
    until(&pool, 1, 2).await;
    assert_eq!(load(&pool, 400).await, 0);
    assert_eq!(c.calls(), 0, "one other is up");

    b.kill().await;
    until(&pool, 1, 1).await;
    assert_eq!(load(&pool, 400).await, 0);
    assert_eq!(c.calls(), 400, "no other is up");

    a.run("a", false).await;
    until(&pool, 1, 2).await;
    assert_eq!(load(&pool, 400).await, 0);
    assert_eq!(c.calls(), 400, "one is up again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_degraded_nginx_gets_calls_only_while_no_other_is_up() {
    let port = free_port();
    let locations = "location /healthz { add_header x-envoy-degraded true; return 200 well; }\n\
                     location / { return 200 nginx; }";
    let Some(_nginx) = nginx_at("degraded_nginx", port, locations).await else {
        return;
    };
    let mut good = Server::start("good", false).await;
    let pool = pool_of([([127, 0, 0, 1], port).into(), good.address]);
    until(&pool, 1, 2).await;
    let answers = async || {
        let mut names = Vec::new();
        for _ in 0..50 {
            let request = Request::get("/orders").body(Empty::new()).unwrap();
            let answer = pool.clone().oneshot(request).await.unwrap();
            names.push(answer.into_body().collect().await.unwrap().to_bytes());
        }
        names.dedup();
        names
    };

    assert_eq!(answers().await, ["good"]);
    good.kill().await;
    until(&pool, 1, 1).await;
    assert_eq!(answers().await, ["nginx"]);
}

/// From one file: the degraded one is spared, the probes take turns, and the report waits before it says that all is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_spares_a_degraded_endpoint_and_its_probes_take_turns() {
    let mut good = Server::start("good", false).await;
    let mut spared = Server::start("spared", true).await;
    let admin = free_port();
    let file = folder("gateway_degraded").join("gateway.yaml");
    let text = format!(
        r#"
admin: {{listen: "127.0.0.1:{admin}"}}
upstreams:
  panic_threshold: 0
  max_parallel_probes: 1
  endpoints:
    - {{url: "http://{spared}", name: spared}}
    - {{url: "http://{good}", name: a}}
    - {{url: "http://{good}", name: b}}
    - {{url: "http://{good}", name: c}}
    - {{url: "http://{good}", name: d}}
stack:
  retry: {{max_attempts: 4, backoff: {{base: 1ms, max: 1ms}}, budget: none}}
  health_check: {{path: /healthz, interval: 10ms, timeout: 20s, initial: pessimistic}}
  health_endpoints:
    checks: {{upstream: {{max_age: 0s, max_time_in_error: 24h}}}}
"#,
        spared = spared.address,
        good = good.address,
    );
    std::fs::write(&file, text).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    listening(admin).await;
    let get = async |url: &str| {
        let (head, body) = ask(Method::GET, url, &[], "").await;
        (head.status.as_u16(), body)
    };
    let until = async |expected: (u16, &str)| {
        let wait = async {
            while get(&format!("{url}/orders")).await.1 != expected.1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .unwrap();
        for _ in 0..50 {
            let (status, body) = get(&format!("{url}/orders")).await;
            assert_eq!((status, body.as_str()), expected);
        }
    };

    until((200, "good")).await;
    assert_eq!(
        get(&format!("http://127.0.0.1:{admin}/readyz/upstream"))
            .await
            .0,
        200
    );
    good.kill().await;
    until((200, "spared")).await;
    assert_eq!(good.probes.most.load(Ordering::SeqCst), 1, "one at a time");

    spared.kill().await;
    let gone = async {
        loop {
            let (head, _) = ask(Method::GET, &format!("{url}/orders"), &[], "").await;
            let said = head.headers.get("proxy-status");
            if said.is_some_and(|said| said.to_str().unwrap().contains("destination_unavailable")) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
    let (status, _) = get(&format!("http://127.0.0.1:{admin}/readyz/upstream")).await;
    assert_eq!(status, 200, "it has not failed for a day");
}
