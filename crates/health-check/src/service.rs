use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use portcullis_gateway_error::{Answer, Audience, ErrorKind};
use tower_service::Service;

use crate::body::ResponseBody;
use crate::future::ResponseFuture;
use crate::{HealthCheckLayer, Mode};

/// The service that [`HealthCheckLayer`] makes.
///
/// While it refuses it is ready at once, whatever the inner service is. See the [crate docs](crate) for examples.
pub struct HealthCheck<S> {
    inner: S,
    layer: HealthCheckLayer,
    /// Whether the inner service was made ready since it was last called.
    inner_ready: bool,
    /// Wakes who waits for the inner service when the gate closes. Made when the inner service was pending for the first time.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

// === impl HealthCheck ===

impl<S> HealthCheck<S> {
    pub(crate) const fn new(inner: S, layer: HealthCheckLayer) -> Self {
        Self {
            inner,
            layer,
            inner_ready: false,
            closing: None,
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

    fn refuses(&self) -> bool {
        self.layer.mode == Mode::FailFast && !self.layer.health.is_up()
    }

    fn refusal(&self) -> Answer {
        tracing::debug!(
            upstream = self.layer.health.name(),
            "refused: upstream is down"
        );
        // Where nobody looks, nobody knows; a second is what an answer can say at least.
        let next = self.layer.health.next_check().unwrap_or_default();
        Answer::new(ErrorKind::DestinationUnavailable)
            .name(&*self.layer.name)
            .retry_after(next.max(Duration::from_secs(1)))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for HealthCheck<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.refuses() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx)?;
        self.inner_ready = ready.is_ready();
        if ready.is_pending() && self.layer.mode == Mode::FailFast {
            let health = &self.layer.health;
            let closing = self
                .closing
                .get_or_insert_with(|| Box::pin(health.clone().wait_until_refusing()));
            if closing.as_mut().poll(cx).is_ready() {
                self.closing = None;
                return Poll::Ready(Ok(()));
            }
        } else {
            self.closing = None;
        }
        ready.map(Ok)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Not ready: the gate was closed when it was asked, and what is behind it may be called only when it is ready.
        if self.refuses() || !self.inner_ready {
            return ResponseFuture::refused(self.refusal(), Audience::of(&request));
        }
        if !self.layer.health.is_up() {
            tracing::debug!(
                upstream = self.layer.health.name(),
                "let through: upstream is down"
            );
        }
        self.inner_ready = false;
        ResponseFuture::called(self.inner.call(request))
    }
}

impl<S: Clone> Clone for HealthCheck<S> {
    fn clone(&self) -> Self {
        // Readiness belongs to the instance that was asked.
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for HealthCheck<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .field("inner_ready", &self.inner_ready)
            .finish_non_exhaustive()
    }
}
