use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::Settings;
use super::body::{Beginning, ErnieTokenBody};
use super::shared::{Lead, Shared, Ticket, Turn};
use super::token::{Token, request};
use crate::collect::Collector;
use crate::{ChatError, RequestBody};

pin_project! {
    /// The future of [`ErnieToken`](crate::providers::ErnieToken).
    #[must_use = "futures do nothing unless polled"]
    pub struct ErnieTokenFuture<F, S, ReqBody, ResBody>
    where
        ResBody: Body,
    {
        #[pin]
        state: State<F, ResBody>,
        // `None` where it is no chat.
        call: Option<Call<S, ReqBody>>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, ResBody>
    where
        ResBody: Body,
    {
        // A token is waited for.
        Waiting { ticket: Ticket },
        // The service is made ready to be asked for one; `None` once it is asked.
        Leading { lead: Option<Lead> },
        // It is asked for one.
        Fetching { #[pin] inner: F, lead: Option<Lead> },
        // Its answer is read.
        Reading { #[pin] body: ResBody, read: Collector, status: StatusCode, lead: Option<Lead> },
        // The service is made ready for the chat.
        Preparing { token: Token },
        // The chat is sent; without a token where it is none.
        Called { #[pin] inner: F, token: Option<Token> },
        // It is looked at whether the answer is an error; `None` once that is known.
        Looking { looked: Option<(response::Parts, Beginning<ResBody>)>, token: Token },
    }
}

/// A chat, and the service that it goes to.
struct Call<S, ReqBody> {
    inner: S,
    is_ready: bool,
    /// Whether it was not yet sent again.
    is_first: bool,
    parts: http::request::Parts,
    body: RequestBody<ReqBody>,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

/// The longest answer of the server of tokens that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// No token is used for longer, whatever is said of it.
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

// === impl ErnieTokenFuture ===

impl<F, S, ReqBody, ResBody: Body> ErnieTokenFuture<F, S, ReqBody, ResBody> {
    pub(super) const fn passing(inner: F) -> Self {
        Self {
            state: State::Called { inner, token: None },
            call: None,
        }
    }

    pub(super) fn asking(
        request: Request<RequestBody<ReqBody>>,
        inner: S,
        settings: Arc<Settings>,
        shared: Arc<Shared>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let ticket = Arc::clone(&shared).ticket();
        Self {
            state: State::Waiting { ticket },
            call: Some(Call {
                inner,
                is_ready: true,
                is_first: true,
                parts,
                body,
                settings,
                shared,
            }),
        }
    }
}

impl<S, ReqBody, ResBody> Future for ErnieTokenFuture<S::Future, S, ReqBody, ResBody>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ErnieTokenBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match (this.state.as_mut().project(), this.call.as_mut()) {
                (StateProject::Called { inner, token }, call) => {
                    let response = ready!(inner.poll(cx))?;
                    let kind = if token.is_some() && call.is_some() {
                        Kind::of(&response)
                    } else {
                        Kind::Other
                    };
                    let (parts, body) = response.into_parts();
                    match (kind, token.take()) {
                        (Kind::Json | Kind::Stream, Some(token)) => State::Looking {
                            looked: Some((parts, Beginning::new(body, kind == Kind::Stream))),
                            token,
                        },
                        _ => {
                            let body = ErnieTokenBody::inner(body);
                            return Poll::Ready(Ok(Response::from_parts(parts, body)));
                        }
                    }
                }
                // All other states are of a chat.
                (_, None) => return Poll::Pending,
                (StateProject::Waiting { ticket }, Some(_)) => match ready!(ticket.poll(cx)) {
                    Turn::Known(token) => State::Preparing { token },
                    Turn::Failed(error) => return Poll::Ready(Ok(answer(&error))),
                    Turn::Ask(lead) => State::Leading { lead: Some(lead) },
                },
                (StateProject::Leading { lead }, Some(call)) => {
                    ready!(call.poll_ready(cx))?;
                    match request(&call.parts.uri, &call.settings) {
                        Ok(request) => State::Fetching {
                            inner: call.send(request),
                            lead: lead.take(),
                        },
                        Err(error) => return Poll::Ready(Ok(failed(lead.take(), error))),
                    }
                }
                (StateProject::Fetching { inner, lead }, Some(_)) => match ready!(inner.poll(cx)) {
                    Ok(response) => {
                        let (parts, body) = response.into_parts();
                        State::Reading {
                            body,
                            read: Collector::new(MAX_ANSWER),
                            status: parts.status,
                            lead: lead.take(),
                        }
                    }
                    Err(error) => {
                        // The others cannot have this error, for it is one only.
                        let told = ChatError::bad_reply(UNREACHABLE);
                        if let Some(lead) = lead.take() {
                            lead.finish(Err(told));
                        }
                        return Poll::Ready(Err(error));
                    }
                },
                (
                    StateProject::Reading {
                        body,
                        read,
                        status,
                        lead,
                    },
                    Some(call),
                ) => {
                    let read = ready!(read.poll(body, cx));
                    let token = read
                        .map_err(|_| ChatError::bad_reply(UNREACHABLE))
                        .and_then(|body| Token::read(*status, &body, &call.settings));
                    match (token, lead.take()) {
                        (Err(error), lead) => return Poll::Ready(Ok(failed(lead, error))),
                        (Ok((token, life)), lead) => {
                            let seconds = life.as_secs();
                            tracing::debug!(seconds, "access token fetched");
                            let life = life.saturating_sub(call.settings.renew_before);
                            let until = Instant::now() + life.min(MAX_LIFE);
                            if let Some(lead) = lead {
                                lead.finish(Ok((token.clone(), until)));
                            }
                            State::Preparing { token }
                        }
                    }
                }
                (StateProject::Preparing { token }, Some(call)) => {
                    ready!(call.poll_ready(cx))?;
                    match call.chat(token) {
                        Ok(request) => State::Called {
                            inner: call.send(request),
                            token: Some(token.clone()),
                        },
                        Err(error) => return Poll::Ready(Ok(answer(&error))),
                    }
                }
                (StateProject::Looking { looked, token }, Some(call)) => {
                    if let Some((_, beginning)) = looked {
                        ready!(beginning.poll(cx));
                    }
                    let Some((mut parts, beginning)) = looked.take() else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    if call.is_first && beginning.refuses_token() {
                        tracing::debug!("access token refused");
                        call.is_first = false;
                        call.shared.forget(token);
                        State::Waiting {
                            ticket: Arc::clone(&call.shared).ticket(),
                        }
                    } else {
                        let (body, is_other) = beginning.into_body(token);
                        if is_other {
                            parts.headers.remove(header::CONTENT_LENGTH);
                        }
                        return Poll::Ready(Ok(Response::from_parts(parts, body)));
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<F, S, ReqBody, ResBody: Body> fmt::Debug for ErnieTokenFuture<F, S, ReqBody, ResBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErnieTokenFuture").finish_non_exhaustive()
    }
}

// === impl Call ===

impl<S, ReqBody> Call<S, ReqBody> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Request<RequestBody<ReqBody>>>,
    {
        if !self.is_ready {
            ready!(self.inner.poll_ready(cx))?;
            self.is_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, request: Request<RequestBody<ReqBody>>) -> S::Future
    where
        S: Service<Request<RequestBody<ReqBody>>>,
    {
        self.is_ready = false;
        self.inner.call(request)
    }

    /// The chat with a token, as often as it is sent.
    fn chat(&self, token: &Token) -> Result<Request<RequestBody<ReqBody>>, ChatError> {
        let mut parts = self.parts.clone();
        parts.uri = token.add_to(&parts.uri)?;
        let body = self.body.again();
        let body = body.unwrap_or_else(|| RequestBody::mapped(Vec::new()));
        Ok(Request::from_parts(parts, body))
    }
}

/// What an answer is, as far as errors of access tokens are in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Json,
    Stream,
    Other,
}

// === impl Kind ===

impl Kind {
    fn of<B>(response: &Response<B>) -> Self {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.map_or(&[][..], HeaderValue::as_bytes);
        let starts_with = |word: &str| {
            let start = content_type.get(..word.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        };
        if starts_with("text/event-stream") {
            Self::Stream
        } else if starts_with("application/json") || content_type.is_empty() {
            Self::Json
        } else {
            Self::Other
        }
    }
}

/// The answer to one that asked for a token and got none; the others learn why.
fn failed<B: Body>(lead: Option<Lead>, error: ChatError) -> Response<ErnieTokenBody<B>> {
    let response = answer(&error);
    if let Some(lead) = lead {
        lead.finish(Err(error));
    }
    response
}

fn answer<B: Body>(error: &ChatError) -> Response<ErnieTokenBody<B>> {
    let status = error.status();
    let code = error.error_code();
    tracing::warn!(status = status.as_u16(), code, "no access token");
    let body = error.to_json();
    let length = body.len();
    let mut response = Response::new(ErnieTokenBody::answer(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}

const UNREACHABLE: &str = "the server of access tokens could not be asked";
