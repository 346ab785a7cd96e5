//! What is on the wire, and in the ledger.
#![cfg(test)]

mod http1;
mod http2;
mod keys;
mod plain;
#[cfg(feature = "tls")]
mod tls;

use std::io;

use portcullis_faulty_upstream::FaultyUpstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn upstream() -> FaultyUpstream {
    FaultyUpstream::builder().start().await.unwrap()
}

/// What comes back on one connection until it ends, and how it ended.
async fn talk(upstream: &FaultyUpstream, request: &str) -> (String, io::Result<()>) {
    let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        match stream.read(&mut piece).await {
            Ok(0) => break Ok(()),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) => break Err(error),
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

/// One request with this fault, on a connection of its own that the client wants closed.
async fn get(upstream: &FaultyUpstream, fault: &str) -> (String, io::Result<()>) {
    let request =
        format!("GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-fault: {fault}\r\n\r\n");
    talk(upstream, &request).await
}
