use std::time::Duration;

use http::uri::PathAndQuery;
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::{Endpoints, StatusPage};

/// The serde form of a [`StatusPage`]; what it shows, the code adds.
///
/// ```
/// use portcullis_health_check::{Endpoints, Health, State, StatusPageConfig};
///
/// let config: StatusPageConfig = serde_json::from_str(r#"{"path": "/ops", "listeners": 4}"#).unwrap();
/// let page = config.page(Endpoints::new()).unwrap();
/// let page = page.health("orders", Health::fixed(State::Up));
/// # drop(page);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StatusPageConfig {
    /// See [`StatusPage::path`]. Here it begins with a slash.
    pub path: String,
    /// See [`StatusPage::listeners`].
    pub listeners: usize,
    /// See [`StatusPage::heartbeat`]. At most an hour.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
}

// === impl StatusPageConfig ===

impl StatusPageConfig {
    /// Makes the page without upstreams, for whom these endpoints let see details.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn page(&self, endpoints: Endpoints) -> Result<StatusPage, InvalidConfig> {
        let is_path = |path: &PathAndQuery| path.path() == self.path;
        let path = self.path.parse().ok().filter(is_path);
        if path.is_none() || !self.path.starts_with('/') {
            let message = "must be a path that begins with a slash, without a query";
            return Err(InvalidConfig::new("path", message));
        }
        if self.heartbeat.is_zero() || self.heartbeat > LONGEST {
            let message = format!(
                "must be longer than 0 and at most {LONGEST:?}, is {:?}",
                self.heartbeat
            );
            return Err(InvalidConfig::new("heartbeat", message));
        }
        Ok(StatusPage::new(endpoints)
            .path(&self.path)
            .listeners(self.listeners)
            .heartbeat(self.heartbeat))
    }
}

impl Default for StatusPageConfig {
    fn default() -> Self {
        Self {
            path: StatusPage::PATH.to_owned(),
            listeners: StatusPage::LISTENERS,
            heartbeat: StatusPage::HEARTBEAT,
        }
    }
}

const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_and_code_say_the_same() {
        let config = json!({"path": "/ops/state", "listeners": 3, "heartbeat": "20s"});
        let config: StatusPageConfig = serde_json::from_value(config).unwrap();
        let coded = StatusPage::new(Endpoints::new())
            .path("/ops/state")
            .listeners(3)
            .heartbeat(Duration::from_secs(20));

        let read = config.page(Endpoints::new()).unwrap();

        assert_eq!(format!("{read:?}"), format!("{coded:?}"));
        let nothing: StatusPageConfig = serde_json::from_value(json!({})).unwrap();
        let read = nothing.page(Endpoints::new()).unwrap();
        let coded = StatusPage::new(Endpoints::new());
        assert_eq!(format!("{read:?}"), format!("{coded:?}"));
    }

    #[test]
    fn mistakes_are_named() {
        for (config, field) in [
            (json!({"path": "status"}), "path"),
            (json!({"path": ""}), "path"),
            (json!({"path": "*"}), "path"),
            (json!({"path": "/status?x"}), "path"),
            (json!({"path": "/a b"}), "path"),
            (json!({"heartbeat": "0s"}), "heartbeat"),
            (json!({"heartbeat": "61m"}), "heartbeat"),
        ] {
            let read: StatusPageConfig = serde_json::from_value(config.clone()).unwrap();

            let mistake = read.page(Endpoints::new()).unwrap_err();

            let said = mistake.to_string();
            assert!(said.starts_with(&format!("{field}: ")), "{config}: {said}");
        }
        let unknown = json!({"paths": "/status"});
        assert!(serde_json::from_value::<StatusPageConfig>(unknown).is_err());
    }
}
