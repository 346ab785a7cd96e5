//! A client that writes and reads bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends these bytes on a connection of their own and reads to its end; the
/// error is what ended it when it was not an orderly close.
pub(crate) async fn send(addr: SocketAddr, bytes: &str) -> (String, Option<std::io::ErrorKind>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await.err();
    (
        String::from_utf8_lossy(&answer).into_owned(),
        end.map(|error| error.kind()),
    )
}
