use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_gateway_error::{Classify, DefaultClassifier, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pattern::Found;
use crate::{Pattern, Probe, ProbeError};

/// A probe that opens a TCP connection, and where that is asked sends bytes and looks at those that come.
///
/// Without [`receive`](Self::receive) a connection that opens is a success, as for a `tcpSocket` of Kubernetes; note that the kernel opens it even where the
/// process behind it hangs.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_health_check::{Pattern, Probe, TcpProbe};
///
/// let probe = TcpProbe::new("127.0.0.1:1").send("PING\r\n").receive(Pattern::starts_with("+PONG"));
/// assert!(probe.probe().await.is_err());
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone, Debug)]
pub struct TcpProbe {
    address: Arc<str>,
    send: Bytes,
    receive: Option<Pattern>,
    max_bytes: usize,
    timeout: Option<Duration>,
}

/// How many bytes are read at most. An answer to a probe is short.
pub(crate) const MAX_RECEIVED_BYTES: usize = 4096;

// === impl TcpProbe ===

impl TcpProbe {
    /// A connection to this address, `10.0.0.7:6379` or `redis.internal:6379`. A name is resolved for every probe, by the system, and its addresses are tried in order.
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self {
            address: address.into(),
            send: Bytes::new(),
            receive: None,
            max_bytes: MAX_RECEIVED_BYTES,
            timeout: None,
        }
    }

    /// The same, of another address.
    #[cfg(feature = "config")]
    pub(crate) fn to(mut self, address: impl Into<Arc<str>>) -> Self {
        self.address = address.into();
        self
    }

    /// Sets the bytes that are sent once the connection is open. Default: none.
    pub fn send(mut self, bytes: impl Into<Bytes>) -> Self {
        self.send = bytes.into();
        self
    }

    /// Sets what must come. Default: nothing need come.
    pub fn receive(mut self, pattern: Pattern) -> Self {
        self.receive = Some(pattern);
        self
    }

    /// Replaces how many bytes are read at most; a pattern that is not there until then is a failure. Default: 4,096.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long this probe may last. Default: what the monitor says.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    async fn look(&self) -> Result<(), ProbeError> {
        let mut stream = TcpStream::connect(&*self.address).await.map_err(failed)?;
        if !self.send.is_empty() {
            stream.write_all(&self.send).await.map_err(failed)?;
        }
        let Some(pattern) = &self.receive else {
            return Ok(());
        };
        let mut search = pattern.search();
        let mut bytes = Vec::new();
        loop {
            let found = search.look(&bytes);
            if found == Found::All {
                return Ok(());
            }
            let left = self.max_bytes.saturating_sub(bytes.len());
            if found == Found::Never || left == 0 {
                let details = format!("{} bytes came that are not {pattern}", bytes.len());
                return Err(ProbeError::new(ErrorKind::DestinationUnavailable, details));
            }
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            let mut limited = (&mut stream).take(left);
            if limited.read_buf(&mut bytes).await.map_err(failed)? == 0 {
                let details = format!("closed after {} bytes that are not {pattern}", bytes.len());
                return Err(ProbeError::new(ErrorKind::ConnectionTerminated, details));
            }
        }
    }
}

impl Probe for TcpProbe {
    async fn probe(&self) -> Result<(), ProbeError> {
        self.look().await
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands on"
)]
fn failed(error: io::Error) -> ProbeError {
    let details = DefaultClassifier.describe_error(&error);
    ProbeError::new(DefaultClassifier.classify_error(&error), details)
}
