use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::Audience;
use tower_service::Service;

use crate::evaluate::{Scope, Work};
use crate::future::{Pending, ResponseFuture};
use crate::{Mapping, RequestBody, ResponseBody};

/// The service that [`ParamMappingLayer`](crate::ParamMappingLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct ParamMapping<S> {
    inner: S,
    mapping: Mapping,
    name: Arc<str>,
}

// === impl ParamMapping ===

impl<S> ParamMapping<S> {
    pub(crate) const fn new(inner: S, mapping: Mapping, name: Arc<str>) -> Self {
        Self {
            inner,
            mapping,
            name,
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
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let audience = Audience::of(&request);
        let (mut parts, body) = request.into_parts();
        let plan = self.mapping.plan();

        let mapped = match plan.work(&parts, &body) {
            Ok(Work::Collect) => {
                // The instance that was made ready is called once the body is here; its clone takes its place and must become ready anew.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let pending = Pending::new(parts, Arc::clone(plan), inner);
                return ResponseFuture::collecting(body, pending, audience, &self.name);
            }
            Ok(Work::Empty) => plan.map(&mut parts, Scope::Whole, &Bytes::new()),
            Ok(Work::Pass(scope)) => plan.map(&mut parts, scope, &Bytes::new()),
            Err(refusal) => Err(refusal),
        };
        match mapped {
            Err(refusal) => ResponseFuture::refused(refusal.answer(&self.name), audience),
            Ok(mapped) => {
                let body = match mapped {
                    None => RequestBody::untouched(body),
                    Some(mapped) => RequestBody::mapped(mapped.into(), None),
                };
                ResponseFuture::called(self.inner.call(Request::from_parts(parts, body)), audience)
            }
        }
    }
}
