use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::changes::Changes;
use crate::shared::Shared;
use crate::{LastCheck, Override, PassiveHealth, ProbeError, Transition};

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
    /// What somebody decided by hand, while that counts.
    pub forced: Option<Override>,
}

/// Tells of every change of a [`Health`], from when it was made. It does not keep the monitor alive.
#[derive(Clone, Debug)]
pub struct HealthChanges(watch::Receiver<Status>);

/// The health of one thing, shared by all clones: what a [`Monitor`](crate::Monitor) writes, and gates and endpoints read.
///
/// The monitor's task ends when the last clone is dropped.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
    /// Ends the monitor's task. `None` where there is none.
    _task: Option<Arc<AbortOnDrop>>,
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
        let shared = Shared::new("fixed".into(), Initial::Optimistic).keeping(16);
        shared.fix(state);
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
        self.shared.is_up()
    }

    /// Returns the state.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.shared.effective()
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
        self.shared.next_check()
    }

    /// Returns the last probe that has ended, with how many there were.
    #[must_use]
    pub fn last_check(&self) -> Option<LastCheck> {
        self.shared.last_check()
    }

    /// Returns the last transitions, oldest first: as many as [`Monitor::history`](crate::Monitor::history) says.
    #[must_use]
    pub fn history(&self) -> Vec<Transition> {
        self.shared.history()
    }

    /// Tells of every change from now on.
    #[must_use]
    pub fn changes(&self) -> HealthChanges {
        HealthChanges(self.subscribe())
    }

    /// Makes the state what was decided, whatever probes say, until [`release`](Self::release). Probes go on meanwhile.
    pub fn force(&self, decided: Override) {
        self.shared.force(Some(decided));
    }

    /// Makes probes decide again, with what they have found meanwhile.
    pub fn release(&self) {
        self.shared.force(None);
    }

    /// Makes the next probe come at once, but not sooner than a tenth of the interval after the last began. While one is under way, another follows it.
    pub fn check_now(&self) {
        self.shared.nudge.notify_one();
    }

    /// Says that a call goes to it, for [`no_traffic_interval`](crate::Monitor::no_traffic_interval). The gate says so by itself. One atomic load.
    #[inline]
    pub fn call_came(&self) {
        self.shared.call_came();
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
        self.shared.link(passive.downgrade());
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

// === impl HealthChanges ===

impl HealthChanges {
    /// Waits for the next change; `None` when nobody can change it any more. Changes that came between two calls are told as one, the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Option<Status> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

// === impl AbortOnDrop ===

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
