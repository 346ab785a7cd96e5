use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{DEFAULT_NAME, DefaultClassifier};

use crate::{Mode, Pool};

/// How a [`Pool`] picks among its endpoints, and what it does where there is none.
///
/// ```
/// use std::time::Duration;
/// use portcullis_health_check::{Balancing, PoolSettings};
///
/// let settings = PoolSettings::new()
///     .balancing(Balancing::LeastPending)
///     .panic_threshold(0)
///     .decay(Duration::from_secs(5));
/// # drop(settings);
/// ```
#[must_use = "settings do nothing until a pool is made of them"]
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    pub(crate) upstream: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) balancing: Balancing,
    pub(crate) default_latency: Duration,
    pub(crate) decay: Duration,
    pub(crate) max_retry_after: Duration,
    pub(crate) overprovisioning: u32,
    pub(crate) panic_threshold: u8,
    pub(crate) mode: Mode,
    pub(crate) slow_start: Option<SlowStart>,
    pub(crate) max_parallel_probes: Option<NonZeroUsize>,
    pub(crate) seed: Option<u64>,
}

/// What two endpoints that were drawn are compared by; the lesser one is called.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Balancing {
    /// The calls in flight times the latency, of which a peak counts at once and fades by [`decay`](PoolSettings::decay), as in `tower::load::PeakEwma` and Finagle.
    #[default]
    PeakEwma,
    /// The calls in flight (Envoy's `LEAST_REQUEST`).
    LeastPending,
    /// Nothing: the first that was drawn is called (Envoy's `RANDOM`).
    Random,
}

/// How the share of an endpoint that is new, or back, grows (Envoy's `slow_start_config`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    pub(crate) window: Duration,
    pub(crate) aggression: f64,
    pub(crate) min_percent: u8,
}

// === impl PoolSettings ===

impl PoolSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the name of the upstream in logs and metrics. Default: `upstream`.
    pub fn upstream(mut self, upstream: impl Into<Arc<str>>) -> Self {
        self.upstream = upstream.into();
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Replaces what endpoints are compared by. Default: [`Balancing::PeakEwma`].
    pub const fn balancing(mut self, balancing: Balancing) -> Self {
        self.balancing = balancing;
        self
    }

    /// Replaces how long a call is taken to last at an endpoint of which nothing is known but that it has calls in flight; and what the latency of one that fails fast
    /// grows to. Default: 1 s, at most a day.
    pub const fn default_latency(mut self, latency: Duration) -> Self {
        self.default_latency = latency;
        self
    }

    /// Replaces the time in which a latency fades to 1/e of itself. Default: 10 s (Finagle), 1 ms to a day.
    pub const fn decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// Replaces for how long at most an endpoint is called last of those that were drawn after it has answered 429 or 503 with `retry-after`; it may still be the only one.
    /// Zero: what it says is not looked at. Default: 300 s (Linkerd), at most a day.
    pub const fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = wait;
        self
    }

    /// Replaces how many more endpoints a group is taken to have than it needs, in per cent: by 140, it takes all its calls while 72 % of it may be called, and the rest
    /// goes to the next priority. Default: 140 (Envoy's `overprovisioning_factor`).
    pub const fn overprovisioning(mut self, percent: u32) -> Self {
        self.overprovisioning = percent;
        self
    }

    /// Replaces below how many per cent that may be called a group's calls are spread over all of it but what was taken out [by hand](crate::Health::force): the probes
    /// rather than the endpoints may be what fails. It does not while other groups have enough. 0 turns that off, and a call that finds none is answered at once. Default: 50 (Envoy's `healthy_panic_threshold`).
    pub const fn panic_threshold(mut self, percent: u8) -> Self {
        self.panic_threshold = percent;
        self
    }

    /// Replaces what a call does where no endpoint may be called. [`Mode::Observe`] calls them whatever their health is. Default: [`Mode::FailFast`].
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Replaces how the share of an endpoint that is new, or back, grows; `None` turns that off, and it has its whole share at once. Default: `None`, as in Envoy.
    pub const fn slow_start(mut self, slow_start: Option<SlowStart>) -> Self {
        self.slow_start = slow_start;
        self
    }

    /// Replaces how many probes of its endpoints run at once; `None` is no limit. Default: `None`.
    ///
    /// It holds for the monitors that a `PoolConfig` starts (feature `config`), and for those that are given [`Pool::probe_limit`].
    pub const fn max_parallel_probes(mut self, probes: Option<NonZeroUsize>) -> Self {
        self.max_parallel_probes = probes;
        self
    }

    /// Makes the picks repeat: the same seed and the same calls give the same endpoints. Default: another seed for every pool.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes a pool without endpoints.
    #[must_use]
    pub fn pool<S>(self) -> Pool<S, DefaultClassifier> {
        Pool::with_settings(self)
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            upstream: "upstream".into(),
            name: DEFAULT_NAME.into(),
            balancing: Balancing::default(),
            default_latency: Duration::from_secs(1),
            decay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(300),
            overprovisioning: 140,
            panic_threshold: 50,
            mode: Mode::FailFast,
            slow_start: None,
            max_parallel_probes: None,
            seed: None,
        }
    }
}

// === impl Balancing ===

impl Balancing {
    /// Returns the word used in configs: `peak_ewma`, `least_pending`, `random`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeakEwma => "peak_ewma",
            Self::LeastPending => "least_pending",
            Self::Random => "random",
        }
    }
}

// === impl SlowStart ===

impl SlowStart {
    /// A share that grows to the whole within this time, evenly, from 10 %.
    #[must_use]
    pub const fn new(window: Duration) -> Self {
        Self {
            window,
            aggression: 1.0,
            min_percent: 10,
        }
    }

    /// Replaces how the share grows: by the time to the power of 1 / this, so that more than 1 grows fast at first. Default: 1, evenly. What is not above 0 counts as 1.
    #[must_use]
    pub const fn aggression(mut self, aggression: f64) -> Self {
        self.aggression = aggression;
        self
    }

    /// Replaces the share at the beginning, in per cent. Default: 10 (Envoy's `min_weight_percent`); what is above 100 counts as 100.
    #[must_use]
    pub const fn min_percent(mut self, percent: u8) -> Self {
        self.min_percent = percent;
        self
    }

    /// The part of its share that an endpoint gets after this time; `None` where that is all.
    pub(crate) fn factor(&self, elapsed: Duration) -> Option<f64> {
        if elapsed >= self.window {
            return None;
        }
        let aggression = if self.aggression > 0.0 {
            self.aggression
        } else {
            1.0
        };
        let time = elapsed.as_secs_f64() / self.window.as_secs_f64();
        let factor = time.powf(1.0 / aggression);
        Some(factor.max(f64::from(self.min_percent) / 100.0).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_as_envoys_does() {
        let window = Duration::from_secs(100);
        for (aggression, seconds, expected) in [
            (1.0, 0, Some(0.1)),
            (1.0, 5, Some(0.1)),
            (1.0, 50, Some(0.5)),
            (2.0, 25, Some(0.5)),
            (0.5, 50, Some(0.25)),
            (f64::NAN, 50, Some(0.5)),
            (1.0, 100, None),
        ] {
            let slow_start = SlowStart::new(window).aggression(aggression);
            let factor = slow_start.factor(Duration::from_secs(seconds));
            assert_eq!(factor, expected, "{aggression} after {seconds}");
        }
        assert_eq!(SlowStart::new(Duration::ZERO).factor(Duration::ZERO), None);
    }
}
