use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::socket::Socket;

/// A server that plays a list of steps on each connection, byte for byte: for what no HTTP server sends.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use portcullis_faulty_upstream::{RawStep, RawUpstream};
/// use tokio::io::AsyncReadExt;
///
/// let upstream = RawUpstream::start([vec![RawStep::send("HTTP/1.1 2"), RawStep::Shutdown]]).await?;
/// let mut client = tokio::net::TcpStream::connect(upstream.addr()).await?;
/// let mut text = String::new();
/// client.read_to_string(&mut text).await?;
/// assert_eq!(text, "HTTP/1.1 2");
/// # Ok(()) }
/// ```
#[must_use = "the server stops when it is dropped"]
#[derive(Debug)]
pub struct RawUpstream {
    addr: SocketAddr,
    connections: Arc<Mutex<u64>>,
    accept: JoinHandle<()>,
}

/// One step on a connection.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RawStep {
    /// Reads until the empty line that ends a head, at most 64 KiB.
    ReadHead,
    /// Reads this many bytes.
    Read(usize),
    /// Sends these bytes.
    Send(Bytes),
    /// Does nothing for this long.
    Stall(Duration),
    /// Reads and forgets until the client closes.
    Hold,
    /// Closes the sending half: FIN.
    Shutdown,
    /// Closes with RST.
    Reset,
}

// === impl RawUpstream ===

impl RawUpstream {
    /// Listens on a free port of 127.0.0.1. Each list is for one connection, in the order in which they come; the last one is for all that follow. After its last
    /// step a connection is closed.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(scripts: impl IntoIterator<Item = Vec<RawStep>>) -> io::Result<Self> {
        let scripts: VecDeque<Vec<RawStep>> = scripts.into_iter().collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let connections = Arc::new(Mutex::new(0));
        let accept = tokio::spawn(accept(listener, scripts, Arc::clone(&connections)));
        Ok(Self {
            addr,
            connections,
            accept,
        })
    }

    /// Returns the address that the server listens on, with its real port.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns `http://` and the address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        *self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

// === impl RawStep ===

impl RawStep {
    /// Sends this text.
    #[must_use]
    pub const fn send(text: &'static str) -> Self {
        Self::Send(Bytes::from_static(text.as_bytes()))
    }
}

async fn accept(
    listener: TcpListener,
    mut scripts: VecDeque<Vec<RawStep>>,
    count: Arc<Mutex<u64>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let script = if scripts.len() > 1 {
            scripts.pop_front()
        } else {
            scripts.front().cloned()
        };
        connections.spawn(async move {
            if let Err(error) = play(stream, script.unwrap_or_default()).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

async fn play(stream: TcpStream, script: Vec<RawStep>) -> io::Result<()> {
    let mut socket = Socket::plain(stream)?;
    let mut byte = [0];
    for step in script {
        match step {
            RawStep::ReadHead => {
                let mut last = [0; 4];
                for _ in 0..64 * 1024 {
                    socket.read_exact(&mut byte).await?;
                    last.rotate_left(1);
                    last[3] = byte[0];
                    if last == *b"\r\n\r\n" {
                        break;
                    }
                }
            }
            RawStep::Read(bytes) => {
                for _ in 0..bytes {
                    socket.read_exact(&mut byte).await?;
                }
            }
            RawStep::Send(bytes) => {
                socket.write_all(&bytes).await?;
                socket.flush().await?;
            }
            RawStep::Stall(wait) => tokio::time::sleep(wait).await,
            RawStep::Hold => while socket.read(&mut byte).await? > 0 {},
            RawStep::Shutdown => socket.shutdown().await?,
            RawStep::Reset => {
                socket.under()?.reset();
                return Ok(());
            }
        }
    }
    Ok(())
}
