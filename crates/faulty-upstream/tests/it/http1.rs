use std::io::ErrorKind;
use std::time::Duration;

use http::StatusCode;
use portcullis_faulty_upstream::{FaultyUpstream, Plan, Script};

use super::*;

#[tokio::test]
async fn each_fault_is_on_the_wire() {
    let upstream = upstream().await;
    for (fault, start, end, clean) in [
        ("ok", "HTTP/1.1 200 OK\r\n", "}\n", true),
        (
            "status=503",
            "HTTP/1.1 503 Service Unavailable\r\n",
            "a fault, as asked for\n",
            true,
        ),
        (
            "status=503;retry-after=2",
            "HTTP/1.1 503 ",
            "a fault, as asked for\n",
            true,
        ),
        ("stall=5ms", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("stall=5ms;after=3", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("trickle=1ms;piece=40", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("reset", "", "", false),
        ("reset=head", "HTTP/1.1 200", "", false),
        (
            "reset=body;after=5",
            "HTTP/1.1 200 OK\r\n",
            "\r\n\r\n{\"pro",
            false,
        ),
        ("close", "", "", true),
        ("close=head", "HTTP/1.1 200", "", true),
        (
            "close=body;after=5",
            "HTTP/1.1 200 OK\r\n",
            "\r\n\r\n{\"pro",
            true,
        ),
        ("garbage", "\0\u{1}\u{2} this is not HTTP", "\r\n\r\n", true),
        ("truncated-chunk", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("wrong-length=5", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("unsaid-close", "HTTP/1.1 200 OK\r\n", "}\n", true),
        (
            "interim=103;count=2",
            "HTTP/1.1 103 Early Hints\r\nlink: ",
            "}\n",
            true,
        ),
        ("large-head=100000", "HTTP/1.1 200 OK\r\n", "}\n", true),
        ("goaway", "HTTP/1.1 501 ", "a fault of HTTP/2 only\n", true),
        (
            "grpc-status=14;in=headers",
            "HTTP/1.1 200 OK\r\n",
            "\r\n\r\n",
            true,
        ),
        ("status=503;delay=5ms", "HTTP/1.1 503 ", "\n", true),
    ] {
        let (text, ended) = get(&upstream, fault).await;

        assert!(text.starts_with(start), "{fault}: {text:?}");
        // What was sent before a reset need not arrive.
        if clean {
            assert!(text.ends_with(end), "{fault}: {text:?}");
            assert!(ended.is_ok(), "{fault}: {ended:?}");
        } else {
            assert_eq!(
                ended.unwrap_err().kind(),
                ErrorKind::ConnectionReset,
                "{fault}"
            );
        }
    }
}

#[tokio::test]
async fn framing_is_as_wrong_as_was_asked_for() {
    let upstream = upstream().await;

    let (long, _) = get(&upstream, "wrong-length=5").await;
    let (head, body) = long.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len() + 5)),
        "{head}"
    );

    let (chunk, _) = get(&upstream, "truncated-chunk").await;
    let (head, body) = chunk.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let (size, data) = body.split_once("\r\n").unwrap();
    assert_eq!(usize::from_str_radix(size, 16).unwrap(), data.len() + 1000);

    let (large, _) = get(&upstream, "large-head=100000").await;
    assert!(large.split_once("\r\n\r\n").unwrap().0.len() >= 100_000);

    let (unsaid, _) = talk(
        &upstream,
        "GET / HTTP/1.1\r\nhost: a\r\nx-fault: unsaid-close\r\n\r\n",
    )
    .await;
    assert!(!unsaid.contains("connection: close"), "{unsaid}");
}

#[tokio::test]
async fn retry_after_comes_in_every_form() {
    let upstream = upstream().await;
    for (form, shape) in [
        ("2", "retry-after: 2\r\n"),
        ("imf-fixdate+2", " GMT\r\n"),
        ("rfc850+2", "-"),
        ("asctime+2", "retry-after: "),
    ] {
        let (text, _) = get(&upstream, &format!("status=503;retry-after={form}")).await;

        assert!(
            text.contains("retry-after: ") && text.contains(shape),
            "{form}: {text}"
        );
    }
}

#[tokio::test]
async fn a_grpc_status_comes_in_headers_and_in_trailers_with_pushback() {
    let upstream = upstream().await;
    for (place, before) in [("headers", true), ("trailers", false)] {
        let fault = format!("grpc-status=14;message=try%20later;pushback=100ms;in={place}");
        let request = format!(
            "POST /pkg.Service/Method HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/grpc\r\n\
             content-length: 6\r\nx-fault: {fault}\r\n\r\n\0\0\0\0\u{1}a"
        );

        let (text, _) = talk(&upstream, &request).await;

        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        for field in [
            "grpc-status: 14",
            "grpc-message: try%20later",
            "grpc-retry-pushback-ms: 100",
        ] {
            assert_eq!(head.contains(field), before, "{place}: {head}");
            assert_eq!(rest.contains(field), !before, "{place}: {rest}");
        }
    }
}

#[tokio::test]
async fn an_early_answer_comes_while_the_request_is_being_sent() {
    let upstream = upstream().await;
    let head = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\nx-test-id: early\r\nx-fault: status=503;early=3\r\n\r\nabcd";

    let (text, _) = talk(&upstream, head).await;

    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    let entry = upstream.ledger().test("early").unwrap();
    assert_eq!(entry.attempts[0].body_sha256, None, "the body did not end");
    assert_eq!(entry.totals.processed, 0);
}

#[tokio::test]
async fn a_fault_that_cannot_be_understood_is_a_400_that_names_the_place() {
    let upstream = upstream().await;

    let (text, _) = get(&upstream, "status=503;tmes=2").await;

    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(text.contains("bad fault at byte 11"), "{text}");
}

#[tokio::test]
async fn a_script_is_played_for_its_test_id_from_rust_and_over_http() {
    let upstream = upstream().await;
    upstream.script("rust", "status=502;times=2".parse::<Script>().unwrap());
    let script = "status=503, reset";
    let put = format!(
        "PUT /__faulty/scripts/http HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{script}",
        script.len()
    );
    assert!(talk(&upstream, &put).await.0.starts_with("HTTP/1.1 200 "));
    let ask = async |id: &str| {
        let request =
            format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-test-id: {id}\r\n\r\n");
        talk(&upstream, &request)
            .await
            .0
            .get(9..12)
            .unwrap_or_default()
            .to_owned()
    };

    let rust = [ask("rust").await, ask("rust").await, ask("rust").await];
    let http = [ask("http").await, ask("http").await, ask("http").await];

    assert_eq!(rust, ["502", "502", "200"]);
    assert_eq!(
        http,
        ["503", "", ""],
        "the last step is for all that follow"
    );
    assert!(
        talk(&upstream, &put.replace("status=503", "statuz=503"))
            .await
            .0
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let run = async || {
        let plan = Plan::new(5).status(StatusCode::BAD_GATEWAY, 0.3).reset(0.1);
        let upstream = FaultyUpstream::builder().plan(plan).start().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..40 {
            let (text, _) = talk(
                &upstream,
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            )
            .await;
            seen.push(text.get(9..12).unwrap_or("reset").to_owned());
        }
        seen
    };

    let first = run().await;

    assert_eq!(first, run().await);
    assert!(
        first.contains(&"502".to_owned()) && first.contains(&"200".to_owned()),
        "{first:?}"
    );
}

#[tokio::test]
async fn a_plan_that_adds_up_to_more_than_one_is_refused() {
    let plan = Plan::new(0).delay(Duration::ZERO, 0.7).reset(0.7);

    let error = FaultyUpstream::builder()
        .plan(plan)
        .start()
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn events_and_the_health_are_there() {
    let upstream = upstream().await;

    let (events, _) = talk(
        &upstream,
        "GET /sse?n=3&gap=1ms HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let (health, _) = talk(
        &upstream,
        "GET /__faulty/health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;

    assert!(
        events.contains("content-type: text/event-stream"),
        "{events}"
    );
    assert_eq!(events.matches("event: tick\n").count(), 3, "{events}");
    assert!(health.ends_with("\r\n\r\nok\n"), "{health}");
    assert_eq!(
        upstream.ledger().totals().begun,
        1,
        "its own paths are not in the ledger"
    );
}

#[tokio::test]
async fn what_is_not_http_or_too_large_is_refused() {
    let upstream = FaultyUpstream::builder()
        .body_limit(10)
        .start()
        .await
        .unwrap();
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n12345678901",
            "413",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n",
            "413",
        ),
    ] {
        let (text, _) = talk(&upstream, request).await;

        assert_eq!(text.get(9..12), Some(status), "{request:?}: {text:?}");
    }
}

#[tokio::test]
async fn dropping_the_server_closes_its_port() {
    let upstream = upstream().await;
    let address = upstream.addr();

    upstream.shutdown().await;

    assert!(TcpStream::connect(address).await.is_err());
}
