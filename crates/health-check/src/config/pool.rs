use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use http::Uri;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::gate::{GateConfig, ModeConfig};
use super::resolution::ResolutionConfig;
use super::start::Target;
use crate::settings::LONGEST;
use crate::{Balancing, Member, PoolSettings, SlowStart};

/// The serde form of a [`Pool`](crate::Pool): its endpoints, and its [`PoolSettings`] by the same names. Durations are text: `250ms`, `5s`.
///
/// What is left out keeps its default. This names every setting:
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_health_check::{Pool, PoolConfig, PoolSettings};
///
/// let file = ConfigFile::parse(r#"
/// endpoints:
///   - {url: "http://10.0.0.7:8080"}
///   - {url: "http://10.0.0.8:8080", name: big, weight: 3, priority: 0}
///   - {url: "https://backup.example", priority: 1}
/// names:
///   - {host: orders.example, port: 8080, min_ttl: 5s, max_ttl: 300s, timeout: 5s}
/// upstream: orders
/// name: portcullis
/// balancing: peak_ewma
/// default_latency: 1s
/// decay: 10s
/// max_retry_after: 300s
/// overprovisioning: 140
/// panic_threshold: 50
/// mode: fail_fast
/// wait_limit: null
/// slow_start: {window: 30s, aggression: 1.0, min_percent: 10}
/// max_parallel_probes: 100
/// "#)?;
/// let config: PoolConfig = file.read()?;
/// let settings = PoolSettings::try_from(&config).map_err(|mistake| file.locate(mistake))?;
/// let pool = settings.pool();
/// pool.insert_all(config.members(|url| url.clone())?);
/// assert_eq!(pool.len(), 3);
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// The endpoints. Default: none, as where they are discovered.
    pub endpoints: Vec<EndpointConfig>,
    /// Names whose addresses are endpoints too: each is followed by [`Pool::resolve`](crate::Pool::resolve). Default: none.
    pub names: Vec<ResolutionConfig>,
    /// See [`PoolSettings::upstream`].
    pub upstream: String,
    /// See [`PoolSettings::name`].
    pub name: String,
    /// See [`PoolSettings::balancing`]: `peak_ewma`, `least_pending` or `random`.
    pub balancing: BalancingConfig,
    /// See [`PoolSettings::default_latency`].
    #[serde(with = "humantime_serde")]
    pub default_latency: Duration,
    /// See [`PoolSettings::decay`].
    #[serde(with = "humantime_serde")]
    pub decay: Duration,
    /// See [`PoolSettings::max_retry_after`].
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// See [`PoolSettings::overprovisioning`].
    pub overprovisioning: u32,
    /// See [`PoolSettings::panic_threshold`].
    pub panic_threshold: u32,
    /// See [`PoolSettings::mode`]: `fail_fast`, `wait` or `observe`.
    pub mode: ModeConfig,
    /// How long a call waits at most, where the mode is `wait`; it must be said there. At most a day.
    #[serde(with = "humantime_serde")]
    pub wait_limit: Option<Duration>,
    /// See [`PoolSettings::slow_start`].
    pub slow_start: Option<SlowStartConfig>,
    /// See [`PoolSettings::max_parallel_probes`].
    pub max_parallel_probes: Option<usize>,
}

/// The serde form of a [`Member`]: what can be said of one without code.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Where it is: `http://10.0.0.7:8080`.
    pub url: String,
    /// Its name, which is there once. Default: the host and port of the URL.
    #[serde(default)]
    pub name: Option<String>,
    /// See [`Member::weight`]. Default: 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// See [`Member::priority`]. Default: 0.
    #[serde(default)]
    pub priority: u32,
}

/// The serde form of a [`Balancing`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum BalancingConfig {
    /// [`Balancing::PeakEwma`].
    #[default]
    PeakEwma,
    /// [`Balancing::LeastPending`].
    LeastPending,
    /// [`Balancing::Random`].
    Random,
}

/// The serde form of a [`SlowStart`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SlowStartConfig {
    /// See [`SlowStart::new`].
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// See [`SlowStart::aggression`]. Default: 1.
    #[serde(default = "even")]
    pub aggression: f64,
    /// See [`SlowStart::min_percent`]. Default: 10.
    #[serde(default = "ten")]
    pub min_percent: u32,
}

// === impl PoolConfig ===

impl PoolConfig {
    /// Makes the endpoints, with the service that this makes of each URL.
    ///
    /// # Errors
    /// When an endpoint cannot be used; the error names it.
    pub fn members<S>(
        &self,
        mut make: impl FnMut(&Uri) -> S,
    ) -> Result<Vec<Member<S>>, InvalidConfig> {
        let targets = self.targets()?.into_iter();
        let members = targets.map(|(member, target)| member.calling(make(target.url())));
        Ok(members.collect())
    }

    /// The endpoints without services, and where they are.
    pub(super) fn targets(&self) -> Result<Vec<(Member<()>, Target)>, InvalidConfig> {
        let mut names = BTreeSet::new();
        let mut targets = Vec::with_capacity(self.endpoints.len());
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let within = |mistake: InvalidConfig| mistake.within_index(index).within("endpoints");
            let target = endpoint.target().map_err(within)?;
            let weight = count("weight", endpoint.weight).map_err(within)?;
            let name = endpoint.name.as_deref();
            let name = name.unwrap_or(target.host().as_str()).to_owned();
            if !names.insert(name.clone()) {
                let message = format!("must be there once, is {name:?} again");
                return Err(within(InvalidConfig::new("name", message)));
            }
            let member = Member::new(name, ());
            let member = member.weight(weight).priority(endpoint.priority);
            targets.push((member, target));
        }
        Ok(targets)
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        let settings = PoolSettings::default();
        Self {
            endpoints: Vec::new(),
            names: Vec::new(),
            upstream: settings.upstream.to_string(),
            name: settings.name.to_string(),
            balancing: BalancingConfig::default(),
            default_latency: settings.default_latency,
            decay: settings.decay,
            max_retry_after: settings.max_retry_after,
            overprovisioning: settings.overprovisioning,
            panic_threshold: settings.panic_threshold.into(),
            mode: ModeConfig::default(),
            wait_limit: None,
            slow_start: None,
            max_parallel_probes: None,
        }
    }
}

impl TryFrom<&PoolConfig> for PoolSettings {
    type Error = InvalidConfig;

    fn try_from(config: &PoolConfig) -> Result<Self, InvalidConfig> {
        // The mistakes of the endpoints too, so that all of them are found here.
        let _checked = config.targets()?;
        for (index, name) in config.names.iter().enumerate() {
            let within = |mistake: InvalidConfig| mistake.within_index(index).within("names");
            name.check().map_err(within)?;
        }
        for (field, duration) in [
            ("default_latency", config.default_latency),
            ("decay", config.decay),
        ] {
            longer_than_zero(field, duration)?;
            at_most_a_day(field, duration)?;
        }
        at_most_a_day("max_retry_after", config.max_retry_after)?;
        let slow_start = config.slow_start.as_ref().map(SlowStart::try_from);
        let slow_start = slow_start
            .transpose()
            .map_err(|mistake| mistake.within("slow_start"))?;
        let parallel = config.max_parallel_probes.map(|probes| {
            let zero = || InvalidConfig::new("max_parallel_probes", "must be at least 1, is 0");
            NonZeroUsize::new(probes).ok_or_else(zero)
        });
        let gate = GateConfig {
            mode: config.mode,
            wait_limit: config.wait_limit,
            name: None,
        };
        Ok(Self::new()
            .upstream(config.upstream.as_str())
            .name(config.name.as_str())
            .balancing(config.balancing.into())
            .default_latency(config.default_latency)
            .decay(config.decay)
            .max_retry_after(config.max_retry_after)
            .overprovisioning(count("overprovisioning", config.overprovisioning)?.get())
            .panic_threshold(percent("panic_threshold", config.panic_threshold)?)
            .mode(gate.mode()?)
            .slow_start(slow_start)
            .max_parallel_probes(parallel.transpose()?))
    }
}

// === impl EndpointConfig ===

impl EndpointConfig {
    fn target(&self) -> Result<Target, InvalidConfig> {
        let url = self.url.parse::<Uri>().ok();
        let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
        let target = url.and_then(Target::new);
        // What is said of an endpoint, in logs and on pages, must not hold a password.
        if target.as_ref().is_some_and(Target::has_user) {
            return Err(InvalidConfig::new("url", "must have no user or password"));
        }
        target.ok_or_else(|| {
            let message = format!("must be a URL of http or https, is {:?}", self.url);
            InvalidConfig::new("url", message)
        })
    }
}

// === impl BalancingConfig ===

impl From<BalancingConfig> for Balancing {
    fn from(config: BalancingConfig) -> Self {
        match config {
            BalancingConfig::PeakEwma => Self::PeakEwma,
            BalancingConfig::LeastPending => Self::LeastPending,
            BalancingConfig::Random => Self::Random,
        }
    }
}

// === impl SlowStartConfig ===

impl TryFrom<&SlowStartConfig> for SlowStart {
    type Error = InvalidConfig;

    fn try_from(config: &SlowStartConfig) -> Result<Self, InvalidConfig> {
        longer_than_zero("window", config.window)?;
        if !(config.aggression > 0.0 && config.aggression.is_finite()) {
            let message = format!("must be above 0, is {}", config.aggression);
            return Err(InvalidConfig::new("aggression", message));
        }
        Ok(Self::new(config.window)
            .aggression(config.aggression)
            .min_percent(percent("min_percent", config.min_percent)?))
    }
}

pub(super) fn longer_than_zero(
    field: &'static str,
    duration: Duration,
) -> Result<(), InvalidConfig> {
    if duration.is_zero() {
        return Err(InvalidConfig::new(field, "must be longer than 0"));
    }
    Ok(())
}

/// As long as the code takes it to be at most.
pub(super) fn at_most_a_day(field: &'static str, duration: Duration) -> Result<(), InvalidConfig> {
    if duration > LONGEST {
        let message = format!("must be at most 24h, is {duration:?}");
        return Err(InvalidConfig::new(field, message));
    }
    Ok(())
}

fn count(field: &'static str, number: u32) -> Result<NonZeroU32, InvalidConfig> {
    NonZeroU32::new(number).ok_or_else(|| InvalidConfig::new(field, "must be at least 1, is 0"))
}

fn percent(field: &'static str, number: u32) -> Result<u8, InvalidConfig> {
    let percent = u8::try_from(number).ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| InvalidConfig::new(field, format!("must be 0 to 100, is {number}")))
}

const fn one() -> u32 {
    1
}

const fn even() -> f64 {
    1.0
}

const fn ten() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Mode;

    fn read(value: Value) -> PoolConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn data_and_code_say_the_same() {
        let config = read(json!({
            "endpoints": [{"url": "http://10.0.0.7:8080"}, {"url": "https://b.example/", "name": "b", "weight": 3, "priority": 1}],
            "upstream": "orders", "name": "edge", "balancing": "least_pending", "default_latency": "2s", "decay": "5s", "max_retry_after": "7s",
            "overprovisioning": 150, "panic_threshold": 0, "mode": "wait", "wait_limit": "3s", "slow_start": {"window": "30s", "aggression": 2.0},
            "max_parallel_probes": 100,
        }));

        let limit = Duration::from_secs(3);
        let settings = PoolSettings::new()
            .upstream("orders")
            .name("edge")
            .balancing(Balancing::LeastPending)
            .default_latency(Duration::from_secs(2))
            .decay(Duration::from_secs(5))
            .max_retry_after(Duration::from_secs(7))
            .overprovisioning(150)
            .panic_threshold(0)
            .mode(Mode::Wait { limit })
            .slow_start(Some(
                SlowStart::new(Duration::from_secs(30)).aggression(2.0),
            ))
            .max_parallel_probes(NonZeroUsize::new(100));
        let members = [
            Member::new("10.0.0.7:8080", ()),
            Member::new("b", ())
                .weight(NonZeroU32::new(3).unwrap())
                .priority(1),
        ];
        assert_eq!(PoolSettings::try_from(&config).unwrap(), settings);
        let made = config.members(|_| ()).unwrap();
        assert_eq!(format!("{made:?}"), format!("{members:?}"));
        let nothing = PoolSettings::try_from(&read(json!({})));
        assert_eq!(nothing.unwrap(), PoolSettings::default());
        for balancing in [
            Balancing::PeakEwma,
            Balancing::LeastPending,
            Balancing::Random,
        ] {
            let config: BalancingConfig =
                serde_json::from_value(balancing.as_str().into()).unwrap();
            assert_eq!(Balancing::from(config), balancing);
        }
    }

    #[test]
    fn every_mistake_names_its_field() {
        let url = "http://a:1";
        for (value, expected) in [
            (
                json!({"endpoints": [{"url": url}, {"url": "a:1/x"}]}),
                "endpoints[1].url: must be a URL of http or https, is \"a:1/x\"",
            ),
            (
                json!({"endpoints": [{"url": "http://me:secret@a:1"}]}),
                "endpoints[0].url: must have no user or password",
            ),
            (
                json!({"endpoints": [{"url": url, "weight": 0}]}),
                "endpoints[0].weight: must be at least 1, is 0",
            ),
            (
                json!({"endpoints": [{"url": url}, {"url": url}]}),
                "endpoints[1].name: must be there once, is \"a:1\" again",
            ),
            (
                json!({"names": [{"host": "a", "port": 0}]}),
                "names[0].port: must be at least 1, is 0",
            ),
            (json!({"decay": "0s"}), "decay: must be longer than 0"),
            (
                json!({"default_latency": "0s"}),
                "default_latency: must be longer than 0",
            ),
            (
                json!({"default_latency": "25h"}),
                "default_latency: must be at most 24h, is 90000s",
            ),
            (
                json!({"decay": "25h"}),
                "decay: must be at most 24h, is 90000s",
            ),
            (
                json!({"max_retry_after": "25h"}),
                "max_retry_after: must be at most 24h, is 90000s",
            ),
            (
                json!({"mode": "wait", "wait_limit": "25h"}),
                "wait_limit: must be at most 24h, is 90000s",
            ),
            (
                json!({"names": [{"host": "a", "port": 80, "max_ttl": "25h"}]}),
                "names[0].max_ttl: must be at most 24h, is 90000s",
            ),
            (
                json!({"overprovisioning": 0}),
                "overprovisioning: must be at least 1, is 0",
            ),
            (
                json!({"panic_threshold": 101}),
                "panic_threshold: must be 0 to 100, is 101",
            ),
            (
                json!({"max_parallel_probes": 0}),
                "max_parallel_probes: must be at least 1, is 0",
            ),
            (
                json!({"mode": "wait"}),
                "wait_limit: must be there where mode is wait",
            ),
            (
                json!({"slow_start": {"window": "0s"}}),
                "slow_start.window: must be longer than 0",
            ),
            (
                json!({"slow_start": {"window": "1s", "aggression": 0.0}}),
                "slow_start.aggression: must be above 0, is 0",
            ),
            (
                json!({"slow_start": {"window": "1s", "min_percent": 101}}),
                "slow_start.min_percent: must be 0 to 100, is 101",
            ),
        ] {
            let mistake = PoolSettings::try_from(&read(value.clone())).unwrap_err();
            assert_eq!(mistake.to_string(), expected, "{value}");
        }
    }
}
