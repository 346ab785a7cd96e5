//! HTTP/1.1 by hand, because a server that keeps the rules cannot break them.

mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::admin;
use crate::answer::Answer;
use crate::exchange::{Exchange, Outcome};
use crate::fault::FaultKind;
use crate::server::State;
use crate::socket::Socket;

struct Connection {
    io: Socket,
    /// Read from the socket, not yet understood.
    buf: BytesMut,
}

/// How the body of a request is framed, and how much of it is still to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// This many bytes.
    Length(u64),
    /// At the size line of a chunk.
    ChunkSize,
    /// In a chunk with this many bytes left.
    Chunk(u64),
    /// Nothing more.
    End,
}

/// Serves a connection to its end.
pub(crate) async fn serve(io: Socket, state: &Arc<State>, id: u64) -> io::Result<()> {
    let mut connection = Connection {
        io,
        buf: BytesMut::new(),
    };
    loop {
        let head = match connection.read_head().await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return connection.refuse(StatusCode::BAD_REQUEST).await;
            }
            Err(error) => return Err(error),
        };
        if !connection.exchange(head, state, id).await? {
            return connection.close().await;
        }
    }
}

impl Connection {
    /// Serves one request; true if the connection can carry another.
    async fn exchange(&mut self, head: Parts, state: &Arc<State>, id: u64) -> io::Result<bool> {
        let Some(mut framing) = framing(&head) else {
            self.refuse(StatusCode::BAD_REQUEST).await?;
            return Ok(false);
        };
        let keep_alive = keep_alive(&head);
        let bodiless = head.method == Method::HEAD;
        if framing != Framing::End && expects_continue(&head.headers) {
            self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if admin::is_admin(&head) {
            let mut body = BytesMut::new();
            while let Some(piece) = self.read_body(&mut framing).await? {
                if body.len() + piece.len() > state.body_limit {
                    self.refuse(StatusCode::PAYLOAD_TOO_LARGE).await?;
                    return Ok(false);
                }
                body.extend_from_slice(&piece);
            }
            let outcome = Outcome {
                answer: admin::answer(state, &head, &body),
                fault: FaultKind::Ok,
            };
            return self.respond(outcome, keep_alive, bodiless).await;
        }
        let mut exchange = match Exchange::begin(state, head, id) {
            Ok(exchange) => exchange,
            Err(answer) => {
                let outcome = Outcome {
                    answer: *answer,
                    fault: FaultKind::Ok,
                };
                self.respond(outcome, false, bodiless).await?;
                return Ok(false);
            }
        };
        let reads = exchange.reads().unwrap_or(u64::MAX);
        let mut whole = framing == Framing::End;
        while !whole && exchange.received() < reads {
            match self.read_body(&mut framing).await? {
                None => whole = true,
                Some(piece) if exchange.push(&piece).is_err() => {
                    self.refuse(StatusCode::PAYLOAD_TOO_LARGE).await?;
                    return Ok(false);
                }
                Some(_) => {}
            }
        }
        let outcome = exchange.finish(whole).await;
        let answered = self.respond(outcome, keep_alive && whole, bodiless).await?;
        Ok(answered && whole)
    }

    /// The next head; none when the client closed the connection between two requests.
    async fn read_head(&mut self) -> io::Result<Option<Parts>> {
        loop {
            if let Some((head, length)) = parse_head(&self.buf)? {
                self.buf.advance(length);
                return Ok(Some(head));
            }
            if self.buf.len() > HEAD_LIMIT {
                return Err(invalid("the head is over the limit"));
            }
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return if self.buf.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The next piece of the body; none at its end.
    async fn read_body(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        loop {
            match *framing {
                Framing::End | Framing::Length(0) => return Ok(None),
                Framing::Length(left) | Framing::Chunk(left) if left > 0 => {
                    if !self.buf.is_empty() {
                        let here = usize::try_from(left).unwrap_or(usize::MAX);
                        let piece = self.buf.split_to(self.buf.len().min(here)).freeze();
                        let left = left - piece.len() as u64;
                        *framing = match framing {
                            Framing::Chunk(_) => Framing::Chunk(left),
                            _ => Framing::Length(left),
                        };
                        return Ok(Some(piece));
                    }
                }
                Framing::Chunk(_) | Framing::Length(_) => match self.buf.get(..2) {
                    Some(b"\r\n") => {
                        self.buf.advance(2);
                        *framing = Framing::ChunkSize;
                        continue;
                    }
                    Some(_) => return Err(invalid("a chunk does not end where it said")),
                    None => {}
                },
                Framing::ChunkSize => match httparse::parse_chunk_size(&self.buf) {
                    Ok(httparse::Status::Complete((length, 0))) => {
                        if let Some(end) = trailers_end(self.buf.get(length..).unwrap_or_default())?
                        {
                            self.buf.advance(length + end);
                            *framing = Framing::End;
                            continue;
                        }
                    }
                    Ok(httparse::Status::Complete((length, size))) => {
                        self.buf.advance(length);
                        *framing = Framing::Chunk(size);
                        continue;
                    }
                    Ok(httparse::Status::Partial) => {}
                    Err(_) => return Err(invalid("a chunk size is not a number")),
                },
            }
            if self.buf.len() > HEAD_LIMIT {
                return Err(invalid("a chunk size or the trailers are over the limit"));
            }
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn refuse(&mut self, status: StatusCode) -> io::Result<()> {
        let outcome = Outcome {
            answer: Answer::text(status, ""),
            fault: FaultKind::Ok,
        };
        self.respond(outcome, false, false).await?;
        self.close().await
    }

    /// Closes after the last byte has arrived: with bytes left unread, a plain
    /// close would be a reset that can overtake the answer.
    async fn close(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        let mut drained = 0;
        let drain = async {
            while drained < DRAIN_LIMIT {
                self.buf.clear();
                match self.io.read_buf(&mut self.buf).await? {
                    0 => break,
                    count => drained += count,
                }
            }
            Ok(())
        };
        tokio::time::timeout(DRAIN_TIME, drain)
            .await
            .unwrap_or(Ok(()))
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(Parts, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed
        .parse(bytes)
        .map_err(|error| invalid(&error.to_string()))?
    else {
        return Ok(None);
    };
    let mut map = HeaderMap::new();
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        match (name, value) {
            (Ok(name), Ok(value)) => map.append(name, value),
            _ => return Err(invalid("a header is not valid")),
        };
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| invalid("the method is not valid"))?;
    *request.uri_mut() = parsed
        .path
        .unwrap_or_default()
        .parse::<Uri>()
        .map_err(|_| invalid("the target is not valid"))?;
    *request.version_mut() = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    *request.headers_mut() = map;
    Ok(Some((request.into_parts().0, length)))
}

/// How the body comes; none when the head contradicts itself.
fn framing(head: &Parts) -> Option<Framing> {
    let lengths = head.headers.get_all(header::CONTENT_LENGTH);
    let mut length = None;
    for value in lengths {
        let value: u64 = value.to_str().ok()?.parse().ok()?;
        if length.is_some_and(|length| length != value) {
            return None;
        }
        length = Some(value);
    }
    match head.headers.get(header::TRANSFER_ENCODING) {
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            length.is_none().then_some(Framing::ChunkSize)
        }
        Some(_) => None,
        None => Some(length.map_or(Framing::End, Framing::Length)),
    }
}

/// Where the trailers after the last chunk end; they are not kept.
fn trailers_end(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((end, _))) => Ok(Some(end)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(invalid(&error.to_string())),
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn keep_alive(head: &Parts) -> bool {
    let says = |token: &str| {
        head.headers
            .get_all(header::CONNECTION)
            .iter()
            .any(|value| {
                value
                    .as_bytes()
                    .split(|byte| *byte == b',')
                    .any(|said| said.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            })
    };
    if head.version == Version::HTTP_10 {
        says("keep-alive")
    } else {
        !says("close")
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

const HEAD_LIMIT: usize = 64 * 1024;
const HEADERS_LIMIT: usize = 128;
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);
