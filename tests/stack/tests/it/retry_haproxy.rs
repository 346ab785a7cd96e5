//! A real HAProxy that answers 502, 503 and 504.

use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::gateway_error::{Outcome, StopReason};
use portcullis::retry::{Backoff, RetryLayer};
use portcullis_faulty_upstream::{FaultyUpstream, RawStep, RawUpstream};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

use crate::clients::outcome;
use crate::processes::{Process, folder, free_port, listening, program};

/// An HAProxy in front of this server. It makes no attempts of its own.
async fn haproxy(test: &str, server: &str) -> Option<(Process, String)> {
    let port = free_port();
    let process = haproxy_at(test, port, server).await?;
    Some((process, format!("http://127.0.0.1:{port}/")))
}

/// The same at this port.
pub(crate) async fn haproxy_at(test: &str, port: u16, server: &str) -> Option<Process> {
    let haproxy = program("haproxy", test)?;
    let folder = folder(test);
    let text = format!(
        "defaults\n mode http\n retries 0\n timeout connect 1s\n timeout client 10s\n timeout server 1s\n\
         listen gateway\n bind 127.0.0.1:{port}\n server upstream {server}\n"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let child = Command::new(haproxy)
        .arg("-db")
        .arg("-f")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    listening(port).await;
    Some(process)
}

async fn get(url: &str) -> Response<Bytes> {
    let service = RetryLayer::new()
        .max_attempts(2.try_into().unwrap())
        .backoff(Backoff::fixed(Duration::from_millis(5)))
        .layer(Client::builder(TokioExecutor::new()).build_http());
    let request = Request::get(url).body(Full::new(Bytes::new())).unwrap();
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// Both attempts were answered so, and the caller got the real answer.
fn handed_on(response: &Response<Bytes>, status: u16) {
    assert_eq!(response.status(), status);
    let page = String::from_utf8_lossy(response.body());
    assert!(page.contains("<html>"), "the page of HAProxy: {page}");
    let outcome = outcome(response);
    assert_eq!(outcome.stop_reason(), Some(StopReason::AttemptsExhausted));
    assert_eq!(outcome.records().len(), 2, "{outcome}");
    for record in outcome.records() {
        let Outcome::Failed(failure) = record.outcome else {
            panic!("{record:?}")
        };
        assert_eq!(
            failure.status().map(|status| status.as_u16()),
            Some(status),
            "{record:?}"
        );
    }
}

#[tokio::test]
async fn haproxy_before_a_dead_upstream_is_a_genuine_503() {
    let dead = format!("127.0.0.1:{}", free_port());
    let Some((_haproxy, url)) = haproxy("haproxy_503", &dead).await else {
        return;
    };

    handed_on(&get(&url).await, 503);
}

#[tokio::test]
async fn haproxy_before_an_upstream_that_answers_nonsense_is_a_genuine_502() {
    let nonsense = || vec![RawStep::ReadHead, RawStep::send("nonsense\r\n\r\n")];
    let upstream = RawUpstream::start([nonsense()]).await.unwrap();
    let server = upstream.url().replace("http://", "").replace('/', "");
    let Some((_haproxy, url)) = haproxy("haproxy_502", &server).await else {
        return;
    };

    handed_on(&get(&url).await, 502);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn haproxy_before_an_upstream_that_says_nothing_is_a_genuine_504() {
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let Some((_haproxy, url)) = haproxy("haproxy_504", &server).await else {
        return;
    };

    handed_on(&get(&url).await, 504);
}

#[tokio::test]
async fn an_upstream_that_recovers_behind_haproxy_is_a_200() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let server = upstream.url().replace("http://", "").replace('/', "");
    let Some((_haproxy, url)) = haproxy("haproxy_recovers", &server).await else {
        return;
    };
    upstream.script(
        "recovers",
        "close, ok;times=1"
            .parse::<portcullis_faulty_upstream::Script>()
            .unwrap(),
    );
    let service = RetryLayer::new().layer(Client::builder(TokioExecutor::new()).build_http());
    let request = Request::get(&url)
        .header("x-test-id", "recovers")
        .body(Full::new(Bytes::new()))
        .unwrap();

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(response.status(), 200);
    let outcome = outcome(&response);
    let Outcome::Failed(first) = outcome.records()[0].outcome else {
        panic!("{outcome}")
    };
    assert_eq!(
        first.status().map(|status| status.as_u16()),
        Some(502),
        "{outcome}"
    );
    assert_eq!(outcome.records().len(), 2);
}
