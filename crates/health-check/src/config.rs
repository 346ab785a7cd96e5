use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Uri;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use self::pool::{at_most_a_day, longer_than_zero};
#[cfg(doc)]
use crate::HttpProbe;
use crate::http_probe::MAX_BODY_BYTES;
use crate::settings::MOST_HISTORY;
use crate::thresholds::Thresholds;
use crate::{Initial, OutlierDetection, Settings};

mod endpoints;
mod gate;
mod grpc_probe;
mod outliers;
mod pool;
mod probe;
mod resolution;
mod start;
#[cfg(feature = "status-page")]
mod status_page;

pub use self::endpoints::{CheckConfig, EndpointsConfig, StatusMappingConfig};
pub use self::gate::{GateConfig, ModeConfig};
pub use self::grpc_probe::GrpcProbeConfig;
pub use self::outliers::{
    EnforcingConfig, FailurePercentageConfig, OutlierDetectionConfig, SuccessRateConfig,
};
pub use self::pool::{BalancingConfig, EndpointConfig, PoolConfig, SlowStartConfig};
pub use self::probe::{PatternConfig, TcpProbeConfig};
pub use self::resolution::ResolutionConfig;
pub use self::start::{Target, Watcher};
#[cfg(feature = "status-page")]
pub use self::status_page::StatusPageConfig;

/// The serde form of a [`Monitor`](crate::Monitor) with an [`HttpProbe`]: their settings by the same names. Durations are text: `250ms`, `5s`.
///
/// The gate and the outlier detection have sections of their own, whose mistakes are found with those of the [`Settings`].
///
/// What is left out keeps its default. This names every setting:
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_health_check::{Config, Settings};
///
/// let file = ConfigFile::parse(r#"
/// path: /
/// method: GET
/// expected: [200, 399]
/// also_expected: []
/// decisive: []
/// expected_headers: {}
/// host: null
/// headers: {}
/// body: null               # {starts_with: "{", contains: ["pass"]}
/// max_body: 65536
/// tcp: null                # {send: "PING\r\n", receive: {contains: [PONG]}, max_bytes: 4096, timeout: 1s}
/// grpc: null               # {service: orders.v1, unimplemented_is_up: false, watch: false, timeout: 1s}
/// interval: 5s
/// unhealthy_interval: null
/// healthy_edge_interval: null
/// unhealthy_edge_interval: null
/// changing_interval: null
/// no_traffic_interval: null
/// no_traffic_healthy_interval: null
/// on_demand: null
/// initial_delay: 0s
/// initial_jitter: 0s
/// interval_jitter: 0s
/// jitter: 0.1
/// timeout: 1s
/// rise: 2
/// fall: 3
/// max_time_in_error: 0s
/// initial: optimistic
/// history: 16
/// gate: {mode: fail_fast, wait_limit: null, name: null}
/// outlier_detection: null
/// passive_only: false
/// "#)?;
/// let config: Config = file.read()?;
/// assert_eq!(config, Config::default());
/// let settings = Settings::try_from(&config).map_err(|mistake| file.locate(mistake))?;
/// assert_eq!(settings, Settings::default());
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The path that is probed at the upstream. Default: `/`.
    pub path: String,
    /// See [`HttpProbe::method`]: `GET` or `HEAD`.
    pub method: String,
    /// The lowest and the highest status that mean up. See [`HttpProbe::expected`].
    pub expected: (u16, u16),
    /// Other ranges of statuses that mean up. See [`HttpProbe::also_expected`].
    pub also_expected: Vec<(u16, u16)>,
    /// Ranges of statuses that turn it down at once. See [`HttpProbe::decisive`].
    pub decisive: Vec<(u16, u16)>,
    /// Fields that an answer must have, by their names. See [`HttpProbe::expected_header`].
    pub expected_headers: BTreeMap<String, PatternConfig>,
    /// See [`HttpProbe::host`].
    pub host: Option<String>,
    /// See [`HttpProbe::header`].
    pub headers: BTreeMap<String, String>,
    /// See [`HttpProbe::body`].
    pub body: Option<PatternConfig>,
    /// See [`HttpProbe::max_body`]: 1 to 1 MiB.
    pub max_body: usize,
    /// A probe over TCP in place of that. See [`Config::tcp_probe`].
    pub tcp: Option<TcpProbeConfig>,
    /// A probe by `grpc.health.v1` in place of that, over a client that speaks HTTP/2. See [`Config::grpc_probe`].
    pub grpc: Option<GrpcProbeConfig>,
    /// See [`Monitor::interval`](crate::Monitor::interval).
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// See [`Monitor::unhealthy_interval`](crate::Monitor::unhealthy_interval).
    #[serde(with = "humantime_serde")]
    pub unhealthy_interval: Option<Duration>,
    /// See [`Monitor::healthy_edge_interval`](crate::Monitor::healthy_edge_interval).
    #[serde(with = "humantime_serde")]
    pub healthy_edge_interval: Option<Duration>,
    /// See [`Monitor::unhealthy_edge_interval`](crate::Monitor::unhealthy_edge_interval).
    #[serde(with = "humantime_serde")]
    pub unhealthy_edge_interval: Option<Duration>,
    /// See [`Monitor::changing_interval`](crate::Monitor::changing_interval).
    #[serde(with = "humantime_serde")]
    pub changing_interval: Option<Duration>,
    /// See [`Monitor::no_traffic_interval`](crate::Monitor::no_traffic_interval).
    #[serde(with = "humantime_serde")]
    pub no_traffic_interval: Option<Duration>,
    /// See [`Monitor::no_traffic_healthy_interval`](crate::Monitor::no_traffic_healthy_interval).
    #[serde(with = "humantime_serde")]
    pub no_traffic_healthy_interval: Option<Duration>,
    /// See [`Monitor::on_demand`](crate::Monitor::on_demand).
    #[serde(with = "humantime_serde")]
    pub on_demand: Option<Duration>,
    /// See [`Monitor::initial_delay`](crate::Monitor::initial_delay).
    #[serde(with = "humantime_serde")]
    pub initial_delay: Duration,
    /// See [`Monitor::initial_jitter`](crate::Monitor::initial_jitter).
    #[serde(with = "humantime_serde")]
    pub initial_jitter: Duration,
    /// See [`Monitor::interval_jitter`](crate::Monitor::interval_jitter).
    #[serde(with = "humantime_serde")]
    pub interval_jitter: Duration,
    /// See [`Monitor::history`](crate::Monitor::history).
    pub history: usize,
    /// See [`Monitor::jitter`](crate::Monitor::jitter).
    pub jitter: f64,
    /// See [`Monitor::timeout`](crate::Monitor::timeout).
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// See [`Monitor::rise`](crate::Monitor::rise).
    pub rise: u32,
    /// See [`Monitor::fall`](crate::Monitor::fall).
    pub fall: u32,
    /// See [`Monitor::max_time_in_error`](crate::Monitor::max_time_in_error).
    #[serde(with = "humantime_serde")]
    pub max_time_in_error: Duration,
    /// See [`Monitor::initial`](crate::Monitor::initial): `optimistic`, `pessimistic`, `fully_up`, `fully_down` or `wait_for_first`.
    pub initial: InitialConfig,
    /// What the gate does while the upstream is down.
    pub gate: GateConfig,
    /// How calls show that it is down. Default: they do not.
    pub outlier_detection: Option<OutlierDetectionConfig>,
    /// Whether only calls show it, and nobody probes; `outlier_detection` must be there then. Default: no.
    pub passive_only: bool,
}

/// The serde form of an [`Initial`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum InitialConfig {
    /// [`Initial::Optimistic`].
    #[default]
    Optimistic,
    /// [`Initial::Pessimistic`].
    Pessimistic,
    /// [`Initial::FullyUp`].
    FullyUp,
    /// [`Initial::FullyDown`].
    FullyDown,
    /// [`Initial::WaitForFirst`].
    WaitForFirst,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            path: "/".to_owned(),
            method: "GET".to_owned(),
            expected: (200, 399),
            also_expected: Vec::new(),
            decisive: Vec::new(),
            expected_headers: BTreeMap::new(),
            host: None,
            headers: BTreeMap::new(),
            body: None,
            max_body: MAX_BODY_BYTES,
            tcp: None,
            grpc: None,
            interval: settings.interval,
            unhealthy_interval: settings.unhealthy_interval,
            healthy_edge_interval: settings.healthy_edge_interval,
            unhealthy_edge_interval: settings.unhealthy_edge_interval,
            changing_interval: settings.changing_interval,
            no_traffic_interval: settings.no_traffic_interval,
            no_traffic_healthy_interval: settings.no_traffic_healthy_interval,
            on_demand: settings.on_demand,
            initial_delay: settings.initial_delay,
            initial_jitter: settings.initial_jitter,
            interval_jitter: settings.interval_jitter,
            history: settings.history,
            jitter: settings.jitter,
            timeout: settings.timeout,
            rise: settings.thresholds.rise.get(),
            fall: settings.thresholds.fall.get(),
            max_time_in_error: settings.thresholds.max_time_in_error,
            initial: InitialConfig::Optimistic,
            gate: GateConfig::default(),
            outlier_detection: None,
            passive_only: false,
        }
    }
}

impl TryFrom<&Config> for Settings {
    type Error = InvalidConfig;

    fn try_from(config: &Config) -> Result<Self, InvalidConfig> {
        for (field, duration) in [
            ("interval", Some(config.interval)),
            ("unhealthy_interval", config.unhealthy_interval),
            ("healthy_edge_interval", config.healthy_edge_interval),
            ("unhealthy_edge_interval", config.unhealthy_edge_interval),
            ("changing_interval", config.changing_interval),
            ("no_traffic_interval", config.no_traffic_interval),
            (
                "no_traffic_healthy_interval",
                config.no_traffic_healthy_interval,
            ),
            ("on_demand", config.on_demand),
        ] {
            if let Some(duration) = duration {
                longer_than_zero(field, duration)?;
                at_most_a_day(field, duration)?;
            }
        }
        for (field, duration) in [
            ("initial_delay", config.initial_delay),
            ("initial_jitter", config.initial_jitter),
            ("interval_jitter", config.interval_jitter),
            ("max_time_in_error", config.max_time_in_error),
        ] {
            at_most_a_day(field, duration)?;
        }
        longer_than_zero("timeout", config.timeout)?;
        if !(0.0..=1.0).contains(&config.jitter) {
            return Err(InvalidConfig::new(
                "jitter",
                format!("must be 0 to 1, is {}", config.jitter),
            ));
        }
        if config.history > MOST_HISTORY {
            let message = format!("must be at most {MOST_HISTORY}, is {}", config.history);
            return Err(InvalidConfig::new("history", message));
        }
        let count = |field, number| {
            let zero = || InvalidConfig::new(field, "must be at least 1, is 0");
            NonZeroU32::new(number).ok_or_else(zero)
        };
        let _checked = config
            .gate
            .mode()
            .map_err(|mistake| mistake.within("gate"))?;
        let _checked = config.tcp_probe("")?;
        let _checked = config.grpc_probe((), Uri::default())?;
        if let Some(outliers) = &config.outlier_detection {
            let _checked = OutlierDetection::try_from(outliers)
                .map_err(|mistake| mistake.within("outlier_detection"))?;
        }
        if config.passive_only && config.outlier_detection.is_none() {
            let message = "must not be set where outlier_detection is not there";
            return Err(InvalidConfig::new("passive_only", message));
        }
        let initial = match config.initial {
            InitialConfig::Optimistic => Initial::Optimistic,
            InitialConfig::Pessimistic => Initial::Pessimistic,
            InitialConfig::FullyUp => Initial::FullyUp,
            InitialConfig::FullyDown => Initial::FullyDown,
            InitialConfig::WaitForFirst => Initial::WaitForFirst,
        };
        Ok(Self {
            interval: config.interval,
            unhealthy_interval: config.unhealthy_interval,
            healthy_edge_interval: config.healthy_edge_interval,
            unhealthy_edge_interval: config.unhealthy_edge_interval,
            changing_interval: config.changing_interval,
            no_traffic_interval: config.no_traffic_interval,
            no_traffic_healthy_interval: config.no_traffic_healthy_interval,
            on_demand: config.on_demand,
            initial_delay: config.initial_delay,
            initial_jitter: config.initial_jitter,
            interval_jitter: config.interval_jitter,
            history: config.history,
            jitter: config.jitter,
            timeout: config.timeout,
            thresholds: Thresholds {
                rise: count("rise", config.rise)?,
                fall: count("fall", config.fall)?,
                max_time_in_error: config.max_time_in_error,
            },
            initial,
            probe_limit: None,
            seed: None,
        })
    }
}

#[cfg(test)]
mod tests;
