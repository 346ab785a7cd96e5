use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::{ConfigFile, RetryOutcome};
use portcullis_health_check::{MemberStatus, ProbeBody, Resolved};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::Stack;

type Body = Full<Bytes>;

fn config(text: &str) -> Config {
    ConfigFile::parse(text).unwrap().read().unwrap()
}

/// An answer of this status, and how often it was given by that host.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

// === impl Calls ===

impl Calls {
    /// A host answers with the status that its name begins with, and else with 200.
    fn answer(&self, host: &str) -> Response<Body> {
        *self.0.lock().unwrap().entry(host.to_owned()).or_default() += 1;
        let status = host.split('.').next().and_then(|word| word.parse().ok());
        let mut response = Response::new(Body::default());
        *response.status_mut() = status.unwrap_or(StatusCode::OK);
        response
    }

    fn of(&self, host: &str) -> usize {
        self.0.lock().unwrap().get(host).copied().unwrap_or(0)
    }
}

/// Answers as each host that is asked does.
fn probes(
    calls: &Calls,
) -> impl Service<Request<ProbeBody>, Response = Response<Body>, Error = std::io::Error, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
+ use<> {
    let calls = calls.clone();
    service_fn(move |request: Request<ProbeBody>| {
        let answer = calls.answer(request.uri().host().unwrap());
        std::future::ready(Ok::<_, std::io::Error>(answer))
    })
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// One file, a stack of several endpoints, and a caller that sees 200.
#[tokio::test(start_paused = true)]
async fn a_stack_of_several_endpoints_comes_from_one_file() {
    let config = config(
        r#"
retry: {backoff: {base: 1ms, max: 1ms}, seed: 1}
pool:
  panic_threshold: 0
  endpoints:
    - {url: "http://502.example"}
    - {url: "http://well.example", weight: 2}
    - {url: "http://spare.example", priority: 1}
health_check:
  passive_only: true
  outlier_detection: {consecutive_gateway_failures: 1, max_ejection_percent: 100, failure_percentage: null, success_rate: null}
param_mapping:
  rules: [{set: "header:x-mapped", value: "1"}]
"#,
    );
    let stack = Stack::try_from(config.clone()).unwrap();
    let calls = Calls::default();
    let (mapped, seen) = (stack.clone(), calls.clone());
    let make = move |target: &Target| {
        let (host, seen) = (target.url().host().unwrap().to_owned(), seen.clone());
        mapped.member(service_fn(move |request: Request<_>| {
            let mapped: &http::HeaderMap = request.headers();
            assert!(mapped.contains_key("x-mapped"), "each attempt is mapped");
            std::future::ready(Ok::<_, std::io::Error>(seen.answer(&host)))
        }))
    };

    let pool = config.pool(probes(&calls), make).unwrap().unwrap();
    let service = stack.over(pool.clone());
    let mut retried = 0;
    for _ in 0..50 {
        let request = Request::new(Body::default());
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let outcome: Option<&RetryOutcome> = response.extensions().get();
        retried += outcome.map_or(0, |outcome| outcome.records().len() - 1);
    }

    assert_eq!(
        retried, 1,
        "one call finds out, and its second attempt is elsewhere"
    );
    assert_eq!(calls.of("502.example"), 1);
    assert_eq!(calls.of("well.example") + calls.of("spare.example"), 50);
    let weights: Vec<_> = pool.members().iter().map(weights).collect();
    let expected = [
        ("502.example", 1, 0),
        ("spare.example", 1, 1),
        ("well.example", 2, 0),
    ];
    assert_eq!(
        weights,
        expected.map(|(name, weight, priority)| (name.into(), weight, priority))
    );
}

fn weights(member: &MemberStatus) -> (Arc<str>, u32, u32) {
    (
        Arc::clone(&member.name),
        member.weight.get(),
        member.priority,
    )
}

#[tokio::test(start_paused = true)]
async fn names_become_endpoints_that_are_probed() {
    let config = config(
        "pool: {names: [{host: orders.example, port: 8080}]}\nhealth_check: {path: /healthz}",
    );
    let resolver = |_: Arc<str>| {
        let found = ["10.0.0.7", "10.0.0.8"].map(|address| address.parse().unwrap());
        std::future::ready(Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            Resolved::new(found),
        ))
    };
    let calls = Calls::default();
    let _checked = Stack::try_from(config.clone()).unwrap();

    let pool = config.pool_by(&resolver, probes(&calls), Target::clone);
    let pool = pool.unwrap().unwrap();
    settle().await;

    let names: Vec<_> = pool
        .members()
        .into_iter()
        .map(|member| member.name)
        .collect();
    assert_eq!(
        names,
        ["10.0.0.7:8080".into(), Arc::<str>::from("10.0.0.8:8080")]
    );
    assert_eq!((calls.of("10.0.0.7"), calls.of("10.0.0.8")), (1, 1));
}

#[cfg(not(feature = "dns"))]
#[tokio::test]
async fn names_without_a_resolver_are_a_mistake() {
    let config = config("pool: {names: [{host: orders.example, port: 8080}]}");

    let mistake = config
        .pool(probes(&Calls::default()), Target::clone)
        .unwrap_err();

    assert_eq!(
        mistake.to_string(),
        "pool.names: must not be there without the feature `dns` or a resolver"
    );
}

/// One upstream: its gate closes by probes and by calls, and the own service says so.
#[tokio::test(start_paused = true)]
async fn a_gate_and_the_own_endpoints_come_from_the_same_file() {
    let config = config(
        "health_check: {fall: 1, outlier_detection: {consecutive_gateway_failures: 1}}\n\
         health_endpoints: {details: true, checks: {cache: {required: false}}}",
    );
    let calls = Calls::default();
    let health = config.health(probes(&calls), "http://503.example").unwrap();
    health.wait_for(State::Down).await;

    let stack = Stack::try_from(config.clone())
        .unwrap()
        .health_check(config.gate(&health).unwrap());
    let refuses =
        service_fn(async |_: Request<_>| Ok::<_, std::io::Error>(Response::new(Body::default())));
    let response = stack.layer(refuses).oneshot(Request::new(Body::default()));
    assert_eq!(
        response.await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );

    let checks = || {
        [
            Check::health("upstream", health.clone()),
            Check::health("cache", Health::fixed(State::Down)),
        ]
    };
    let endpoints = config.endpoints(checks()).unwrap();
    let request = Request::get("/readyz").body(Body::default()).unwrap();
    let response = endpoints.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(
        body.contains("[-]upstream failed: ") && body.contains("[~]cache degraded: "),
        "{body}"
    );
    let [upstream, _] = checks();
    let mistake = config.endpoints([upstream]).unwrap_err();
    assert_eq!(
        mistake.to_string(),
        "health_endpoints.checks.cache: no such check"
    );
}
