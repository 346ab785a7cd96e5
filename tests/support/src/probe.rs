use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tower_service::Service;

/// A service that knows the contract of [`Service`] and panics where it is broken: `call` on an instance that was not polled ready, or twice for one readiness.
///
/// A clone is never ready, even of an instance that is: a layer that calls a fresh clone instead of the instance that it made ready is caught, which
/// `tower::service_fn` never does.
pub struct Probe<H, E = crate::BoxError> {
    handler: H,
    state: Arc<State<E>>,
    ready: bool,
}

/// Looks at a [`Probe`] and its clones from outside, and scripts their readiness.
pub struct ProbeHandle<E = crate::BoxError> {
    state: Arc<State<E>>,
}

struct State<E> {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    instances: AtomicUsize,
    readiness: Mutex<Readiness<E>>,
}

struct Readiness<E> {
    blocked: bool,
    wakers: Vec<Waker>,
    errors: VecDeque<E>,
}

pin_project! {
    /// The future of a [`Probe`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ProbeFuture<F> {
        #[pin]
        inner: F,
        guard: Guard,
    }
}

/// Counts what is in flight, however it ends.
struct Guard(Option<Box<dyn FnOnce() + Send>>);

// === impl Probe ===

impl<H, E> Probe<H, E> {
    /// A probe that answers each call with what the handler returns, and its handle.
    pub fn new(handler: H) -> (Self, ProbeHandle<E>) {
        let state = Arc::new(State {
            calls: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            instances: AtomicUsize::new(1),
            readiness: Mutex::new(Readiness {
                blocked: false,
                wakers: Vec::new(),
                errors: VecDeque::new(),
            }),
        });
        (
            Self {
                handler,
                state: Arc::clone(&state),
                ready: false,
            },
            ProbeHandle { state },
        )
    }
}

impl<H, Req, F, T, E> Service<Req> for Probe<H, E>
where
    H: FnMut(Req) -> F,
    F: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    type Response = T;
    type Error = E;
    type Future = ProbeFuture<F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut readiness = self.state.readiness();
        if let Some(error) = readiness.errors.pop_front() {
            return Poll::Ready(Err(error));
        }
        if readiness.blocked {
            readiness.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        assert!(
            self.ready,
            "call only the instance that poll_ready made ready, once for each time"
        );
        self.ready = false;
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        self.state.in_flight.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&self.state);
        let guard = Guard(Some(Box::new(move || {
            state.in_flight.fetch_sub(1, Ordering::SeqCst);
        })));

        ProbeFuture {
            inner: (self.handler)(request),
            guard,
        }
    }
}

impl<H: Clone, E> Clone for Probe<H, E> {
    fn clone(&self) -> Self {
        self.state.instances.fetch_add(1, Ordering::SeqCst);
        Self {
            handler: self.handler.clone(),
            state: Arc::clone(&self.state),
            ready: false,
        }
    }
}

impl<H, E> Drop for Probe<H, E> {
    fn drop(&mut self) {
        self.state.instances.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<H, E> fmt::Debug for Probe<H, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

// === impl ProbeHandle ===

impl<E> ProbeHandle<E> {
    /// Returns how often the probe and its clones were called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// Returns how many of its futures are neither finished nor dropped.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::SeqCst)
    }

    /// Returns how many instances exist: the probe and its clones.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.state.instances.load(Ordering::SeqCst)
    }

    /// Makes `poll_ready` pending until [`unblock`](Self::unblock).
    pub fn block(&self) {
        self.state.readiness().blocked = true;
    }

    /// Makes `poll_ready` ready again, and wakes who waits.
    pub fn unblock(&self) {
        let mut readiness = self.state.readiness();
        readiness.blocked = false;
        readiness.wakers.drain(..).for_each(Waker::wake);
    }

    /// Makes the next `poll_ready` fail.
    pub fn fail_readiness(&self, error: impl Into<E>) {
        let mut readiness = self.state.readiness();
        readiness.errors.push_back(error.into());
        readiness.wakers.drain(..).for_each(Waker::wake);
    }
}

impl<E> fmt::Debug for ProbeHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeHandle")
            .field("calls", &self.calls())
            .field("in_flight", &self.in_flight())
            .field("instances", &self.instances())
            .finish()
    }
}

// === impl State ===

impl<E> State<E> {
    fn readiness(&self) -> MutexGuard<'_, Readiness<E>> {
        self.readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ProbeFuture ===

impl<F: Future> Future for ProbeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = this.inner.poll(cx);
        if output.is_ready() {
            this.guard.end();
        }
        output
    }
}

// === impl Guard ===

impl Guard {
    fn end(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

    use super::*;

    #[test]
    #[should_panic(expected = "call only the instance that poll_ready made ready")]
    fn calling_a_clone_of_a_ready_instance_is_caught() {
        let (mut probe, _handle) = Probe::<_, Infallible>::new(|(): ()| ready(Ok(())));
        assert_ready_ok!(task::spawn(()).enter(|cx, _| Service::<()>::poll_ready(&mut probe, cx)));

        let mut clone = probe.clone();
        drop(clone.call(()));
        drop(probe);
    }

    #[test]
    fn readiness_follows_the_script() {
        let (probe, handle) = Probe::<_, String>::new(|(): ()| ready(Ok(())));
        let mut task = task::spawn(probe);
        handle.block();
        assert_pending!(task.enter(|cx, mut probe| Service::<()>::poll_ready(&mut *probe, cx)));

        handle.fail_readiness("gone");

        assert!(task.is_woken());
        let poll = task.enter(|cx, mut probe| Service::<()>::poll_ready(&mut *probe, cx));
        assert_eq!(assert_ready_err!(poll), "gone");
        handle.unblock();
        assert_ready_ok!(task.enter(|cx, mut probe| Service::<()>::poll_ready(&mut *probe, cx)));
    }

    #[test]
    fn dropped_futures_are_no_longer_in_flight() {
        let (mut probe, handle) = Probe::<_, Infallible>::new(|(): ()| pending::<Result<(), _>>());
        assert_ready_ok!(task::spawn(()).enter(|cx, _| Service::<()>::poll_ready(&mut probe, cx)));
        let future = probe.call(());
        assert_eq!(
            (handle.calls(), handle.in_flight(), handle.instances()),
            (1, 1, 1)
        );

        drop((future, probe));

        assert_eq!(
            (handle.calls(), handle.in_flight(), handle.instances()),
            (1, 0, 0)
        );
    }
}
