use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;

use crate::{ErrorKind, GatewayErrorLayer, InvalidConfig};

/// The serde form of [`GatewayErrorLayer`]: the same settings with the same words.
///
/// ```
/// use portcullis_gateway_error::{Config, ConfigFile, GatewayErrorLayer, InvalidConfig};
///
/// let file = ConfigFile::parse("name: edge\nstatuses:\n  dns_error: 502\n")?;
/// let layer = GatewayErrorLayer::try_from(file.read::<Config>()?)?;
/// # drop(layer);
///
/// let file = ConfigFile::parse("statuses:\n  dns_error: 200\n")?;
/// let mistake = GatewayErrorLayer::try_from(file.read::<Config>()?).unwrap_err();
/// assert_eq!(
///     file.locate(mistake).to_string(),
///     "line 2, column 3: statuses.dns_error: must be from 400 to 599, is 200"
/// );
/// # Ok::<_, InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of this hop in `Proxy-Status`: [`GatewayErrorLayer::name`].
    pub name: Option<String>,
    /// Whether the text of errors goes to the caller: [`GatewayErrorLayer::expose_details`].
    pub expose_details: bool,
    /// Whether failures are logged as a whole diagnosis: [`GatewayErrorLayer::diagnose`].
    pub diagnose: bool,
    /// Whether every kind has the status that RFC 9209 recommends: [`GatewayErrorLayer::recommended_statuses`]. `statuses` go before it.
    pub recommended_statuses: bool,
    /// The status of single kinds, by their token: [`GatewayErrorLayer::status`].
    pub statuses: BTreeMap<String, u16>,
}

impl TryFrom<Config> for GatewayErrorLayer {
    type Error = InvalidConfig;

    /// # Errors
    /// When the name is empty or not printable ASCII, a token names no kind, or a status is not from 400 to 599.
    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        let mut layer = Self::new()
            .expose_details(config.expose_details)
            .diagnose(config.diagnose);
        if let Some(name) = config.name {
            if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                let message = format!("must be printable ASCII, is {name:?}");
                return Err(InvalidConfig::new("name", message));
            }
            layer = layer.name(name);
        }
        if config.recommended_statuses {
            layer = layer.recommended_statuses();
        }
        for (token, number) in config.statuses {
            let wrong = |token, message| InvalidConfig::new(token, message).within("statuses");
            let Ok(kind) = token.parse::<ErrorKind>() else {
                return Err(wrong(token, "is not an error type of RFC 9209".to_owned()));
            };
            match StatusCode::from_u16(number) {
                Ok(status) if (400..600).contains(&number) => layer = layer.status(kind, status),
                _ => {
                    let message = format!("must be from 400 to 599, is {number}");
                    return Err(wrong(token, message));
                }
            }
        }
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigFile;

    fn layer(text: &str) -> Result<GatewayErrorLayer, InvalidConfig> {
        let file = ConfigFile::parse(text)?;
        let layer = GatewayErrorLayer::try_from(file.read::<Config>()?);
        layer.map_err(|mistake| file.locate(mistake))
    }

    #[test]
    fn both_ways_give_the_same_layer() {
        let text = "name: edge\nexpose_details: true\ndiagnose: true\nrecommended_statuses: true\n\
                    statuses: {dns_error: 503, connection_timeout: 502}";
        let code = GatewayErrorLayer::new()
            .name("edge")
            .expose_details(true)
            .diagnose(true)
            .recommended_statuses()
            .status(ErrorKind::DnsError, StatusCode::SERVICE_UNAVAILABLE)
            .status(ErrorKind::ConnectionTimeout, StatusCode::BAD_GATEWAY);

        assert_eq!(format!("{:?}", layer(text).unwrap()), format!("{code:?}"));
        assert_eq!(
            format!("{:?}", layer("").unwrap()),
            format!("{:?}", GatewayErrorLayer::new())
        );
    }

    #[test]
    fn mistakes_are_found_when_it_is_built() {
        for (text, expected) in [
            (
                "name: \"\"",
                "line 1, column 1: name: must be printable ASCII, is \"\"",
            ),
            (
                "name: caf\u{e9}",
                "line 1, column 1: name: must be printable ASCII, is \"caf\u{e9}\"",
            ),
            (
                "statuses:\n  dns: 502",
                "line 2, column 3: statuses.dns: is not an error type of RFC 9209",
            ),
            (
                "statuses:\n  dns_error: 99",
                "line 2, column 3: statuses.dns_error: must be from 400 to 599, is 99",
            ),
            (
                "expose: true",
                "line 1, column 1: expose: unknown field `expose`, expected one of `name`, `expose_details`, `diagnose`, `recommended_statuses`, `statuses`",
            ),
        ] {
            let mistake = layer(text).unwrap_err();

            assert_eq!(mistake.to_string(), expected, "{text}");
        }
    }
}
