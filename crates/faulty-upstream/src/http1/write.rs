//! What is sent, and how a fault spoils it.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncWriteExt;

use super::Connection;
use crate::answer::{Answer, Content, Pieces};
use crate::exchange::Outcome;
use crate::fault::{FaultKind, Interim, Place};

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Frame {
    /// This `content-length`.
    Length(u64),
    Chunked,
}

/// One answer on its way.
struct Sending {
    head: Vec<u8>,
    frame: Frame,
    pieces: Pieces,
    trailers: Option<HeaderMap>,
}

impl Connection {
    /// Sends an answer the way its fault wants it; true if the connection can carry another request.
    pub(super) async fn respond(
        &mut self,
        outcome: Outcome,
        keep_alive: bool,
        bodiless: bool,
    ) -> io::Result<bool> {
        let Outcome { answer, fault } = outcome;
        let mut answer = answer;
        match &fault {
            FaultKind::GoAway { .. } | FaultKind::RstStream { .. } => {
                answer = Answer::text(StatusCode::NOT_IMPLEMENTED, "a fault of HTTP/2 only\n");
            }
            FaultKind::Interim { status, count } => {
                for _ in 0..count.get() {
                    self.io.write_all(interim(*status)).await?;
                }
            }
            FaultKind::Stall { wait, after: None } => tokio::time::sleep(*wait).await,
            _ => {}
        }
        let sending = Sending::new(answer, &fault, keep_alive, bodiless);
        match fault {
            FaultKind::Reset(place) => {
                self.send_until(sending, place).await?;
                self.reset()
            }
            FaultKind::Close(place) => {
                self.send_until(sending, place).await?;
                Ok(false)
            }
            FaultKind::Garbage => {
                self.io.write_all(GARBAGE).await?;
                Ok(false)
            }
            FaultKind::TruncatedChunk => {
                self.io.write_all(&sending.head).await?;
                for piece in sending.pieces.pieces {
                    let size = format!("{:x}\r\n", piece.len() + 1000);
                    self.io.write_all(size.as_bytes()).await?;
                    self.io.write_all(&piece).await?;
                }
                Ok(false)
            }
            FaultKind::Stall {
                wait,
                after: Some(after),
            } => {
                self.io.write_all(&sending.head).await?;
                let (before, rest) = sending.pieces.split(after);
                self.send_pieces(before, sending.frame).await?;
                self.io.flush().await?;
                tokio::time::sleep(wait).await;
                self.send_pieces(rest, sending.frame).await?;
                self.send_end(sending.frame, sending.trailers).await?;
                Ok(keep_alive)
            }
            FaultKind::WrongLength(_) | FaultKind::UnsaidClose => {
                self.send(sending).await?;
                Ok(false)
            }
            _ => {
                self.send(sending).await?;
                Ok(keep_alive)
            }
        }
    }

    async fn send(&mut self, sending: Sending) -> io::Result<()> {
        let Sending {
            head,
            frame,
            pieces,
            trailers,
        } = sending;
        if pieces.gap.is_zero() && frame != Frame::Chunked {
            // One segment where it fits, as a usual server does.
            let mut bytes = head;
            for piece in &pieces.pieces {
                bytes.extend_from_slice(piece);
            }
            self.io.write_all(&bytes).await?;
            return self.io.flush().await;
        }
        self.io.write_all(&head).await?;
        self.send_pieces(pieces, frame).await?;
        self.send_end(frame, trailers).await
    }

    async fn send_pieces(&mut self, pieces: Pieces, frame: Frame) -> io::Result<()> {
        for (index, piece) in pieces.pieces.into_iter().enumerate() {
            if index > 0 && !pieces.gap.is_zero() {
                self.io.flush().await?;
                tokio::time::sleep(pieces.gap).await;
            }
            match frame {
                Frame::Length(_) => self.io.write_all(&piece).await?,
                Frame::Chunked => {
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend_from_slice(&piece);
                    chunk.extend_from_slice(b"\r\n");
                    self.io.write_all(&chunk).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_end(&mut self, frame: Frame, trailers: Option<HeaderMap>) -> io::Result<()> {
        if frame == Frame::Chunked {
            let mut end = b"0\r\n".to_vec();
            fields(&mut end, &trailers.unwrap_or_default());
            end.extend_from_slice(b"\r\n");
            self.io.write_all(&end).await?;
        }
        self.io.flush().await
    }

    /// Sends what comes before the place at which the connection ends.
    async fn send_until(&mut self, sending: Sending, place: Place) -> io::Result<()> {
        match place {
            Place::BeforeHead => {}
            Place::InHead => {
                let half = sending.head.len() / 2;
                self.io
                    .write_all(sending.head.get(..half).unwrap_or_default())
                    .await?;
            }
            Place::InBody(after) => {
                self.io.write_all(&sending.head).await?;
                self.send_pieces(sending.pieces.split(after).0, sending.frame)
                    .await?;
            }
        }
        self.io.flush().await
    }

    fn reset(&self) -> io::Result<bool> {
        self.io.under()?.reset();
        Err(io::Error::other("reset, as asked for"))
    }
}

// === impl Sending ===

impl Sending {
    fn new(answer: Answer, fault: &FaultKind, keep_alive: bool, bodiless: bool) -> Self {
        let Answer {
            status,
            headers,
            content,
            trailers,
        } = answer;
        let pieces = match fault {
            FaultKind::Trickle { gap, piece } => content.pieces().cut(piece.get(), *gap),
            _ => content.pieces(),
        };
        let chunked = trailers.is_some()
            || matches!(content, Content::Events { .. })
            || matches!(fault, FaultKind::TruncatedChunk);
        let frame = if chunked {
            Frame::Chunked
        } else {
            let off = if let FaultKind::WrongLength(off) = fault {
                i64::from(*off)
            } else {
                0
            };
            Frame::Length(pieces.length().saturating_add_signed(off))
        };

        let mut head = Vec::new();
        let reason = status.canonical_reason().unwrap_or_default();
        head.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
        fields(&mut head, &headers);
        if let FaultKind::LargeHead(size) = fault {
            pad(&mut head, *size);
        }
        match frame {
            Frame::Length(length) => {
                head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Frame::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        if !keep_alive && *fault != FaultKind::UnsaidClose {
            head.extend_from_slice(b"connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        if bodiless {
            let none = Pieces {
                pieces: Vec::new(),
                gap: Duration::ZERO,
            };
            return Self {
                head,
                frame: Frame::Length(0),
                pieces: none,
                trailers: None,
            };
        }
        Self {
            head,
            frame,
            pieces,
            trailers,
        }
    }
}

fn fields(bytes: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}

/// Fields of 1 KiB each, until the head has at least this size.
fn pad(head: &mut Vec<u8>, size: u32) {
    let size = usize::try_from(size.min(LARGEST_HEAD)).unwrap_or_default();
    let padding = Bytes::from(vec![b'x'; 1000]);
    let mut number = 0_u32;
    while head.len() < size {
        let mut name = String::new();
        // Writing into a `String` does not fail.
        let _ = write!(name, "x-padding-{number}: ");
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(&padding);
        head.extend_from_slice(b"\r\n");
        number += 1;
    }
}

const fn interim(status: Interim) -> &'static [u8] {
    match status {
        Interim::Continue => b"HTTP/1.1 100 Continue\r\n\r\n",
        Interim::Processing => b"HTTP/1.1 102 Processing\r\n\r\n",
        Interim::EarlyHints => {
            b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
        }
    }
}

const GARBAGE: &[u8] = b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n";
const LARGEST_HEAD: u32 = 4 * 1024 * 1024;
