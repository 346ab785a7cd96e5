use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use portcullis_gateway_error::ErrorKind;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::changes::Watchers;
use crate::endpoint::Endpoint;
use crate::health::Verdict;
use crate::settings::{LONGEST, MOST_HISTORY};
use crate::{Initial, LastCheck, Override, ProbeError, State, Status, Transition, telemetry};

/// The half of a health that a monitor's task holds, which does not keep the task alive.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) initial: Initial,
    /// The state alone, for the happy path: one load. With [`FORCED`] where somebody decided it by hand, and [`DEGRADED`] where it is up and that.
    state: AtomicU8,
    pub(crate) status: watch::Sender<Status>,
    /// Endpoints that return when a probe succeeds.
    linked: Mutex<Vec<Weak<Endpoint>>>,
    /// Pools that are told of every turn.
    pub(crate) watchers: Watchers,
    /// [`SEEN`], [`QUIET`] or [`ASLEEP`].
    traffic: AtomicU8,
    /// Nobody wants to know any more.
    let_go: AtomicBool,
    /// Wakes the monitor before its time.
    pub(crate) nudge: Notify,
    /// How long who waits for the first result, or for a fresh one, waits at most.
    pub(crate) patience: Duration,
    /// Held while the state is turned, so that two who turn it do not cross. Who is told of that may look at the record meanwhile.
    turning: Mutex<()>,
    record: Mutex<Record>,
    /// What a page draws; empty while there is none.
    #[cfg(feature = "status-page")]
    chart: std::sync::OnceLock<Box<crate::chart::Chart>>,
}

/// Part of the task that looks: dropped with it, however it ends.
pub(crate) struct End(Arc<Shared>);

/// What is known besides the state.
struct Record {
    /// What probes say, which counts where nothing is forced.
    probed: State,
    reason: Option<ProbeError>,
    /// What the last probe that succeeded said of why it is degraded.
    degraded: Option<ProbeError>,
    transitions: VecDeque<Transition>,
    most: usize,
    /// Whether it was told that the state has turned.
    told: bool,
    last: Option<LastCheck>,
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;
const FORCED: u8 = 4;
const DEGRADED: u8 = 8;
/// What is left is the state.
const MARKS: u8 = FORCED | DEGRADED;

/// Calls came since the last probe, or nobody wants to know.
const SEEN: u8 = 0;
/// No call came since the last probe.
const QUIET: u8 = 1;
/// The same, and the monitor sleeps for longer because of it.
const ASLEEP: u8 = 2;

// === impl Shared ===

impl Shared {
    pub(crate) fn new(name: Arc<str>, initial: Initial) -> Self {
        let status = Status {
            state: State::Unknown,
            since: Instant::now(),
            degraded: false,
            degraded_since: None,
            reason: None,
            next_check: None,
            forced: None,
        };
        Self {
            name,
            initial,
            state: AtomicU8::new(UNKNOWN),
            status: watch::Sender::new(status),
            linked: Mutex::default(),
            watchers: Watchers::default(),
            traffic: AtomicU8::new(SEEN),
            let_go: AtomicBool::new(false),
            nudge: Notify::new(),
            patience: Duration::ZERO,
            turning: Mutex::default(),
            record: Mutex::new(Record {
                probed: State::Unknown,
                reason: None,
                degraded: None,
                transitions: VecDeque::new(),
                most: 0,
                told: false,
                last: None,
            }),
            #[cfg(feature = "status-page")]
            chart: std::sync::OnceLock::new(),
        }
    }

    /// Keeps so many transitions.
    pub(crate) fn keeping(self, transitions: usize) -> Self {
        self.record().most = transitions.min(MOST_HISTORY);
        self
    }

    /// Lets others wait for a probe that may last so long.
    pub(crate) fn patient(mut self, limit: Duration) -> Self {
        // Its result comes first.
        self.patience = limit.min(LONGEST) + Duration::from_millis(100);
        self
    }

    /// What probes say, whatever is forced.
    pub(crate) fn state(&self) -> State {
        self.record().probed
    }

    /// The state that counts.
    #[inline]
    pub(crate) fn effective(&self) -> State {
        match self.state.load(Ordering::Acquire) & !MARKS {
            UP => State::Up,
            DOWN => State::Down,
            _ => State::Unknown,
        }
    }

    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.verdict() == Verdict::Up
    }

    /// Says what to do by what is known, and was decided for the time before.
    #[inline]
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.effective(), self.initial) {
            (State::Up, _) | (State::Unknown, Initial::Optimistic | Initial::FullyUp) => {
                Verdict::Up
            }
            (State::Down, _) | (State::Unknown, Initial::Pessimistic | Initial::FullyDown) => {
                Verdict::Down
            }
            (State::Unknown, Initial::WaitForFirst) => Verdict::Unsettled,
        }
    }

    /// Says whether the state was decided by hand.
    #[inline]
    pub(crate) fn is_forced(&self) -> bool {
        self.state.load(Ordering::Acquire) & FORCED != 0
    }

    /// Says whether it is up, but degraded.
    #[inline]
    pub(crate) fn is_degraded(&self) -> bool {
        self.state.load(Ordering::Acquire) & DEGRADED != 0
    }

    /// It is so for ever, and nobody is told.
    pub(crate) fn fix(&self, state: State) {
        self.record().probed = state;
        self.state.store(number(state), Ordering::Release);
        self.status.send_modify(|status| status.state = state);
    }

    /// Probes turned the state.
    pub(crate) fn turn(&self, state: State, reason: Option<ProbeError>) {
        let _turning = self.turning();
        {
            let mut record = self.record();
            record.probed = state;
            record.reason = reason;
        }
        let forced = self.status.borrow().forced;
        self.apply(forced, true);
    }

    /// A probe has succeeded, and said this of why it is degraded. Before the state turns for it, so that nobody sees it up and not degraded.
    pub(crate) fn degrade(&self, why: Option<ProbeError>) {
        let _turning = self.turning();
        {
            let mut record = self.record();
            if record.degraded == why {
                return;
            }
            record.degraded = why;
        }
        let forced = self.status.borrow().forced;
        self.apply(forced, true);
    }

    /// Somebody decided by hand; `None`: that probes decide again.
    pub(crate) fn force(&self, forced: Option<Override>) {
        let _turning = self.turning();
        telemetry::forced(&self.name, forced);
        self.apply(forced, true);
    }

    /// The last handle is gone, and the task is about to end.
    pub(crate) fn let_go(&self) {
        self.let_go.store(true, Ordering::Release);
    }

    /// The task has ended. Where somebody wants to know all the same, nobody knows any more.
    fn ended(&self) {
        if self.let_go.load(Ordering::Acquire) {
            return;
        }
        let _turning = self.turning();
        let was_up = self.effective() == State::Up;
        let why = ProbeError::new(ErrorKind::ProxyInternalError, "the monitor has ended");
        {
            let mut record = self.record();
            record.probed = State::Unknown;
            record.reason = Some(why);
        }
        let forced = self.status.borrow().forced;
        self.status.send_modify(|status| status.next_check = None);
        self.apply(forced, false);
        // A task that panicked while something was told must not do so once more.
        if !std::thread::panicking() {
            let is_up = self.effective() == State::Up;
            telemetry::ended(&self.name, was_up && !is_up);
        }
    }

    /// Makes the state what it must be now, and says so, or leaves that to the caller.
    fn apply(&self, forced: Option<Override>, tells: bool) {
        let mut record = self.record();
        let (state, reason) = match forced {
            Some(forced) => (
                forced.state(),
                forced
                    .reason()
                    .map(|text| ProbeError::new(ErrorKind::DestinationUnavailable, text)),
            ),
            None if record.probed == State::Up => (State::Up, record.degraded.clone()),
            None => (record.probed, record.reason.clone()),
        };
        let degraded = state == State::Up && reason.is_some();
        let (from, since, was_degraded) = {
            let status = self.status.borrow();
            (status.state, status.since, status.degraded)
        };
        let now = Instant::now();
        record.told |= from != state;
        if from != state || was_degraded != degraded {
            let last = record.transitions.back();
            let began = last.map_or(since, |last| last.at.max(since));
            let transition = Transition {
                from,
                to: state,
                at: now,
                lasted: now.saturating_duration_since(began),
                was_degraded,
                degraded,
                reason: reason.clone(),
                forced,
            };
            if record.transitions.len() >= record.most {
                record.transitions.pop_front();
            }
            if record.most > 0 {
                record.transitions.push_back(transition);
            }
        }
        drop(record);
        if tells && from != state {
            telemetry::turned(&self.name, from, state, reason.as_ref());
        }
        if tells && was_degraded != degraded {
            telemetry::degraded(&self.name, reason.as_ref().filter(|_| degraded));
        }
        let by_hand = if forced.is_some() { FORCED } else { 0 };
        let last = if degraded { DEGRADED } else { 0 };
        self.state
            .store(number(state) | by_hand | last, Ordering::Release);
        self.status.send_modify(|status| {
            if status.state != state {
                status.since = now;
            }
            status.state = state;
            status.degraded = degraded;
            status.degraded_since = degraded.then(|| status.degraded_since.unwrap_or(now));
            status.reason = reason;
            status.forced = forced;
        });
        self.watchers.tell();
    }

    /// A probe has ended.
    pub(crate) fn checked(&self, at: Instant, error: Option<&ProbeError>) {
        let latency = at.elapsed();
        telemetry::checked(&self.name, latency, error);
        #[cfg(feature = "metrics")]
        telemetry::stays(&self.name, self.effective(), self.is_degraded());
        #[cfg(feature = "status-page")]
        if let Some(chart) = self.chart.get() {
            chart.record(at + latency, latency, error.is_some());
        }
        let mut record = self.record();
        let (checks, failures) = record
            .last
            .as_ref()
            .map_or((0, 0), |last| (last.checks, last.failures));
        record.last = Some(LastCheck {
            at,
            latency,
            error: error.cloned(),
            checks: checks.saturating_add(1),
            failures: failures.saturating_add(u64::from(error.is_some())),
        });
    }

    /// Counts for a page from now on.
    #[cfg(feature = "status-page")]
    pub(crate) fn chart(&self) -> &crate::chart::Chart {
        self.chart.get_or_init(Box::default)
    }

    pub(crate) fn last_check(&self) -> Option<LastCheck> {
        self.record().last.clone()
    }

    pub(crate) fn history(&self) -> Vec<Transition> {
        self.record().transitions.iter().cloned().collect()
    }

    /// A probe has succeeded. While the state is not up, that is not enough for an ejected endpoint to return.
    pub(crate) fn succeeded(&self) {
        if self.effective() != State::Up {
            return;
        }
        let linked: Vec<_> = self.linked().iter().filter_map(Weak::upgrade).collect();
        for endpoint in linked {
            endpoint.check_succeeded();
        }
    }

    /// Tells an endpoint of every probe that succeeds.
    pub(crate) fn link(&self, endpoint: Weak<Endpoint>) {
        let mut linked = self.linked();
        linked.retain(|endpoint| endpoint.strong_count() > 0);
        // One that is put into a pool again and again is told once.
        if !linked.iter().any(|other| other.ptr_eq(&endpoint)) {
            linked.push(endpoint);
        }
    }

    pub(crate) fn set_next_check(&self, next: impl Into<Option<Instant>>) {
        // Nobody waits for this.
        self.status.send_if_modified(|status| {
            status.next_check = next.into();
            false
        });
    }

    /// A probe on demand has ended; who waits for it is woken whatever it has found.
    pub(crate) fn asked(&self, until: Instant) {
        self.status
            .send_modify(|status| status.next_check = Some(until));
        self.watchers.tell();
    }

    pub(crate) fn next_check(&self) -> Option<Duration> {
        let next = self.status.borrow().next_check?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// A call goes through. One load where one came before.
    #[inline]
    pub(crate) fn call_came(&self) {
        if self.traffic.load(Ordering::Relaxed) != SEEN {
            self.first_call();
        }
    }

    #[cold]
    fn first_call(&self) {
        if self.traffic.swap(SEEN, Ordering::AcqRel) == ASLEEP {
            self.nudge.notify_one();
        }
    }

    /// Forgets that the monitor was to be woken.
    pub(crate) fn take_nudge(&self) {
        let nudged = pin!(self.nudge.notified());
        nudged.enable();
    }

    /// Says whether calls came since this was last asked.
    pub(crate) fn take_traffic(&self) -> bool {
        self.traffic.swap(QUIET, Ordering::AcqRel) == SEEN
    }

    /// The monitor sleeps for longer, because no call came.
    pub(crate) fn fall_asleep(&self) {
        // One that came meanwhile wakes it at once.
        if self
            .traffic
            .compare_exchange(QUIET, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            self.nudge.notify_one();
        }
    }

    /// The longer sleep is over: a call brings nothing any more that does not come by itself.
    pub(crate) fn wake_up(&self) {
        // Where a call came first, its nudge stays.
        let _ = self
            .traffic
            .compare_exchange(ASLEEP, QUIET, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Before the first probe of a monitor that wants to know of traffic, none came.
    pub(crate) fn no_traffic_yet(&self) {
        self.traffic.store(QUIET, Ordering::Release);
    }

    fn linked(&self) -> MutexGuard<'_, Vec<Weak<Endpoint>>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turning(&self) -> MutexGuard<'_, ()> {
        self.turning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Of what never turned, nothing was said.
        if self.record().told && self.effective() == State::Up {
            telemetry::gone(&self.name, self.is_degraded());
        }
    }
}

// === impl End ===

impl End {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.ended();
    }
}

const fn number(state: State) -> u8 {
    match state {
        State::Unknown => UNKNOWN,
        State::Up => UP,
        State::Down => DOWN,
    }
}
