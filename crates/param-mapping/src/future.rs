use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderName, Method, Request, Response, StatusCode, response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Answer, Audience};
use tower_service::Service;

use crate::collect::Collected;
use crate::events::StreamSource;
use crate::mapping::Plans;
use crate::message::{Extent, Work};
use crate::refusal::Refusal;
use crate::vars::KeptVars;
use crate::{Report, RequestBody, ResponseBody, StreamEditor};

pin_project! {
    /// The future of [`ParamMapping`](crate::ParamMapping).
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F, S, ReqBody, ResBody> {
        #[pin]
        state: State<F, S, ReqBody, ResBody>,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, S, ReqBody, ResBody> {
        // The body of the request is read; `None` once the inner service is called or the request is refused.
        Collecting { #[pin] body: ReqBody, pending: Option<Pending<S>> },
        // The inner service works on it.
        Called { #[pin] inner: F },
        // The body of the response is read; `None` once it is mapped.
        Answering { #[pin] body: ResBody, answering: Option<Answering> },
        // One of them was refused; `None` after that was told.
        Refused { answer: Option<Answer> },
    }
}

/// What must be known of an exchange until its end.
#[derive(Debug)]
pub(crate) struct Exchange {
    audience: Audience,
    is_connect: bool,
    /// The mapping that the exchange began with, if its response is mapped.
    plans: Option<Arc<Plans>>,
    name: Arc<str>,
    /// What was done to the request that somebody should know of.
    report: Option<Report>,
    /// The header of the response that tells it.
    report_header: Option<HeaderName>,
    /// What the rules for requests wrote for those for responses.
    pub(crate) vars: KeptVars,
}

/// A request without its body, with the ready service that waits for it.
pub(crate) struct Pending<S> {
    parts: Parts,
    plans: Arc<Plans>,
    inner: S,
    collected: Collected,
}

/// A response without its body.
pub(crate) struct Answering {
    parts: response::Parts,
    plans: Arc<Plans>,
    collected: Collected,
}

// === impl ResponseFuture ===

impl<F, S, ReqBody, ResBody> ResponseFuture<F, S, ReqBody, ResBody> {
    pub(crate) const fn collecting(body: ReqBody, pending: Pending<S>, exchange: Exchange) -> Self {
        let state = State::Collecting {
            body,
            pending: Some(pending),
        };
        Self { state, exchange }
    }

    pub(crate) const fn called(inner: F, exchange: Exchange) -> Self {
        let state = State::Called { inner };
        Self { state, exchange }
    }

    pub(crate) const fn refused(answer: Answer, exchange: Exchange) -> Self {
        let state = State::Refused {
            answer: Some(answer),
        };
        Self { state, exchange }
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
                StateProject::Collecting { body, pending } => {
                    let Some(waiting) = pending else {
                        return Poll::Pending;
                    };
                    let limit = waiting.plans.request.max_body_bytes;
                    let collected = ready!(waiting.collected.poll_collect(body, limit, cx));
                    let called = collected.and_then(|()| match pending.take() {
                        Some(pending) => pending.call(this.exchange),
                        None => unreachable!("it was there above"),
                    });
                    match called {
                        Ok(inner) => State::Called { inner },
                        Err(refusal) => this.exchange.refused(refusal),
                    }
                }
                StateProject::Called { inner } => {
                    let response = match ready!(inner.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    match this.exchange.map(response) {
                        Ok(Next::Respond(response)) => {
                            return Poll::Ready(Ok(this.exchange.report(response)));
                        }
                        Ok(Next::Read(body, answering)) => State::Answering {
                            body,
                            answering: Some(answering),
                        },
                        Err(refusal) => this.exchange.refused(refusal),
                    }
                }
                StateProject::Answering { body, answering } => {
                    let Some(reading) = answering else {
                        return Poll::Pending;
                    };
                    let plan = &reading.plans.response;
                    let limit = plan.max_body_bytes;
                    let collected = ready!(reading.collected.poll_collect(body, limit, cx))
                        .map_err(|refusal| refusal.at(plan.side));
                    let mapped = collected.and_then(|()| match answering.take() {
                        Some(answering) => answering.map(&this.exchange.vars),
                        None => unreachable!("it was there above"),
                    });
                    match mapped {
                        Ok(response) => return Poll::Ready(Ok(this.exchange.report(response))),
                        Err(refusal) => this.exchange.refused(refusal),
                    }
                }
                StateProject::Refused { answer } => {
                    let Some(answer) = answer.take() else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    let response = answer.into_response(&this.exchange.audience);
                    let response = response.map(ResponseBody::new);
                    return Poll::Ready(Ok(this.exchange.report(response)));
                }
            };
            this.state.set(next);
        }
    }
}

// === impl Exchange ===

/// What is done with a response.
enum Next<B> {
    Respond(Response<ResponseBody<B>>),
    /// Its body must be read.
    Read(B, Answering),
}

impl Exchange {
    pub(crate) fn new<B>(
        request: &Request<B>,
        plans: Option<Arc<Plans>>,
        name: &Arc<str>,
        report_header: Option<&HeaderName>,
    ) -> Self {
        Self {
            report: None,
            report_header: report_header.cloned(),
            audience: Audience::of(request),
            is_connect: request.method() == Method::CONNECT,
            plans,
            name: Arc::clone(name),
            vars: KeptVars::default(),
        }
    }

    /// Keeps what was done to the request, which is nobody's business further in.
    pub(crate) fn take_report(&mut self, extensions: &mut Extensions) {
        self.report = extensions.remove();
    }

    /// Leaves with a response what was done to it and to its request.
    fn report<B>(&mut self, mut response: Response<B>) -> Response<B> {
        let earlier = self.report.take();
        if earlier.is_none() && self.report_header.is_none() {
            return response;
        }
        let mut report = response.extensions_mut().remove::<Report>();
        if let Some(earlier) = earlier {
            report.get_or_insert_default().follow(earlier);
        }
        if let Some(name) = &self.report_header {
            // What came is somebody else's word; that of a layer further in is in its report too.
            response.headers_mut().remove(name);
            if let Some(value) = report.as_ref().and_then(Report::header) {
                response.headers_mut().insert(name, value);
            }
        }
        if let Some(report) = report {
            response.extensions_mut().insert(report);
        }
        response
    }

    /// Maps a response, as far as that needs no body.
    fn map<B: Body<Data = Bytes>>(&self, response: Response<B>) -> Result<Next<B>, Refusal> {
        let Some(plans) = &self.plans else {
            return Ok(Next::Respond(response.map(ResponseBody::inner)));
        };
        let status = response.status();
        if status.is_informational() || (self.is_connect && status.is_success()) {
            // What follows is no HTTP any more.
            return Ok(Next::Respond(response.map(ResponseBody::inner)));
        }
        let (mut parts, body) = response.into_parts();
        let plan = &plans.response;
        let has_no_body = self.audience.is_head()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if !has_no_body
            && let Some(source) = plans.stream.as_ref().and_then(|plan| plan.source(&parts))
        {
            let editor = StreamEditor::new(Arc::clone(plans), Some(&parts), &self.vars);
            plan.map_response(&mut parts, Extent::Head, &Bytes::new(), &self.vars)?;
            StreamSource::describe(&mut parts.headers);
            let body = ResponseBody::stream(source.body(body, editor));
            return Ok(Next::Respond(Response::from_parts(parts, body)));
        }
        let extent = match plan.response_work(&parts, &body) {
            Ok(Work::Pass(extent)) => extent,
            _ if has_no_body => Extent::Head,
            Ok(Work::Empty) => Extent::Whole,
            Ok(Work::Collect) => {
                let answering = Answering {
                    parts,
                    plans: Arc::clone(plans),
                    collected: Collected::default(),
                };
                return Ok(Next::Read(body, answering));
            }
            Err(refusal) => return Err(refusal),
        };
        let mapped = plan.map_response(&mut parts, extent, &Bytes::new(), &self.vars)?;
        let body = match mapped {
            None => ResponseBody::inner(body),
            Some(mapped) => ResponseBody::mapped(mapped, None),
        };
        Ok(Next::Respond(Response::from_parts(parts, body)))
    }

    fn refused<F, S, ReqBody, ResBody>(&self, refusal: Refusal) -> State<F, S, ReqBody, ResBody> {
        State::Refused {
            answer: Some(refusal.answer(&self.name)),
        }
    }
}

// === impl Pending ===

impl<S> Pending<S> {
    pub(crate) fn new(parts: Parts, plans: Arc<Plans>, inner: S) -> Self {
        Self {
            parts,
            plans,
            inner,
            collected: Collected::default(),
        }
    }

    /// Maps the request and calls the inner service with it.
    fn call<ReqBody>(mut self, exchange: &mut Exchange) -> Result<S::Future, Refusal>
    where
        S: Service<Request<RequestBody<ReqBody>>>,
    {
        let plan = &self.plans.request;
        let (mapped, trailers) = self.collected.map(
            &mut self.parts,
            |parts| &mut parts.headers,
            |parts, body| plan.map(parts, Extent::Whole, body, &mut exchange.vars),
        )?;
        exchange.take_report(&mut self.parts.extensions);
        let body = RequestBody::mapped(mapped, trailers);
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

// === impl Answering ===

impl Answering {
    fn map<B>(mut self, vars: &KeptVars) -> Result<Response<ResponseBody<B>>, Refusal> {
        let plan = &self.plans.response;
        let (mapped, trailers) = self.collected.map(
            &mut self.parts,
            |parts| &mut parts.headers,
            |parts, body| plan.map_response(parts, Extent::Whole, body, vars),
        )?;
        let body = ResponseBody::mapped(mapped, trailers);
        Ok(Response::from_parts(self.parts, body))
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering")
            .field("collected", &self.collected.len())
            .finish_non_exhaustive()
    }
}
