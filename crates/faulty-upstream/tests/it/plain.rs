use http::StatusCode;
use portcullis_faulty_upstream::Plan;

use super::*;

#[tokio::test]
async fn answer_echoes_the_request() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();

    let (answer, end) = talk(
        &upstream,
        "POST /a/b?c=d HTTP/1.1\r\nhost: x\r\nx-one: 1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
    )
    .await;

    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(end.is_ok());
    let echo: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["path"], "/a/b");
    assert_eq!(echo["query"], "c=d");
    assert_eq!(echo["headers"]["x-one"], "1");
    assert_eq!(echo["body"]["text"], "abc");
    assert_eq!(
        echo["body"]["sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(upstream.ledger().totals().processed, 1);
}

#[tokio::test]
async fn connection_carries_many_requests() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();

    let (answer, _) = talk(
        &upstream,
        "POST /1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
         GET /2 HTTP/1.1\r\nhost: x\r\n\r\n\
         HEAD /3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;

    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert!(answer.contains(r#""text":"abcde""#), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let totals = upstream.ledger().totals();
    assert_eq!(
        (totals.connections, totals.begun, totals.processed),
        (1, 3, 3)
    );
}

#[tokio::test]
async fn plan_answers_a_status_without_doing_the_work() {
    let upstream = FaultyUpstream::builder()
        .plan(Plan::new(1).status(StatusCode::BAD_GATEWAY, 1.0))
        .start()
        .await
        .unwrap();

    let (answer, _) = talk(
        &upstream,
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;

    assert!(
        answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
        "{answer}"
    );
    let totals = upstream.ledger().totals();
    assert_eq!((totals.begun, totals.processed), (1, 0));
}
