use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::changes::{Changes, Watchers};
use crate::endpoint::Endpoint;
use crate::{PassiveHealth, ProbeError, telemetry};

/// What is known of whether something is up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// Nothing is known yet.
    Unknown,
    /// It is up.
    Up,
    /// It is down.
    Down,
}

/// What a [`State::Unknown`] counts as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Initial {
    /// Up: calls go through until a probe has failed.
    #[default]
    Optimistic,
    /// Down: calls are refused until a probe has succeeded.
    Pessimistic,
}

/// The state, and since when and why it is so.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// When it became so.
    pub since: Instant,
    /// Why it is down.
    pub reason: Option<ProbeError>,
    /// When it is looked at again, where somebody looks.
    pub next_check: Option<Instant>,
}

/// The health of one thing, shared by all clones: what a [`Monitor`](crate::Monitor) writes, and gates and endpoints read.
///
/// The monitor's task ends when the last clone is dropped.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
    /// Ends the monitor's task. `None` where there is none.
    _task: Option<Arc<AbortOnDrop>>,
}

/// The half that a monitor's task holds, which does not keep the task alive.
pub(crate) struct Shared {
    name: Arc<str>,
    initial: Initial,
    /// The state alone, for the happy path: one load.
    state: AtomicU8,
    status: watch::Sender<Status>,
    /// Endpoints that return when a probe succeeds.
    linked: Mutex<Vec<Weak<Endpoint>>>,
    /// Pools that are told of every turn.
    watchers: Watchers,
}

struct AbortOnDrop(AbortHandle);

// === impl State ===

impl State {
    /// Returns the word used in logs: `unknown`, `up`, `down`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

// === impl Health ===

impl Health {
    /// A health that never changes: for a thing that nobody probes, and for tests.
    #[must_use]
    pub fn fixed(state: State) -> Self {
        let shared = Shared::new("fixed".into(), Initial::Optimistic);
        shared.set(state, None);
        Self {
            shared: Arc::new(shared),
            _task: None,
        }
    }

    pub(crate) fn monitored(shared: Arc<Shared>, task: AbortHandle) -> Self {
        Self {
            shared,
            _task: Some(Arc::new(AbortOnDrop(task))),
        }
    }

    /// Says whether calls may go through. One atomic load.
    #[must_use]
    #[inline]
    pub fn is_up(&self) -> bool {
        self.shared.is_up(self.state())
    }

    /// Returns the state.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        match self.shared.state.load(Ordering::Acquire) {
            UP => State::Up,
            DOWN => State::Down,
            _ => State::Unknown,
        }
    }

    /// Returns the state with since when and why it is so.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Returns the name that the monitor was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the time until the next look, where somebody looks.
    #[must_use]
    pub fn next_check(&self) -> Option<Duration> {
        let next = self.shared.status.borrow().next_check?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Waits until the state is this one. Never returns where it never is.
    pub async fn wait_for(&self, state: State) {
        let mut changes = self.shared.status.subscribe();
        if changes
            .wait_for(|status| status.state == state)
            .await
            .is_err()
        {
            // The sender is in `shared`, which `self` holds.
            std::future::pending::<()>().await;
        }
    }

    /// Tells of every turn from now on. It does not end while this is there.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Counts every turn there.
    pub(crate) fn watch(&self, changes: &Arc<Changes>) {
        self.shared.watchers.add(changes);
    }

    /// Tells an endpoint of every probe that succeeds.
    pub(crate) fn link(&self, passive: &PassiveHealth) {
        let mut linked = self.shared.linked();
        linked.retain(|endpoint| endpoint.strong_count() > 0);
        let endpoint = passive.downgrade();
        // One that is put into a pool again and again is told once.
        if !linked.iter().any(|other| other.ptr_eq(&endpoint)) {
            linked.push(endpoint);
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl Shared {
    pub(crate) fn new(name: Arc<str>, initial: Initial) -> Self {
        let status = Status {
            state: State::Unknown,
            since: Instant::now(),
            reason: None,
            next_check: None,
        };
        Self {
            name,
            initial,
            state: AtomicU8::new(UNKNOWN),
            status: watch::Sender::new(status),
            linked: Mutex::default(),
            watchers: Watchers::default(),
        }
    }

    /// Turns the state, and tells the log.
    pub(crate) fn turn(&self, state: State, reason: Option<ProbeError>) {
        let from = self.status.borrow().state;
        telemetry::turned(&self.name, from, state, reason.as_ref());
        self.set(state, reason);
    }

    fn set(&self, state: State, reason: Option<ProbeError>) {
        let number = match state {
            State::Unknown => UNKNOWN,
            State::Up => UP,
            State::Down => DOWN,
        };
        self.state.store(number, Ordering::Release);
        self.status.send_modify(|status| {
            *status = Status {
                state,
                since: Instant::now(),
                reason,
                next_check: status.next_check,
            };
        });
        self.watchers.tell();
    }

    /// A probe has succeeded. While the state is not up, that is not enough for an ejected endpoint to return.
    pub(crate) fn succeeded(&self) {
        if self.state.load(Ordering::Acquire) != UP {
            return;
        }
        let linked: Vec<_> = self.linked().iter().filter_map(Weak::upgrade).collect();
        for endpoint in linked {
            endpoint.check_succeeded();
        }
    }

    pub(crate) fn state(&self) -> State {
        self.status.borrow().state
    }

    fn linked(&self) -> MutexGuard<'_, Vec<Weak<Endpoint>>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_next_check(&self, next: Instant) {
        // Nobody waits for this.
        self.status.send_if_modified(|status| {
            status.next_check = Some(next);
            false
        });
    }

    #[inline]
    fn is_up(&self, state: State) -> bool {
        match state {
            State::Up => true,
            State::Down => false,
            State::Unknown => self.initial == Initial::Optimistic,
        }
    }
}

// === impl AbortOnDrop ===

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
