use std::num::{NonZeroU8, NonZeroU16};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

#[cfg(doc)]
use crate::Health;
use crate::circuit::Counts;
use crate::detector::Enforcing;
use crate::{Detector, FailurePercentage, Outliers, PassiveHealth, SuccessRate};

/// How an endpoint is found to fail by the traffic that it gets, and what is done then: the settings of [`Outliers`].
///
/// The names and the formulas are those of Envoy's outlier detection; [`coming_from`](crate::coming_from) says what differs.
///
/// ```
/// use std::num::NonZeroU16;
/// use portcullis_health_check::{Admission, Observed, OutlierDetection};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let orders = OutlierDetection::new()
///     .consecutive_gateway_failures(NonZeroU16::new(3))
///     .endpoint("orders");
/// for _ in 0..3 {
///     let Admission::Pass(pass) = orders.admit() else { unreachable!() };
///     pass.settle(Observed::GatewayFailure);
/// }
/// assert!(matches!(orders.admit(), Admission::Refused { .. }));
/// # }
/// ```
#[must_use = "settings do nothing until they are started"]
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    pub(crate) consecutive_gateway_failures: Option<NonZeroU16>,
    pub(crate) consecutive_5xx: Option<NonZeroU16>,
    pub(crate) consecutive_local_origin_failures: Option<NonZeroU16>,
    pub(crate) split_local_origin: bool,
    pub(crate) success_rate: Option<SuccessRate>,
    pub(crate) failure_percentage: Option<FailurePercentage>,
    pub(crate) enforcing: Enforcing,
    pub(crate) window: Duration,
    pub(crate) base_ejection_time: Duration,
    pub(crate) max_ejection_time: Duration,
    pub(crate) ejection_jitter: Duration,
    pub(crate) max_ejection_percent: u8,
    pub(crate) always_eject_one: bool,
    pub(crate) trials: NonZeroU8,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) return_on_check: bool,
    pub(crate) check_on_connect_failure: bool,
    pub(crate) check_on_failure: bool,
    pub(crate) seed: Option<u64>,
}

// === impl OutlierDetection ===

impl OutlierDetection {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces after how many gateway errors in a row an endpoint is ejected; `None`: never for these. Default: 5.
    pub fn consecutive_gateway_failures(mut self, failures: Option<NonZeroU16>) -> Self {
        self.consecutive_gateway_failures = failures;
        self
    }

    /// Replaces after how many failures of the server in a row, gateway errors included, an endpoint is ejected; `None`: never for these. Default: 5.
    pub fn consecutive_5xx(mut self, failures: Option<NonZeroU16>) -> Self {
        self.consecutive_5xx = failures;
        self
    }

    /// Replaces after how many exchanges in a row that were not answered an endpoint is ejected; `None`: never for these. Default: 5.
    ///
    /// It counts only where they are [told apart](Self::split_local_origin).
    pub fn consecutive_local_origin_failures(mut self, failures: Option<NonZeroU16>) -> Self {
        self.consecutive_local_origin_failures = failures;
        self
    }

    /// Tells exchanges that were not answered (no connection, no answer in time, a body that breaks off) apart from answers that are failures, with a count and a
    /// window of their own (Envoy's `split_external_local_origin_errors`). Default: they count as gateway errors.
    pub fn split_local_origin(mut self, split: bool) -> Self {
        self.split_local_origin = split;
        self
    }

    /// Replaces when a share of successes is too far below that of the others; `None`: never. Default: [`SuccessRate::default`].
    pub fn success_rate(mut self, rules: Option<SuccessRate>) -> Self {
        self.success_rate = rules;
        self
    }

    /// Replaces when a share of failures is too large; `None`: never. Default: [`FailurePercentage::default`].
    pub fn failure_percentage(mut self, rules: Option<FailurePercentage>) -> Self {
        self.failure_percentage = rules;
        self
    }

    /// Replaces how many of a hundred ejections by this detector are done; the others are only logged. Above 100 is 100. Default: 100.
    ///
    /// A trial that failed always ejects.
    pub fn enforcing(mut self, detector: Detector, percent: u8) -> Self {
        self.enforcing.set(detector, percent.min(100));
        self
    }

    /// Replaces over how long shares are measured, in ten parts that slide; and how long an endpoint must have been healthy for its next ejection to be shorter by
    /// one `base_ejection_time` (Envoy's `interval`). Default: 10 s; 10 ms to a day.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Replaces how long the first ejection lasts; the second lasts twice as long, and so on. It is also how long trials may take. Default: 30 s.
    pub fn base_ejection_time(mut self, time: Duration) -> Self {
        self.base_ejection_time = time;
        self
    }

    /// Replaces how long an ejection lasts at most, before jitter; a longer `base_ejection_time` counts instead. Default: 300 s.
    pub fn max_ejection_time(mut self, time: Duration) -> Self {
        self.max_ejection_time = time;
        self
    }

    /// Replaces how much is added to an ejection at most, at random, so that many callers do not come back at once. Default: 3 s.
    pub fn ejection_jitter(mut self, most: Duration) -> Self {
        self.ejection_jitter = most;
        self
    }

    /// Replaces how many of a hundred endpoints may be ejected at once. Above 100 is 100. Default: 10.
    pub fn max_ejection_percent(mut self, percent: u8) -> Self {
        self.max_ejection_percent = percent.min(100);
        self
    }

    /// Replaces whether one endpoint may be ejected whatever `max_ejection_percent` says: without it a group of one never ejects. Default: true.
    pub fn always_eject_one(mut self, always: bool) -> Self {
        self.always_eject_one = always;
        self
    }

    /// Replaces how many calls go through when an ejection is over, and must be good for all others to follow. Default: 1.
    ///
    /// The first one that fails ejects anew. One that says nothing gives its place to the next; where they take longer than `base_ejection_time`, new ones take their place.
    pub fn trials(mut self, calls: NonZeroU8) -> Self {
        self.trials = calls;
        self
    }

    /// Sets after how long a call that is dropped without an answer counts as one that was not answered: what a limit outside of the gate does to
    /// an endpoint that hangs. Costs two looks at the clock for each call. Default: never, since a caller who goes away says nothing of the endpoint.
    pub fn abandoned_after(mut self, time: Option<Duration>) -> Self {
        self.abandoned_after = time;
        self
    }

    /// Replaces whether a probe that succeeds ends an ejection (Envoy's `successful_active_health_check_uneject_host`). Default: true.
    ///
    /// It must have been successful itself, and the state that it is part of must be up.
    pub fn return_on_check(mut self, returns: bool) -> Self {
        self.return_on_check = returns;
        self
    }

    /// Replaces whether a call to which no connection could be opened makes the monitor of the endpoint probe at once, as by [`Health::check_now`], and so not sooner than a
    /// tenth of the interval after the last probe began (HAProxy's `on-error fastinter` with `observe layer4`). Default: true.
    ///
    /// The monitor is that of the gate or of the member of a pool; while it is down already, no call hurries it.
    pub fn check_on_connect_failure(mut self, checks: bool) -> Self {
        self.check_on_connect_failure = checks;
        self
    }

    /// Replaces whether every other call that fails makes the monitor probe at once too, as [`check_on_connect_failure`](Self::check_on_connect_failure) says, unless it
    /// ejects the endpoint (HAProxy's `on-error fastinter` with `observe layer7`). Default: false, since what fails calls may be well for probes.
    pub fn check_on_failure(mut self, checks: bool) -> Self {
        self.check_on_failure = checks;
        self
    }

    /// Makes jitter and enforcement repeat. Default: another seed for every group.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes a group, to which endpoints are added.
    ///
    /// Its shares are looked at in one background task, which begins with as many endpoints as `minimum_hosts` says and ends when the last handle is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime, unless `success_rate` and `failure_percentage` are off.
    pub fn start(self) -> Outliers {
        let windowed = self.success_rate.is_some() || self.failure_percentage.is_some();
        Outliers::new(self, windowed.then(Handle::current))
    }

    /// Makes a group of one.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn endpoint(self, name: impl Into<Arc<str>>) -> PassiveHealth {
        self.start().endpoint(name)
    }

    pub(crate) const fn counts(&self) -> Counts {
        Counts {
            gateway: self.consecutive_gateway_failures,
            server: self.consecutive_5xx,
            local: self.consecutive_local_origin_failures,
            split: self.split_local_origin,
            trials: self.trials,
        }
    }

    /// How long an ejection lasts that is the so-many-th, without jitter.
    pub(crate) fn ejection_time(&self, multiplier: u32) -> Duration {
        let longest = self.max_ejection_time.max(self.base_ejection_time);
        self.base_ejection_time
            .saturating_mul(multiplier)
            .min(longest)
            .clamp(SHORTEST, LONGEST)
    }

    /// The multiplier of the ejection after one of this. It grows no further where ejections do not get longer, so that what is left of a long outage is soon gone (Envoy).
    pub(crate) fn grown(&self, multiplier: u32) -> u32 {
        let next = multiplier.saturating_add(1);
        if multiplier > 0 && self.ejection_time(next) == self.ejection_time(multiplier) {
            return multiplier;
        }
        next
    }

    /// What is left of a multiplier after so long in health.
    pub(crate) fn decayed(&self, multiplier: u32, healthy: Duration) -> u32 {
        let steps = healthy.as_nanos() / self.window_within().as_nanos().max(1);
        multiplier.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// The window, within its bounds.
    pub(crate) fn window_within(&self) -> Duration {
        self.window.clamp(SHORTEST_WINDOW, LONGEST)
    }

    /// From how many endpoints on the windows say something; `None` where they never do.
    pub(crate) fn windows_from(&self) -> Option<usize> {
        let rules = [
            self.success_rate.map(|rules| rules.minimum_hosts),
            self.failure_percentage.map(|rules| rules.minimum_hosts),
        ];
        rules
            .iter()
            .flatten()
            .min()
            .map(|hosts| hosts.get() as usize)
    }
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_gateway_failures: NonZeroU16::new(5),
            consecutive_5xx: NonZeroU16::new(5),
            consecutive_local_origin_failures: NonZeroU16::new(5),
            split_local_origin: false,
            success_rate: Some(SuccessRate::default()),
            failure_percentage: Some(FailurePercentage::default()),
            enforcing: Enforcing::ALL,
            window: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            ejection_jitter: Duration::from_secs(3),
            max_ejection_percent: 10,
            always_eject_one: true,
            trials: NonZeroU8::MIN,
            abandoned_after: None,
            return_on_check: true,
            check_on_connect_failure: true,
            check_on_failure: false,
            seed: None,
        }
    }
}

/// Nothing that is shorter than a millisecond can be waited for, and nothing overflows.
const SHORTEST: Duration = Duration::from_millis(1);
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejections_grow_to_a_limit_and_decay() {
        let settings = OutlierDetection::new();
        let seconds = |multiplier| settings.ejection_time(multiplier).as_secs();
        assert_eq!(
            [1, 2, 10, 11, u32::MAX].map(seconds),
            [30, 60, 300, 300, 300]
        );
        for (multiplier, healthy, expected) in [
            (3, 9, 3),
            (3, 10, 2),
            (3, 29, 1),
            (3, 30, 0),
            (3, 90_000, 0),
        ] {
            let healthy = Duration::from_secs(healthy);
            assert_eq!(
                settings.decayed(multiplier, healthy),
                expected,
                "{healthy:?}"
            );
        }
    }

    #[test]
    fn the_multiplier_grows_while_ejections_get_longer() {
        let settings = OutlierDetection::new();
        let after = |settings: &OutlierDetection, ejections| {
            (0..ejections).fold(0, |multiplier, _| settings.grown(multiplier))
        };
        for (ejections, expected) in [(1, 1), (9, 9), (10, 10), (11, 10), (1000, 10)] {
            assert_eq!(after(&settings, ejections), expected, "{ejections}");
        }
        let uneven = OutlierDetection::new().max_ejection_time(Duration::from_secs(100));
        assert_eq!(after(&uneven, 1000), 4, "30, 60, 90, 100 s");
        let even = OutlierDetection::new().max_ejection_time(Duration::ZERO);
        assert_eq!(after(&even, 1000), 1);
    }

    #[test]
    fn no_setting_overflows_or_waits_for_nothing() {
        let settings = OutlierDetection::new()
            .window(Duration::ZERO)
            .base_ejection_time(Duration::MAX)
            .max_ejection_time(Duration::ZERO);
        assert_eq!(settings.ejection_time(u32::MAX), LONGEST);
        assert_eq!(settings.window_within(), SHORTEST_WINDOW);
        assert_eq!(settings.decayed(7, Duration::MAX), 0);

        let settings = OutlierDetection::new().base_ejection_time(Duration::ZERO);
        assert_eq!(settings.ejection_time(1), SHORTEST);
    }
}
