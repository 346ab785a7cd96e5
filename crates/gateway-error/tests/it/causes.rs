//! Every cause of the table on the crate page, on a real socket with a real client.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_gateway_error::{
    Classified, Classify, DefaultClassifier, Delivery, ErrorKind, Failure, GrpcCode,
    classify_body_error, classify_error,
};
use portcullis_test_support::{ScriptBody, Step};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

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
            let (kind, delivery) = (failure.kind().unwrap(), failure.delivery());
            format!("| {cause} | `{kind}` | {} |", words(delivery))
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

fn words(delivery: Delivery) -> &'static str {
    match delivery {
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

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_without_an_error() {
    let address = http1("HTTP/1.1 204 No Content\r\n\r\n", End::Close).await;
    let client = plain();

    for _ in 0..3 {
        let status = client.request(&format!("http://{address}/")).await.unwrap();

        assert_eq!(status, 204);
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
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let closed = http1("", End::Close).await;
    let silent = http1("", End::Keep).await;
    let half = http1(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        End::Close,
    )
    .await;
    let down = http1("HTTP/1.1 503 Service Unavailable\r\n\r\n", End::Close).await;
    let get = async |address: SocketAddr| {
        let response = client.get(format!("http://{address}/")).send().await?;
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

/// A client of one upstream, over any connector.
struct Upstream<C>(Client<C, ScriptBody>);

impl<C: Connect + Clone + Send + Sync + 'static> Upstream<C> {
    fn new(connector: C) -> Self {
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a POST and reads the whole answer.
    async fn request(&self, uri: &str) -> Result<http::StatusCode, Failure> {
        self.send(uri, ScriptBody::chunks(["ping"])).await
    }

    async fn fail(&self, uri: &str) -> Failure {
        self.request(uri).await.unwrap_err()
    }

    async fn fail_with(&self, uri: &str, body: ScriptBody) -> Failure {
        self.send(uri, body).await.unwrap_err()
    }

    async fn send(&self, uri: &str, body: ScriptBody) -> Result<http::StatusCode, Failure> {
        let response = self.0.request(post(uri, body)).await;
        let response = response.map_err(|error| DefaultClassifier.classify_error(&error))?;
        let status = response.status();
        match response.into_body().collect().await {
            Ok(_) => Ok(status),
            Err(error) => {
                let failure = DefaultClassifier.classify_error(&error);
                assert_eq!(failure, classify_body_error(&error), "{error:?}");
                Err(failure)
            }
        }
    }
}

fn post(uri: &str, body: ScriptBody) -> Request<ScriptBody> {
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .body(body)
        .unwrap()
}

fn plain() -> Upstream<HttpConnector> {
    Upstream::new(HttpConnector::new())
}

fn prior_knowledge() -> Upstream<HttpConnector> {
    let mut builder = Client::builder(TokioExecutor::new());
    Upstream(builder.http2_only(true).build_http())
}

fn https(trusted: &[&Certificate]) -> HttpsConnector<HttpConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .build()
}

/// An address where nobody listens.
async fn closed_port() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An address that takes no more connections: its queue is full, and nobody accepts.
fn full_listener() -> (SocketAddr, impl Drop) {
    struct Full(#[expect(dead_code, reason = "kept open")] Vec<socket2::Socket>);
    impl Drop for Full {
        fn drop(&mut self) {}
    }

    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let waiting =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let full = waiting
            .connect_timeout(&address, Duration::from_millis(100))
            .is_err();
        sockets.push(waiting);
        if full {
            break;
        }
    }
    (address.as_socket().unwrap(), Full(sockets))
}
