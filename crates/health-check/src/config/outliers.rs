use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::detection::LONGEST;
use crate::{Detector, FailurePercentage, OutlierDetection, SuccessRate};

/// The serde form of an [`OutlierDetection`]: its settings by the same names. Durations are text: `250ms`, `5s`.
///
/// What is left out keeps its default; a count of 0 turns a detector off, and so does `null` for one with settings of its own. This names every setting:
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_health_check::{OutlierDetection, OutlierDetectionConfig};
///
/// let file = ConfigFile::parse(r#"
/// consecutive_gateway_failures: 5
/// consecutive_5xx: 5
/// consecutive_local_origin_failures: 5
/// split_local_origin: false
/// success_rate: {minimum_hosts: 5, request_volume: 100, stdev_factor: 1.9}
/// failure_percentage: {threshold: 85, minimum_hosts: 5, request_volume: 50}
/// enforcing:
///   consecutive_gateway_failures: 100
///   consecutive_5xx: 100
///   consecutive_local_origin_failures: 100
///   success_rate: 100
///   failure_percentage: 100
/// window: 10s
/// base_ejection_time: 30s
/// max_ejection_time: 300s
/// ejection_jitter: 3s
/// max_ejection_percent: 10
/// always_eject_one: true
/// trials: 1
/// abandoned_after: null
/// return_on_check: true
/// check_on_connect_failure: true
/// check_on_failure: false
/// "#)?;
/// let settings = OutlierDetection::try_from(&file.read::<OutlierDetectionConfig>()?)
///     .map_err(|mistake| file.locate(mistake))?;
/// assert_eq!(settings, OutlierDetection::default());
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierDetectionConfig {
    /// See [`OutlierDetection::consecutive_gateway_failures`].
    pub consecutive_gateway_failures: u32,
    /// See [`OutlierDetection::consecutive_5xx`].
    pub consecutive_5xx: u32,
    /// See [`OutlierDetection::consecutive_local_origin_failures`].
    pub consecutive_local_origin_failures: u32,
    /// See [`OutlierDetection::split_local_origin`].
    pub split_local_origin: bool,
    /// See [`OutlierDetection::success_rate`].
    pub success_rate: Option<SuccessRateConfig>,
    /// See [`OutlierDetection::failure_percentage`].
    pub failure_percentage: Option<FailurePercentageConfig>,
    /// See [`OutlierDetection::enforcing`].
    pub enforcing: EnforcingConfig,
    /// See [`OutlierDetection::window`].
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// See [`OutlierDetection::base_ejection_time`].
    #[serde(with = "humantime_serde")]
    pub base_ejection_time: Duration,
    /// See [`OutlierDetection::max_ejection_time`].
    #[serde(with = "humantime_serde")]
    pub max_ejection_time: Duration,
    /// See [`OutlierDetection::ejection_jitter`].
    #[serde(with = "humantime_serde")]
    pub ejection_jitter: Duration,
    /// See [`OutlierDetection::max_ejection_percent`].
    pub max_ejection_percent: u32,
    /// See [`OutlierDetection::always_eject_one`].
    pub always_eject_one: bool,
    /// See [`OutlierDetection::trials`].
    pub trials: u32,
    /// See [`OutlierDetection::abandoned_after`].
    #[serde(with = "humantime_serde")]
    pub abandoned_after: Option<Duration>,
    /// See [`OutlierDetection::return_on_check`].
    pub return_on_check: bool,
    /// See [`OutlierDetection::check_on_connect_failure`].
    pub check_on_connect_failure: bool,
    /// See [`OutlierDetection::check_on_failure`].
    pub check_on_failure: bool,
}

/// The serde form of a [`SuccessRate`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SuccessRateConfig {
    /// See [`SuccessRate::minimum_hosts`].
    pub minimum_hosts: u32,
    /// See [`SuccessRate::request_volume`].
    pub request_volume: u32,
    /// See [`SuccessRate::stdev_factor`].
    pub stdev_factor: f64,
}

/// The serde form of a [`FailurePercentage`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FailurePercentageConfig {
    /// See [`FailurePercentage::threshold`].
    pub threshold: u32,
    /// See [`FailurePercentage::minimum_hosts`].
    pub minimum_hosts: u32,
    /// See [`FailurePercentage::request_volume`].
    pub request_volume: u32,
}

/// Of a hundred ejections, how many are done, for each [`Detector`] by its name.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EnforcingConfig {
    /// Of those by [`Detector::ConsecutiveGatewayFailures`]. Default: 100.
    pub consecutive_gateway_failures: u32,
    /// Of those by [`Detector::Consecutive5xx`]. Default: 100.
    pub consecutive_5xx: u32,
    /// Of those by [`Detector::ConsecutiveLocalOriginFailures`]. Default: 100.
    pub consecutive_local_origin_failures: u32,
    /// Of those by [`Detector::SuccessRate`]. Default: 100.
    pub success_rate: u32,
    /// Of those by [`Detector::FailurePercentage`]. Default: 100.
    pub failure_percentage: u32,
}

// === impl OutlierDetectionConfig ===

impl Default for OutlierDetectionConfig {
    fn default() -> Self {
        let settings = OutlierDetection::default();
        let count = |failures: Option<NonZeroU16>| failures.map_or(0, |count| count.get().into());
        Self {
            consecutive_gateway_failures: count(settings.consecutive_gateway_failures),
            consecutive_5xx: count(settings.consecutive_5xx),
            consecutive_local_origin_failures: count(settings.consecutive_local_origin_failures),
            split_local_origin: settings.split_local_origin,
            success_rate: Some(SuccessRateConfig::default()),
            failure_percentage: Some(FailurePercentageConfig::default()),
            enforcing: EnforcingConfig::default(),
            window: settings.window,
            base_ejection_time: settings.base_ejection_time,
            max_ejection_time: settings.max_ejection_time,
            ejection_jitter: settings.ejection_jitter,
            max_ejection_percent: settings.max_ejection_percent.into(),
            always_eject_one: settings.always_eject_one,
            trials: settings.trials.get().into(),
            abandoned_after: settings.abandoned_after,
            return_on_check: settings.return_on_check,
            check_on_connect_failure: settings.check_on_connect_failure,
            check_on_failure: settings.check_on_failure,
        }
    }
}

impl TryFrom<&OutlierDetectionConfig> for OutlierDetection {
    type Error = InvalidConfig;

    fn try_from(config: &OutlierDetectionConfig) -> Result<Self, InvalidConfig> {
        let count = |field, failures: u32| match u16::try_from(failures) {
            Ok(failures) => Ok(NonZeroU16::new(failures)),
            Err(_) => Err(outside(field, "0 to 65535", failures)),
        };
        let trials = u8::try_from(config.trials).ok().and_then(NonZeroU8::new);
        let trials = trials.ok_or_else(|| outside("trials", "1 to 255", config.trials))?;
        if !(Duration::from_millis(10)..=LONGEST).contains(&config.window) {
            let message = format!("must be 10ms to 24h, is {:?}", config.window);
            return Err(InvalidConfig::new("window", message));
        }
        for (field, time) in [
            ("base_ejection_time", config.base_ejection_time),
            ("max_ejection_time", config.max_ejection_time),
        ] {
            if time.is_zero() || time > LONGEST {
                let message = format!("must be longer than 0 and at most 24h, is {time:?}");
                return Err(InvalidConfig::new(field, message));
            }
        }
        if config.max_ejection_time < config.base_ejection_time {
            let message = format!(
                "must not be shorter than base_ejection_time, {:?} < {:?}",
                config.max_ejection_time, config.base_ejection_time
            );
            return Err(InvalidConfig::new("max_ejection_time", message));
        }
        if config.ejection_jitter > LONGEST {
            let message = format!("must be at most 24h, is {:?}", config.ejection_jitter);
            return Err(InvalidConfig::new("ejection_jitter", message));
        }
        if config.abandoned_after.is_some_and(|time| time.is_zero()) {
            let message = "must be longer than 0";
            return Err(InvalidConfig::new("abandoned_after", message));
        }
        let gateway = config.consecutive_gateway_failures;
        let local = config.consecutive_local_origin_failures;
        let success_rate = config.success_rate.map(TryInto::try_into).transpose();
        let failures = config.failure_percentage.map(TryInto::try_into).transpose();
        let settings = Self::new()
            .consecutive_gateway_failures(count("consecutive_gateway_failures", gateway)?)
            .consecutive_5xx(count("consecutive_5xx", config.consecutive_5xx)?)
            .consecutive_local_origin_failures(count("consecutive_local_origin_failures", local)?)
            .split_local_origin(config.split_local_origin)
            .success_rate(success_rate.map_err(within("success_rate"))?)
            .failure_percentage(failures.map_err(within("failure_percentage"))?)
            .window(config.window)
            .base_ejection_time(config.base_ejection_time)
            .max_ejection_time(config.max_ejection_time)
            .ejection_jitter(config.ejection_jitter)
            .max_ejection_percent(percent(
                "max_ejection_percent",
                config.max_ejection_percent,
            )?)
            .always_eject_one(config.always_eject_one)
            .trials(trials)
            .abandoned_after(config.abandoned_after)
            .return_on_check(config.return_on_check)
            .check_on_connect_failure(config.check_on_connect_failure)
            .check_on_failure(config.check_on_failure);
        let enforcing = config.enforcing.apply(settings);
        enforcing.map_err(within("enforcing"))
    }
}

// === impl SuccessRateConfig ===

impl Default for SuccessRateConfig {
    fn default() -> Self {
        let rules = SuccessRate::default();
        Self {
            minimum_hosts: rules.minimum_hosts.get(),
            request_volume: rules.request_volume.get(),
            stdev_factor: rules.stdev_factor,
        }
    }
}

impl TryFrom<SuccessRateConfig> for SuccessRate {
    type Error = InvalidConfig;

    fn try_from(config: SuccessRateConfig) -> Result<Self, InvalidConfig> {
        let factor = config.stdev_factor;
        if !(factor.is_finite() && factor > 0.0) {
            let message = format!("must be more than 0, is {factor}");
            return Err(InvalidConfig::new("stdev_factor", message));
        }
        Ok(Self {
            minimum_hosts: at_least_one("minimum_hosts", config.minimum_hosts)?,
            request_volume: at_least_one("request_volume", config.request_volume)?,
            stdev_factor: factor,
        })
    }
}

// === impl FailurePercentageConfig ===

impl Default for FailurePercentageConfig {
    fn default() -> Self {
        let rules = FailurePercentage::default();
        Self {
            threshold: rules.threshold.into(),
            minimum_hosts: rules.minimum_hosts.get(),
            request_volume: rules.request_volume.get(),
        }
    }
}

impl TryFrom<FailurePercentageConfig> for FailurePercentage {
    type Error = InvalidConfig;

    fn try_from(config: FailurePercentageConfig) -> Result<Self, InvalidConfig> {
        if config.threshold == 0 {
            return Err(outside("threshold", "1 to 100", 0));
        }
        Ok(Self {
            threshold: percent("threshold", config.threshold)?,
            minimum_hosts: at_least_one("minimum_hosts", config.minimum_hosts)?,
            request_volume: at_least_one("request_volume", config.request_volume)?,
        })
    }
}

// === impl EnforcingConfig ===

impl EnforcingConfig {
    fn apply(self, settings: OutlierDetection) -> Result<OutlierDetection, InvalidConfig> {
        let parts = [
            (
                Detector::ConsecutiveGatewayFailures,
                self.consecutive_gateway_failures,
            ),
            (Detector::Consecutive5xx, self.consecutive_5xx),
            (
                Detector::ConsecutiveLocalOriginFailures,
                self.consecutive_local_origin_failures,
            ),
            (Detector::SuccessRate, self.success_rate),
            (Detector::FailurePercentage, self.failure_percentage),
        ];
        parts
            .into_iter()
            .try_fold(settings, |settings, (detector, part)| {
                Ok(settings.enforcing(detector, percent(detector.as_str(), part)?))
            })
    }
}

impl Default for EnforcingConfig {
    fn default() -> Self {
        Self {
            consecutive_gateway_failures: 100,
            consecutive_5xx: 100,
            consecutive_local_origin_failures: 100,
            success_rate: 100,
            failure_percentage: 100,
        }
    }
}

fn outside(field: &'static str, range: &str, number: u32) -> InvalidConfig {
    InvalidConfig::new(field, format!("must be {range}, is {number}"))
}

fn percent(field: &'static str, number: u32) -> Result<u8, InvalidConfig> {
    let percent = u8::try_from(number).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| outside(field, "0 to 100", number))
}

fn at_least_one(field: &'static str, number: u32) -> Result<NonZeroU32, InvalidConfig> {
    NonZeroU32::new(number).ok_or_else(|| outside(field, "at least 1", number))
}

fn within(field: &'static str) -> impl Fn(InvalidConfig) -> InvalidConfig {
    move |mistake| mistake.within(field)
}

#[cfg(test)]
mod tests;
