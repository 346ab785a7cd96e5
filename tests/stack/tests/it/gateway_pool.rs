//! The gateway over several endpoints, and what it says of itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::Router;
use http::{Method, StatusCode};
use portcullis::health_check::{Check, Endpoints, EndpointsLayer, Health, Override, State};
use portcullis_faulty_upstream::{FaultyUpstream, Plan, Tls};
use tokio::net::TcpListener;

use crate::gateway::ask;
use crate::processes::{folder, free_port, gateway, gateway_binary, gateway_with, listening, send};

/// Three endpoints, of which one is not there and one answers 502; and the name of a fourth that is the third again.
fn settings(
    test: &str,
    dead: u16,
    bad: &FaultyUpstream,
    good: &FaultyUpstream,
    admin: u16,
) -> PathBuf {
    let port = good
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let file = folder(test).join("gateway.yaml");
    let text = format!(
        r#"
admin: {{listen: "127.0.0.1:{admin}"}}
upstreams:
  panic_threshold: 0
  endpoints:
    - {{url: "http://127.0.0.1:{dead}", name: dead, weight: 2}}
    - {{url: "{bad}", name: bad}}
    - {{url: "{good}", name: good}}
  names: [{{host: localhost, port: {port}}}]
stack:
  retry: {{max_attempts: 4, backoff: {{base: 1ms, max: 1ms}}, budget: none}}
  health_check:
    path: /__faulty/health
    interval: 50ms
    outlier_detection: {{consecutive_gateway_failures: 1, max_ejection_percent: 100, return_on_check: false}}
  health_endpoints: {{details: true}}
"#,
        bad = bad.url(),
        good = good.url(),
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn check(file: &Path) -> Output {
    let mut command = Command::new(gateway_binary());
    command.arg("--check-config").arg("--config").arg(file);
    command.output().unwrap()
}

async fn get(url: &str) -> (StatusCode, String) {
    let (head, body) = ask(Method::GET, url, &[], "").await;
    (head.status, body)
}

#[tokio::test]
async fn several_upstreams_from_one_file_are_one_that_answers() {
    let bad = Plan::new(1).status(StatusCode::BAD_GATEWAY, 1.0);
    let bad = FaultyUpstream::builder().plan(bad).start().await.unwrap();
    let good = FaultyUpstream::builder().start().await.unwrap();
    let admin = free_port();
    let file = settings("gateway_pool", free_port(), &bad, &good, admin);
    let said = check(&file);
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );

    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    listening(admin).await;
    for call in 0..100 {
        let (status, body) = get(&format!("{url}/orders/{call}")).await;
        assert_eq!(status, 200, "{call}: {body}");
    }

    assert_eq!(bad.ledger().totals().begun, 1, "the first 502 ejects it");
    let admin = format!("http://127.0.0.1:{admin}");
    for path in ["/livez", "/readyz", "/readyz/upstream"] {
        assert_eq!(get(&format!("{admin}{path}")).await.0, 200, "{path}");
    }
    assert_eq!(
        get(&format!("{admin}/orders")).await.0,
        404,
        "no calls there"
    );
    let (_, body) = get(&format!("{url}/livez")).await;
    assert!(
        body.contains("/livez"),
        "the upstream answers where the calls go: {body}"
    );

    good.shutdown().await;
    let refused = async {
        loop {
            let (status, body) = get(&format!("{admin}/readyz/upstream")).await;
            if status == 503 {
                return body;
            }
        }
    };
    let body = tokio::time::timeout(Duration::from_secs(30), refused)
        .await
        .unwrap();
    assert!(body.contains("no calls may go to any of"), "{body}");
    assert!(!body.contains("any of 3 "), "those of the name too: {body}");
    assert_eq!(get(&format!("{url}/orders")).await.0, 503);
    assert_eq!(
        get(&format!("{admin}/livez")).await.0,
        200,
        "no reason to restart it"
    );
}

/// Probes and calls go over TLS, and the certificate of another name is found by the probes.
#[tokio::test]
async fn endpoints_are_probed_over_tls_and_one_of_another_name_is_down() {
    let (right, wrong) = (
        Tls::self_signed(["127.0.0.1"]).unwrap(),
        Tls::self_signed(["elsewhere.example"]).unwrap(),
    );
    let trusted = [right.certificate_pem(), wrong.certificate_pem()].concat();
    let right = FaultyUpstream::builder().tls(right).start().await.unwrap();
    let wrong = FaultyUpstream::builder().tls(wrong).start().await.unwrap();
    let admin = free_port();
    let folder = folder("gateway_tls");
    let (file, ca) = (folder.join("gateway.yaml"), folder.join("ca.pem"));
    std::fs::write(&ca, trusted).unwrap();
    let text = format!(
        r#"
admin: {{listen: "127.0.0.1:{admin}"}}
ca_file: {ca}
upstreams:
  panic_threshold: 0
  endpoints: [{{url: "{right}", name: right}}, {{url: "{wrong}", name: wrong}}]
stack:
  health_check: {{path: /__faulty/health, interval: 50ms, initial: pessimistic}}
  health_endpoints: {{details: true, checks: {{upstream: {{max_age: 0s}}}}}}
"#,
        ca = ca.display(),
        right = right.url(),
        wrong = wrong.url(),
    );
    std::fs::write(&file, text).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    listening(admin).await;
    let report = format!("http://127.0.0.1:{admin}/readyz/upstream?verbose");
    let known = async {
        loop {
            let (status, body) = get(&report).await;
            if status == 200 && body.contains("tls_certificate_error") {
                return;
            }
        }
    };

    tokio::time::timeout(Duration::from_secs(30), known)
        .await
        .unwrap();

    for call in 0..20 {
        assert_eq!(get(&format!("{url}/orders/{call}")).await.0, 200, "{call}");
    }
    assert_eq!(right.ledger().totals().begun, 20);
    assert_eq!(wrong.ledger().totals().begun, 0);
}

/// The endpoints say their health by gRPC, on a stream that stays open.
#[tokio::test]
async fn endpoints_are_watched_by_grpc() {
    let health = Health::fixed(State::Up);
    let endpoints = Endpoints::new().check(Check::health("db", health.clone()).tag("orders.v1"));
    let app = Router::new()
        .fallback(axum::routing::get(async || "well"))
        .layer(EndpointsLayer::new(endpoints));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let file = folder("gateway_grpc").join("gateway.yaml");
    let text = format!(
        "upstreams: {{panic_threshold: 0, endpoints: [{{url: \"http://{upstream}\"}}]}}\n\
         stack:\n  health_check: {{initial: pessimistic, grpc: {{service: orders.v1, watch: true}}}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    let until = async |expected: u16| {
        let wait = async { while get(&url).await.0 != expected {} };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .unwrap();
    };

    until(200).await;
    health.force(Override::Down);
    until(503).await;
    health.release();
    until(200).await;
}

/// The mapping of the endpoints is the one that SIGHUP replaces.
#[tokio::test]
async fn sighup_changes_the_mapping_of_each_endpoint() {
    let upstreams = [(); 2].map(|()| FaultyUpstream::builder().start());
    let [a, b] = upstreams;
    let (a, b) = (a.await.unwrap(), b.await.unwrap());
    let file = folder("gateway_pool_reloaded").join("gateway.yaml");
    let write = |target: &str| {
        let text = format!(
            "upstreams: {{endpoints: [{{url: \"{}\"}}, {{url: \"{}\"}}], balancing: random}}\n\
             stack: {{param_mapping: {{rules: [{{move: \"body:/a\", to: \"body:/{target}\"}}]}}}}\n",
            a.url(),
            b.url(),
        );
        std::fs::write(&file, text).unwrap();
    };
    write("first");
    let arguments = ["--config", file.to_str().unwrap()];
    let (mut gateway, url) = gateway_with(&arguments, Stdio::piped());
    let mut log = BufReader::new(gateway.0.stderr.take().unwrap()).lines();
    let all_send = async |expected: &str| {
        for _ in 0..20 {
            let headers = [("content-type", "application/json")];
            let (_, echo) = ask(Method::PUT, &url, &headers, r#"{"a":1}"#).await;
            assert!(echo.contains(expected), "{echo}");
        }
    };
    all_send("first").await;

    write("second");
    send(&gateway, "-HUP");
    let told = "the mapping is that of the file now";
    assert!(log.any(|line| line.is_ok_and(|line| line.contains(told))));

    all_send("second").await;
    assert!(a.ledger().totals().begun > 0 && b.ledger().totals().begun > 0);
}

/// Of one upstream too, calls alone close the gate.
#[tokio::test]
async fn the_gate_of_one_upstream_looks_at_its_calls() {
    let bad = Plan::new(1).status(StatusCode::BAD_GATEWAY, 1.0);
    let bad = FaultyUpstream::builder().plan(bad).start().await.unwrap();
    let file = folder("gateway_passive").join("gateway.yaml");
    let text = format!(
        "upstream: {}\nstack:\n  retry: {{max_attempts: 1}}\n  health_check:\n    passive_only: true\n    \
         outlier_detection: {{consecutive_gateway_failures: 3}}\n",
        bad.url()
    );
    std::fs::write(&file, text).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(get(&url).await.0.as_u16());
    }

    assert_eq!(statuses, [502, 502, 502, 503, 503]);
    assert_eq!(bad.ledger().totals().begun, 3);
}

#[test]
fn a_mistake_in_the_pool_is_told_with_line_and_field() {
    let file = folder("gateway_pool_mistakes").join("bad.yaml");
    for (text, message) in [
        (
            "upstreams:\n  endpoints:\n    - {url: \"http://a\"}\n    - {url: \"http://b\", weight: 0}\n",
            "line 4, column 25: upstreams.endpoints[1].weight: must be at least 1, is 0",
        ),
        (
            "stack:\n  health_endpoints:\n    exclude: [orders]\n",
            "line 3, column 15: stack.health_endpoints.exclude[0]: no such check",
        ),
        (
            "upstreams: {endpoints: [{url: \"http://a\"}]}\nstack:\n  health_check:\n    gate: {mode: observe}\n",
            "line 4, column 5: stack.health_check.gate: must not be there where pool is",
        ),
    ] {
        std::fs::write(&file, text).unwrap();

        let said = check(&file);

        let stderr = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains(&format!("{}: {message}", file.display())),
            "{stderr}"
        );
    }
}
