use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::ErrorKind;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::health::Shared;
use crate::thresholds::{Judge, Thresholds};
use crate::{Health, Initial, Probe, ProbeError, State};

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

/// The settings of a [`Monitor`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub(crate) interval: Duration,
    pub(crate) jitter: f64,
    pub(crate) timeout: Duration,
    pub(crate) thresholds: Thresholds,
    pub(crate) initial: Initial,
    pub(crate) seed: Option<u64>,
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

    /// Replaces by how much of itself an interval varies, at random: 0.1 is 10 % less to 10 % more. Default: 0.1. What is outside 0 to 1 counts as the nearer end.
    pub const fn jitter(mut self, part: f64) -> Self {
        self.settings.jitter = part;
        self
    }

    /// Replaces how long a probe may last. Default: 1 s.
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

    /// Replaces what the time before the first result counts as. Default: [`Initial::Optimistic`].
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

    /// Starts the task, which probes at once, and ends when the last clone of the returned handle is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "dropping the handle ends the monitor"]
    pub fn start(self) -> Health {
        let shared = Arc::new(Shared::new(self.name, self.settings.initial));
        let task = tokio::spawn(run(self.probe, self.settings, Arc::clone(&shared)));
        Health::monitored(shared, task.abort_handle())
    }
}

pub(crate) async fn run<P: Probe>(probe: P, settings: Settings, shared: Arc<Shared>) {
    let probe = Arc::new(probe);
    let mut random = settings
        .seed
        .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let mut judge = Judge::new();
    loop {
        let next = Instant::now() + settings.next_interval(&mut random);
        shared.set_next_check(next);
        let result = look(Arc::clone(&probe), settings.timeout).await;
        if let Err(error) = &result {
            tracing::debug!(error.r#type = error.failure().error_type(), error = %error, "probe failed");
        }
        let success = result.is_ok();
        match judge.observe(success, settings.thresholds) {
            Some(state @ State::Down) => shared.turn(state, result.err()),
            Some(state) => shared.turn(state, None),
            None => {}
        }
        if success {
            shared.succeeded();
        }
        sleep_until(next).await;
    }
}

/// One probe, within its time. In a task of its own, so that a panic is a failure like another.
pub(crate) async fn look<P: Probe>(probe: Arc<P>, limit: Duration) -> Result<(), ProbeError> {
    // Dropped with this future, it ends the probe.
    let mut task = JoinSet::new();
    task.spawn(async move { probe.probe().await });
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(result))) => result,
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

// === impl Settings ===

impl Settings {
    fn next_interval(&self, random: &mut fastrand::Rng) -> Duration {
        let jitter = if self.jitter > 0.0 {
            self.jitter.min(1.0)
        } else {
            0.0
        };
        let factor = 1.0 + jitter * (2.0 * random.f64() - 1.0);
        // Not shorter than the timer can tell, so that no setting makes a busy loop; and short enough that nothing overflows.
        self.interval
            .min(LONGEST)
            .mul_f64(factor)
            .max(Duration::from_millis(1))
    }
}

const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Every 5 s with 10 % of jitter, 1 s for each, rise 2, fall 3, optimistic.
impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            jitter: 0.1,
            timeout: Duration::from_secs(1),
            thresholds: Thresholds::default(),
            initial: Initial::Optimistic,
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_their_jitter_and_repeat_for_a_seed() {
        let settings = Settings {
            jitter: 0.2,
            ..Settings::default()
        };
        let draw = || {
            let mut random = fastrand::Rng::with_seed(9);
            (0..1000)
                .map(|_| settings.next_interval(&mut random))
                .collect::<Vec<_>>()
        };

        let intervals = draw();

        assert!(
            intervals
                .iter()
                .all(|interval| (4000..=6000).contains(&interval.as_millis()))
        );
        assert!(intervals.iter().any(|interval| interval.as_millis() < 4200));
        assert!(intervals.iter().any(|interval| interval.as_millis() > 5800));
        assert_eq!(intervals, draw());
    }

    #[test]
    fn no_setting_makes_a_busy_loop_or_a_panic() {
        let mut random = fastrand::Rng::with_seed(9);
        for jitter in [-1.0, 0.0, 1.0, 7.0, f64::NAN] {
            let endless = Settings {
                interval: Duration::MAX,
                jitter,
                ..Settings::default()
            };
            assert!(
                endless.next_interval(&mut random) <= 2 * LONGEST,
                "{jitter}"
            );
            let settings = Settings {
                interval: Duration::ZERO,
                jitter,
                ..Settings::default()
            };

            assert!(
                settings.next_interval(&mut random) >= Duration::from_millis(1),
                "{jitter}"
            );
        }
    }
}
