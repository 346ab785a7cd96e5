use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response, Version};
use http_body::Body;
use portcullis_gateway_error::Audience;
use tokio::time::Instant;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::layer::Settings;
use crate::limits::Limits;
use crate::map_body::ConvertBody;
use crate::policy::End;
use crate::ready::Readiness;
use crate::refusal::LetThrough;
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::upload::Upload;
use crate::wait::Wait;
use crate::{Deadline, Direct, HeadStart, TimeoutPolicy, telemetry};

/// The service that [`TimeoutLayer`](crate::TimeoutLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Timeout<S, M = Direct> {
    inner: S,
    settings: Arc<Settings>,
    convert: M,
    readiness: Readiness,
}

// === impl Timeout ===

impl<S, M> Timeout<S, M> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>, convert: M) -> Self {
        Self {
            inner,
            settings,
            convert,
            readiness: Readiness::default(),
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

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Timeout<S, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.inner.poll_ready(cx) {
            Poll::Ready(result) => {
                self.readiness.over();
                Poll::Ready(result)
            }
            Poll::Pending => match self.settings.ready {
                Some(limit) => self.readiness.poll(limit, cx).map(Ok),
                None => Poll::Pending,
            },
        }
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let settings = &self.settings;
        let audience = Audience::of(&request);
        if let Some(elapsed) = self.readiness.take() {
            let wait = Wait::new(settings, audience, Instant::now());
            return ResponseFuture::refused(wait, elapsed);
        }

        let deadline = request.extensions().get::<Deadline>().copied();
        let policy = request.extensions().get::<TimeoutPolicy>();
        let said = settings.sources.read(request.headers(), audience.is_grpc());
        let mut said = said.filter(|_| request.extensions().get::<LetThrough>().is_none());
        let on_streams = policy.and_then(|policy| policy.total_on_streams);
        let over = settings.limits_for(policy);
        let limits = over.as_deref().unwrap_or(&settings.limits);
        if deadline.is_none() && said.is_none() && !limits.any() {
            let request = request.map(|body| self.convert.convert(RequestBody::unlimited(body)));
            return ResponseFuture::unlimited(self.inner.call(request));
        }

        let now = Instant::now();
        let max = settings.sources.max;
        let mut end = End::new(now, deadline, said, limits.total, max);
        if let Some(given) = end.given {
            let passed = given <= now;
            let refused = settings.refusal.refuses(passed);
            if passed {
                let late = telemetry::late(now.saturating_duration_since(given), refused);
                if refused {
                    let wait = Wait::new(settings, audience, now);
                    return ResponseFuture::refused(wait, late);
                }
                let in_time = LetThrough::mark(&mut request, deadline, &mut said, now);
                end = End::new(now, in_time, said, limits.total, max);
            }
        }
        settings.tell(&mut request, deadline, end, now, audience.is_grpc());

        let idle = limits.request_idle;
        let watched = idle.is_some()
            || limits.request.is_some()
            || (settings.head_from == HeadStart::RequestSent
                && (limits.head.is_some() || limits.first_byte.is_some()));
        let upload = (watched && !request.body().is_end_stream()).then(|| Upload::new(now));
        let wait = Wait {
            end,
            head: limits.head,
            upload: upload.clone(),
            total_on_streams: on_streams.unwrap_or(settings.total_on_streams),
            connect: request.method() == Method::CONNECT,
            http1: request.version() <= Version::HTTP_11,
            over,
            ..Wait::new(settings, audience, now)
        };
        let request = request.map(|body| {
            let body = RequestBody::new(body, idle, upload);
            self.convert.convert(body)
        });
        ResponseFuture::new(self.inner.call(request), wait)
    }
}

// === impl Settings ===

impl Settings {
    /// The limits of a request, where they are not those of the layer.
    #[inline]
    fn limits_for(&self, policy: Option<&TimeoutPolicy>) -> Option<Box<Limits>> {
        let factor = self.scale.as_ref().map_or(1.0, |scale| scale.factor());
        let scaled = factor < 1.0;
        if policy.is_none() && !scaled && self.adaptive_head.is_none() {
            return None;
        }
        let mut limits = self.limits;
        if let Some(adaptive) = &self.adaptive_head {
            limits.head = Some(adaptive.limit());
        }
        if scaled {
            limits = limits.scaled(factor);
            if let Some(adaptive) = &self.adaptive_head {
                limits.head = limits.head.map(|head| head.max(adaptive.min()));
            }
        }
        Some(Box::new(match policy {
            Some(policy) => policy.over(limits),
            None => limits,
        }))
    }

    /// Tells those inside when the exchange ends.
    #[inline]
    fn tell<B>(
        &self,
        request: &mut Request<B>,
        deadline: Option<Deadline>,
        end: End,
        now: Instant,
        grpc: bool,
    ) {
        let Some(whole) = end.whole() else { return };
        let told = Deadline::of(whole, end.on_streams);
        if self.share_deadline && deadline != Some(told) {
            request.extensions_mut().insert(told);
        }
        let left = whole.saturating_duration_since(now);
        self.propagation.write(request.headers_mut(), grpc, left);
    }
}
