use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::InvalidConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::pool::at_most_a_day;
use crate::{Check, Endpoints, HealthPath, StatusMapping};

/// The serde form of [`Endpoints`]: what is data of the checks that the code makes, by their names.
///
/// ```
/// use portcullis_health_check::{Check, EndpointsConfig, Health, State};
///
/// let config: EndpointsConfig = serde_json::from_str(r#"{"checks": {"cache": {"required": false}}}"#).unwrap();
/// let endpoints = config.endpoints([
///     Check::health("cache", Health::fixed(State::Down)),
///     Check::health("orders", Health::fixed(State::Up)),
/// ]);
/// assert!(endpoints.unwrap().is_ready());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointsConfig {
    /// Whether callers see why a check is down: all or none. Default: none. See [`Endpoints::details`], by which code lets some.
    pub details: bool,
    /// Whether [`Endpoints::started`] is waited for. Default: no. See [`Endpoints::starting`].
    pub starting: bool,
    /// See [`Endpoints::service_id`]. Default: none.
    pub service_id: Option<String>,
    /// See [`Endpoints::version`]. Default: none.
    pub version: Option<String>,
    /// See [`Endpoints::cache_for`]. At most a day.
    #[serde(with = "humantime_serde")]
    pub cache_for: Duration,
    /// What counts as down at a path, by its name: `livez`, `readyz`, `startupz`, `healthz`. See [`Endpoints::mapping`].
    pub mappings: BTreeMap<HealthPath, StatusMappingConfig>,
    /// Names of checks that are left out of all endpoints. Default: none.
    pub exclude: Vec<String>,
    /// What is other than the code says, by the name of the check.
    pub checks: BTreeMap<String, CheckConfig>,
}

/// The serde form of a [`Check`]: what is not said is as the code made it. What is of a probe, its age and how its results are counted, cannot be said of a
/// [`Check::health`], where the monitor's settings say it.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CheckConfig {
    /// False: see [`Check::degraded`].
    pub required: Option<bool>,
    /// See [`Check::startup`].
    pub startup: Option<bool>,
    /// See [`Check::tag`]: in place of those of the code.
    pub tags: Option<Vec<String>>,
    /// See [`Check::timeout`]. At most a minute.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// See [`Check::max_age`]. At most a day.
    #[serde(with = "humantime_serde")]
    pub max_age: Option<Duration>,
    /// See [`Check::rise`].
    pub rise: Option<u32>,
    /// See [`Check::fall`].
    pub fall: Option<u32>,
    /// See [`Check::max_time_in_error`]. At most a day.
    #[serde(with = "humantime_serde")]
    pub max_time_in_error: Option<Duration>,
}

/// The serde form of a [`StatusMapping`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StatusMappingConfig {
    /// See [`StatusMapping::degraded_is_down`].
    pub degraded_is_down: bool,
    /// See [`StatusMapping::unknown_is_down`].
    pub unknown_is_down: bool,
    /// See [`StatusMapping::down`]: 400 to 599.
    pub down: u16,
}

// === impl EndpointsConfig ===

impl EndpointsConfig {
    /// Makes the endpoints of these checks.
    ///
    /// # Errors
    /// When a field cannot be used, or names a check that is not there; the error names it.
    pub fn endpoints(
        &self,
        checks: impl IntoIterator<Item = Check>,
    ) -> Result<Endpoints, InvalidConfig> {
        let mut endpoints = Endpoints::new();
        if self.details {
            endpoints = endpoints.details(|_| true);
        }
        if self.starting {
            endpoints = endpoints.starting();
        }
        for (field, text) in [("service_id", &self.service_id), ("version", &self.version)] {
            if text.as_ref().is_some_and(String::is_empty) {
                return Err(InvalidConfig::new(field, "must not be empty"));
            }
        }
        if let Some(id) = &self.service_id {
            endpoints = endpoints.service_id(id.as_str());
        }
        if let Some(version) = &self.version {
            endpoints = endpoints.version(version.as_str());
        }
        at_most_a_day("cache_for", self.cache_for)?;
        endpoints = endpoints.cache_for(self.cache_for);
        for (path, mapping) in &self.mappings {
            let mapping = StatusMapping::try_from(*mapping);
            let within = |mistake: InvalidConfig| mistake.within(path.as_str()).within("mappings");
            endpoints = endpoints.mapping(*path, mapping.map_err(within)?);
        }
        let checks: Vec<_> = checks.into_iter().collect();
        let find = |name: &String| checks.iter().find(|check| check.name() == name);
        let is_missing = |name| find(name).is_none();
        if let Some(index) = self.exclude.iter().position(is_missing) {
            let mistake = InvalidConfig::whole("no such check");
            return Err(mistake.within_index(index).within("exclude"));
        }
        for (name, config) in &self.checks {
            let within = |mistake: InvalidConfig| mistake.within(name.clone()).within("checks");
            let Some(check) = find(name) else {
                return Err(within(InvalidConfig::whole("no such check")));
            };
            config.look(check).map_err(within)?;
        }
        for check in checks {
            if self.exclude.iter().any(|name| name == check.name()) {
                continue;
            }
            endpoints = endpoints.check(match self.checks.get(check.name()) {
                Some(config) => config.apply(check),
                None => check,
            });
        }
        Ok(endpoints)
    }
}

// === impl CheckConfig ===

impl CheckConfig {
    fn look(&self, check: &Check) -> Result<(), InvalidConfig> {
        let of_probe = [
            ("max_age", self.max_age.is_some()),
            ("rise", self.rise.is_some()),
            ("fall", self.fall.is_some()),
            ("max_time_in_error", self.max_time_in_error.is_some()),
        ];
        if let Some((field, _)) = of_probe.into_iter().find(|(_, said)| *said)
            && check.is_of_health()
        {
            let message = "must not be there where a monitor decides, whose settings say it";
            return Err(InvalidConfig::new(field, message));
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(InvalidConfig::new("timeout", "must be longer than 0"));
        }
        for (field, time, limit) in [
            ("timeout", self.timeout, Duration::from_secs(60)),
            ("max_age", self.max_age, DAY),
            ("max_time_in_error", self.max_time_in_error, DAY),
        ] {
            if let Some(time) = time.filter(|time| *time > limit) {
                let message = format!("must be at most {limit:?}, is {time:?}");
                return Err(InvalidConfig::new(field, message));
            }
        }
        for (field, count) in [("rise", self.rise), ("fall", self.fall)] {
            if count == Some(0) {
                return Err(InvalidConfig::new(field, "must be at least 1, is 0"));
            }
        }
        let mut tags = self.tags.iter().flatten();
        if let Some(index) = tags.position(String::is_empty) {
            let mistake = InvalidConfig::whole("must not be empty: that is the whole server");
            return Err(mistake.within_index(index).within("tags"));
        }
        Ok(())
    }

    fn apply(&self, mut check: Check) -> Check {
        if let Some(required) = self.required {
            check.required = required;
        }
        if let Some(startup) = self.startup {
            check.startup = startup;
        }
        if let Some(tags) = &self.tags {
            check.tags.clear();
            for tag in tags {
                check = check.tag(tag.as_str());
            }
        }
        if let Some(limit) = self.timeout {
            check = check.timeout(limit);
        }
        if let Some(age) = self.max_age {
            check = check.max_age(age);
        }
        if let Some(rise) = self.rise.and_then(NonZeroU32::new) {
            check = check.rise(rise);
        }
        if let Some(fall) = self.fall.and_then(NonZeroU32::new) {
            check = check.fall(fall);
        }
        if let Some(time) = self.max_time_in_error {
            check = check.max_time_in_error(time);
        }
        check
    }
}

// === impl StatusMappingConfig ===

impl Default for StatusMappingConfig {
    fn default() -> Self {
        Self {
            degraded_is_down: false,
            unknown_is_down: false,
            down: 503,
        }
    }
}

impl TryFrom<StatusMappingConfig> for StatusMapping {
    type Error = InvalidConfig;

    fn try_from(config: StatusMappingConfig) -> Result<Self, InvalidConfig> {
        let down = StatusCode::from_u16(config.down).ok();
        let down = down.filter(|status| status.is_client_error() || status.is_server_error());
        let down = down.ok_or_else(|| {
            InvalidConfig::new("down", format!("must be 400 to 599, is {}", config.down))
        })?;
        Ok(Self::new()
            .degraded_is_down(config.degraded_is_down)
            .unknown_is_down(config.unknown_is_down)
            .down(down))
    }
}

// === impl HealthPath ===

impl<'de> Deserialize<'de> for HealthPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mut all = Self::ALL.into_iter();
        all.find(|path| path.as_str() == name).ok_or_else(|| {
            D::Error::custom(format!(
                "must be livez, readyz, startupz or healthz, is {name:?}"
            ))
        })
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Health, State};

    fn checks() -> [Check; 3] {
        [
            Check::health("cache", Health::fixed(State::Down)),
            Check::health("orders", Health::fixed(State::Up)).tag("old"),
            Check::probe("db", || async { Ok(()) }),
        ]
    }

    #[test]
    fn data_and_code_say_the_same() {
        let config = json!({
            "details": true,
            "starting": true,
            "service_id": "orders-7",
            "version": "2",
            "cache_for": "2s",
            "mappings": {"readyz": {"degraded_is_down": true, "unknown_is_down": true, "down": 500}, "livez": {}},
            "exclude": ["orders"],
            "checks": {
                "cache": {"required": false, "startup": true, "tags": ["a.B"]},
                "db": {"timeout": "300ms", "max_age": "5s", "rise": 2, "fall": 3, "max_time_in_error": "30s"},
            },
        });
        let config: EndpointsConfig = serde_json::from_value(config).unwrap();
        let [cache, _, db] = checks();
        let coded = Endpoints::new()
            .details(|_| true)
            .starting()
            .service_id("orders-7")
            .version("2")
            .cache_for(Duration::from_secs(2))
            .mapping(
                HealthPath::Ready,
                StatusMapping::new()
                    .degraded_is_down(true)
                    .unknown_is_down(true)
                    .down(StatusCode::INTERNAL_SERVER_ERROR),
            )
            .mapping(HealthPath::Live, StatusMapping::new())
            .check(cache.degraded().startup().tag("a.B"))
            .check(
                db.timeout(Duration::from_millis(300))
                    .max_age(Duration::from_secs(5))
                    .rise(NonZeroU32::new(2).unwrap())
                    .fall(NonZeroU32::new(3).unwrap())
                    .max_time_in_error(Duration::from_secs(30)),
            );

        let read = config.endpoints(checks()).unwrap();

        assert_eq!(format!("{read:?}"), format!("{coded:?}"));
        let nothing = EndpointsConfig::default().endpoints(checks()).unwrap();
        let coded = checks()
            .into_iter()
            .fold(Endpoints::new(), Endpoints::check);
        assert_eq!(format!("{nothing:?}"), format!("{coded:?}"));
    }

    #[test]
    fn mistakes_are_named() {
        for (config, field) in [
            (json!({"service_id": ""}), "service_id"),
            (json!({"version": ""}), "version"),
            (json!({"cache_for": "25h"}), "cache_for"),
            (
                json!({"mappings": {"readyz": {"down": 399}}}),
                "mappings.readyz.down",
            ),
            (
                json!({"mappings": {"readyz": {"down": 600}}}),
                "mappings.readyz.down",
            ),
            (json!({"exclude": ["orders", "none"]}), "exclude[1]"),
            (json!({"checks": {"none": {}}}), "checks.none"),
            (
                json!({"checks": {"orders": {"max_age": "1s"}}}),
                "checks.orders.max_age",
            ),
            (
                json!({"checks": {"orders": {"rise": 2}}}),
                "checks.orders.rise",
            ),
            (
                json!({"checks": {"orders": {"fall": 2}}}),
                "checks.orders.fall",
            ),
            (
                json!({"checks": {"orders": {"max_time_in_error": "1s"}}}),
                "checks.orders.max_time_in_error",
            ),
            (
                json!({"checks": {"db": {"timeout": "0s"}}}),
                "checks.db.timeout",
            ),
            (
                json!({"checks": {"db": {"timeout": "61s"}}}),
                "checks.db.timeout",
            ),
            (
                json!({"checks": {"db": {"max_age": "25h"}}}),
                "checks.db.max_age",
            ),
            (
                json!({"checks": {"db": {"max_time_in_error": "25h"}}}),
                "checks.db.max_time_in_error",
            ),
            (json!({"checks": {"db": {"rise": 0}}}), "checks.db.rise"),
            (json!({"checks": {"db": {"fall": 0}}}), "checks.db.fall"),
            (
                json!({"checks": {"db": {"tags": ["a", ""]}}}),
                "checks.db.tags[1]",
            ),
        ] {
            let config: EndpointsConfig = serde_json::from_value(config).unwrap();

            let mistake = config.endpoints(checks()).unwrap_err();

            let said = mistake.to_string();
            assert!(said.starts_with(&format!("{field}: ")), "{field}: {said}");
        }
        let unknown = json!({"checks": {"db": {"max_ages": "1s"}}});
        assert!(serde_json::from_value::<EndpointsConfig>(unknown).is_err());
        let nowhere = json!({"mappings": {"ready": {}}});
        let mistake = serde_json::from_value::<EndpointsConfig>(nowhere).unwrap_err();
        let said = "must be livez, readyz, startupz or healthz, is \"ready\"";
        assert!(mistake.to_string().starts_with(said), "{mistake}");
    }
}
