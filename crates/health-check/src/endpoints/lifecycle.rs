//! From the start of a service to its end.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// Where a service is between its start and its end. Clones of endpoints share it.
pub(super) struct Lifecycle {
    phase: watch::Sender<Phase>,
    /// The same as in `phase`, for calls that end: one load.
    draining: AtomicBool,
    in_flight: AtomicUsize,
    none_in_flight: Notify,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Phase {
    /// Whether the start is waited for.
    pub(super) starting: bool,
    pub(super) draining: bool,
    /// Whether streams that last for ever must end.
    pub(super) ended: bool,
}

/// A service whose readiness is off, and the wait until it may end: what [`Endpoints::drain`](crate::Endpoints::drain) returns.
///
/// Awaiting it is the wait. Readiness is off without it too, and stays so when it is dropped.
#[derive(Debug)]
pub struct Draining {
    lifecycle: Arc<Lifecycle>,
    delay: Duration,
    in_flight: Option<Duration>,
}

/// A call on its way through [`EndpointsLayer`](crate::EndpointsLayer), until the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Lifecycle>);

// === impl Lifecycle ===

impl Lifecycle {
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) fn starts(&self) {
        self.phase.send_modify(|phase| phase.starting = true);
    }

    pub(super) fn started(&self) {
        let turned = self.phase.send_if_modified(|phase| {
            let turned = phase.starting;
            phase.starting = false;
            turned
        });
        if turned {
            tracing::warn!("started: ready from now on where the checks are");
        }
    }

    pub(super) fn drain(self: &Arc<Self>) -> Draining {
        let turned = self.phase.send_if_modified(|phase| {
            let turned = !phase.draining;
            phase.draining = true;
            turned
        });
        self.draining.store(true, Ordering::SeqCst);
        if turned {
            tracing::warn!("draining: not ready any more");
        }
        Draining {
            lifecycle: Arc::clone(self),
            delay: Duration::ZERO,
            in_flight: None,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    async fn nothing_in_flight(&self) {
        loop {
            let mut none = pin!(self.none_in_flight.notified());
            // Before the look, so that the last one that ends after it is heard.
            none.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::default()),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            none_in_flight: Notify::new(),
        }
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("phase", &self.phase())
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

// === impl Draining ===

impl Draining {
    /// Replaces how long calls are still taken, so that whoever sends them has seen that the service is not ready. Default: zero. Kubernetes:
    /// the period of the readiness probe times its `failureThreshold`, and a second for the routes.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// After the delay, waits until no call is in flight in the [`EndpointsLayer`](crate::EndpointsLayer), up to this limit. Default: they are not waited for, as a
    /// server that ends gracefully waits itself.
    #[must_use]
    pub const fn in_flight(mut self, limit: Duration) -> Self {
        self.in_flight = Some(limit);
        self
    }
}

/// Returns how many calls are in flight still. After the delay every gRPC `Watch` ends, which would hold up a graceful shutdown.
impl IntoFuture for Draining {
    type Output = usize;
    type IntoFuture = Pin<Box<dyn Future<Output = usize> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                lifecycle,
                delay,
                in_flight,
            } = self;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            lifecycle.phase.send_modify(|phase| phase.ended = true);
            if let Some(limit) = in_flight
                && timeout(limit, lifecycle.nothing_in_flight()).await.is_err()
            {
                let left = lifecycle.in_flight();
                tracing::warn!(
                    in_flight = left,
                    limit_ms = limit.as_secs_f64() * 1e3,
                    "drained: calls are in flight"
                );
            }
            lifecycle.in_flight()
        })
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.draining.load(Ordering::SeqCst) {
            self.0.none_in_flight.notify_waiters();
        }
    }
}
