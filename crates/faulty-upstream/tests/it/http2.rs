use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};

use super::*;

type Client = h2::client::SendRequest<Bytes>;

async fn client(upstream: &FaultyUpstream) -> Client {
    let stream = TcpStream::connect(upstream.addr()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        // How it ends is seen by the requests.
        let _ = connection.await;
    });
    client
}

/// The head, the body and the trailers of an answer; or the first error.
async fn get(
    client: &Client,
    fault: &str,
) -> Result<(Response<()>, String, Option<http::HeaderMap>), h2::Error> {
    let mut client = client.clone().ready().await?;
    let request = Request::get("http://a/x")
        .header("x-fault", fault)
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        text.extend_from_slice(&piece?);
    }
    let trailers = body.trailers().await?;
    Ok((
        Response::from_parts(head, ()),
        String::from_utf8(text).unwrap(),
        trailers,
    ))
}

#[tokio::test]
async fn answers_and_statuses_come_over_http2() {
    let upstream = upstream().await;
    let client = client(&upstream).await;

    let (plain, body, _) = get(&client, "ok").await.unwrap();
    let (bad, ..) = get(&client, "status=502;retry-after=3").await.unwrap();
    let (slow, slowly, _) = get(&client, "trickle=1ms;piece=50").await.unwrap();
    let (grpc, _, trailers) = get(&client, "grpc-status=14;in=trailers").await.unwrap();

    assert_eq!(plain.status(), 200);
    assert!(body.contains(r#""protocol":"HTTP/2.0""#), "{body}");
    assert_eq!(
        (bad.status().as_u16(), &bad.headers()["retry-after"]),
        (502, &"3".parse().unwrap())
    );
    assert_eq!(slow.status(), 200);
    assert!(slowly.ends_with("}\n"), "{slowly}");
    assert_eq!(grpc.status(), 200);
    assert_eq!(trailers.unwrap()["grpc-status"], "14");
    assert_eq!(upstream.ledger().totals().connections, 1);
}

#[tokio::test]
async fn rst_stream_comes_before_and_in_the_answer_with_its_code() {
    let upstream = upstream().await;
    let client = client(&upstream).await;
    for (fault, reason) in [
        ("rst-stream=REFUSED_STREAM", Reason::REFUSED_STREAM),
        ("rst-stream=INTERNAL_ERROR", Reason::INTERNAL_ERROR),
        ("rst-stream=CANCEL;after=5", Reason::CANCEL),
    ] {
        let error = get(&client, fault).await.unwrap_err();

        assert!(error.is_reset() && error.is_remote(), "{fault}: {error:?}");
        assert_eq!(error.reason(), Some(reason), "{fault}");
    }
    assert!(get(&client, "ok").await.is_ok(), "the connection lives on");
}

#[tokio::test]
async fn goaway_names_the_stream_before_or_this_one() {
    let upstream = upstream().await;

    let error = get(&client(&upstream).await, "goaway=NO_ERROR")
        .await
        .unwrap_err();
    assert!(error.is_go_away(), "{error:?}");
    assert_eq!(upstream.ledger().totals().processed, 0);

    let error = get(&client(&upstream).await, "goaway=INTERNAL_ERROR;last=this")
        .await
        .unwrap_err();
    // The stream is among those that were seen: it is the end of the connection that fails it.
    assert!(error.is_io(), "{error:?}");
    assert_eq!(upstream.ledger().totals().processed, 1);

    let client = client(&upstream).await;
    let (response, ..) = get(&client, "goaway=NO_ERROR;last=this").await.unwrap();
    assert_eq!(response.status(), 200, "this stream is still answered");
}

#[tokio::test]
async fn connections_end_as_asked_for() {
    let upstream = upstream().await;
    for fault in [
        "reset",
        "close",
        "reset=body;after=4",
        "close=body;after=4",
        "garbage",
    ] {
        let client = client(&upstream).await;

        let error = get(&client, fault).await.unwrap_err();

        assert!(
            !error.is_reset(),
            "{fault}: the connection ended, not the stream: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_grpc_message_comes_back() {
    let upstream = upstream().await;
    let mut client = client(&upstream).await.ready().await.unwrap();
    let request = Request::post("http://a/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream
        .send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true)
        .unwrap();

    let mut body = response.await.unwrap().into_body();

    assert_eq!(body.data().await.unwrap().unwrap(), &b"\0\0\0\0\x02hi"[..]);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}
