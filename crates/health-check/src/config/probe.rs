use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};
use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use super::Config;
use crate::tcp_probe::MAX_RECEIVED_BYTES;
use crate::{HttpProbe, Pattern, TcpProbe};

/// The serde form of a [`Pattern`]: at least one of the two.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PatternConfig {
    /// See [`Pattern::starts_with`].
    pub starts_with: Option<String>,
    /// See [`Pattern::contains`]; several must come in this order. See [`Pattern::then`].
    pub contains: Vec<String>,
}

/// The serde form of a [`TcpProbe`].
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TcpProbeConfig {
    /// See [`TcpProbe::send`].
    pub send: String,
    /// See [`TcpProbe::receive`].
    pub receive: Option<PatternConfig>,
    /// See [`TcpProbe::max_bytes`]: 1 to 1 MiB.
    pub max_bytes: usize,
    /// See [`TcpProbe::timeout`].
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
}

/// The most bytes of an answer that a setting can ask for.
const MOST_BYTES: usize = 1 << 20;

// === impl PatternConfig ===

impl PatternConfig {
    fn pattern(&self) -> Result<Pattern, InvalidConfig> {
        let mut pieces = self.contains.iter().cloned();
        let first = match &self.starts_with {
            Some(start) => Some(Pattern::starts_with(start.clone())),
            None => pieces.next().map(Pattern::contains),
        };
        let first = first.ok_or_else(|| {
            InvalidConfig::whole("must have starts_with or contains, and has neither")
        })?;
        Ok(pieces.fold(first, Pattern::then))
    }
}

// === impl TcpProbeConfig ===

impl TcpProbeConfig {
    /// Makes the probe of this address, `10.0.0.7:6379`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn probe(&self, address: &str) -> Result<TcpProbe, InvalidConfig> {
        let Self {
            send,
            receive,
            max_bytes,
            timeout,
        } = self;
        let mut probe = TcpProbe::new(address)
            .send(send.clone())
            .max_bytes(bytes("max_bytes", *max_bytes)?);
        if let Some(pattern) = receive {
            let pattern = pattern.pattern();
            probe = probe.receive(pattern.map_err(|mistake| mistake.within("receive"))?);
        }
        match timeout {
            Some(Duration::ZERO) => Err(InvalidConfig::new("timeout", "must be longer than 0")),
            Some(limit) => Ok(probe.timeout(*limit)),
            None => Ok(probe),
        }
    }
}

/// Sends nothing and expects nothing.
impl Default for TcpProbeConfig {
    fn default() -> Self {
        Self {
            send: String::new(),
            receive: None,
            max_bytes: MAX_RECEIVED_BYTES,
            timeout: None,
        }
    }
}

// === impl Config ===

impl Config {
    /// Makes the probe, over this client and to this upstream: `http://10.0.0.7:8080`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn probe<C>(&self, client: C, upstream: &str) -> Result<HttpProbe<C>, InvalidConfig> {
        let path = &self.path;
        let uri = path
            .starts_with('/')
            .then(|| format!("{}{path}", upstream.trim_end_matches('/')));
        let uri = uri.and_then(|uri| uri.parse::<Uri>().ok());
        let uri = uri.ok_or_else(|| {
            InvalidConfig::new(
                "path",
                format!("must be a path that starts with /, is {path:?}"),
            )
        })?;
        let method = match self.method.as_str() {
            "GET" => Method::GET,
            "HEAD" if self.body.is_some() => {
                let message = "must not be HEAD where body is there";
                return Err(InvalidConfig::new("method", message));
            }
            "HEAD" => Method::HEAD,
            other => {
                let message = format!("must be GET or HEAD, is {other:?}");
                return Err(InvalidConfig::new("method", message));
            }
        };
        let expected =
            range(self.expected).map_err(|message| InvalidConfig::new("expected", message))?;
        let mut probe = HttpProbe::new(client, uri)
            .method(method)
            .expected(expected)
            .max_body(bytes("max_body", self.max_body)?);
        for range in ranges("also_expected", &self.also_expected) {
            probe = probe.also_expected(range?);
        }
        for range in ranges("decisive", &self.decisive) {
            probe = probe.decisive(range?);
        }
        for (name, pattern) in &self.expected_headers {
            let mistake =
                |mistake: InvalidConfig| mistake.within(name.clone()).within("expected_headers");
            let header = HeaderName::try_from(name);
            let header =
                header.map_err(|_| mistake(InvalidConfig::whole("must be the name of a field")))?;
            probe = probe.expected_header(header, pattern.pattern().map_err(mistake)?);
        }
        if let Some(host) = &self.host {
            probe = probe.host(value(host).map_err(|message| InvalidConfig::new("host", message))?);
        }
        for (name, text) in &self.headers {
            let mistake =
                |message: String| InvalidConfig::new(name.clone(), message).within("headers");
            let header = HeaderName::try_from(name)
                .map_err(|_| mistake("must be the name of a field".to_owned()))?;
            probe = probe.header(header, value(text).map_err(mistake)?);
        }
        if let Some(pattern) = &self.body {
            let pattern = pattern.pattern();
            probe = probe.body(pattern.map_err(|mistake| mistake.within("body"))?);
        }
        Ok(probe)
    }

    /// Makes the probe of this address over TCP, where there is a section `tcp`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn tcp_probe(&self, address: &str) -> Result<Option<TcpProbe>, InvalidConfig> {
        let probe = self.tcp.as_ref().map(|tcp| tcp.probe(address));
        probe.transpose().map_err(|mistake| mistake.within("tcp"))
    }
}

fn range((low, high): (u16, u16)) -> Result<RangeInclusive<u16>, String> {
    if low > high || low < 100 || high > 599 {
        return Err(format!(
            "must be two statuses in order, 100 to 599, is [{low}, {high}]"
        ));
    }
    Ok(low..=high)
}

fn ranges(
    field: &'static str,
    pairs: &[(u16, u16)],
) -> impl Iterator<Item = Result<RangeInclusive<u16>, InvalidConfig>> {
    pairs.iter().enumerate().map(move |(index, pair)| {
        let mistake = |message| {
            InvalidConfig::whole(message)
                .within_index(index)
                .within(field)
        };
        range(*pair).map_err(mistake)
    })
}

fn bytes(field: &'static str, bytes: usize) -> Result<usize, InvalidConfig> {
    if (1..=MOST_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    let message = format!("must be 1 to {MOST_BYTES}, is {bytes}");
    Err(InvalidConfig::new(field, message))
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| format!("must be the value of a field, is {text:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_probe_from_data_is_the_one_from_code() {
        let config = config(json!({
            "path": "/healthz", "expected": [200, 204], "also_expected": [[404, 404]], "decisive": [[410, 410]], "host": "orders",
            "expected_headers": {"x-served-by": {"starts_with": "orders"}},
            "headers": {"x-probe": "1"}, "max_body": 1000, "body": {"starts_with": "{", "contains": ["status", "pass"]},
            "tcp": {"send": "PING\r\n", "receive": {"contains": ["PONG", "\n"]}, "max_bytes": 64, "timeout": "300ms"},
        }));

        let http = HttpProbe::new((), "http://a:1/healthz".parse().unwrap())
            .expected(200..=204)
            .also_expected(404..=404)
            .decisive(410..=410)
            .expected_header(
                "x-served-by".parse().unwrap(),
                Pattern::starts_with("orders"),
            )
            .host(HeaderValue::from_static("orders"))
            .header("x-probe".parse().unwrap(), HeaderValue::from_static("1"))
            .max_body(1000)
            .body(Pattern::starts_with("{").then("status").then("pass"));
        let tcp = TcpProbe::new("a:1")
            .send("PING\r\n")
            .receive(Pattern::contains("PONG").then("\n"))
            .max_bytes(64)
            .timeout(Duration::from_millis(300));
        let ours = config.probe((), "http://a:1/").unwrap();
        assert_eq!(format!("{ours:?}"), format!("{http:?}"));
        let ours = config.tcp_probe("a:1").unwrap().unwrap();
        assert_eq!(format!("{ours:?}"), format!("{tcp:?}"));
        let plain = Config::default().probe((), "http://a/").unwrap();
        let code = HttpProbe::new((), "http://a/".parse().unwrap());
        assert_eq!(format!("{plain:?}"), format!("{code:?}"));
        let plain = TcpProbeConfig::default().probe("a:1").unwrap();
        assert_eq!(format!("{plain:?}"), format!("{:?}", TcpProbe::new("a:1")));
    }

    #[test]
    fn every_mistake_of_a_probe_names_its_field() {
        let range = "must be two statuses in order, 100 to 599, is";
        for (value, expected) in [
            (
                json!({"also_expected": [[200, 204], [600, 700]]}),
                format!("also_expected[1]: {range} [600, 700]"),
            ),
            (
                json!({"decisive": [[5, 7]]}),
                format!("decisive[0]: {range} [5, 7]"),
            ),
            (
                json!({"host": "a\nb"}),
                "host: must be the value of a field, is \"a\\nb\"".to_owned(),
            ),
            (
                json!({"headers": {"a b": "c"}}),
                "headers.a b: must be the name of a field".to_owned(),
            ),
            (
                json!({"expected_headers": {"a b": {"contains": ["c"]}}}),
                "expected_headers.a b: must be the name of a field".to_owned(),
            ),
            (
                json!({"expected_headers": {"a": {}}}),
                "expected_headers.a: must have starts_with or contains, and has neither".to_owned(),
            ),
            (
                json!({"max_body": 0}),
                "max_body: must be 1 to 1048576, is 0".to_owned(),
            ),
            (
                json!({"body": {}}),
                "body: must have starts_with or contains, and has neither".to_owned(),
            ),
            (
                json!({"method": "HEAD", "body": {"contains": ["a"]}}),
                "method: must not be HEAD where body is there".to_owned(),
            ),
            (
                json!({"tcp": {"receive": {}}}),
                "tcp.receive: must have starts_with or contains, and has neither".to_owned(),
            ),
            (
                json!({"tcp": {"max_bytes": 2_000_000}}),
                "tcp.max_bytes: must be 1 to 1048576, is 2000000".to_owned(),
            ),
            (
                json!({"tcp": {"timeout": "0s"}}),
                "tcp.timeout: must be longer than 0".to_owned(),
            ),
        ] {
            let config = config(value.clone());
            let http = config.probe((), "http://a").err();
            let tcp = || config.tcp_probe("a:1").err();
            let mistake = http.or_else(tcp).unwrap();
            assert_eq!(mistake.to_string(), expected, "{value}");
        }
    }
}
