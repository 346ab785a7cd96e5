//! A client of one upstream, and addresses that take no connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis_gateway_error::{Classify, DefaultClassifier, Failure, classify_body_error};
use portcullis_test_support::ScriptBody;

use crate::server::Certificate;

/// A client of one upstream, over any connector.
pub(crate) struct Upstream<C>(Client<C, ScriptBody>);

impl<C: Connect + Clone + Send + Sync + 'static> Upstream<C> {
    pub(crate) fn new(connector: C) -> Self {
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a POST and reads the whole answer.
    pub(crate) async fn request(&self, uri: &str) -> Result<http::StatusCode, Failure> {
        self.send(uri, ScriptBody::chunks(["ping"])).await
    }

    pub(crate) async fn fail(&self, uri: &str) -> Failure {
        self.request(uri).await.unwrap_err()
    }

    pub(crate) async fn fail_with(&self, uri: &str, body: ScriptBody) -> Failure {
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

pub(crate) fn post(uri: &str, body: ScriptBody) -> Request<ScriptBody> {
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .body(body)
        .unwrap()
}

pub(crate) fn plain() -> Upstream<HttpConnector> {
    Upstream::new(HttpConnector::new())
}

pub(crate) fn prior_knowledge() -> Upstream<HttpConnector> {
    let mut builder = Client::builder(TokioExecutor::new());
    Upstream(builder.http2_only(true).build_http())
}

pub(crate) fn https(trusted: &[&Certificate]) -> HttpsConnector<HttpConnector> {
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
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An address that takes no more connections: its queue is full, and nobody accepts.
pub(crate) fn full_listener() -> (SocketAddr, impl Drop) {
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
