use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::Stack;
use portcullis::gateway_error::{AttemptRecord, Decision, Outcome, RetryOutcome, StopReason};
use portcullis::retry::{Backoff, RetryLayer};
use portcullis_faulty_upstream::{RawStep, RawUpstream};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

use crate::processes::{Process, folder, free_port, listening, program};

/// A real nginx, with these locations.
async fn nginx(test: &str, locations: &str) -> Option<(Process, String)> {
    let port = free_port();
    let process = nginx_at(test, port, locations).await?;
    Some((process, format!("http://127.0.0.1:{port}")))
}

/// The same at this port.
pub(crate) async fn nginx_at(test: &str, port: u16, locations: &str) -> Option<Process> {
    let nginx = program("nginx", test)?;
    let folder = folder(test);
    let path = folder.display();
    let text = format!(
        "daemon off; master_process off; pid {path}/pid; error_log stderr error;\n\
         events {{}}\n\
         http {{\n access_log off;\n client_body_temp_path {path}/a; proxy_temp_path {path}/b;\n \
         fastcgi_temp_path {path}/c; uwsgi_temp_path {path}/d; scgi_temp_path {path}/e;\n \
         server {{ listen 127.0.0.1:{port};\n{locations}\n}}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let child = Command::new(nginx)
        .args(["-e", "stderr", "-p"])
        .arg(&folder)
        .arg("-c")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    listening(port).await;
    Some(process)
}

async fn call(method: Method, url: &str) -> Response<impl http_body::Body + use<>> {
    let retry = RetryLayer::new()
        .max_attempts(2.try_into().unwrap())
        .backoff(Backoff::fixed(Duration::from_millis(5)));
    let service = Stack::new()
        .retry(retry)
        .layer(Client::builder(TokioExecutor::new()).build_http());
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(Bytes::new()))
        .unwrap();
    service.oneshot(request).await.unwrap()
}

fn records<B>(response: &Response<B>) -> &[AttemptRecord] {
    response
        .extensions()
        .get::<RetryOutcome>()
        .unwrap()
        .records()
}

#[tokio::test]
async fn nginx_before_a_dead_upstream_is_a_genuine_502_503_and_504() {
    // Accepts and never answers: 504.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let locations = format!(
        "location /502 {{ proxy_pass http://127.0.0.1:{}; }}\n\
         location /503 {{ add_header retry-after 0 always; return 503; }}\n\
         location /504 {{ proxy_read_timeout 1s; proxy_pass http://{}; }}",
        free_port(),
        silent.local_addr().unwrap()
    );
    let Some((_nginx, url)) = nginx("nginx_502_503_504", &locations).await else {
        return;
    };

    for (path, status) in [("/502", 502), ("/503", 503), ("/504", 504)] {
        let response = call(Method::GET, &format!("{url}{path}")).await;

        assert_eq!(
            response.status(),
            status,
            "{path}: the real answer is handed on"
        );
        assert_eq!(
            response.headers()["server"]
                .to_str()
                .unwrap()
                .split('/')
                .next(),
            Some("nginx")
        );
        let records = records(&response);
        assert_eq!(records.len(), 2, "{path}: a GET is tried again");
        for record in records {
            let Outcome::Failed(failure) = record.outcome else {
                panic!("{record:?}")
            };
            assert_eq!(
                failure.status().map(|status| status.as_u16()),
                Some(status),
                "{path}"
            );
            assert_eq!(failure.kind(), None, "{path}: nginx gives no reason");
            assert!(!failure.is_local(), "{path}");
        }
        assert_eq!(
            records[1].decision,
            Decision::Stop(StopReason::AttemptsExhausted)
        );

        let posted = call(Method::POST, &format!("{url}{path}")).await;
        assert_eq!(posted.status(), status, "{path}");
        assert_eq!(
            self::records(&posted)[0].decision,
            Decision::Stop(StopReason::NotSafe),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_recovers_behind_nginx_is_a_200() {
    // Closes its first connection without a byte, which nginx answers with 502, and then is well.
    let well = vec![
        RawStep::ReadHead,
        RawStep::send("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ];
    let upstream = RawUpstream::start([vec![RawStep::ReadHead], well])
        .await
        .unwrap();
    let locations = format!("location / {{ proxy_pass {}; }}", upstream.url());
    let Some((_nginx, url)) = nginx("nginx_recovers", &locations).await else {
        return;
    };

    let response = call(Method::GET, &url).await;

    assert_eq!(response.status(), 200);
    assert_eq!(records(&response).len(), 2);
    assert_eq!(upstream.connections(), 2);
}
