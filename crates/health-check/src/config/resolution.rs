use std::time::Duration;

use http::uri::Authority;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::pool::{at_most_a_day, longer_than_zero};
use crate::{Resolution, Resolve};

/// The serde form of a [`Resolution`]: a name whose addresses are endpoints. Durations are text: `250ms`, `5s`.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ResolutionConfig {
    /// The name: `orders.example`.
    pub host: String,
    /// The port of its endpoints.
    pub port: u16,
    /// See [`Resolution::min_ttl`]. Default: 5 s.
    #[serde(default = "five_seconds", with = "humantime_serde")]
    pub min_ttl: Duration,
    /// See [`Resolution::max_ttl`]. Default: 300 s.
    #[serde(default = "five_minutes", with = "humantime_serde")]
    pub max_ttl: Duration,
    /// See [`Resolution::timeout`]. Default: 5 s.
    #[serde(default = "five_seconds", with = "humantime_serde")]
    pub timeout: Duration,
}

// === impl ResolutionConfig ===

impl ResolutionConfig {
    /// Makes the resolution, by this resolver.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn resolution<R: Resolve>(&self, resolver: R) -> Result<Resolution<R>, InvalidConfig> {
        self.check()?;
        Ok(Resolution::new(resolver, self.host.as_str(), self.port)
            .min_ttl(self.min_ttl)
            .max_ttl(self.max_ttl)
            .timeout(self.timeout))
    }

    /// What `host` says of its endpoints.
    pub(super) fn authority(&self) -> Result<Authority, InvalidConfig> {
        let Self { host, port, .. } = self;
        let is_name = !host.is_empty() && !host.contains([' ', '/', ':', '@']);
        let authority = match port {
            80 => host.parse().ok(),
            _ => format!("{host}:{port}").parse().ok(),
        };
        authority
            .filter(|_| is_name)
            .ok_or_else(|| InvalidConfig::new("host", format!("must be a name, is {host:?}")))
    }

    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        self.authority()?;
        if self.port == 0 {
            return Err(InvalidConfig::new("port", "must be at least 1, is 0"));
        }
        longer_than_zero("min_ttl", self.min_ttl)?;
        at_most_a_day("min_ttl", self.min_ttl)?;
        at_most_a_day("max_ttl", self.max_ttl)?;
        longer_than_zero("timeout", self.timeout)?;
        if self.max_ttl < self.min_ttl {
            let (max, min) = (self.max_ttl, self.min_ttl);
            let message = format!("must not be shorter than min_ttl, is {max:?} and that {min:?}");
            return Err(InvalidConfig::new("max_ttl", message));
        }
        Ok(())
    }
}

const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::Resolved;

    fn read(value: Value) -> ResolutionConfig {
        serde_json::from_value(value).unwrap()
    }

    /// A function, so that it has a `Debug`.
    type Resolver = fn(
        Arc<str>,
    ) -> std::future::Ready<
        Result<Resolved, Box<dyn std::error::Error + Send + Sync>>,
    >;

    #[test]
    fn data_and_code_say_the_same() {
        let resolver: Resolver = |_| std::future::ready(Ok(Resolved::default()));
        let seconds = Duration::from_secs;
        for (value, expected) in [
            (
                json!({"host": "orders", "port": 80}),
                Resolution::new(resolver, "orders", 80),
            ),
            (
                json!({"host": "orders", "port": 81, "min_ttl": "1s", "max_ttl": "2s", "timeout": "3s"}),
                Resolution::new(resolver, "orders", 81)
                    .min_ttl(seconds(1))
                    .max_ttl(seconds(2))
                    .timeout(seconds(3)),
            ),
        ] {
            let ours = read(value).resolution(resolver).unwrap();
            assert_eq!(format!("{ours:?}"), format!("{expected:?}"));
        }
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (value, expected) in [
            (
                json!({"host": "http://a", "port": 80}),
                "host: must be a name, is \"http://a\"",
            ),
            (
                json!({"host": "a", "port": 0}),
                "port: must be at least 1, is 0",
            ),
            (
                json!({"host": "a", "port": 80, "min_ttl": "0s"}),
                "min_ttl: must be longer than 0",
            ),
            (
                json!({"host": "a", "port": 80, "min_ttl": "25h"}),
                "min_ttl: must be at most 24h, is 90000s",
            ),
            (
                json!({"host": "a", "port": 80, "max_ttl": "25h"}),
                "max_ttl: must be at most 24h, is 90000s",
            ),
            (
                json!({"host": "a", "port": 80, "timeout": "0s"}),
                "timeout: must be longer than 0",
            ),
            (
                json!({"host": "a", "port": 80, "max_ttl": "1s"}),
                "max_ttl: must not be shorter than min_ttl, is 1s and that 5s",
            ),
        ] {
            let mistake = read(value.clone()).check().unwrap_err();
            assert_eq!(mistake.to_string(), expected, "{value}");
        }
    }
}
