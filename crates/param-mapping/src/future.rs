use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Answer, AnswerBody, Audience};
use tower_service::Service;

use crate::evaluate::Scope;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::{RequestBody, ResponseBody};

pin_project! {
    /// The future of [`ParamMapping`](crate::ParamMapping).
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F, S, ReqBody> {
        #[pin]
        state: State<F, S, ReqBody>,
        audience: Audience,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, S, ReqBody> {
        // The body is read; `None` once the inner service is called or the request is refused.
        Collecting { #[pin] body: ReqBody, pending: Option<Pending<S>>, name: Arc<str> },
        // The inner service works on it.
        Called { #[pin] inner: F },
        // It was refused; `None` after that was told.
        Refused { answer: Option<Answer> },
    }
}

/// A request without its body, with the ready service that waits for it.
pub(crate) struct Pending<S> {
    parts: Parts,
    plan: Arc<Plan>,
    inner: S,
    collected: Collected,
}

/// What was read of a body. A body of one frame is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    rest: BytesMut,
    trailers: Option<HeaderMap>,
}

// === impl ResponseFuture ===

impl<F, S, ReqBody> ResponseFuture<F, S, ReqBody> {
    pub(crate) fn collecting(
        body: ReqBody,
        pending: Pending<S>,
        audience: Audience,
        name: &Arc<str>,
    ) -> Self {
        let state = State::Collecting {
            body,
            pending: Some(pending),
            name: Arc::clone(name),
        };
        Self { state, audience }
    }

    pub(crate) const fn called(inner: F, audience: Audience) -> Self {
        let state = State::Called { inner };
        Self { state, audience }
    }

    pub(crate) const fn refused(answer: Answer, audience: Audience) -> Self {
        let state = State::Refused {
            answer: Some(answer),
        };
        Self { state, audience }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S::Future, S, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProject::Collecting {
                    body,
                    pending: slot,
                    name,
                } => {
                    let Some(pending) = slot else {
                        return Poll::Pending;
                    };
                    let collected = ready!(pending.poll_collect(body, cx));
                    // Always there: it was a line above.
                    let Some(pending) = slot.take() else {
                        return Poll::Pending;
                    };
                    match collected.and_then(|()| pending.call()) {
                        Ok(inner) => State::Called { inner },
                        Err(refusal) => State::Refused {
                            answer: Some(refusal.answer(name)),
                        },
                    }
                }
                StateProject::Called { inner } => {
                    let response = ready!(inner.poll(cx))?;
                    let wrap = |body| ResponseBody::new(AnswerBody::inner(body));
                    return Poll::Ready(Ok(response.map(wrap)));
                }
                StateProject::Refused { answer } => {
                    let Some(answer) = answer.take() else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    let response = answer.into_response(this.audience);
                    return Poll::Ready(Ok(response.map(ResponseBody::new)));
                }
            };
            this.state.set(next);
        }
    }
}

// === impl Pending ===

impl<S> Pending<S> {
    pub(crate) fn new(parts: Parts, plan: Arc<Plan>, inner: S) -> Self {
        Self {
            parts,
            plan,
            inner,
            collected: Collected::default(),
        }
    }

    /// Reads the body to its end, or to the limit.
    fn poll_collect<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let limit = self.plan.max_body_bytes;
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(Refusal::incomplete(&*error.into()))),
            };
            match frame.into_data() {
                Ok(data) if data.len() > limit - self.collected.len() => {
                    return Poll::Ready(Err(Refusal::too_large(limit)));
                }
                Ok(data) => self.collected.push(data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.collected.trailers = Some(trailers);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Maps the request and calls the inner service with it.
    fn call<ReqBody>(mut self) -> Result<S::Future, Refusal>
    where
        S: Service<Request<RequestBody<ReqBody>>>,
    {
        let trailers = self.collected.trailers.take();
        let original = self.collected.into_bytes();
        let framing = self.parts.headers.get(header::TRANSFER_ENCODING).cloned();
        let mapped = self.plan.map(&mut self.parts, Scope::Whole, &original)?;
        if let Some(trailers) = &trailers
            && !trailers.is_empty()
            && mapped.is_some()
        {
            // HTTP/1.1 sends trailers only behind a chunked body.
            let headers = &mut self.parts.headers;
            headers.remove(header::CONTENT_LENGTH);
            if let Some(framing) = framing {
                headers.insert(header::TRANSFER_ENCODING, framing);
            }
        }
        let bytes = mapped.map_or(original, Bytes::from);
        let body = RequestBody::mapped(bytes, trailers);
        Ok(self.inner.call(Request::from_parts(self.parts, body)))
    }
}

impl<S> fmt::Debug for Pending<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the headers nor what was read: there are secrets in them.
        f.debug_struct("Pending")
            .field("collected", &self.collected.len())
            .finish_non_exhaustive()
    }
}

// === impl Collected ===

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            self.rest.extend_from_slice(&data);
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.first);
        whole.extend_from_slice(&self.rest);
        whole.freeze()
    }
}
