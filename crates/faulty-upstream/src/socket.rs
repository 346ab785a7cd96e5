use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection, and a second handle to its socket for what must go past whoever speaks on it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    under: std::net::TcpStream,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// The second handle: resets the connection, or writes past the protocol.
#[derive(Debug)]
pub(crate) struct Under(std::net::TcpStream);

// === impl Socket ===

impl Socket {
    pub(crate) fn plain(stream: TcpStream) -> io::Result<Self> {
        let (stream, under) = split(stream)?;
        Ok(Self {
            stream: Stream::Plain(stream),
            under,
        })
    }

    #[cfg(feature = "tls")]
    pub(crate) async fn tls(
        stream: TcpStream,
        acceptor: tokio_rustls::TlsAcceptor,
    ) -> io::Result<Self> {
        let (stream, under) = split(stream)?;
        let stream = acceptor.accept(stream).await?;
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
            under,
        })
    }

    /// Whether the client chose HTTP/2: by ALPN with TLS, by its preface without.
    pub(crate) async fn speaks_http2(&mut self) -> io::Result<bool> {
        match &self.stream {
            Stream::Plain(stream) => {
                let mut start = [0; PREFACE.len()];
                // A client that closes in the middle of it looks the same as one that is slow, so there is an end to the patience.
                for _ in 0..1000 {
                    let length = stream.peek(&mut start).await?;
                    let seen = start.get(..length).unwrap_or_default();
                    if length == 0 || !PREFACE.starts_with(seen) {
                        return Ok(false);
                    }
                    if length == PREFACE.len() {
                        return Ok(true);
                    }
                    // A part of the preface: the rest is on its way, and `peek` does not wait for it.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(false)
            }
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Ok(stream.get_ref().1.alpn_protocol() == Some(b"h2")),
        }
    }

    pub(crate) fn under(&self) -> io::Result<Under> {
        self.under.try_clone().map(Under)
    }

    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }
}

fn split(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let under = stream.into_std()?;
    Ok((TcpStream::from_std(under.try_clone()?)?, under))
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Under ===

impl Under {
    pub(crate) fn again(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Makes the close of the connection, which the caller does next, a reset.
    pub(crate) fn reset(&self) {
        // With no time to linger, closing sends RST instead of FIN.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    /// Writes bytes past the protocol. They are few, and the socket's buffer takes them at once or not at all.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write;

        (&self.0).write_all(bytes)
    }

    /// Sends FIN.
    pub(crate) fn finish(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
