use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_param_mapping::{EventParser, Report};
use tower_service::Service;

use crate::answer::{coded_reply, error_response, is_coded, mapped_error, mapped_reply};
use crate::collect::Collector;
use crate::exchange::{Asked, Exchange};
use crate::layer::Settings;
use crate::messages_api::events::MessageEvents;
use crate::request::{Prepared, prepare, unreadable};
use crate::stream::ChatStream;
use crate::{Caller, ChatError, Chunks, RequestBody, ResponseBody};

pin_project! {
    /// The future of [`LlmMapping`](crate::LlmMapping).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, ReqBody, ResBody> {
        #[pin]
        state: State<F, S, ReqBody, ResBody>,
        // `None` where it is no chat.
        turn: Option<Box<Turn>>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, S, ReqBody, ResBody> {
        // The body of the request is read; `None` once the provider is called or the request is refused.
        Reading { #[pin] body: ReqBody, read: Collector, pending: Option<Pending<S>> },
        // The provider works on it.
        Called { #[pin] inner: F },
        // The body of the answer is read; `None` once it is mapped.
        Answering { #[pin] body: ResBody, read: Collector, parts: Option<response::Parts> },
        // The first event is awaited; `None` once it came.
        First { stream: Option<Pin<Box<ChatStream<ResBody>>>>, parts: Option<response::Parts> },
        // It was refused; `None` after that was told.
        Refused { error: Option<ChatError> },
    }
}

/// What must be known of an exchange until its end.
pub(crate) struct Turn {
    pub(crate) settings: Arc<Settings>,
    pub(crate) audience: portcullis_gateway_error::Audience,
    pub(crate) caller: Caller,
    pub(crate) asked: Option<Asked>,
    pub(crate) report: Report,
    /// What no error may repeat.
    pub(crate) secret: Option<String>,
}

/// A request without its body, and the ready service that waits for it.
struct Pending<S> {
    parts: http::request::Parts,
    inner: S,
}

// === impl ResponseFuture ===

impl<F, S, ReqBody, ResBody> ResponseFuture<F, S, ReqBody, ResBody> {
    pub(crate) const fn passing(inner: F) -> Self {
        Self {
            state: State::Called { inner },
            turn: None,
        }
    }

    pub(crate) fn reading(
        request: Request<ReqBody>,
        caller: Caller,
        inner: S,
        settings: Arc<Settings>,
    ) -> Self {
        let turn = Turn {
            audience: portcullis_gateway_error::Audience::of(&request),
            caller,
            asked: None,
            report: Report::default(),
            secret: None,
            settings,
        };
        let (parts, body) = request.into_parts();
        Self {
            state: State::Reading {
                body,
                read: Collector::new(turn.settings.max_request_bytes),
                pending: Some(Pending { parts, inner }),
            },
            turn: Some(Box::new(turn)),
        }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S::Future, S, ReqBody, ResBody>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProject::Reading {
                    body,
                    read,
                    pending,
                } => {
                    let read = ready!(read.poll(body, cx));
                    let Some((Pending { parts, mut inner }, turn)) =
                        pending.take().zip(this.turn.as_mut())
                    else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    let limit = turn.settings.max_request_bytes;
                    let read = read.map_err(|error| unreadable(error, limit));
                    match read.and_then(|body| prepare(parts, &body, turn)) {
                        Ok(Prepared { parts, body }) => {
                            let request = Request::from_parts(parts, RequestBody::mapped(body));
                            State::Called {
                                inner: inner.call(request),
                            }
                        }
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
                StateProject::Called { inner } => {
                    let response = match ready!(inner.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    let Some(turn) = this.turn else {
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    };
                    let (parts, body) = response.into_parts();
                    let status = parts.status;
                    if !status.is_success()
                        && !status.is_client_error()
                        && !status.is_server_error()
                    {
                        let response = Response::from_parts(parts, ResponseBody::inner(body));
                        return Poll::Ready(Ok(turn.report(response)));
                    }
                    if status.is_success() && is_coded(&parts.headers) {
                        let response = coded_reply(parts, turn);
                        return Poll::Ready(Ok(turn.report(response)));
                    }
                    match turn.stream(&parts, body) {
                        Ok(stream) if turn.settings.waits_for_first_event => State::First {
                            stream: Some(Box::pin(stream)),
                            parts: Some(parts),
                        },
                        Ok(stream) => {
                            return Poll::Ready(Ok(turn.streaming(parts, Box::pin(stream))));
                        }
                        Err(body) => {
                            let limit = turn.settings.max_reply_bytes;
                            State::Answering {
                                body,
                                read: Collector::new(limit),
                                parts: Some(parts),
                            }
                        }
                    }
                }
                StateProject::First { stream, parts } => {
                    let outcome = match stream {
                        Some(stream) => ready!(stream.as_mut().poll_first(cx)),
                        None => return Poll::Pending,
                    };
                    let taken = stream.take().zip(parts.take()).zip(this.turn.as_mut());
                    let Some(((stream, parts), turn)) = taken else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(match outcome {
                        Ok(()) => turn.streaming(parts, stream),
                        Err(error) => {
                            let response = error_response(Some(parts), error, turn);
                            turn.report(response)
                        }
                    }));
                }
                StateProject::Answering { body, read, parts } => {
                    let read = ready!(read.poll(body, cx));
                    let Some((parts, turn)) = parts.take().zip(this.turn.as_mut()) else {
                        return Poll::Pending;
                    };
                    let response = if parts.status.is_success() {
                        mapped_reply(parts, read, turn)
                    } else {
                        mapped_error(parts, &read.unwrap_or_default(), turn)
                    };
                    return Poll::Ready(Ok(turn.report(response)));
                }
                StateProject::Refused { error } => {
                    let Some((error, turn)) = error.take().zip(this.turn.as_mut()) else {
                        return Poll::Pending;
                    };
                    let response = error_response(None, error, turn);
                    return Poll::Ready(Ok(turn.report(response)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<F, S, ReqBody, ResBody> fmt::Debug for ResponseFuture<F, S, ReqBody, ResBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl Turn ===

impl Turn {
    /// The stream that an answer is, if the caller wants one and it is one.
    fn stream<B>(&mut self, parts: &response::Parts, body: B) -> Result<ChatStream<B>, B> {
        let settings = &self.settings;
        let is_asked = self.asked.as_ref().is_some_and(|asked| asked.is_stream);
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let framing = content_type.and_then(|value| settings.provider.framing(value));
        let Some(framing) = framing.filter(|_| is_asked && parts.status.is_success()) else {
            return Err(body);
        };
        let Some(exchange) = self.exchange() else {
            return Err(body);
        };
        let parser = EventParser::new(framing).max_event_bytes(self.settings.max_event_bytes);
        let mut mapper = self.settings.provider.events();
        let events = (self.caller == Caller::Anthropic)
            .then(|| Box::new(MessageEvents::new(exchange.clone())));
        let mut chunks = Chunks::new(exchange, self.settings.max_event_bytes);
        mapper.begin(&parts.headers, &mut chunks);
        let secret = self.secret.take();
        Ok(ChatStream::new(
            body, parser, mapper, chunks, secret, events,
        ))
    }

    /// What is known of the exchange once its answer begins.
    pub(crate) fn exchange(&mut self) -> Option<Exchange> {
        let settings = &self.settings;
        let created = (settings.clock)().duration_since(SystemTime::UNIX_EPOCH);
        let created = created.map_or(0, |since| since.as_secs());
        let asked = self.asked.take()?;
        Some(Exchange::new(
            asked,
            created,
            Arc::clone(&settings.tables),
            settings.chance.clone(),
        ))
    }

    fn streaming<B>(
        &mut self,
        mut parts: response::Parts,
        stream: Pin<Box<ChatStream<B>>>,
    ) -> Response<ResponseBody<B>> {
        let headers = &mut parts.headers;
        crate::answer::forget_content(headers);
        let events = HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, events);
        // A proxy that collects it would keep the caller waiting.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        self.report(Response::from_parts(parts, ResponseBody::stream(stream)))
    }

    /// Leaves with a response what was left out of its request and changed.
    fn report<B>(&mut self, mut response: Response<B>) -> Response<B> {
        let report = std::mem::take(&mut self.report);
        if let Some(name) = &self.settings.report_header {
            // What came is somebody else's word.
            response.headers_mut().remove(name);
            if let Some(value) = report.header() {
                response.headers_mut().insert(name, value);
            }
        }
        if report.changes().next().is_some() {
            let known = response.extensions_mut().get_or_insert_default::<Report>();
            known.follow(report);
        }
        response
    }
}
