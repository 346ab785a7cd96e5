use std::sync::Arc;

use portcullis_faulty_upstream::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;

async fn connect(
    upstream: &FaultyUpstream,
    tls: &Tls,
    alpn: &[u8],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(tls.certificate_der().to_vec()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(upstream.addr()).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

#[tokio::test]
async fn http_is_spoken_over_tls_as_alpn_says() {
    let tls = Tls::self_signed(["localhost"]).unwrap();
    let upstream = FaultyUpstream::builder()
        .tls(tls.clone())
        .start()
        .await
        .unwrap();
    assert!(upstream.url().starts_with("https://"));

    let mut one = connect(&upstream, &tls, b"http/1.1").await.unwrap();
    one.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-fault: status=502\r\n\r\n")
        .await
        .unwrap();
    let mut text = Vec::new();
    // The server closes without a TLS close: what it sent is there all the same.
    let _ = one.read_to_end(&mut text).await;
    assert!(
        text.starts_with(b"HTTP/1.1 502 "),
        "{}",
        String::from_utf8_lossy(&text)
    );

    let two = connect(&upstream, &tls, b"h2").await.unwrap();
    let (client, connection) = h2::client::handshake(two).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let request = http::Request::get("https://localhost/").body(()).unwrap();
    let (response, _) = client
        .ready()
        .await
        .unwrap()
        .send_request(request, true)
        .unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_by_the_client() {
    let tls = Tls::self_signed(["elsewhere.test"]).unwrap();
    let upstream = FaultyUpstream::builder()
        .tls(tls.clone())
        .start()
        .await
        .unwrap();

    let error = connect(&upstream, &tls, b"h2").await.unwrap_err();

    assert!(error.to_string().contains("certificate"), "{error}");
}
