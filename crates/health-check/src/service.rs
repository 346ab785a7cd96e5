use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use portcullis_gateway_error::{Audience, Classify};
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::detection::LONGEST;
use crate::future::ResponseFuture;
use crate::gate::{Entry, Shut, WaitFor};
use crate::judge::{AnyError, Judge};
use crate::wait::Wait;
use crate::{HealthCheckLayer, Mode, telemetry};

/// The service that [`HealthCheckLayer`] makes.
///
/// While it refuses it is ready at once, whatever the inner service is. See the [crate docs](crate) for examples.
pub struct HealthCheck<S, C = AnyError> {
    inner: S,
    layer: HealthCheckLayer<C>,
    /// Whether the inner service was made ready since it was last called.
    inner_ready: bool,
    /// Wakes who waits for the inner service when the gate closes. Made when the inner service was pending for the first time.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// Why, where the gate was asked for readiness and found closed.
    shut: Option<Shut>,
}

// === impl HealthCheck ===

impl<S, C> HealthCheck<S, C> {
    pub(crate) const fn new(inner: S, layer: HealthCheckLayer<C>) -> Self {
        Self {
            inner,
            layer,
            inner_ready: false,
            closing: None,
            shut: None,
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

impl<S, C> HealthCheck<S, C> {
    /// The inner service is not ready: who waits for it is woken when the gate closes.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.layer.mode, Mode::Observe) {
            return Poll::Pending;
        }
        let gate = &self.layer.gate;
        let closing = self
            .closing
            .get_or_insert_with(|| Box::pin(gate.clone().until_closed()));
        ready!(closing.as_mut().poll(cx));
        self.closing = None;
        Poll::Ready(())
    }
}

impl<S: Clone, C: Clone> HealthCheck<S, C> {
    /// A call that finds the gate closed, or the inner service not made ready because it was.
    #[cold]
    #[inline(never)]
    fn closed<ReqBody>(
        &mut self,
        request: Request<ReqBody>,
        shut: Shut,
    ) -> ResponseFuture<S::Future, S, ReqBody, C>
    where
        S: Service<Request<ReqBody>>,
    {
        self.layer.gate.health.call_came();
        let gate = &self.layer.gate;
        let audience = Audience::of(&request);
        let (limit, what) = match (self.layer.mode, shut) {
            (Mode::Wait { limit }, Shut::Unsettled) => (limit, WaitFor::Opening),
            (Mode::Wait { limit }, Shut::Closed(_)) => {
                telemetry::waiting(gate.name());
                (limit, WaitFor::Opening)
            }
            (_, Shut::Unsettled) => (gate.health.patience(), WaitFor::Settling),
            (_, Shut::Closed(again)) => {
                telemetry::refused(gate.name(), false);
                let again = again.or_else(|| gate.again());
                let HealthCheckLayer { name, kept, .. } = &self.layer;
                return ResponseFuture::refused(kept.unavailable(name, audience, again));
            }
        };
        if shut == Shut::Unsettled {
            telemetry::asking(gate.name());
        }
        let end = Instant::now() + limit.min(LONGEST);
        let deadline = request.extensions().get::<Deadline>().copied();
        // The instance that is ready, where one is; another makes itself ready before it is called.
        let inner = self.inner.clone();
        let is_ready = mem::take(&mut self.inner_ready);
        let inner = if is_ready {
            mem::replace(&mut self.inner, inner)
        } else {
            inner
        };
        ResponseFuture::waiting(Wait::new(
            (inner, is_ready),
            request,
            self.layer.clone(),
            audience,
            (end, deadline),
            what,
        ))
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for HealthCheck<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Classify<S::Error> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, ReqBody, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Err(shut) = self.layer.gate.look()
            && !matches!(self.layer.mode, Mode::Observe)
        {
            self.shut = Some(shut);
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx);
        self.inner_ready = matches!(ready, Poll::Ready(Ok(())));
        if ready.is_pending() {
            return self.poll_closing(cx).map(Ok);
        }
        if self.closing.is_some() {
            self.closing = None;
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let entry = if self.inner_ready {
            self.layer.gate.enter()
        } else {
            // The gate was closed when it was asked, and what is behind it may be called only when it is ready.
            Entry::Shut(self.shut.take().unwrap_or(Shut::Closed(None)))
        };
        let pass = match entry {
            Entry::Open(pass) => pass,
            Entry::Shut(shut) if self.inner_ready && matches!(self.layer.mode, Mode::Observe) => {
                // Where nobody knows yet, nobody knows that it would be refused.
                if shut != Shut::Unsettled {
                    telemetry::let_through(self.layer.gate.name());
                }
                None
            }
            Entry::Shut(shut) => return self.closed(request, shut),
        };
        self.inner_ready = false;
        let judge = pass.map(|pass| Judge {
            pass,
            classifier: self.layer.classifier.clone(),
        });
        ResponseFuture::called(self.inner.call(request), judge)
    }
}

impl<S: Clone, C: Clone> Clone for HealthCheck<S, C> {
    fn clone(&self) -> Self {
        // Readiness belongs to the instance that was asked.
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S: fmt::Debug, C: fmt::Debug> fmt::Debug for HealthCheck<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .field("inner_ready", &self.inner_ready)
            .finish_non_exhaustive()
    }
}
