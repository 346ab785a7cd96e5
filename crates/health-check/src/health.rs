use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::changes::Changes;
use crate::demand::Demand;
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
    /// Up: calls go through until a probe has failed. Source: HAProxy's `init-state up`.
    #[default]
    Optimistic,
    /// Down: calls are refused until a probe has succeeded. Source: HAProxy's `init-state down`.
    Pessimistic,
    /// Up, as if that were known: the first failures need be as many as later ones to turn it down. A success is it at once. Source: HAProxy's `init-state fully-up`.
    FullyUp,
    /// Down, as if that were known: the first successes need be as many as later ones to turn it up. Source: HAProxy's `init-state fully-down`.
    FullyDown,
    /// Neither: a call at a gate, or in a pool where no other endpoint may be called, waits for the first result, which it brings near. Where none has come in the time that a probe has, it counts as down.
    WaitForFirst,
}

/// The state, and since when and why it is so.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// When it became so.
    pub since: Instant,
    /// Whether it is up, but degraded: called last.
    pub degraded: bool,
    /// Since when it is degraded, where it is.
    pub degraded_since: Option<Instant>,
    /// Why it is down, or degraded, or unknown again.
    pub reason: Option<ProbeError>,
    /// When it is looked at again, where somebody looks.
    pub next_check: Option<Instant>,
    /// What somebody decided by hand, while that counts.
    pub forced: Option<Override>,
}

/// Tells of every change of a [`Health`], from when it was made. It does not keep the monitor alive.
#[derive(Clone, Debug)]
pub struct HealthChanges {
    receiver: watch::Receiver<Status>,
    /// The last that was told.
    seen: Turn,
}

/// What makes one status another than the last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Turn {
    since: Instant,
    state: State,
    degraded: bool,
    forced: Option<Override>,
}

/// The health of one thing, shared by all clones: what a [`Monitor`](crate::Monitor) writes, and gates and endpoints read.
///
/// The monitor's task ends when the last clone is dropped. Where it ends before, because its runtime does, the state is unknown again: what was found last gets too old.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
    keeper: Keeper,
}

/// What a gate may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Up,
    Down,
    /// Nobody knows yet, or what is known is too old.
    Unsettled,
}

/// What looks, and ends with the last handle.
#[derive(Clone)]
enum Keeper {
    Nobody,
    Task {
        _task: Arc<AbortOnDrop>,
    },
    /// Who wants to know makes it look.
    Demand(Arc<Demand>),
}

/// Lets a call hurry a monitor, and does not keep it.
#[derive(Clone)]
pub(crate) struct Hurry {
    shared: Weak<Shared>,
    /// Where it probes on demand.
    demand: Option<Weak<Demand>>,
}

/// Ends the task with the last handle.
struct AbortOnDrop {
    shared: Arc<Shared>,
    task: AbortHandle,
}

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
            keeper: Keeper::Nobody,
        }
    }

    pub(crate) fn monitored(shared: Arc<Shared>, task: AbortHandle) -> Self {
        let task = AbortOnDrop {
            shared: Arc::clone(&shared),
            task,
        };
        Self {
            shared,
            keeper: Keeper::Task {
                _task: Arc::new(task),
            },
        }
    }

    pub(crate) fn on_demand(shared: Arc<Shared>, demand: Demand) -> Self {
        Self {
            shared,
            keeper: Keeper::Demand(Arc::new(demand)),
        }
    }

    /// Says whether calls may go through, by what is known. One atomic load. A monitor [on demand](crate::Monitor::on_demand) is not asked by this: see [`fresh`](Self::fresh).
    #[must_use]
    #[inline]
    pub fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// Says whether it is up, but degraded: calls may go through, and a [`Pool`](crate::Pool) calls it where no other endpoint is up. What was decided by hand is not degraded. One atomic load.
    #[must_use]
    #[inline]
    pub fn is_degraded(&self) -> bool {
        self.shared.is_degraded()
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

    /// Returns for how long a look has been due, where what is known is older than it should be: by more than a probe may last. `None` where it is not, where nobody knows
    /// yet, and where nobody looks.
    ///
    /// A probe that waits for its turn by a [`ProbeLimit`](crate::ProbeLimit) makes it so, and [on demand](crate::Monitor::on_demand) that nobody has asked.
    #[must_use]
    pub fn overdue(&self) -> Option<Duration> {
        if matches!(self.keeper, Keeper::Nobody) || self.shared.is_forced() {
            return None;
        }
        let status = self.shared.status.borrow();
        let due = status
            .next_check
            .filter(|_| status.state != State::Unknown)?;
        let late = Instant::now().checked_duration_since(due)?;
        (late > self.shared.patience).then_some(late)
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
        let mut receiver = self.subscribe();
        let seen = Turn::of(&receiver.borrow_and_update());
        HealthChanges { receiver, seen }
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
    ///
    /// On demand, what is known counts as too old, and one probe is begun unless one is under way.
    pub fn check_now(&self) {
        if let Keeper::Demand(demand) = &self.keeper {
            demand.expire();
            demand.ask();
        } else {
            self.shared.nudge.notify_one();
        }
    }

    /// Returns what is known, after a probe where that is too old and the monitor is [on demand](crate::Monitor::on_demand), or where nothing is known yet and
    /// [`Initial::WaitForFirst`] was chosen. All who wait do so for one probe, as long as that may last. Else it returns at once.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the probe to the others who wait for it.
    pub async fn fresh(&self) -> Status {
        let end = Instant::now() + self.patience();
        let ended = self.probes_ended();
        loop {
            let mut turned = self.subscribe();
            if self.probes_ended() != ended || self.verdict() != Verdict::Unsettled {
                return self.status();
            }
            self.ask();
            if timeout_at(end, turned.changed()).await.is_err() {
                return self.status();
            }
        }
    }

    /// Says whether calls may go through, where what is known is fresh enough to decide by. One atomic load, and one look at the clock on demand.
    #[inline]
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.keeper {
            Keeper::Demand(demand) if !self.shared.is_forced() && !demand.is_fresh() => {
                Verdict::Unsettled
            }
            _ => self.shared.verdict(),
        }
    }

    /// Says whether it was decided by hand that it is down.
    pub(crate) fn is_forced_down(&self) -> bool {
        self.shared.is_forced() && self.shared.effective() == State::Down
    }

    /// Brings a probe near.
    #[cold]
    pub(crate) fn ask(&self) {
        match &self.keeper {
            Keeper::Demand(demand) => demand.ask(),
            Keeper::Task { .. } | Keeper::Nobody => self.shared.nudge.notify_one(),
        }
    }

    /// How long it may take until it is settled.
    pub(crate) fn patience(&self) -> Duration {
        self.shared.patience
    }

    /// How many probes on demand have ended.
    pub(crate) fn probes_ended(&self) -> u64 {
        match &self.keeper {
            Keeper::Demand(demand) => demand.ended(),
            Keeper::Task { .. } | Keeper::Nobody => 0,
        }
    }

    /// When what is known is too old, where it can be.
    pub(crate) fn expires(&self) -> Option<Instant> {
        match &self.keeper {
            // What was decided by hand does not get old.
            Keeper::Demand(demand) if !self.shared.is_forced() => Some(demand.until()),
            Keeper::Demand(_) | Keeper::Task { .. } | Keeper::Nobody => None,
        }
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

    /// Says whether anybody looks.
    #[cfg(feature = "status-page")]
    pub(crate) const fn is_probed(&self) -> bool {
        !matches!(self.keeper, Keeper::Nobody)
    }

    /// Counts its probes for a page from now on.
    #[cfg(feature = "status-page")]
    pub(crate) fn chart(&self) -> &crate::chart::Chart {
        self.shared.chart()
    }

    /// Tells an endpoint of every probe that succeeds, and lets its calls hurry the monitor.
    pub(crate) fn link(&self, passive: &PassiveHealth) {
        self.shared.link(passive.downgrade());
        let demand = match &self.keeper {
            // Nobody looks.
            Keeper::Nobody => return,
            Keeper::Task { .. } => None,
            Keeper::Demand(demand) => Some(Arc::downgrade(demand)),
        };
        passive.hurries(Hurry {
            shared: Arc::downgrade(&self.shared),
            demand,
        });
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

// === impl Status ===

impl Status {
    /// When it became what a report says of it, where degraded is not the same as up.
    pub(crate) fn began(&self) -> Instant {
        self.degraded_since.unwrap_or(self.since)
    }
}

// === impl HealthChanges ===

impl HealthChanges {
    /// Waits for the next change; `None` when nobody can change it any more. Changes that came between two calls are told as one, the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Option<Status> {
        loop {
            self.receiver.changed().await.ok()?;
            let status = self.receiver.borrow_and_update();
            let turn = Turn::of(&status);
            if turn != self.seen {
                self.seen = turn;
                return Some(status.clone());
            }
        }
    }
}

// === impl Turn ===

impl Turn {
    const fn of(status: &Status) -> Self {
        Self {
            since: status.since,
            state: status.state,
            degraded: status.degraded,
            forced: status.forced,
        }
    }
}

// === impl Hurry ===

impl Hurry {
    /// Says whether the monitor is hurried: it is there, and nothing says yet that it is down. While calls go there all the same, they would make of its interval a tenth.
    pub(crate) fn check_now(&self) -> bool {
        let shared = self.shared.upgrade();
        let Some(shared) = shared.filter(|shared| shared.state() != State::Down) else {
            return false;
        };
        match &self.demand {
            None => shared.nudge.notify_one(),
            Some(demand) => match demand.upgrade() {
                Some(demand) => return demand.hurry(),
                None => return false,
            },
        }
        true
    }
}

// === impl AbortOnDrop ===

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.shared.let_go();
        self.task.abort();
    }
}
