use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::future::{Exchange, Pending, ResponseFuture};
use crate::mapping::Plans;
use crate::message::{Extent, Work};
use crate::{RequestBody, ResponseBody};

/// The service that [`ParamMappingLayer`](crate::ParamMappingLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone)]
pub struct ParamMapping<S> {
    inner: S,
    shared: Arc<ArcSwap<Plans>>,
    name: Arc<str>,
    report_header: Option<HeaderName>,
}

// === impl ParamMapping ===

impl<S> ParamMapping<S> {
    pub(crate) const fn new(
        inner: S,
        shared: Arc<ArcSwap<Plans>>,
        name: Arc<str>,
        report_header: Option<HeaderName>,
    ) -> Self {
        Self {
            inner,
            shared,
            name,
            report_header,
        }
    }

    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the rest.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ParamMapping<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let plans = self.shared.load();
        let is_ours = plans.route.matches(request.method(), request.uri().path());
        let maps_response = !plans.response.is_empty() || plans.stream.is_some();
        let response_plans = (is_ours && maps_response).then(|| Arc::clone(&plans));
        let mut exchange = Exchange::new(
            &request,
            response_plans,
            &self.name,
            self.report_header.as_ref(),
        );
        if !is_ours || plans.request.is_empty() {
            let request = request.map(RequestBody::untouched);
            return ResponseFuture::called(self.inner.call(request), exchange);
        }

        let (mut parts, body) = request.into_parts();
        let plan = &plans.request;
        let mapped = match plan.work(&parts, &body) {
            Ok(Work::Collect) => {
                // The instance that was made ready is called once the body is here; its clone takes its place and must become ready anew.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let pending = Pending::new(parts, Arc::clone(&plans), inner);
                return ResponseFuture::collecting(body, pending, exchange);
            }
            Ok(Work::Empty) => {
                plan.map(&mut parts, Extent::Whole, &Bytes::new(), &mut exchange.vars)
            }
            Ok(Work::Pass(extent)) => {
                plan.map(&mut parts, extent, &Bytes::new(), &mut exchange.vars)
            }
            Err(refusal) => Err(refusal),
        };
        match mapped {
            Err(refusal) => ResponseFuture::refused(refusal.answer(&self.name), exchange),
            Ok(mapped) => {
                exchange.take_report(&mut parts.extensions);
                let body = match mapped {
                    None => RequestBody::untouched(body),
                    Some(mapped) => RequestBody::mapped(mapped, None),
                };
                ResponseFuture::called(self.inner.call(Request::from_parts(parts, body)), exchange)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ParamMapping<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamMapping")
            .field("inner", &self.inner)
            .field("mapping", &self.shared.load())
            .field("name", &self.name)
            .field("report_header", &self.report_header)
            .finish()
    }
}
