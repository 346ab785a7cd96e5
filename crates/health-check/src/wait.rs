use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use portcullis_gateway_error::Audience;
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower_service::Service;

use crate::gate::{Entry, Shut, WaitFor};
use crate::judge::Judge;
use crate::pass::Pass;
use crate::refusal::Refusal;
use crate::{HealthCheckLayer, telemetry};

/// A call that waits for the gate to open. On the heap, so that calls that do not wait are not larger for it.
pub(crate) struct Wait<S, ReqBody, C> {
    step: Step,
    inner: S,
    /// Whether the inner service was made ready.
    ready: bool,
    /// `None` once it is sent.
    request: Option<Request<ReqBody>>,
    layer: HealthCheckLayer<C>,
    audience: Audience,
    deadline: Option<Deadline>,
}

enum Step {
    /// The gate is closed.
    Entering(Pin<Box<dyn Future<Output = Entry> + Send + Sync>>),
    /// It has opened, and the inner service is not ready.
    Readying(Option<Pass>),
}

/// How a wait has ended.
pub(crate) enum Waited<F, E, C> {
    Called(F, Option<Judge<C>>),
    Refused(Arc<Refusal>),
    Failed(E),
    /// Polled after it had ended.
    Spent,
}

// === impl Wait ===

impl<S, ReqBody, C: Clone> Wait<S, ReqBody, C> {
    pub(crate) fn new(
        (inner, ready): (S, bool),
        request: Request<ReqBody>,
        layer: HealthCheckLayer<C>,
        audience: Audience,
        (limit, deadline): (Instant, Option<Deadline>),
        what: WaitFor,
    ) -> Self {
        let end = deadline.map_or(limit, |deadline| deadline.instant().min(limit));
        Self {
            step: Step::Entering(Box::pin(layer.gate.clone().enter_by(end, what))),
            inner,
            ready,
            request: Some(request),
            layer,
            audience,
            deadline,
        }
    }

    pub(crate) fn poll<ResBody>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Waited<S::Future, S::Error, C>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    {
        if let Step::Entering(entering) = &mut self.step {
            match ready!(entering.as_mut().poll(cx)) {
                Entry::Open(pass) => self.step = Step::Readying(pass),
                Entry::Shut(shut) => {
                    let again = match shut {
                        Shut::Closed(again) => again,
                        Shut::Unsettled => None,
                    };
                    telemetry::refused(self.layer.gate.name(), true);
                    let late = self.deadline.is_some_and(|deadline| deadline.has_passed());
                    let audience = mem::take(&mut self.audience);
                    let HealthCheckLayer { name, kept, .. } = &self.layer;
                    return Poll::Ready(Waited::Refused(if late {
                        Refusal::too_late(name, audience)
                    } else {
                        kept.unavailable(name, audience, again)
                    }));
                }
            }
        }
        if !self.ready {
            match ready!(self.inner.poll_ready(cx)) {
                Ok(()) => self.ready = true,
                Err(error) => {
                    // The place of a trial is free again.
                    self.step = Step::Readying(None);
                    return Poll::Ready(Waited::Failed(error));
                }
            }
        }
        let Step::Readying(pass) = &mut self.step else {
            return Poll::Ready(Waited::Spent);
        };
        let judge = pass.take().map(|pass| Judge {
            pass,
            classifier: self.layer.classifier.clone(),
        });
        Poll::Ready(match self.request.take() {
            Some(request) => Waited::Called(self.inner.call(request), judge),
            None => Waited::Spent,
        })
    }
}

impl<S, ReqBody, C> fmt::Debug for Wait<S, ReqBody, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}
