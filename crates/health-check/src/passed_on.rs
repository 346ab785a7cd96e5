//! What stands in front of a service and is ready at once for its own paths, whatever that service is.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// The future of a call that [`WithEndpoints`](crate::WithEndpoints) or `WithStatusPage` passes on to the inner service, which is made ready first where it was not.
    ///
    /// Dropping it drops the inner call, or the place of the inner service in the queue where it waits.
    #[must_use = "futures do nothing unless polled"]
    pub struct PassedOn<F, S, R> {
        #[pin]
        state: State<F, S, R>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, S, R> {
        // The inner service was ready.
        Called { #[pin] inner: F },
        // It was not; `None` once it is called. On the heap, so that other calls are not larger for it.
        Readying { late: Option<Box<(S, R)>> },
    }
}

/// The inner service, with whether it was made ready since it was last called.
#[derive(Debug)]
pub(crate) struct Onward<S> {
    inner: S,
    is_ready: bool,
}

// === impl Onward ===

impl<S> Onward<S> {
    pub(crate) const fn new(inner: S) -> Self {
        let is_ready = false;
        Self { inner, is_ready }
    }

    /// Asks the inner service, and is ready though that is not: who asks does not say yet for which path. What fails, fails.
    #[inline]
    pub(crate) fn poll_ready<R>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<R>,
    {
        let ready = self.inner.poll_ready(cx)?;
        self.is_ready = ready.is_ready();
        Poll::Ready(Ok(()))
    }

    /// Passes a request on.
    #[inline]
    pub(crate) fn call<R>(&mut self, request: R) -> PassedOn<S::Future, S, R>
    where
        S: Service<R> + Clone,
    {
        if !mem::take(&mut self.is_ready) {
            return self.late(request);
        }
        PassedOn {
            state: State::Called {
                inner: self.inner.call(request),
            },
        }
    }

    #[cold]
    fn late<R>(&mut self, request: R) -> PassedOn<S::Future, S, R>
    where
        S: Service<R> + Clone,
    {
        // The instance that was asked, and not its clone: it may have a place in a queue, which nobody would use else.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        PassedOn {
            state: State::Readying {
                late: Some(Box::new((inner, request))),
            },
        }
    }

    /// The request is for somebody else: what the inner service keeps for it is given back, its place in a queue too.
    pub(crate) fn release(&mut self)
    where
        S: Clone,
    {
        self.is_ready = false;
        self.inner = self.inner.clone();
    }
}

impl<S: Clone> Clone for Onward<S> {
    fn clone(&self) -> Self {
        // Readiness belongs to the instance that was asked.
        Self::new(self.inner.clone())
    }
}

// === impl PassedOn ===

impl<S, R> Future for PassedOn<S::Future, S, R>
where
    S: Service<R>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let StateProject::Readying { late } = state.as_mut().project() {
            let Some(waiting) = late else {
                // Polled after it was ready, which the contract of futures forbids.
                return Poll::Pending;
            };
            let result = ready!(waiting.0.poll_ready(cx));
            let Some(called) = late.take() else {
                return Poll::Pending;
            };
            result?;
            let (mut inner, request) = *called;
            let inner = inner.call(request);
            state.set(State::Called { inner });
        }
        match state.project() {
            StateProject::Called { inner } => inner.poll(cx),
            StateProject::Readying { .. } => Poll::Pending,
        }
    }
}

impl<F, S, R> fmt::Debug for PassedOn<F, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassedOn").finish_non_exhaustive()
    }
}
