//! Servers that break the exchange at one point, on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection after the last byte.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close,
    Reset,
    /// It stays open until the client leaves.
    Keep,
}

/// Runs the handler for every connection.
pub(crate) async fn serve<F>(handler: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handler(stream));
        }
    });
    address
}

/// Reads the head of an HTTP/1.1 request, writes these bytes, and ends.
pub(crate) async fn http1(answer: impl Into<Vec<u8>>, end: End) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            finish(stream, end).await;
        }
    })
    .await
}

/// Waits for the request on stream 1 of an HTTP/2 connection, writes these frames, and ends.
pub(crate) async fn http2(frames: Vec<Vec<u8>>, end: End) -> SocketAddr {
    serve(move |mut stream| {
        let frames = frames.concat();
        async move {
            let mut preface = [0; 24];
            let _ = stream.read_exact(&mut preface).await;
            let _ = stream.write_all(&frame(0x4, 0, 0, &[])).await;
            loop {
                let mut head = [0; 9];
                if stream.read_exact(&mut head).await.is_err() {
                    return;
                }
                let [a, b, c, kind, ..] = head;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                let _ = stream.read_exact(&mut payload).await;
                if kind == 0x1 {
                    break;
                }
            }
            let _ = stream.write_all(&frames).await;
            finish(stream, end).await;
        }
    })
    .await
}

/// One frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length.to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn reset(code: u32) -> Vec<u8> {
    frame(0x3, 0, 1, &code.to_be_bytes())
}

pub(crate) fn go_away(last: u32, code: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(0x7, 0, 0, &payload)
}

/// `:status: 200`, with or without the end of the stream.
pub(crate) fn ok(end: bool) -> Vec<u8> {
    frame(0x1, 0x4 | u8::from(end), 1, &[0x88])
}

pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Reads until the client is gone, or closes now, or resets.
pub(crate) async fn finish(mut stream: TcpStream, end: End) {
    match end {
        // Reads what is there before it closes, because bytes that nobody read turn a close into a reset.
        End::Close => {
            let _ = stream.shutdown().await;
            drain(stream).await;
        }
        End::Reset => socket2::SockRef::from(&stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap(),
        End::Keep => drain(stream).await,
    }
}

pub(crate) async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// A certificate for `localhost` and not for its address.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    key: Vec<u8>,
}

// === impl Certificate ===

impl Certificate {
    pub(crate) fn new(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        Self {
            der: certified.cert.der().clone(),
            key: certified.signing_key.serialize_der(),
        }
    }

    pub(crate) fn acceptor(&self, ask_client: bool) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let config = builder.with_single_cert(vec![self.der.clone()], key);
        Arc::new(config.unwrap()).into()
    }
}
