use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use portcullis_gateway_error::{Attempt, Audience, Classify};
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower_service::Service;

use crate::pool::future::Call;
use crate::pool::member::Seat;
use crate::pool::shared::{Avoid, Picked, Shared};
use crate::refusal::Refusal;
use crate::telemetry;

/// A call that waits until an endpoint may be called and is ready. On the heap, so that calls that do not wait are not larger for it.
pub(crate) struct Waiting<S, ReqBody, C> {
    shared: Arc<Shared<S>>,
    classifier: C,
    /// `None` once it is sent.
    request: Option<Request<ReqBody>>,
    /// Those that may be called, and are not ready: whichever is first. Dropped, each loses its place in the queue there.
    picked: [Option<Picked<S>>; 2],
    /// The wait for a change, where none may be called.
    change: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// Those that nobody knew of when it began, with how many of their probes had ended.
    asked: Vec<(Arc<Seat<S>>, u64)>,
    /// It ends when all is known.
    settling: bool,
    end: Option<Instant>,
    deadline: Option<Deadline>,
    audience: Audience,
}

/// How a wait has ended.
pub(crate) enum Waited<F, E, C> {
    Called(F, Call<C>),
    Refused(Arc<Refusal>),
    Failed(E),
    /// Polled after it had ended.
    Spent,
}

// === impl Waiting ===

impl<S, ReqBody, C> Waiting<S, ReqBody, C> {
    pub(crate) fn for_any(
        shared: Arc<Shared<S>>,
        classifier: C,
        request: Request<ReqBody>,
    ) -> Self {
        Self {
            shared,
            classifier,
            request: Some(request),
            picked: [None, None],
            change: None,
            asked: Vec::new(),
            settling: false,
            end: None,
            deadline: None,
            audience: Audience::default(),
        }
    }

    /// It waits until an endpoint may be called, but not longer than until then.
    pub(crate) fn until(
        mut self,
        end: Instant,
        deadline: Option<Deadline>,
        audience: Audience,
    ) -> Self {
        self.end = Some(deadline.map_or(end, |deadline| deadline.instant().min(end)));
        self.deadline = deadline;
        self.audience = audience;
        self
    }

    /// It waits for the probes of these too; and where it only does that, no longer.
    pub(crate) fn asking(mut self, asked: Vec<(Arc<Seat<S>>, u64)>, settling: bool) -> Self {
        self.asked = asked;
        self.settling = settling;
        self
    }

    /// It waits for one of these to be ready.
    pub(crate) fn with(mut self, picked: [Option<Picked<S>>; 2]) -> Self {
        self.picked = picked;
        self
    }

    fn refuse(&mut self) -> Arc<Refusal> {
        let Shared { settings, kept, .. } = &*self.shared;
        telemetry::refused(&settings.upstream, true);
        let audience = mem::take(&mut self.audience);
        if self.deadline.is_some_and(|deadline| deadline.has_passed()) {
            Refusal::too_late(&settings.name, audience)
        } else {
            kept.unavailable(&settings.name, audience, self.shared.again())
        }
    }
}

impl<S: Clone, ReqBody, C: Clone> Waiting<S, ReqBody, C> {
    pub(crate) fn poll<ResBody>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Waited<S::Future, S::Error, C>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        C: Classify<S::Error>,
    {
        while self.picked.iter().all(Option::is_none) {
            let Some(request) = &self.request else {
                return Poll::Ready(Waited::Spent);
            };
            if let Some(change) = &mut self.change {
                ready!(change.as_mut().poll(cx));
                self.change = None;
            }
            // Before the look, so that no change is missed: where it is another view that was looked at, there is another look.
            let (seen, _) = self.shared.seen();
            let known = self.settling && self.shared.is_settled();
            let tried = request.extensions().get::<Attempt>();
            let picked = self.shared.pick(Avoid { tried, busy: None });
            let picked = picked.or_else(|| self.shared.pick_asked(&self.asked));
            if picked.is_some() {
                self.picked = [picked, None];
                break;
            }
            let end = self.end.filter(|end| !known && *end > Instant::now());
            let Some(end) = end else {
                return Poll::Ready(Waited::Refused(self.refuse()));
            };
            let (_, due) = self.shared.seen();
            let until = due.map_or(end, |due| due.min(end));
            let changes = Arc::clone(&self.shared.changes);
            self.change = Some(Box::pin(changes.wait(seen, Some(until))));
        }
        self.poll_picked(cx)
    }

    /// Calls the first that is ready. Where all have failed, the error of the last is the answer.
    fn poll_picked<ResBody>(&mut self, cx: &mut Context<'_>) -> Poll<Waited<S::Future, S::Error, C>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        C: Classify<S::Error>,
    {
        let mut failed = None;
        let mut is_pending = false;
        for slot in &mut self.picked {
            let ready = match slot {
                None => continue,
                Some(picked) => picked.service.poll_ready(cx),
            };
            let result = match ready {
                Poll::Pending => {
                    is_pending = true;
                    continue;
                }
                Poll::Ready(result) => result,
            };
            let Some(picked) = slot.take() else {
                continue;
            };
            let Picked {
                mut service,
                pass,
                in_flight,
                started,
            } = picked;
            let name = Arc::clone(&in_flight.load().name);
            let call = Call::new(pass, in_flight, started, self.classifier.clone());
            if let Err(error) = result {
                call.failed(&error);
                failed = Some(error);
                continue;
            }
            let Some(request) = self.request.take() else {
                return Poll::Ready(Waited::Spent);
            };
            if let Some(attempt) = request.extensions().get::<Attempt>() {
                attempt.mark_tried(name);
            }
            // The other one loses its place in its queue.
            self.picked = [None, None];
            return Poll::Ready(Waited::Called(service.call(request), call));
        }
        match failed {
            Some(error) if !is_pending => {
                self.request = None;
                Poll::Ready(Waited::Failed(error))
            }
            _ => Poll::Pending,
        }
    }
}

impl<S, ReqBody, C> fmt::Debug for Waiting<S, ReqBody, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
