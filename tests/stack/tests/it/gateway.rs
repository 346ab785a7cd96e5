use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::processes::{folder, free_port, gateway, gateway_binary, gateway_with, python, send};

pub(crate) async fn ask(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> (http::response::Parts, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client
        .request(request.body(Full::new(bytes::Bytes::from(body))).unwrap())
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The main job, as a caller sees it: 300 POSTs with a key against an upstream of which one call in ten fails.
#[tokio::test]
async fn python_sees_200_and_no_key_is_processed_twice() {
    let Some(python) = python(
        "python_sees_200_and_no_key_is_processed_twice",
        "requests",
        "requests",
    ) else {
        return;
    };
    let (_gateway, url) = gateway(&[]);

    let output = Command::new(python)
        .args(["-c", SCRIPT, &url])
        .output()
        .unwrap();

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        seen["ok"].as_u64().unwrap() >= 297,
        "at least 99 % of 300: {seen}"
    );
    assert_eq!(seen["wrong_bodies"], 0, "each body byte for byte: {seen}");
    assert_eq!(seen["processed_twice"], 0, "{seen}");
    assert_eq!(
        seen["ok_not_processed"], 0,
        "no success without the work: {seen}"
    );
    assert!(
        seen["attempts"].as_u64().unwrap() > 310,
        "the upstream did fail: {seen}"
    );
    let problem = &seen["problem"];
    assert_eq!(problem["status"], 502, "{seen}");
    assert_eq!(
        problem["content_type"], "application/problem+json",
        "{seen}"
    );
    assert_eq!(
        problem["proxy_status"], "portcullis;error=connection_terminated",
        "{seen}"
    );
    assert_eq!(problem["error"], "connection_terminated", "{seen}");
}

const SCRIPT: &str = r#"
import hashlib, json, sys, requests
base, session = sys.argv[1], requests.Session()
ok = wrong = twice = unprocessed = attempts = 0
for n in range(300):
    key, body = f"key-{n}", json.dumps({"n": n, "text": "\u00e4\u20ac" * (n % 50)}).encode()
    answer = session.post(f"{base}/orders/{n}", data=body, timeout=30, headers={
        "idempotency-key": f'"{key}"', "content-type": "application/json"})
    ok += answer.status_code == 200
    entry = session.get(f"{base}/__faulty/ledger/keys/{key}", timeout=30).json()
    whole = [attempt["body_sha256"] for attempt in entry["attempts"] if attempt["body_sha256"]]
    wrong += whole == [] or any(digest != hashlib.sha256(body).hexdigest() for digest in whole)
    twice += entry["totals"]["processed"] > 1
    unprocessed += answer.status_code == 200 and entry["totals"]["processed"] != 1
    attempts += entry["totals"]["begun"]
answer = session.post(f"{base}/once", data=b"{}", timeout=30, headers={"x-fault": "reset"})
print(json.dumps({"ok": ok, "wrong_bodies": wrong, "processed_twice": twice, "ok_not_processed": unprocessed,
    "attempts": attempts, "problem": {"status": answer.status_code, "content_type": answer.headers["content-type"],
    "proxy_status": answer.headers["proxy-status"], "error": answer.json()["error"]}}))
"#;

#[tokio::test]
async fn a_502_that_is_not_retried_arrives_as_it_is() {
    let (_gateway, url) = gateway(&[]);

    let fault = [("x-fault", "status=502")];
    let (answer, body) = ask(Method::POST, &format!("{url}/once"), &fault, "{}").await;
    let (reset, problem) = ask(
        Method::POST,
        &format!("{url}/once"),
        &[("x-fault", "reset")],
        "{}",
    )
    .await;

    assert_eq!(
        (answer.status, body.as_str()),
        (StatusCode::BAD_GATEWAY, "a fault, as asked for\n")
    );
    assert_eq!(reset.status, StatusCode::BAD_GATEWAY);
    assert_eq!(reset.headers["content-type"], "application/problem+json");
    assert_eq!(
        reset.headers["proxy-status"],
        "portcullis;error=connection_terminated"
    );
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(
        (&problem["status"], &problem["error"]),
        (&502.into(), &"connection_terminated".into())
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_mapped_is_a_400_and_one_too_large_a_413() {
    let folder = folder("mapped");
    let file = folder.join("gateway.yaml");
    std::fs::write(&file, MAPPED).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    let json = ("content-type", "application/json");
    let put = [json, ("x-test-id", "mapped"), ("x-fault", "ok")];

    let (mapped, echo) = ask(Method::PUT, &url, &put, r#"{"input": 1.0, "type": "t"}"#).await;
    let (missing, problem) = ask(Method::PUT, &url, &put, r#"{"type": "t"}"#).await;
    let (large, _) = ask(
        Method::PUT,
        &url,
        &put,
        concat!(
            "{\"input\": \"",
            "0123456789012345678901234567890123456789",
            "\"}"
        ),
    )
    .await;
    // What is asked here is mapped too.
    let ledger = format!("{url}/__faulty/ledger/tests/mapped");
    let (_, ledger) = ask(Method::GET, &ledger, &[json], r#"{"input": 1}"#).await;

    assert_eq!(mapped.status, 200);
    let echo: Value = serde_json::from_str(&echo).unwrap();
    assert_eq!(
        echo["body"]["text"],
        r#"{"parameters":{"input":1.0,"map":{"type":"t"}}}"#
    );
    assert_eq!(missing.status, 400);
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["param"], "body:/input");
    assert_eq!(large.status, 413);
    let ledger: Value = serde_json::from_str(&ledger).unwrap();
    assert_eq!(
        ledger["totals"]["begun"], 1,
        "the upstream saw only what was mapped: {ledger}"
    );
}

const MAPPED: &str = "
max_request_bytes: 40
stack:
  param_mapping:
    rules:
      - {move: body:/input, to: body:/parameters/input, require: true}
      - {move: body:/type, to: body:/parameters/map/type}
";

#[test]
fn a_malformed_file_is_told_with_line_and_field_and_nothing_starts() {
    let folder = folder("malformed");
    for (text, message) in [
        (
            "stack:\n  retry: {max_attempts: 0}\n",
            "line 2, column 11: stack.retry.max_attempts: must be at least 1, is 0",
        ),
        (
            "stack:\n  param_mapping:\n    rules: [{move: nowhere, to: body:/a}]\n",
            "line 3, column 14: stack.param_mapping.rules[0].move: ",
        ),
        ("listen: [", "line 2, column 1: "),
    ] {
        let file = folder.join("bad.yaml");
        std::fs::write(&file, text).unwrap();

        let output = Command::new(gateway_binary())
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();

        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty(), "nothing started");
        assert!(
            said.contains(&format!("{}: {message}", file.display())),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let check = Command::new(gateway_binary())
        .arg("--check-config")
        .output()
        .unwrap();
    assert!(check.status.success(), "the default file is right");
}

/// SIGTERM: `/readyz` turns 503, what is in flight ends, and the gateway exits with 0.
#[tokio::test]
async fn sigterm_ends_in_order() {
    let (mut gateway, url) = gateway(&[]);
    let slow = format!("{url}/slow");
    let in_flight =
        tokio::spawn(
            async move { ask(Method::GET, &slow, &[("x-fault", "stall=800ms")], "").await },
        );
    let (ready, _) = ask(Method::GET, &format!("{url}/readyz"), &[], "").await;
    assert_eq!(ready.status, 200);

    send(&gateway, "-TERM");
    let drained = async {
        loop {
            let (head, body) = ask(Method::GET, &format!("{url}/readyz"), &[], "").await;
            if head.status == 503 {
                return body;
            }
        }
    };

    assert!(drained.await.contains("[-]shutdown failed: draining"));
    assert_eq!(in_flight.await.unwrap().0.status, 200);
    let ended = tokio::task::spawn_blocking(move || gateway.0.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// SIGHUP: the mapping of the file takes the place of the old one, unless there is a mistake in the file.
#[tokio::test]
async fn sighup_changes_the_mapping_and_a_wrong_one_is_refused() {
    let folder = folder("reloaded");
    let file = folder.join("gateway.yaml");
    let write = |rule: &str| {
        let text = format!("stack:\n  param_mapping:\n    rules:\n      - {rule}\n");
        std::fs::write(&file, text).unwrap();
    };
    write("{move: body:/a, to: body:/first}");
    let arguments = ["--config", file.to_str().unwrap()];
    let (mut gateway, url) = gateway_with(&arguments, Stdio::piped());
    let mut log = BufReader::new(gateway.0.stderr.take().unwrap()).lines();
    let mut told = |what: &str| log.find_map(|line| line.ok().filter(|line| line.contains(what)));
    let put = [("content-type", "application/json"), ("x-fault", "ok")];
    let sent = async || {
        let (_, echo) = ask(Method::PUT, &url, &put, r#"{"a":1}"#).await;
        let echo: Value = serde_json::from_str(&echo).unwrap();
        echo["body"]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(sent().await, r#"{"first":1}"#);

    write("{move: body:/a, to: body:/second}");
    send(&gateway, "-HUP");
    assert!(told("the mapping is that of the file now").is_some());
    assert_eq!(sent().await, r#"{"second":1}"#);

    write("{mov: body:/a, to: body:/third}");
    send(&gateway, "-HUP");
    let line = told("the mapping stays as it was").unwrap();
    assert!(line.contains("line 4"), "{line}");
    assert!(line.contains("stack.param_mapping.rules[0].mov"), "{line}");
    assert_eq!(sent().await, r#"{"second":1}"#);
}

#[tokio::test]
async fn an_upstream_that_is_down_closes_the_gate() {
    let folder = folder("gate");
    let file = folder.join("gateway.yaml");
    let text = format!(
        "upstream: http://127.0.0.1:{}\nstack:\n  health_check: {{path: /healthz, interval: 1h, fall: 1}}\n",
        free_port()
    );
    std::fs::write(&file, text).unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    // The first probe is made at once; until it has failed, calls go through and find that out themselves.
    let closed = async {
        loop {
            let (head, _) = ask(Method::GET, &url, &[], "").await;
            if head.headers["proxy-status"] == "portcullis;error=destination_unavailable" {
                return head;
            }
        }
    };

    let head = closed.await;

    assert_eq!(head.status, 503);
    assert!(head.headers.contains_key("retry-after"));
    let (ready, body) = ask(Method::GET, &format!("{url}/readyz"), &[], "").await;
    assert_eq!(ready.status, 503);
    assert!(
        body.contains("[-]upstream failed: reason withheld"),
        "{body}"
    );
}
