use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use portcullis_gateway_error::InvalidConfig;

use crate::json;

/// Where a parameter is: `body:/a/b`, `query:x` or `header:x`.
///
/// What follows `body:` is a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)); `body:` alone is the whole body. The name of a
/// query parameter is written decoded.
///
/// ```
/// use portcullis_param_mapping::Address;
///
/// let address: Address = "header:X-Api-Key".parse()?;
/// assert_eq!(address.to_string(), "header:x-api-key");
///
/// let mistake = "body:input".parse::<Address>().unwrap_err();
/// assert_eq!(mistake.to_string(), "a pointer must be empty or start with `/`: `body:/input`");
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address(pub(crate) Place);

/// The locations, each with its own selector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// The tokens of a pointer, unescaped.
    Body(Vec<String>),
    Query(String),
    Header(HeaderName),
}

// === impl Address ===

impl Address {
    pub(crate) const fn is_body(&self) -> bool {
        matches!(self.0, Place::Body(_))
    }

    pub(crate) const fn is_header(&self) -> bool {
        matches!(self.0, Place::Header(_))
    }

    pub(crate) const fn is_whole_body(&self) -> bool {
        matches!(&self.0, Place::Body(tokens) if tokens.is_empty())
    }

    /// Whether the other address is a place inside this one.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Body(outer), Place::Body(inner)) => {
                outer.len() < inner.len() && inner.starts_with(outer)
            }
            _ => false,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidConfig;

    /// Parses an address.
    ///
    /// # Errors
    /// When the location is unknown, or what follows it does not fit it.
    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let Some((location, selector)) = text.split_once(':') else {
            return Err(InvalidConfig::whole(
                "has no location: write `body:/a/b`, `query:a` or `header:a`",
            ));
        };
        let place =
            match location {
                "body" => Place::Body(pointer(selector)?),
                "query" if selector.is_empty() => {
                    return Err(InvalidConfig::whole("names no query parameter"));
                }
                "query" => Place::Query(selector.to_owned()),
                "header" => Place::Header(selector.parse().map_err(|_| {
                    InvalidConfig::whole(format!("`{selector}` is not a header name"))
                })?),
                _ => {
                    return Err(InvalidConfig::whole(format!(
                        "`{location}` is not a location: it is one of `body`, `query`, `header`"
                    )));
                }
            };
        Ok(Self(place))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Query(name) => write!(f, "query:{name}"),
            Place::Header(name) => write!(f, "header:{name}"),
            Place::Body(tokens) => {
                f.write_str("body:")?;
                for token in tokens {
                    write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
                }
                Ok(())
            }
        }
    }
}

fn pointer(text: &str) -> Result<Vec<String>, InvalidConfig> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(tokens) = text.strip_prefix('/') else {
        return Err(InvalidConfig::whole(format!(
            "a pointer must be empty or start with `/`: `body:/{text}`"
        )));
    };
    let tokens: Vec<_> = tokens.split('/').map(token).collect::<Result<_, _>>()?;
    if tokens.len() > json::MAX_DEPTH {
        return Err(InvalidConfig::whole(format!(
            "the pointer is {} levels deep, the limit is {}",
            tokens.len(),
            json::MAX_DEPTH
        )));
    }
    Ok(tokens)
}

fn token(text: &str) -> Result<String, InvalidConfig> {
    let mut parts = text.split('~');
    let mut token = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (unescaped, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => {
                return Err(InvalidConfig::whole(
                    "in a pointer `~` is written `~0`, and `/` inside a name `~1`",
                ));
            }
        };
        token.push(unescaped);
        token.push_str(rest);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_is_written() {
        for text in [
            "body:",
            "body:/",
            "body:/a/b",
            "body:/a~1b/~0c/~01",
            "body:/messages/0",
            "query:x",
            "query:a b:c",
            "header:x-api-key",
        ] {
            let address: Address = text.parse().unwrap();

            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn pointer_tokens_are_unescaped() {
        let address: Address = "body:/a~1b/~01//\u{e4}".parse().unwrap();

        let tokens = ["a/b", "~1", "", "\u{e4}"].map(str::to_owned).to_vec();
        assert_eq!(address.0, Place::Body(tokens));
    }

    #[test]
    fn every_mistake_in_an_address_is_told() {
        let deep = format!("body:{}", "/a".repeat(129));
        for (text, expected) in [
            (
                "input",
                "has no location: write `body:/a/b`, `query:a` or `header:a`",
            ),
            (
                "bdy:/a",
                "`bdy` is not a location: it is one of `body`, `query`, `header`",
            ),
            (
                "body:a",
                "a pointer must be empty or start with `/`: `body:/a`",
            ),
            (
                "body:/a~2",
                "in a pointer `~` is written `~0`, and `/` inside a name `~1`",
            ),
            (
                "body:/a~",
                "in a pointer `~` is written `~0`, and `/` inside a name `~1`",
            ),
            ("query:", "names no query parameter"),
            ("header:", "`` is not a header name"),
            ("header:a b", "`a b` is not a header name"),
            (&deep, "the pointer is 129 levels deep, the limit is 128"),
        ] {
            let mistake = text.parse::<Address>().unwrap_err();

            assert_eq!(mistake.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn only_what_lies_deeper_is_contained() {
        let outer: Address = "body:/a".parse().unwrap();
        for (inner, expected) in [
            ("body:/a/b", true),
            ("body:/a", false),
            ("body:/ab", false),
            ("body:", false),
            ("query:a", false),
        ] {
            assert_eq!(outer.contains(&inner.parse().unwrap()), expected, "{inner}");
        }
    }
}
