use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::monitor::look;
use crate::probe::Finding;
use crate::probe_limit::{Place, place};
use crate::settings::LONGEST;
use crate::shared::Shared;
use crate::{Probe, ProbeLimit, Settings, State};

/// Probes when somebody wants to know and what is known is too old. One probe at a time, in a task of its own, so that nobody who waits for it carries it.
pub(crate) struct Demand {
    shared: Arc<Shared>,
    age: Arc<Age>,
    look: Arc<Look>,
    probe_limit: Option<ProbeLimit>,
    /// Where the probes run, whoever asks.
    runtime: Handle,
    /// The last probe that was begun; it ends with the last handle.
    flight: Mutex<Option<AbortHandle>>,
}

/// How old what is known may become, and is.
struct Age {
    most: Duration,
    most_while_down: Duration,
    epoch: Instant,
    /// Until when it counts, in nanoseconds since the epoch.
    until: AtomicU64,
    /// When the last probe began, in nanoseconds since the epoch; [`NEVER`].
    began: AtomicU64,
    /// How many probes have ended.
    ended: AtomicU64,
    /// Whether one is under way.
    flying: AtomicBool,
}

/// A probe under way; dropped, it has ended, however it did.
struct Flight(Arc<Age>);

/// No probe has begun yet.
const NEVER: u64 = u64::MAX;

type Look = dyn Fn(Option<Place>) -> Looking + Send + Sync;
type Looking = Pin<Box<dyn Future<Output = Finding> + Send>>;

// === impl Demand ===

impl Demand {
    pub(crate) fn new<P: Probe>(
        probe: P,
        settings: &Settings,
        max_age: Duration,
        shared: Arc<Shared>,
    ) -> Self {
        let limit = probe.timeout().unwrap_or(settings.timeout);
        let probe = Arc::new(probe);
        let most = |age: Duration| age.clamp(Duration::from_millis(1), LONGEST);
        Self {
            shared,
            age: Arc::new(Age {
                most: most(max_age),
                most_while_down: most(settings.unhealthy_interval.unwrap_or(max_age)),
                epoch: Instant::now(),
                until: AtomicU64::new(0),
                began: AtomicU64::new(NEVER),
                ended: AtomicU64::new(0),
                flying: AtomicBool::new(false),
            }),
            look: Arc::new(move |place| Box::pin(look(Arc::clone(&probe), limit, place))),
            probe_limit: settings.probe_limit.clone(),
            runtime: Handle::current(),
            flight: Mutex::default(),
        }
    }

    /// Says whether what is known still counts. One look at the clock.
    pub(crate) fn is_fresh(&self) -> bool {
        self.age.is_fresh()
    }

    /// Returns when what is known is too old.
    pub(crate) fn until(&self) -> Instant {
        self.age.epoch + Duration::from_nanos(self.age.until.load(Ordering::Acquire))
    }

    /// Returns how many probes have ended: who has waited for one takes its result, however long it took to wake.
    pub(crate) fn ended(&self) -> u64 {
        self.age.ended.load(Ordering::Acquire)
    }

    /// Makes what is known too old.
    pub(crate) fn expire(&self) {
        self.age.until.store(0, Ordering::Release);
        self.shared.watchers.tell();
    }

    /// Makes what is known too old and begins a probe; `false` where the last one began less than a tenth of the age ago.
    pub(crate) fn hurry(&self) -> bool {
        if self.age.since_begun() < self.age.most / 10 {
            return false;
        }
        self.expire();
        self.ask();
        true
    }

    /// Begins a probe, unless one is under way or what is known still counts.
    pub(crate) fn ask(&self) {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        // Not whether its task has ended: who is woken by its result asks before that.
        if self.age.flying.load(Ordering::Acquire) || self.is_fresh() {
            return;
        }
        let begun = self.age.begin();
        let (look, limit) = (Arc::clone(&self.look), self.probe_limit.clone());
        let flying = fly(look, limit, Arc::clone(&self.shared), begun);
        *flight = Some(self.runtime.spawn(flying).abort_handle());
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        let flight = self
            .flight
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flight.take() {
            flight.abort();
        }
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demand").finish_non_exhaustive()
    }
}

/// One probe. Results of before are too old to be counted in a row with it, so it decides alone.
async fn fly(look: Arc<Look>, limit: Option<ProbeLimit>, shared: Arc<Shared>, flight: Flight) {
    let place = place(limit.as_ref()).await;
    let started = Instant::now();
    let result = look(place).await;
    shared.checked(started, result.as_ref().err());
    if let Ok(degraded) = &result {
        shared.degrade(degraded.clone());
    }
    let success = result.is_ok();
    let state = if success { State::Up } else { State::Down };
    if shared.state() != state {
        shared.turn(state, result.err());
    }
    if success {
        shared.succeeded();
    }
    let now = Instant::now();
    let age = &flight.0;
    let most = if success {
        age.most
    } else {
        age.most_while_down
    };
    age.keep_until(now + most);
    age.ended.fetch_add(1, Ordering::AcqRel);
    drop(flight);
    shared.asked(now + most);
}

// === impl Age ===

impl Age {
    fn is_fresh(&self) -> bool {
        self.since_epoch(Instant::now()) < self.until.load(Ordering::Acquire)
    }

    fn begin(self: &Arc<Self>) -> Flight {
        let now = self.since_epoch(Instant::now());
        self.began.store(now, Ordering::Release);
        self.flying.store(true, Ordering::Release);
        Flight(Arc::clone(self))
    }

    /// How long ago the last probe began.
    fn since_begun(&self) -> Duration {
        let now = self.since_epoch(Instant::now());
        match self.began.load(Ordering::Acquire) {
            NEVER => Duration::MAX,
            began => Duration::from_nanos(now.saturating_sub(began)),
        }
    }

    fn keep_until(&self, until: Instant) {
        self.until.store(self.since_epoch(until), Ordering::Release);
    }

    fn since_epoch(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

// === impl Flight ===

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.flying.store(false, Ordering::Release);
    }
}
