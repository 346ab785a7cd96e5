//! HTTP/2 by the `h2` crate, whose frames a server can choose.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin;
use crate::answer::{Answer, Pieces};
use crate::exchange::{Exchange, Outcome};
use crate::fault::{FaultKind, Interim, LastStream, Place};
use crate::server::State;
use crate::socket::{Socket, Under};

/// One request, and what its faults need of the connection.
struct Stream {
    state: Arc<State>,
    connection: u64,
    respond: SendResponse<Bytes>,
    end: mpsc::Sender<End>,
    under: Under,
    /// Whether bytes can go past the protocol.
    plain: bool,
}

/// How a fault ends the whole connection.
enum End {
    /// By RST.
    Reset,
    /// By FIN, without a GOAWAY.
    Close,
    /// By a GOAWAY that names the last stream that was accepted.
    GoAway(Reason),
}

/// A request with its body, and the way to answer it.
type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection to its end.
pub(crate) async fn serve(socket: Socket, state: &Arc<State>, id: u64) -> io::Result<()> {
    let under = socket.under()?;
    let plain = socket.is_plain();
    let mut connection = h2::server::handshake(socket)
        .await
        .map_err(io::Error::other)?;
    let (end, mut ended) = mpsc::channel(1);
    let mut streams = JoinSet::new();
    loop {
        while streams.try_join_next().is_some() {}
        // An end first: what a fault says goes before what the client still wants.
        let next = poll_fn(|cx| match ended.poll_recv(cx) {
            Poll::Ready(Some(how)) => Poll::Ready(Err(how)),
            _ => connection
                .poll_accept(cx)
                .map(Ok::<Option<Result<Accepted, _>>, _>),
        });
        match next.await {
            Err(End::Reset) => {
                under.reset();
                return Ok(());
            }
            Err(End::Close) => {
                under.finish();
                return Ok(());
            }
            // Without an error, what was accepted is still answered.
            Err(End::GoAway(Reason::NO_ERROR)) => connection.graceful_shutdown(),
            Err(End::GoAway(reason)) => connection.abrupt_shutdown(reason),
            Ok(None) => return Ok(()),
            Ok(Some(accepted)) => {
                let (request, respond) = accepted.map_err(io::Error::other)?;
                let stream = Stream {
                    state: Arc::clone(state),
                    connection: id,
                    respond,
                    end: end.clone(),
                    under: under.again()?,
                    plain,
                };
                streams.spawn(async move {
                    if let Err(error) = stream.serve(request).await {
                        tracing::debug!(%error, "stream ended");
                    }
                });
            }
        }
    }
}

// === impl Stream ===

impl Stream {
    async fn serve(mut self, request: Request<RecvStream>) -> Result<(), h2::Error> {
        let (head, mut body) = request.into_parts();
        let bodiless = head.method == Method::HEAD;
        if admin::is_admin(&head) {
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                if bytes.len() + piece.len() > self.state.body_limit {
                    let answer = Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "");
                    return self
                        .send(
                            Outcome {
                                answer,
                                fault: FaultKind::Ok,
                            },
                            bodiless,
                        )
                        .await;
                }
                bytes.extend_from_slice(&piece);
            }
            let answer = admin::answer(&self.state, &head, &bytes);
            return self
                .send(
                    Outcome {
                        answer,
                        fault: FaultKind::Ok,
                    },
                    bodiless,
                )
                .await;
        }
        let mut exchange = match Exchange::begin(&self.state, head, self.connection) {
            Ok(exchange) => exchange,
            Err(answer) => {
                return self
                    .send(
                        Outcome {
                            answer: *answer,
                            fault: FaultKind::Ok,
                        },
                        bodiless,
                    )
                    .await;
            }
        };
        let reads = exchange.reads().unwrap_or(u64::MAX);
        let mut whole = body.is_end_stream();
        while !whole && exchange.received() < reads {
            let Some(piece) = body.data().await else {
                whole = true;
                break;
            };
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            if exchange.push(&piece).is_err() {
                let answer = Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "");
                return self
                    .send(
                        Outcome {
                            answer,
                            fault: FaultKind::Ok,
                        },
                        bodiless,
                    )
                    .await;
            }
            whole = body.is_end_stream();
        }
        let outcome = exchange.finish(whole).await;
        self.send(outcome, bodiless).await
    }

    async fn send(&mut self, outcome: Outcome, bodiless: bool) -> Result<(), h2::Error> {
        let Outcome { answer, fault } = outcome;
        match &fault {
            FaultKind::Reset(Place::BeforeHead | Place::InHead) => {
                return self.end(End::Reset).await;
            }
            FaultKind::Close(Place::BeforeHead | Place::InHead) => {
                return self.end(End::Close).await;
            }
            FaultKind::Garbage => {
                if self.plain {
                    let _ = self.under.write(&[0xff; 64]);
                }
                return self.end(End::Close).await;
            }
            FaultKind::RstStream { code, after: None } => {
                self.respond.send_reset(Reason::from(*code));
                return Ok(());
            }
            FaultKind::GoAway {
                code,
                last: LastStream::Previous,
            } => return self.go_away(*code).await,
            // With an error, this stream is named and not answered.
            FaultKind::GoAway { code, .. } if *code != 0 => {
                return self.end(End::GoAway(Reason::from(*code))).await;
            }
            FaultKind::Interim { status, count } => {
                for _ in 0..count.get() {
                    let mut response = Response::new(());
                    *response.status_mut() = interim(*status);
                    self.respond.send_informational(response)?;
                }
            }
            FaultKind::Stall { wait, after: None } => tokio::time::sleep(*wait).await,
            _ => {}
        }

        let pieces = match &fault {
            FaultKind::Trickle { gap, piece } => answer.content.pieces().cut(piece.get(), *gap),
            _ => answer.content.pieces(),
        };
        let mut response = Response::new(());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        if let FaultKind::WrongLength(off) = fault {
            let length = pieces.length().saturating_add_signed(off.into());
            response
                .headers_mut()
                .insert(http::header::CONTENT_LENGTH, length.into());
        }
        if let FaultKind::LargeHead(size) = fault {
            for number in 0..size.min(4 * 1024 * 1024) / 1024 {
                if let Ok(name) = HeaderName::try_from(format!("x-padding-{number}")) {
                    let value = HeaderValue::try_from("x".repeat(1000));
                    response
                        .headers_mut()
                        .insert(name, value.unwrap_or(HeaderValue::from_static("x")));
                }
            }
        }
        let ends = bodiless || (pieces.length() == 0 && answer.trailers.is_none());
        let mut stream = self.respond.send_response(response, ends)?;
        if ends {
            return self.after(fault).await;
        }

        let cut = match &fault {
            FaultKind::Reset(Place::InBody(after)) | FaultKind::Close(Place::InBody(after)) => {
                Some(*after)
            }
            FaultKind::RstStream {
                after: Some(after), ..
            }
            | FaultKind::Stall {
                after: Some(after), ..
            } => Some(*after),
            FaultKind::TruncatedChunk => Some(u64::MAX),
            _ => None,
        };
        let (before, rest) = match cut {
            Some(at) => pieces.split(at),
            None => (pieces, Pieces::none()),
        };
        send_pieces(&mut stream, before).await?;
        match fault {
            FaultKind::RstStream { code, .. } => {
                settle().await;
                stream.send_reset(Reason::from(code));
                return Ok(());
            }
            FaultKind::Reset(_) => {
                settle().await;
                return self.end(End::Reset).await;
            }
            FaultKind::Close(_) | FaultKind::TruncatedChunk => {
                settle().await;
                return self.end(End::Close).await;
            }
            FaultKind::Stall { wait, .. } if rest.length() > 0 => tokio::time::sleep(wait).await,
            _ => {}
        }
        send_pieces(&mut stream, rest).await?;
        match answer.trailers {
            Some(trailers) => stream.send_trailers(trailers)?,
            None => stream.send_data(Bytes::new(), true)?,
        }
        self.after(fault).await
    }

    /// What follows an answer that was sent whole.
    async fn after(&mut self, fault: FaultKind) -> Result<(), h2::Error> {
        match fault {
            FaultKind::GoAway {
                code,
                last: LastStream::This,
            } => self.end(End::GoAway(Reason::from(code))).await,
            FaultKind::UnsaidClose => {
                settle().await;
                self.end(End::Close).await
            }
            _ => Ok(()),
        }
    }

    async fn end(&self, end: End) -> Result<(), h2::Error> {
        // Nobody receives only where the connection has ended already.
        let _ = self.end.send(end).await;
        Ok(())
    }

    /// A GOAWAY that names the stream before this one. `h2` always names the last that it accepted, so the frame goes past it.
    async fn go_away(&mut self, code: u32) -> Result<(), h2::Error> {
        let this = self.respond.stream_id().as_u32();
        if !self.plain {
            return self.end(End::GoAway(Reason::from(code))).await;
        }
        // What the connection has to say itself goes first.
        settle().await;
        let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&this.saturating_sub(2).to_be_bytes());
        frame.extend_from_slice(&code.to_be_bytes());
        let _ = self.under.write(&frame);
        self.end(End::Close).await
    }
}

async fn send_pieces(stream: &mut SendStream<Bytes>, pieces: Pieces) -> Result<(), h2::Error> {
    for (index, piece) in pieces.pieces.into_iter().enumerate() {
        if index > 0 && !pieces.gap.is_zero() {
            tokio::time::sleep(pieces.gap).await;
        }
        stream.send_data(piece, false)?;
    }
    Ok(())
}

/// Lets the connection's own task write what it was given.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

const fn interim(status: Interim) -> StatusCode {
    match status {
        Interim::Continue => StatusCode::CONTINUE,
        Interim::Processing => StatusCode::PROCESSING,
        Interim::EarlyHints => StatusCode::EARLY_HINTS,
    }
}
