use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_gateway_error::ErrorKind;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::Overview;
use crate::monitor::look;
use crate::probe::Finding;
use crate::thresholds::{Judge, Thresholds};
use crate::{Health, Probe, ProbeError, State, telemetry};

/// One thing that [`Endpoints`](crate::Endpoints) report: a [`Health`] that somebody monitors, or a [`Probe`] that is run when somebody asks.
///
/// It is asked for at `/readyz` and `/healthz`; without it the service is not ready, unless it is [`degraded`](Self::degraded).
#[must_use = "a check does nothing until it is added to endpoints"]
#[derive(Clone)]
pub struct Check {
    name: Arc<str>,
    source: Source,
    pub(crate) required: bool,
    pub(super) live: bool,
    pub(super) ready: bool,
    pub(crate) startup: bool,
    pub(crate) tags: Vec<Arc<str>>,
    timeout: Duration,
    max_age: Duration,
    thresholds: Thresholds,
    /// Where it is of several endpoints, what is told of them.
    overview: Option<Arc<dyn Fn() -> Overview + Send + Sync>>,
}

#[derive(Clone)]
enum Source {
    Health(Health),
    Probe {
        probe: Arc<dyn Look>,
        last: Arc<Last>,
    },
}

/// What was seen of a check.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `Unknown` where nobody has looked yet.
    pub(super) state: State,
    /// Whether it counts as up.
    pub(super) up: bool,
    /// Whether it is up, but degraded.
    pub(super) degraded: bool,
    /// Why it is down, or degraded.
    pub(super) reason: Option<ProbeError>,
    pub(super) since: Option<Instant>,
    pub(super) next_check: Option<Instant>,
    /// For how long a look has been due, where what was seen is too old.
    pub(super) overdue: Option<Duration>,
}

/// The last result of a probe, and the next one under way.
#[derive(Default)]
struct Last {
    /// One at a time, in a task of its own, so that nobody who waits for it carries it: whoever asks meanwhile takes its result. It ends with the last who can ask.
    flight: Mutex<Option<Flight>>,
    result: Mutex<Option<Known>>,
}

struct Flight {
    landing: Landing,
    task: AbortHandle,
}

/// Nothing, until the probe has ended.
type Landing = watch::Receiver<Option<Known>>;

#[derive(Clone)]
struct Known {
    at: Instant,
    since: Instant,
    degraded_since: Option<Instant>,
    judge: Judge,
    /// Why it is down, or degraded.
    reason: Option<ProbeError>,
}

/// A [`Probe`] behind a pointer.
trait Look: Send + Sync {
    fn look(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Finding> + Send>>;
}

struct Looked<P>(Arc<P>);

// === impl Check ===

impl Check {
    /// A check of what a [`Monitor`](crate::Monitor) knows. Reading it costs no probe.
    pub fn health(name: impl Into<Arc<str>>, health: Health) -> Self {
        Self::new(name.into(), Source::Health(health))
    }

    /// A check that runs this probe when somebody asks, one at a time, and not again within [`max_age`](Self::max_age).
    pub fn probe(name: impl Into<Arc<str>>, probe: impl Probe) -> Self {
        let source = Source::Probe {
            probe: Arc::new(Looked(Arc::new(probe))),
            last: Arc::default(),
        };
        Self::new(name.into(), source)
    }

    /// A check of the own process, asked for at `/livez` and `/healthz` only: a failure there is a reason to restart.
    ///
    /// It must not depend on an upstream, or one that is down restarts every caller; so no [`Health`] can stand here.
    pub fn live(name: impl Into<Arc<str>>, probe: impl Probe) -> Self {
        Self {
            live: true,
            ready: false,
            ..Self::probe(name, probe)
        }
    }

    fn new(name: Arc<str>, source: Source) -> Self {
        Self {
            name,
            source,
            required: true,
            live: false,
            ready: true,
            startup: false,
            tags: Vec::new(),
            timeout: Self::TIMEOUT,
            max_age: Self::MAX_AGE,
            thresholds: Thresholds::NONE,
            overview: None,
        }
    }

    /// Below the second that Kubernetes waits.
    pub(crate) const TIMEOUT: Duration = Duration::from_millis(800);
    pub(crate) const MAX_AGE: Duration = Duration::from_secs(1);

    /// Makes the service degraded only while this is down: 200, and `warn`. Default: it is not ready.
    pub const fn degraded(mut self) -> Self {
        self.required = false;
        self
    }

    /// Asks for it at `/startupz` too, where what is not known yet is down whatever the monitor's [`Initial`](crate::Initial) is. Default: not.
    pub const fn startup(mut self) -> Self {
        self.startup = true;
        self
    }

    /// Adds it to a group by this name: `/readyz/NAME` asks for its checks, and it is the name of a service for gRPC. That service is `SERVING` while each of its required checks is up.
    /// Default: the service of no name alone, which has every check of `/readyz`.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        let tag = tag.into();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        self
    }

    /// Replaces how long the probe may last; then it is down. Default: 800 ms, so that the answer is there within the second that Kubernetes waits. It goes on for the
    /// others, and for the next who asks, where who asked first goes; it ends where nobody can ask any more.
    ///
    /// The probes of a [`Health`] have that of its monitor; this is how long a report waits for one, where it is [on demand](crate::Monitor::on_demand).
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Replaces for how long a result of the probe, good or bad, is told again. Default: 1 s. Zero: only those who ask while it runs share it.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Replaces how many successes of the probe in a row turn it up. Default: 1. The first result of all decides at once.
    ///
    /// That of a [`Health`] has the thresholds of its monitor.
    pub const fn rise(mut self, successes: NonZeroU32) -> Self {
        self.thresholds.rise = successes;
        self
    }

    /// Replaces how many failures of the probe in a row turn it down. Default: 1. One that is [decisive](ProbeError::decisive) is enough, and so is the first result of all.
    ///
    /// They come as often as somebody asks, and at most once in [`max_age`](Self::max_age).
    pub const fn fall(mut self, failures: NonZeroU32) -> Self {
        self.thresholds.fall = failures;
        self
    }

    /// Replaces for how long the probe must have failed, without a success between, before it is down; as many failures in a row as [`fall`](Self::fall) says must have
    /// come, too. Default: 0, where `fall` decides alone. Source: `MaxTimeInError` of [alexliesenfeld/health](https://github.com/alexliesenfeld/health).
    ///
    /// The time is that from the first of these failures to the last, and not from the last success as there: nobody may have asked between these two. One that is
    /// [decisive](ProbeError::decisive) is enough, and so is the first result of all. That of a [`Health`] is as its monitor says.
    pub const fn max_time_in_error(mut self, time: Duration) -> Self {
        self.thresholds.max_time_in_error = time;
        self
    }

    /// Says what this tells of its endpoints to whom may see it.
    pub(crate) fn overview(self, overview: impl Fn() -> Overview + Send + Sync + 'static) -> Self {
        Self {
            overview: Some(Arc::new(overview)),
            ..self
        }
    }

    /// Looks at its endpoints, where it has some.
    pub(super) fn endpoints(&self) -> Option<Overview> {
        self.overview.as_ref().map(|overview| overview())
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says whether a monitor decides, and not the thresholds of this check.
    #[cfg(feature = "config")]
    pub(crate) const fn is_of_health(&self) -> bool {
        matches!(self.source, Source::Health(_))
    }

    /// Says what is known, after a look where that is too old.
    pub(super) async fn look(&self) -> Seen {
        match &self.source {
            Source::Health(health) => {
                // At once, unless it must be asked. Late, it is what was known.
                let _late = timeout(self.timeout, health.fresh()).await;
                Seen::health(health)
            }
            Source::Probe { probe, last } => self.fly(probe, last).await,
        }
    }

    async fn fly(&self, probe: &Arc<dyn Look>, last: &Arc<Last>) -> Seen {
        let asked = Instant::now();
        let known = last.get();
        if let Some(known) = known
            && (known.at >= asked || asked - known.at < self.max_age)
        {
            return Seen::known(known, self.max_age);
        }
        let mut landing = last.landing(|landed| {
            let (name, thresholds) = (Arc::clone(&self.name), self.thresholds);
            let (look, last) = (probe.look(self.timeout), Arc::downgrade(last));
            let task = tokio::spawn(async move {
                let finding = look.await;
                if let Some(last) = last.upgrade() {
                    landed.send_replace(Some(last.set(&name, thresholds, finding)));
                }
            });
            task.abort_handle()
        });
        // It has begun before or now, so that its own time is over first, unless it is that of a clone that waits for longer.
        let limit = self.timeout.saturating_add(GRACE);
        if let Ok(Ok(known)) = timeout(limit, landing.wait_for(Option::is_some)).await
            && let Some(known) = &*known
        {
            return Seen::known(known.clone(), self.max_age);
        }
        // Nothing was found, and that is no failure: what was known before counts, where something was, and is stale.
        match last.get() {
            None => Seen::late(self.timeout),
            Some(known) => Seen {
                overdue: Some(known.at.elapsed().saturating_sub(self.max_age)),
                ..Seen::known(known, self.max_age)
            },
        }
    }

    /// Says what is known without a look.
    pub(super) fn known(&self) -> Seen {
        match &self.source {
            Source::Health(health) => Seen::health(health),
            Source::Probe { last, .. } => match last.get() {
                Some(known) => Seen::known(known, self.max_age),
                None => Seen::unknown(),
            },
        }
    }

    /// Waits until it is worth another look.
    pub(super) fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match &self.source {
            Source::Health(health) => {
                // From here on, not from the first poll on. The clone keeps its monitor.
                let mut changes = health.subscribe();
                let health = health.clone();
                // On demand, what is known gets too old without anybody having changed it.
                let expires = health.expires();
                let expires = expires.map(|at| at.max(Instant::now() + Self::MAX_AGE));
                Box::pin(async move {
                    let changed = async {
                        if changes.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    };
                    match expires {
                        Some(expires) => drop(timeout_at(expires, changed).await),
                        None => changed.await,
                    }
                    drop(health);
                })
            }
            Source::Probe { .. } => {
                let age = self.max_age.max(Self::MAX_AGE);
                Box::pin(tokio::time::sleep(age))
            }
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Check");
        f.field("name", &self.name)
            .field("required", &self.required)
            .field("live", &self.live)
            .field("ready", &self.ready)
            .field("startup", &self.startup)
            .field("tags", &self.tags)
            .field("timeout", &self.timeout)
            .field("max_age", &self.max_age)
            .field("thresholds", &self.thresholds);
        match &self.source {
            Source::Health(health) => f.field("health", health).finish(),
            Source::Probe { .. } => f.finish_non_exhaustive(),
        }
    }
}

// === impl Seen ===

impl Seen {
    fn health(health: &Health) -> Self {
        let status = health.status();
        Self {
            state: status.state,
            up: health.is_up(),
            degraded: status.degraded,
            since: Some(status.began()),
            reason: status.reason,
            next_check: status.next_check,
            overdue: health.overdue(),
        }
    }

    fn known(known: Known, max_age: Duration) -> Self {
        let up = known.is_up();
        Self {
            state: known.judge.state(),
            up,
            degraded: up && known.reason.is_some(),
            reason: known.reason,
            since: Some(known.degraded_since.unwrap_or(known.since)),
            // When an answer looks again at the earliest.
            next_check: known.at.checked_add(max_age),
            overdue: None,
        }
    }

    /// Of what nobody has looked at yet.
    const fn unknown() -> Self {
        Self {
            state: State::Unknown,
            up: false,
            degraded: false,
            reason: None,
            since: None,
            next_check: None,
            overdue: None,
        }
    }

    /// Nothing came in this time, and nothing was known before.
    fn late(limit: Duration) -> Self {
        let details = format!("no result within {limit:?}");
        Self {
            reason: Some(ProbeError::new(ErrorKind::HttpResponseTimeout, details)),
            ..Self::unknown()
        }
    }
}

// === impl Last ===

impl Last {
    fn get(&self) -> Option<Known> {
        let result = self.result.lock();
        result.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That of the probe under way; where there is none, this begins one, and says there what it has found.
    fn landing(&self, begin: impl FnOnce(watch::Sender<Option<Known>>) -> AbortHandle) -> Landing {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        let landings = flight.iter().map(|flight| &flight.landing);
        // One that has ended without a result went with its runtime.
        let mut flying =
            landings.filter(|landing| landing.borrow().is_none() && landing.has_changed().is_ok());
        if let Some(landing) = flying.next() {
            return landing.clone();
        }
        let (sender, landing) = watch::channel(None);
        *flight = Some(Flight {
            task: begin(sender),
            landing: landing.clone(),
        });
        landing
    }

    /// Takes a result of the check of this name.
    fn set(&self, name: &str, thresholds: Thresholds, finding: Finding) -> Known {
        let mut last = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (mut judge, since, degraded_since, reason) = match last.take() {
            Some(known) => (known.judge, known.since, known.degraded_since, known.reason),
            None => (Judge::new(), now, None, None),
        };
        let from = judge.state();
        let turned = judge.take(finding.as_ref().err(), thresholds, now);
        let reason = match (judge.state(), finding) {
            // What failed last; a success that does not turn it takes nothing back.
            (State::Down, finding) => finding.err().or(reason),
            (_, Ok(degraded)) => degraded,
            // A failure that does not turn it takes nothing back either.
            (_, Err(_)) => reason,
        };
        let degraded = judge.state() == State::Up && reason.is_some();
        let known = Known {
            at: now,
            degraded_since: degraded.then(|| degraded_since.unwrap_or(now)),
            since: if turned.is_some() { now } else { since },
            reason,
            judge,
        };
        *last = Some(known.clone());
        // Who is told may look at it.
        drop(last);
        if let Some(to) = turned {
            telemetry::turned(name, from, to, known.reason.as_ref());
        }
        known
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        let flight = self
            .flight
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flight.take() {
            flight.task.abort();
        }
    }
}

// === impl Known ===

impl Known {
    fn is_up(&self) -> bool {
        self.judge.state() == State::Up
    }
}

// === impl Looked ===

impl<P: Probe> Look for Looked<P> {
    fn look(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Finding> + Send>> {
        Box::pin(look(Arc::clone(&self.0), limit, None))
    }
}

/// How much longer who asks waits than the probe may last, so that its result comes first.
const GRACE: Duration = Duration::from_millis(100);
