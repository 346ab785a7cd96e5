use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Answer, Audience, ErrorKind, Failure};
use tower_service::Service;

use super::{Chosen, Routes, Settings};
use crate::answer::describe;
use crate::collect::{Collector, Unread};
use crate::json::Document;
use crate::request::unreadable;
use crate::{Chat, ChatError, ChatModel, RequestBody, ResponseBody};

pin_project! {
    /// The future of [`ModelRouter`](crate::ModelRouter).
    #[must_use = "futures do nothing unless polled"]
    pub struct RouterFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
        settings: Settings,
        audience: Audience,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        // The body is read, and its model chooses; `None` once it has.
        Reading { #[pin] body: B, read: Collector, parts: Option<Parts>, routes: Arc<Routes<S>> },
        // The service that was chosen becomes ready; `None` once it is called.
        Readying { service: S, request: Option<Request<RequestBody<B>>> },
        // It works on it. `is_chat`: its answer may be given the form of one.
        Called { #[pin] inner: S::Future, is_chat: bool },
        // It was refused; `None` after that was told.
        Refused { error: Option<ChatError> },
    }
}

// === impl RouterFuture ===

impl<S, B> RouterFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) fn reading(
        request: Request<B>,
        routes: Arc<Routes<S>>,
        settings: Settings,
        audience: Audience,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let state = State::Reading {
            body,
            read: Collector::new(settings.max_request_bytes),
            parts: Some(parts),
            routes,
        };
        Self {
            state,
            settings,
            audience,
        }
    }

    pub(super) fn passing(
        request: Request<B>,
        service: S,
        settings: Settings,
        audience: Audience,
    ) -> Self {
        let request = Some(request.map(RequestBody::untouched));
        Self {
            state: State::Readying { service, request },
            settings,
            audience,
        }
    }

    pub(super) const fn refused(error: ChatError, settings: Settings, audience: Audience) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
            settings,
            audience,
        }
    }
}

impl<S, B, ResBody> Future for RouterFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProject::Reading {
                    body,
                    read,
                    parts,
                    routes,
                } => {
                    let read = ready!(read.poll(body, cx));
                    let Some(parts) = parts.take() else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    match choose(parts, read, routes, this.settings) {
                        Ok((request, service)) => State::Readying {
                            service,
                            request: Some(request),
                        },
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
                StateProject::Readying { service, request } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return Poll::Ready(Err(error));
                    }
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let is_chat = request.body().is_read();
                    State::Called {
                        inner: service.call(request),
                        is_chat,
                    }
                }
                StateProject::Called { inner, is_chat } => {
                    let is_chat = *is_chat;
                    let settings = &*this.settings;
                    return inner.poll(cx).map_ok(|response| {
                        if is_chat {
                            in_form(response, settings)
                        } else {
                            response.map(ResponseBody::inner)
                        }
                    });
                }
                StateProject::Refused { error } => {
                    let Some(error) = error.take() else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(refusal(&error, this.settings, this.audience)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for RouterFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterFuture").finish_non_exhaustive()
    }
}

/// Reads the model of a body, and finds the service for it.
fn choose<S: Clone, B>(
    mut parts: Parts,
    read: Result<Bytes, Unread>,
    routes: &Routes<S>,
    settings: &Settings,
) -> Result<(Request<RequestBody<B>>, S), ChatError> {
    let body = read.map_err(|error| unreadable(error, settings.max_request_bytes))?;
    if let Some(coding) = parts.headers.get(header::CONTENT_ENCODING)
        && coding != "identity"
    {
        let message = "the body must come without a content coding";
        return Err(ChatError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let document = Document::parse(&body, "the body")
        .map_err(|reason| ChatError::new(StatusCode::BAD_REQUEST, reason))?;
    let chat = Chat::parse_head(document.root())?;
    let Chosen { service, model } = routes.find(&chat.model)?;
    tracing::trace!(model = &*chat.model, "model routed");
    if let Some(model) = model {
        parts.extensions.insert(ChatModel::new(model));
    }
    let body = RequestBody::mapped(vec![body]);
    Ok((Request::from_parts(parts, body), service))
}

/// An answer that a layer of ours made, in the form that a caller of a chat reads; any other as it is.
fn in_form<B>(response: Response<B>, settings: &Settings) -> Response<ResponseBody<B>> {
    let failure = response.extensions().get::<Failure>().copied();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_chats = content_type.is_some_and(|value| value == "application/json");
    let Some(failure) = failure.filter(|failure| failure.is_local() && !is_chats) else {
        return response.map(ResponseBody::inner);
    };
    let (mut parts, _) = response.into_parts();
    let error =
        ChatError::new(parts.status, failure.to_string()).code(failure.error_type().to_owned());
    let body = settings.body_of(&error);
    describe(&mut parts.headers, body.len());
    Response::from_parts(parts, ResponseBody::answer(body))
}

fn refusal<B>(
    error: &ChatError,
    settings: &Settings,
    audience: &Audience,
) -> Response<ResponseBody<B>> {
    tracing::debug!(
        status = error.status().as_u16(),
        code = error.error_code(),
        param = error.error_param(),
        "chat not routed"
    );
    let answer = Answer::new(ErrorKind::HttpRequestError)
        .status(error.status())
        .name(&*settings.name);
    let (mut parts, _) = answer.into_response::<Bytes>(audience).into_parts();
    let body = settings.body_of(error);
    describe(&mut parts.headers, body.len());
    Response::from_parts(parts, ResponseBody::answer(body))
}
