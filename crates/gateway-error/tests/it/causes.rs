//! Every cause of the table on the crate page, on a real socket with a real client.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use portcullis_gateway_error::{Classify, DefaultClassifier, Delivery, Failure};
use portcullis_test_support::{ScriptBody, Step};
use tokio::io::AsyncWriteExt;

use crate::client::{Upstream, closed_port, full_listener, https, plain, post, prior_knowledge};
use crate::server::{self, Certificate, End, finish, frame, go_away, http1, http2, ok, reset};

/// What a cause is called in the table, and what became of it.
type Row = (&'static str, Failure);

#[tokio::test]
async fn the_table_on_the_crate_page_is_what_real_sockets_give() {
    let mut rows = connecting().await;
    rows.extend(tls().await);
    rows.extend(answering().await);
    rows.extend(streams().await);
    rows.extend(pooled().await);

    let found: Vec<_> = rows
        .iter()
        .map(|(cause, failure)| {
            let kind = failure.kind().unwrap();
            format!("| {cause} | `{kind}` | {} |", words(failure))
        })
        .collect();
    let page = include_str!("../../src/lib.rs");
    let table: Vec<_> = page
        .lines()
        .skip_while(|line| !line.starts_with("//! | ---"))
        .skip(1)
        .map_while(|line| line.strip_prefix("//! ").filter(|row| row.starts_with('|')))
        .collect();
    assert_eq!(
        found.join("\n"),
        table.join("\n"),
        "the page and the wire differ"
    );
}

fn words(failure: &Failure) -> &'static str {
    match failure.delivery() {
        Delivery::NotSent if failure.is_refused() => "refused",
        Delivery::NotSent => "not sent",
        Delivery::MaybeProcessed => "maybe processed",
        Delivery::Answered => "answered",
    }
}

async fn connecting() -> Vec<Row> {
    let unresolved = plain().fail("http://upstream.invalid/").await;

    let refused = plain()
        .fail(&format!("http://{}/", closed_port().await))
        .await;

    let (full, _waiting) = full_listener();
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_millis(200)));
    let late = Upstream::new(connector)
        .fail(&format!("http://{full}/"))
        .await;

    vec![
        ("the name does not resolve", unresolved),
        ("the connection is refused", refused),
        ("opening the connection takes too long", late),
    ]
}

async fn tls() -> Vec<Row> {
    let certificate = Certificate::new(&["localhost"]);
    let trusting = || Upstream::new(https(&[&certificate]));
    let acceptor = certificate.acceptor(false);
    let good = server::serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                server::drain(stream).await;
            }
        }
    })
    .await;

    let plain_text = server::serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        finish(stream, End::Keep).await;
    })
    .await;
    let no_tls = trusting().fail(&format!("https://{plain_text}/")).await;

    let old = server::serve(|mut stream| async move {
        // A fatal alert: protocol_version.
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 70]).await;
        finish(stream, End::Keep).await;
    })
    .await;
    let alert = trusting().fail(&format!("https://{old}/")).await;

    let other_name = trusting().fail(&format!("https://{good}/")).await;

    let stranger = Upstream::new(https(&[]));
    let issuer = stranger
        .fail(&format!("https://localhost:{}/", good.port()))
        .await;

    let asking = certificate.acceptor(true);
    let asking = server::serve(move |stream| {
        let asking = asking.clone();
        async move {
            // In TLS 1.3 the client is done before the server refuses it, and its request is on the way.
            if let Err((_, stream)) = asking.accept(stream).into_fallible().await {
                finish(stream, End::Keep).await;
            }
        }
    })
    .await;
    let late_alert = trusting()
        .fail(&format!("https://localhost:{}/", asking.port()))
        .await;

    let acceptor = certificate.acceptor(false);
    let broken = server::serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            server::read_request(&mut stream).await;
            let (mut stream, _) = stream.into_inner();
            let _ = stream.write_all(b"not a record of TLS").await;
            finish(stream, End::Keep).await;
        }
    })
    .await;
    let broken = trusting()
        .fail(&format!("https://localhost:{}/", broken.port()))
        .await;

    vec![
        ("the upstream does not speak TLS", no_tls),
        ("an alert in the TLS handshake", alert),
        ("a certificate for another name", other_name),
        ("a certificate of an unknown issuer", issuer),
        ("an alert after the TLS handshake", late_alert),
        ("TLS breaks after the handshake", broken),
    ]
}

async fn answering() -> Vec<Row> {
    let mut rows = Vec::new();
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(600_000));
    for (cause, answer, end) in [
        ("closed before any byte", "", End::Close),
        ("reset before any byte", "", End::Reset),
        (
            "closed in the middle of the head",
            "HTTP/1.1 200 OK\r\nx: ",
            End::Close,
        ),
        (
            "garbage instead of HTTP",
            "\u{1}\u{2}garbage\r\n\r\n",
            End::Keep,
        ),
        ("a head that is too large", &long, End::Keep),
        (
            "closed in the middle of the body",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
            End::Close,
        ),
        (
            "closed between two chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            End::Close,
        ),
        (
            "a chunk whose size is no number",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            End::Keep,
        ),
    ] {
        let address = http1(answer, end).await;
        rows.push((cause, plain().fail(&format!("http://{address}/")).await));
    }

    let address = http1("", End::Keep).await;
    let body = ScriptBody::new([
        Step::data("half"),
        Step::Pending,
        Step::Error("the caller left"),
    ]);
    let broken = plain().fail_with(&format!("http://{address}/"), body).await;
    rows.push(("the caller's own body breaks off", broken));
    rows
}

async fn streams() -> Vec<Row> {
    const REFUSED_STREAM: u32 = 0x7;
    const INTERNAL_ERROR: u32 = 0x2;
    let mut rows = Vec::new();
    for (cause, frames, end) in [
        (
            "GOAWAY with a lower last stream id",
            vec![go_away(0, 0)],
            End::Keep,
        ),
        (
            "GOAWAY with our last stream id, then closed",
            vec![go_away(1, 0)],
            End::Close,
        ),
        (
            "RST_STREAM with REFUSED_STREAM",
            vec![reset(REFUSED_STREAM)],
            End::Keep,
        ),
        (
            "RST_STREAM with another code",
            vec![reset(INTERNAL_ERROR)],
            End::Keep,
        ),
        (
            "RST_STREAM in the middle of the body",
            vec![ok(false), frame(0, 0, 1, b"abc"), reset(REFUSED_STREAM)],
            End::Keep,
        ),
        (
            "HTTP/2 frames that break the protocol",
            vec![frame(0, 0, 0, b"x")],
            End::Keep,
        ),
    ] {
        let address = http2(frames, end).await;
        rows.push((
            cause,
            prior_knowledge().fail(&format!("http://{address}/")).await,
        ));
    }
    rows
}

async fn pooled() -> Vec<Row> {
    // The connection is found dead before the request is written.
    let address = http1("HTTP/1.1 204 No Content\r\n\r\n", End::Close).await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    sender.ready().await.unwrap();
    sender
        .send_request(post("/", ScriptBody::chunks([])))
        .await
        .unwrap();
    connection.await.unwrap().unwrap();
    let dead = sender.send_request(post("/", ScriptBody::chunks([]))).await;
    let dead = DefaultClassifier.classify_error(&dead.unwrap_err());

    // The connection dies while the request is on the way: the upstream can have read it.
    let address = server::serve(|mut stream| async move {
        server::read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        server::read_request(&mut stream).await;
        finish(stream, End::Close).await;
    })
    .await;
    let client = plain();
    let uri = format!("http://{address}/");
    client.request(&uri).await.unwrap();
    let dying = client.fail(&uri).await;

    vec![
        ("a pooled connection that was found dead", dead),
        ("a pooled connection that dies under the request", dying),
    ]
}
