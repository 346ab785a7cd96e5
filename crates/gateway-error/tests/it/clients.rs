//! What the clients themselves do about a failure, and the errors of the other ones.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use portcullis_gateway_error::{
    Classified, Classify, DefaultClassifier, Delivery, ErrorKind, Failure, GrpcCode,
    classify_body_error, classify_error,
};
use portcullis_test_support::{ScriptBody, Step};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

use crate::client::{Upstream, closed_port, full_listener, plain, post, prior_knowledge};
use crate::server::{self, End, finish, go_away, http1, http2, ok, reset};

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_without_an_error() {
    let (gone, mut left) = tokio::sync::mpsc::unbounded_channel();
    let address = server::serve(move |mut stream| {
        let gone = gone.clone();
        async move {
            server::read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            finish(stream, End::Close).await;
            let _ = gone.send(());
        }
    })
    .await;
    let client = plain();

    for _ in 0..3 {
        let status = client.request(&format!("http://{address}/")).await.unwrap();

        assert_eq!(status, 204);
        // The client has noticed: it closed its side too.
        left.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_graceful_go_away_lets_the_stream_finish() {
    let frames = vec![go_away(0x7fff_ffff, 0), ok(true)];
    let address = http2(frames, End::Keep).await;

    let status = prior_knowledge()
        .request(&format!("http://{address}/"))
        .await;

    assert_eq!(status.unwrap(), 200);
}

#[tokio::test]
async fn an_upgrade_that_breaks_off_was_answered() {
    let address = http1(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        End::Keep,
    )
    .await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection.with_upgrades());
    let mut request = post("/", ScriptBody::new([Step::data("half"), Step::Stall]));
    for (name, value) in [("connection", "upgrade"), ("upgrade", "x")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);

    connection.abort();

    let error = hyper::upgrade::on(response).await.unwrap_err();
    let failure = DefaultClassifier.classify_error(&error);
    assert_eq!(
        failure.kind(),
        Some(ErrorKind::HttpUpgradeFailed),
        "{error:?}"
    );
    assert_eq!(failure.delivery(), Delivery::Answered);
}

#[tokio::test]
async fn an_error_of_a_resolver_of_ones_own_is_a_dns_error_unless_it_is_classified() {
    type Refusal = Box<dyn Error + Send + Sync>;
    for (error, expected) in [
        (
            (|| std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
                as fn() -> Refusal,
            ErrorKind::DnsError,
        ),
        (
            || std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
            ErrorKind::DnsTimeout,
        ),
        (
            || Classified::new(ErrorKind::DestinationIpProhibited, "10.0.0.1 is internal").into(),
            ErrorKind::DestinationIpProhibited,
        ),
    ] {
        let resolver =
            tower::service_fn(
                move |_| async move { Err::<std::vec::IntoIter<SocketAddr>, _>(error()) },
            );

        let failure = Upstream::new(HttpConnector::new_with_resolver(resolver))
            .fail("http://upstream.test/")
            .await;

        assert_eq!(failure, Failure::new(expected).delivered(Delivery::NotSent));
    }
}

#[tokio::test]
async fn reqwest_errors_are_known() {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let closed = http1("", End::Close).await;
    let silent = http1("", End::Keep).await;
    let half = http1(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        End::Close,
    )
    .await;
    let down = http1("HTTP/1.1 503 Service Unavailable\r\n\r\n", End::Close).await;
    let get = async |address: SocketAddr| {
        let request = client.get(format!("http://{address}/"));
        let request = if address == silent {
            request.timeout(Duration::from_millis(200))
        } else {
            request
        };
        let response = request.send().await?;
        response.error_for_status()?.bytes().await
    };

    for (what, address, kind, delivery) in [
        (
            "refused",
            closed_port().await,
            ErrorKind::ConnectionRefused,
            Delivery::NotSent,
        ),
        (
            "closed",
            closed,
            ErrorKind::ConnectionTerminated,
            Delivery::MaybeProcessed,
        ),
        (
            "silent",
            silent,
            ErrorKind::HttpResponseTimeout,
            Delivery::MaybeProcessed,
        ),
        (
            "half",
            half,
            ErrorKind::HttpResponseIncomplete,
            Delivery::Answered,
        ),
    ] {
        let failure = DefaultClassifier.classify_error(&get(address).await.unwrap_err());

        assert_eq!(
            (failure.kind(), failure.delivery()),
            (Some(kind), delivery),
            "{what}"
        );
    }
    let failure = DefaultClassifier.classify_error(&get(down).await.unwrap_err());
    assert_eq!(failure.status().map(|status| status.as_u16()), Some(503));
    let unresolved = client.get("http://upstream.invalid/").send().await;
    let failure = DefaultClassifier.classify_error(&unresolved.unwrap_err());
    assert_eq!(
        (failure.kind(), failure.delivery()),
        (Some(ErrorKind::DnsError), Delivery::NotSent)
    );

    let (full, _waiting) = full_listener();
    let impatient = reqwest::Client::builder().no_proxy();
    let impatient = impatient
        .connect_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let late = impatient
        .get(format!("http://{full}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        DefaultClassifier.classify_error(&late),
        Failure::new(ErrorKind::ConnectionTimeout)
    );
}

#[tokio::test]
async fn the_text_of_a_reqwest_error_holds_no_secret() {
    let address = closed_port().await;
    let uri = format!("http://me:hunter2@{address}/a?id=7&token=hunter2");

    let error = reqwest::get(&uri).await.unwrap_err();

    let text = DefaultClassifier.describe_error(&error);
    assert!(text.contains("/a?id=7&token=REDACTED"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn tonic_errors_are_known() {
    let call = async |address: SocketAddr| {
        let channel = tonic::transport::Endpoint::try_from(format!("http://{address}")).unwrap();
        let request = Request::new(tonic::body::Body::empty());
        channel
            .connect_lazy()
            .oneshot(request)
            .await
            .map(|_| ())
            .unwrap_err()
    };
    for (what, address, kind, delivery) in [
        (
            "refused",
            closed_port().await,
            ErrorKind::ConnectionRefused,
            Delivery::NotSent,
        ),
        (
            "refused stream",
            http2(vec![reset(7)], End::Keep).await,
            ErrorKind::ConnectionTerminated,
            Delivery::NotSent,
        ),
        (
            "reset",
            http2(vec![reset(2)], End::Keep).await,
            ErrorKind::ConnectionTerminated,
            Delivery::MaybeProcessed,
        ),
    ] {
        let error = call(address).await;

        let failure = DefaultClassifier.classify_error(&error);

        assert_eq!(
            (failure.kind(), failure.delivery()),
            (Some(kind), delivery),
            "{what}"
        );
        // What a generated client hands out holds the same error inside.
        let status = tonic::Status::from_error(error.into());
        assert_eq!(
            DefaultClassifier.classify_error(&status),
            failure,
            "{what}: {status:?}"
        );
    }

    let told = DefaultClassifier.classify_error(&tonic::Status::unavailable("over the wire"));
    assert_eq!(
        (told.grpc_code(), told.delivery()),
        (Some(GrpcCode::Unavailable), Delivery::Answered)
    );
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_tower_and_tokio_are_known() {
    let elapsed = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>());
    let elapsed: Box<dyn Error + Send + Sync> = elapsed.await.unwrap_err().into();
    for (error, kind) in [
        (elapsed, ErrorKind::HttpResponseTimeout),
        (
            Box::new(tower::timeout::error::Elapsed::new()),
            ErrorKind::HttpResponseTimeout,
        ),
        (
            Box::new(tower::load_shed::error::Overloaded::new()),
            ErrorKind::ConnectionLimitReached,
        ),
    ] {
        assert_eq!(
            DefaultClassifier.classify_error(&error),
            Failure::new(kind),
            "{error}"
        );
    }
}

#[test]
fn a_bare_io_error_is_not_sent_only_where_it_cannot_come_later() {
    use std::io::ErrorKind as Io;

    for (io, kind, delivery) in [
        (
            Io::ConnectionRefused,
            ErrorKind::ConnectionRefused,
            Delivery::NotSent,
        ),
        (
            Io::ConnectionReset,
            ErrorKind::ConnectionTerminated,
            Delivery::MaybeProcessed,
        ),
        (
            Io::BrokenPipe,
            ErrorKind::ConnectionTerminated,
            Delivery::MaybeProcessed,
        ),
        (
            Io::UnexpectedEof,
            ErrorKind::ConnectionTerminated,
            Delivery::MaybeProcessed,
        ),
        (
            Io::TimedOut,
            ErrorKind::ConnectionReadTimeout,
            Delivery::MaybeProcessed,
        ),
        (
            Io::HostUnreachable,
            ErrorKind::DestinationIpUnroutable,
            Delivery::MaybeProcessed,
        ),
        (
            Io::PermissionDenied,
            ErrorKind::ProxyInternalError,
            Delivery::MaybeProcessed,
        ),
        (
            Io::Other,
            ErrorKind::ProxyInternalError,
            Delivery::MaybeProcessed,
        ),
    ] {
        let failure = classify_error(&std::io::Error::from(io));

        assert_eq!(
            (failure.kind(), failure.delivery()),
            (Some(kind), delivery),
            "{io:?}"
        );
    }
}

#[test]
fn an_error_of_a_body_is_never_taken_for_an_error_before_the_answer() {
    for error in [
        std::io::Error::from(std::io::ErrorKind::ConnectionRefused),
        std::io::Error::other(Classified::new(ErrorKind::ConnectionRefused, "inside")),
        h2_refused(),
    ] {
        assert_eq!(
            classify_body_error(&error).delivery(),
            Delivery::Answered,
            "{error:?}"
        );
    }
    let early = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    assert_eq!(
        classify_body_error(&early).kind(),
        Some(ErrorKind::HttpResponseIncomplete)
    );
}

fn h2_refused() -> std::io::Error {
    std::io::Error::other(h2::Error::from(h2::Reason::REFUSED_STREAM))
}
