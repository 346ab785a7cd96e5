use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use portcullis_gateway_error::{Chance, ErrorKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::demand::Demand;
use crate::probe::Finding;
use crate::probe_limit::{Place, place};
use crate::settings::Facts;
use crate::shared::{End, Shared};
use crate::thresholds::Judge;
use crate::{Health, Initial, Probe, ProbeError, ProbeLimit, Settings, State};

/// Looks again and again at whether something is up, in one background task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_health_check::{Monitor, State};
///
/// let health = Monitor::new(|| async { Ok(()) }).name("orders").start();
/// health.wait_for(State::Up).await;
/// assert!(health.is_up());
/// # }
/// ```
#[must_use = "a monitor does nothing until it is started"]
#[derive(Clone, Debug)]
pub struct Monitor<P> {
    probe: P,
    name: Arc<str>,
    settings: Settings,
}

// === impl Monitor ===

impl<P: Probe> Monitor<P> {
    /// A monitor with this probe, and the default settings.
    pub fn new(probe: P) -> Self {
        Self {
            probe,
            name: "upstream".into(),
            settings: Settings::default(),
        }
    }

    /// Replaces the name in logs. Default: `upstream`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Replaces all settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Replaces the time from the start of one probe to the start of the next. Default: 5 s; at most a day. One that lasts longer delays the next; there are never two at once.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// Sets the interval while the state is down. Default: the usual one; at most a day. Source: Envoy's `unhealthy_interval`.
    pub const fn unhealthy_interval(mut self, interval: Duration) -> Self {
        self.settings.unhealthy_interval = Some(interval);
        self
    }

    /// Sets the interval right after the state has turned up, once. Default: the usual one; at most a day. Source: Envoy's `healthy_edge_interval`.
    pub const fn healthy_edge_interval(mut self, interval: Duration) -> Self {
        self.settings.healthy_edge_interval = Some(interval);
        self
    }

    /// Sets the interval right after the state has turned down, once. Default: the one while it is down; at most a day. Source: Envoy's `unhealthy_edge_interval`.
    pub const fn unhealthy_edge_interval(mut self, interval: Duration) -> Self {
        self.settings.unhealthy_edge_interval = Some(interval);
        self
    }

    /// Sets the interval while results speak against the state and are not enough to turn it. Default: the usual one; at most a day. Source: HAProxy's `fastinter`.
    pub const fn changing_interval(mut self, interval: Duration) -> Self {
        self.settings.changing_interval = Some(interval);
        self
    }

    /// Sets the interval while no calls come; the first that comes brings the next probe near. Default: the usual one; at most a day. Source: Envoy's `no_traffic_interval`.
    ///
    /// A gate says when calls come; who uses the [`Health`] without one says it by [`Health::call_came`].
    pub const fn no_traffic_interval(mut self, interval: Duration) -> Self {
        self.settings.no_traffic_interval = Some(interval);
        self
    }

    /// Sets the interval while no calls come and the state is not down. Default: that of [`no_traffic_interval`](Self::no_traffic_interval), where there is one.
    /// Source: Envoy's `no_traffic_healthy_interval`.
    pub const fn no_traffic_healthy_interval(mut self, interval: Duration) -> Self {
        self.settings.no_traffic_healthy_interval = Some(interval);
        self
    }

    /// Probes only when somebody wants to know and what is known is older than this, before the first call that comes then: a light request before the call.
    /// Default: a task probes in the background. At least 1 ms and at most a day. There is no task then, and no call waits while it is not that old.
    ///
    /// All callers wait for one probe, at a gate of any mode but [`Observe`](crate::Mode::Observe), in a pool where no other endpoint may be called, or by [`Health::fresh`]; who is dropped leaves it to the others.
    /// Its result decides alone, as those before it are too old: [`rise`](Self::rise), [`fall`](Self::fall) and [`max_time_in_error`](Self::max_time_in_error) do not count, and of the intervals only
    /// [`unhealthy_interval`](Self::unhealthy_interval), which replaces this while the state is down.
    pub const fn on_demand(mut self, max_age: Duration) -> Self {
        self.settings.on_demand = Some(max_age);
        self
    }

    /// Makes the first probe wait for this time, unless somebody wants to know before. Default: 0; at most a day. Source: Kubernetes' `initialDelaySeconds`.
    pub const fn initial_delay(mut self, delay: Duration) -> Self {
        self.settings.initial_delay = delay;
        self
    }

    /// Makes the first probe wait for a random time up to this one, after the [`initial_delay`](Self::initial_delay), so that many monitors that start at once do not probe at once. Default: 0; at most a day.
    /// Source: Envoy's `initial_jitter`.
    ///
    /// The interval is what spreads them evenly.
    pub const fn initial_jitter(mut self, most: Duration) -> Self {
        self.settings.initial_jitter = most;
        self
    }

    /// Replaces how many transitions are kept. Default: 16; at most 1,024.
    pub const fn history(mut self, transitions: usize) -> Self {
        self.settings.history = transitions;
        self
    }

    /// Makes each probe wait for its turn by this limit, which other monitors share: so many of them run at once. Default: none.
    pub fn probe_limit(mut self, limit: ProbeLimit) -> Self {
        self.settings.probe_limit = Some(limit);
        self
    }

    /// Replaces by how much of itself an interval varies, at random: 0.1 is 10 % less to 10 % more. Default: 0.1. What is outside 0 to 1 counts as the nearer end.
    pub const fn jitter(mut self, part: f64) -> Self {
        self.settings.jitter = part;
        self
    }

    /// Replaces how much longer an interval is at most, at random, whatever its length; the [`jitter`](Self::jitter) is there too. Default: 0; at most a day. Source: Envoy's
    /// `interval_jitter`.
    pub const fn interval_jitter(mut self, most: Duration) -> Self {
        self.settings.interval_jitter = most;
        self
    }

    /// Replaces how long a probe may last. Default: 1 s. That of the probe itself counts more, where it [has one](Probe::timeout).
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// Replaces how many successes in a row turn the state up. Default: 2.
    pub const fn rise(mut self, successes: NonZeroU32) -> Self {
        self.settings.thresholds.rise = successes;
        self
    }

    /// Replaces how many failures in a row turn the state down. Default: 3.
    pub const fn fall(mut self, failures: NonZeroU32) -> Self {
        self.settings.thresholds.fall = failures;
        self
    }

    /// Replaces for how long probes must have failed, from the first of those in a row to the last, before the state turns down; as many failures as [`fall`](Self::fall) says
    /// must have come, too. Default: zero, so that their number decides alone; at most a day. One that is [decisive](ProbeError::decisive) is enough, and so is the first
    /// result of all. Source: `MaxTimeInError` of [alexliesenfeld/health](https://github.com/alexliesenfeld/health).
    pub const fn max_time_in_error(mut self, time: Duration) -> Self {
        self.settings.thresholds.max_time_in_error = time;
        self
    }

    /// Replaces what the time before the first result counts as. Default: [`Initial::Optimistic`]. [On demand](Self::on_demand) each result decides, whatever this is.
    pub const fn initial(mut self, initial: Initial) -> Self {
        self.settings.initial = initial;
        self
    }

    /// Makes the jitter repeat: the same seed gives the same intervals. Default: another seed for every monitor.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    #[cfg(all(test, feature = "config"))]
    pub(crate) fn into_settings(self) -> Settings {
        self.settings
    }

    /// Starts the task, which probes at once, and ends when the last clone of the returned handle is dropped. [On demand](Self::on_demand) there is none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "dropping the handle ends the monitor"]
    pub fn start(self) -> Health {
        let limit = self.probe.timeout().unwrap_or(self.settings.timeout);
        let shared = Shared::new(self.name, self.settings.initial)
            .keeping(self.settings.history)
            .patient(limit);
        let shared = Arc::new(shared);
        if let Some(max_age) = self.settings.on_demand {
            let (probe, settings) = (self.probe, self.settings);
            let demand = Demand::new(probe, &settings, max_age, Arc::clone(&shared));
            return Health::on_demand(shared, demand);
        }
        let task = tokio::spawn(run(self.probe, self.settings, Arc::clone(&shared)));
        Health::monitored(shared, task.abort_handle())
    }
}

pub(crate) async fn run<P: Probe>(probe: P, settings: Settings, shared: Arc<Shared>) {
    let _end = End::of(&shared);
    let probe = Arc::new(probe);
    let random = Chance::new(settings.seed);
    let mut judge = Judge::starting(settings.initial);
    let limit = probe.timeout().unwrap_or(settings.timeout);
    if settings.heeds_traffic() {
        shared.no_traffic_yet();
    }
    wait_first(&settings, random.part(), &shared).await;
    let mut facts = Facts {
        state: State::Unknown,
        turned: false,
        changing: false,
        traffic: true,
    };
    loop {
        let place = place(settings.probe_limit.as_ref()).await;
        // Who asked while it waited for its turn, or to be not too soon, asked for this one.
        shared.take_nudge();
        let started = Instant::now();
        // What is said while the probe is under way; its result may bring the next one nearer.
        let part = random.part();
        let (estimate, _) = settings.next_interval(facts, part);
        shared.set_next_check(started + estimate);
        let result = look(Arc::clone(&probe), limit, place).await;
        shared.checked(started, result.as_ref().err());
        if let Ok(degraded) = &result {
            shared.degrade(degraded.clone());
        }
        let success = result.is_ok();
        let error = result.as_ref().err();
        let turned = judge.take(error, settings.thresholds, Instant::now());
        if let Some(state) = turned {
            shared.turn(state, result.err());
        }
        if success {
            shared.succeeded();
        }
        facts = Facts {
            state: shared.state(),
            turned: turned.is_some(),
            changing: judge.is_changing(),
            traffic: !settings.heeds_traffic() || shared.take_traffic(),
        };
        let (interval, slow) = settings.next_interval(facts, part);
        let due = started + interval;
        shared.set_next_check(due);
        if slow {
            shared.fall_asleep();
        }
        if until(due, &shared).await {
            // Nudged: not so soon that nudges become load.
            sleep_until(due.min(started + interval.min(settings.interval) / 10)).await;
        } else if slow {
            shared.wake_up();
        }
    }
}

/// Waits before the first probe, unless somebody wants to know before.
pub(crate) async fn wait_first(settings: &Settings, part: f64, shared: &Shared) {
    let first = settings.first_wait(part);
    if !first.is_zero() {
        let due = Instant::now() + first;
        shared.set_next_check(due);
        until(due, shared).await;
    }
}

/// Sleeps until then, or until a nudge; says whether it was one.
pub(crate) async fn until(due: Instant, shared: &Shared) -> bool {
    let mut alarm = pin!(sleep_until(due));
    let mut nudge = pin!(shared.nudge.notified());
    poll_fn(|cx| {
        if nudge.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        alarm.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// One probe, within its time. In a task of its own, so that a panic is a failure like another.
pub(crate) async fn look<P: Probe>(
    probe: Arc<P>,
    limit: Duration,
    place: Option<Place>,
) -> Finding {
    // Dropped with this future, it ends the probe.
    let mut task = JoinSet::new();
    task.spawn(async move {
        // Held until the probe is gone, which may be after its time is over: its task ends when the runtime comes to it.
        let _place = place;
        probe.probe().await
    });
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(result))) => ProbeError::finding(result),
        Ok(_) => Err(ProbeError::new(
            ErrorKind::ProxyInternalError,
            "the probe panicked",
        )),
        Err(_) => {
            let details = format!("no result within {limit:?}");
            Err(ProbeError::new(ErrorKind::HttpResponseTimeout, details))
        }
    }
}
