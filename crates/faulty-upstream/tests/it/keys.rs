use serde_json::Value;

use super::*;

fn post(key: &str, body: &str, fault: &str) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\nidempotency-key: {key}\r\nx-fault: {fault}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn status(text: &str) -> &str {
    text.get(9..12).unwrap_or_default()
}

#[tokio::test]
async fn a_key_seen_before_gets_the_stored_answer() {
    let upstream = upstream().await;

    let (first, _) = talk(&upstream, &post("\"k1\"", "abc", "ok")).await;
    let (second, _) = talk(&upstream, &post("k1", "abc", "ok")).await;
    let (other, _) = talk(&upstream, &post("k1", "abd", "ok")).await;

    assert_eq!(
        (status(&first), status(&second), status(&other)),
        ("200", "200", "422")
    );
    assert_eq!(first.split_once("\r\n\r\n"), second.split_once("\r\n\r\n"));
    let entry = upstream.ledger().key("k1").unwrap();
    assert_eq!(
        (
            entry.totals.begun,
            entry.totals.processed,
            entry.totals.connections
        ),
        (3, 1, 3)
    );
    assert_eq!(entry.attempts[0].body_sha256, entry.attempts[1].body_sha256);
    assert!(entry.attempts[0].processed && !entry.attempts[1].processed);
    assert_eq!(upstream.ledger().keys(), ["k1"]);
}

#[tokio::test]
async fn a_key_that_is_being_processed_is_a_conflict_and_the_work_ends_without_its_client() {
    let upstream = upstream().await;
    let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
    stream
        .write_all(post("k", "a", "ok;work=300ms").as_bytes())
        .await
        .unwrap();
    let ledger = upstream.ledger();
    while ledger
        .key("k")
        .is_none_or(|entry| entry.attempts[0].body_sha256.is_none())
    {
        tokio::task::yield_now().await;
    }

    let (during, _) = talk(&upstream, &post("k", "a", "ok")).await;
    drop(stream);
    while ledger
        .key("k")
        .is_some_and(|entry| entry.totals.processed == 0)
    {
        tokio::task::yield_now().await;
    }
    let (after, _) = talk(&upstream, &post("k", "a", "ok")).await;

    assert_eq!((status(&during), status(&after)), ("409", "200"));
    assert_eq!(ledger.key("k").unwrap().totals.processed, 1);
}

#[tokio::test]
async fn a_fault_happens_instead_of_the_work_or_after_it() {
    let upstream = upstream().await;
    for (fault, processed) in [
        ("status=502", 0),
        ("reset", 0),
        ("garbage", 0),
        ("status=502;processed", 1),
        ("reset;processed", 1),
        ("reset=body;after=3", 1),
        ("stall=1ms", 1),
    ] {
        let _answer = talk(&upstream, &post(&format!("{fault} key"), "a", fault)).await;

        let entry = upstream.ledger().key(&format!("{fault} key")).unwrap();
        assert_eq!(entry.totals.processed, processed, "{fault}");
        assert_eq!(
            entry.attempts[0].fault.split([';', '=']).next(),
            fault.split([';', '=']).next()
        );
    }
}

#[tokio::test]
async fn the_ledger_is_read_over_http() {
    let upstream = upstream().await;
    let _answer = talk(&upstream, &post("a/b", "abc", "ok")).await;
    let read = async |path: &str| {
        let request =
            format!("GET /__faulty/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let (text, _) = talk(&upstream, &request).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (
            status(head).to_owned(),
            serde_json::from_str::<Value>(body).unwrap(),
        )
    };

    let (_, all) = read("ledger").await;
    let (_, key) = read("ledger/keys/a%2Fb").await;
    let (missing, _) = read("ledger/tests/none").await;

    assert_eq!(all["totals"]["processed"], 1);
    assert_eq!(all["keys"]["a/b"]["begun"], 1);
    assert_eq!(
        key["attempts"][0]["body_sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(key["attempts"][0]["headers"]["idempotency-key"], "a/b");
    assert_eq!(missing, "404");
}
