//! A pool of real nginx, and one of real HAProxy, under constant load: of four one is killed, one hangs and one answers 502.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;

use crate::nginx::nginx_at;
use crate::pools::{load, pool_of, retry, until_usable};
use crate::processes::{Process, free_port, send};
use crate::retry_haproxy::haproxy_at;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Nginx,
    HaProxy,
}

/// A proxy, and the server behind it.
struct Proxy {
    kind: Kind,
    name: String,
    port: u16,
    /// None while it is killed.
    process: Option<Process>,
    behind: Behind,
}

/// A server that answers well, or closes a connection without an answer, which proxies answer with 502.
struct Behind {
    address: SocketAddr,
    closes: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

// === impl Behind ===

impl Behind {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = Self {
            address: listener.local_addr().unwrap(),
            closes: Arc::default(),
            answers: Arc::default(),
        };
        let (closes, answers) = (Arc::clone(&behind.closes), Arc::clone(&behind.answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&closes), Arc::clone(&answers)));
            }
        });
        behind
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, closes: Arc<AtomicBool>, answers: Arc<AtomicU64>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    if closes.load(Ordering::SeqCst) {
        return;
    }
    if !head.starts_with(b"GET /healthz") {
        answers.fetch_add(1, Ordering::SeqCst);
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwell";
    // Who asked may be gone.
    let _ = stream.write_all(answer).await;
}

// === impl Proxy ===

impl Proxy {
    /// `None` where the program is not installed.
    async fn start(kind: Kind, test: &str, number: usize) -> Option<Self> {
        let mut proxy = Self {
            kind,
            name: format!("{test}_{number}"),
            port: free_port(),
            process: None,
            behind: Behind::start().await,
        };
        proxy.run().await?;
        Some(proxy)
    }

    async fn run(&mut self) -> Option<()> {
        let (name, port, behind) = (&self.name, self.port, self.behind.address);
        let process = match self.kind {
            Kind::Nginx => {
                let locations = format!("location / {{ proxy_pass http://{behind}; }}");
                nginx_at(name, port, &locations).await?
            }
            Kind::HaProxy => haproxy_at(name, port, &behind.to_string()).await?,
        };
        self.process = Some(process);
        Some(())
    }

    fn signal(&self, signal: &str) {
        send(self.process.as_ref().unwrap(), signal);
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

async fn four(kind: Kind, test: &str) -> Option<Vec<Proxy>> {
    let mut proxies = Vec::new();
    for number in 0..4 {
        proxies.push(Proxy::start(kind, test, number).await?);
    }
    Some(proxies)
}

fn fail_three(proxies: &mut [Proxy]) {
    proxies[0].process = None;
    // The kernel goes on to open connections for it.
    proxies[1].signal("-STOP");
    proxies[2].behind.closes.store(true, Ordering::SeqCst);
}

async fn recover(proxies: &mut [Proxy]) {
    proxies[0].run().await.unwrap();
    proxies[1].signal("-CONT");
    proxies[2].behind.closes.store(false, Ordering::SeqCst);
}

async fn hardly_a_call_sees_it(kind: Kind, test: &str) {
    let Some(mut proxies) = four(kind, test).await else {
        return;
    };
    let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
    let pool = pool_of::<Empty<Bytes>>(&addresses);
    assert_eq!(load(&pool, 100).await, 0);
    fail_three(&mut proxies);
    until_usable(&pool, &pool, 1).await;

    let failed = load(&pool, 2000).await;

    assert!(failed <= 3, "one for each at most: {failed}");

    recover(&mut proxies).await;
    until_usable(&pool, &pool, 4).await;
    let before: Vec<_> = proxies.iter().map(|proxy| proxy.behind.answers()).collect();
    assert_eq!(load(&pool, 400).await, 0);
    let more = proxies
        .iter()
        .map(|proxy| proxy.behind.answers())
        .zip(before);
    let more: Vec<_> = more.map(|(now, before)| now - before).collect();
    assert!(
        more.iter().all(|calls| *calls > 0),
        "all are called again: {more:?}"
    );
}

async fn no_call_sees_it_at_all(kind: Kind, test: &str) {
    let Some(mut proxies) = four(kind, test).await else {
        return;
    };
    let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
    let pool = pool_of(&addresses);
    let service = retry().layer(pool.clone());
    assert_eq!(load(&service, 100).await, 0);
    fail_three(&mut proxies);

    // From the first failure on, not from when it is found.
    assert_eq!(until_usable(&pool, &service, 1).await, 0);
    assert_eq!(load(&service, 1000).await, 0);
    recover(&mut proxies).await;
    assert_eq!(until_usable(&pool, &service, 4).await, 0);
    assert_eq!(load(&service, 400).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_nginx_is_found_failing_hardly_a_call_sees_it() {
    hardly_a_call_sees_it(Kind::Nginx, "pool_nginx").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_retry_no_call_sees_a_failing_nginx_at_all() {
    no_call_sees_it_at_all(Kind::Nginx, "pool_nginx_retry").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_haproxy_is_found_failing_hardly_a_call_sees_it() {
    hardly_a_call_sees_it(Kind::HaProxy, "pool_haproxy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_retry_no_call_sees_a_failing_haproxy_at_all() {
    no_call_sees_it_at_all(Kind::HaProxy, "pool_haproxy_retry").await;
}
