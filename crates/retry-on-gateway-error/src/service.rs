use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, header};
use http_body::Body;
use portcullis_gateway_error::{Answer, Audience, Classify, ErrorKind};
use tokio::time::Instant;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::exchange::Exchange;
use crate::future::ResponseFuture;
use crate::layer::Settings;
use crate::map_body::ConvertBody;
use crate::replay::Replay;
use crate::{Attempt, Policy, ReplayBody, RetryPolicy, envoy, telemetry};

/// The service that [`RetryLayer`](crate::RetryLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Debug)]
pub struct Retry<S, P, C, M> {
    inner: S,
    settings: Arc<Settings<P, C, M>>,
}

// === impl Retry ===

impl<S, P, C, M> Retry<S, P, C, M> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings<P, C, M>>) -> Self {
        Self { inner, settings }
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

impl<S, P, C, M, ReqBody, ResBody> Service<Request<ReqBody>> for Retry<S, P, C, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    P: Policy,
    C: Classify<S::Error>,
    M: ConvertBody<ReqBody>,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes> + Unpin,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, P, C, M, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let settings = &self.settings;
        settings.prepare(&mut head);
        let plan = settings.policy.plan(&head);
        let nested = !settings.retry_nested && head.extensions.get::<Attempt>().is_some();
        if !plan.retries || nested || is_never_replayed(&head) {
            let body = settings.convert.convert(ReplayBody::direct(body));
            return ResponseFuture::direct(self.inner.call(Request::from_parts(head, body)));
        }
        let now = Instant::now();
        if let Some(throttle) = &settings.throttle
            && let Some(probability) = throttle.refuses(now, &settings.chance)
        {
            telemetry::throttled(probability);
            return ResponseFuture::answered(throttled(&head));
        }

        // The instance that was made ready is the one that is called, and called again; its clone waits here for the next request.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let announced = if body.size_hint().exact().is_some() {
            None
        } else {
            announced(&head)
        };
        let replay = Replay::new(body, announced, &settings.limits.replay);
        let settings = Arc::clone(settings);
        let exchange = Exchange::new(inner, settings, &mut head, replay, plan, now);
        let mut future = ResponseFuture::new(exchange);
        future.begin(head);
        future
    }
}

// Not derived: that would ask it of the settings, which are shared.
impl<S: Clone, P, C, M> Clone for Retry<S, P, C, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<P, C, M> Settings<P, C, M> {
    /// Takes off a request what was meant for this layer, and adds what all its attempts carry.
    fn prepare(&self, head: &mut Parts) {
        if self.trust_envoy_headers
            && let Some(told) = envoy::take(&mut head.headers)
        {
            let own = head.extensions.remove::<RetryPolicy>().unwrap_or_default();
            head.extensions.insert(own.or(told));
        }
        #[cfg(feature = "idempotency-key")]
        if self.idempotency_key {
            crate::safety::add_idempotency_key(head);
        }
    }
}

/// What changes the connection or waits for a go-ahead is bound to its one attempt.
fn is_never_replayed(head: &Parts) -> bool {
    head.method == Method::CONNECT
        || head.headers.contains_key(header::UPGRADE)
        || head.headers.contains_key(header::EXPECT)
}

fn announced(head: &Parts) -> Option<u64> {
    let length = head.headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn throttled<B: Body>(head: &Parts) -> Response<ResponseBody<B>> {
    let audience = Audience::from_parts(&head.method, &head.headers);
    Answer::new(ErrorKind::ConnectionLimitReached)
        .detail("the upstream refuses most requests; this one was not sent")
        .into_response(&audience)
        .map(ResponseBody::answer)
}
