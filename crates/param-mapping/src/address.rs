use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use portcullis_gateway_error::InvalidConfig;

use crate::json;

pub(crate) mod path;

use self::path::Segment;

/// Where a parameter is: a location and a selector, as in `body:/a/b`, `query:x` or `header:x`.
///
/// | address | what it names | read | written |
/// |---|---|---|---|
/// | `body:/a/b` | a place in the JSON body, by a pointer ([RFC 6901]); `body:` is the whole; `/-` is behind the last element | yes | yes |
/// | `body:$.a[*].b` | places in it, by a path ([RFC 9535]: names, indexes, wildcards, slices) | yes | `remove`, `update`, `for_each` |
/// | `item:/a`, `item:$.a[0]` | the same in the element at hand, inside `for_each` | yes | yes |
/// | `query:x` | the query parameters of this name, which is written decoded | yes | yes |
/// | `header:x` | the header lines of this name | yes | yes |
/// | `cookie:x` | the cookies of this name in a request ([RFC 6265]) | yes | yes, not `append` |
/// | `path:{x}` | the part of the path with this name in the route of the mapping, decoded | yes | yes, as one part; never removed |
/// | `path` | the path as it is sent, encoded | yes | `set` with `value` or `template`, in which each `{address}` is one part |
/// | `form:x` | the fields of this name in a form, decoded; of a part of `multipart/form-data` its bytes ([RFC 7578]) | yes | yes |
/// | `var:x` | what another rule writes to it: one JSON value, for rules of the same side, and for those of the response if that was for the request; in a stream also its [`state`](crate::State) | yes | `set`, `add`, `default`, and as the only `to` |
/// | `data:/a`, `data:$.a[*].b` | the same in the data of an event of a stream; `data:` is the whole | yes | yes |
/// | `event` | the name of an event; missing where it has none | yes | in an event stream |
/// | `method` | the method of a request | yes | no |
/// | `status` | the status of a response | yes | yes |
/// | `secret:env:NAME`, `secret:file:PATH` | a text that is read when the mapping is built, and never shown | yes | no |
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
///
/// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
/// [RFC 9535]: https://www.rfc-editor.org/rfc/rfc9535
/// [RFC 7578]: https://www.rfc-editor.org/rfc/rfc7578
/// [RFC 6265]: https://www.rfc-editor.org/rfc/rfc6265#section-4.2
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address(pub(crate) Place);

/// The locations, each with its own selector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// The tokens of a pointer, unescaped.
    Pointer(Root, Vec<String>),
    /// A path that leads to more than a pointer can say.
    Path(Root, Vec<Segment>),
    Query(String),
    Header(HeaderName),
    Method,
    Status,
    SecretEnv(String),
    SecretFile(String),
    Cookie(String),
    /// A name in the route's template.
    Segment(String),
    /// The path as a whole.
    WholePath,
    Form(String),
    Var(String),
    Event,
}

/// The document that a pointer or a path is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Root {
    Body,
    Item,
    /// The data of an event.
    Data,
}

// === impl Address ===

impl Address {
    /// The body as a whole.
    pub(crate) const fn body() -> Self {
        Self(Place::Pointer(Root::Body, Vec::new()))
    }

    /// Whether what it leads to is for nobody's eyes.
    pub(crate) const fn is_secret(&self) -> bool {
        matches!(self.0, Place::SecretEnv(_) | Place::SecretFile(_))
    }

    /// Whether it is in the document of the message: the body, or the data of an event.
    pub(crate) const fn is_document(&self) -> bool {
        matches!(
            self.0,
            Place::Pointer(Root::Body | Root::Data, _) | Place::Path(Root::Body | Root::Data, _)
        )
    }

    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.0, Place::Pointer(..) | Place::Path(..))
    }

    pub(crate) const fn is_form(&self) -> bool {
        matches!(self.0, Place::Form(_))
    }

    pub(crate) const fn is_var(&self) -> bool {
        matches!(self.0, Place::Var(_))
    }

    /// Whether what is there is known only once the body was read.
    pub(crate) const fn is_late(&self) -> bool {
        self.is_json() || self.is_form() || self.is_var()
    }

    /// Whether it holds any JSON value.
    pub(crate) const fn holds_json(&self) -> bool {
        self.is_json() || self.is_var()
    }

    /// Whether it is a document as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(&self.0, Place::Pointer(_, tokens) if tokens.is_empty())
    }

    /// Whether it is the path as a whole, and the other one is a part of it.
    pub(crate) const fn is_path_of(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Place::WholePath, Place::Segment(_)))
    }

    /// Whether the other address is a place inside this one.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Pointer(root, outer), Place::Pointer(other, inner)) => {
                root == other && outer.len() < inner.len() && inner.starts_with(outer)
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
        match text {
            "status" => return Ok(Self(Place::Status)),
            "method" => return Ok(Self(Place::Method)),
            "path" => return Ok(Self(Place::WholePath)),
            "event" => return Ok(Self(Place::Event)),
            _ => {}
        }
        let Some((location, selector)) = text.split_once(':') else {
            return Err(InvalidConfig::whole(
                "has no location: write `body:/a/b`, `query:a` or `header:a`",
            ));
        };
        let named = |what: &str| match selector {
            "" => Err(InvalidConfig::whole(format!("names no {what}"))),
            name => Ok(name.to_owned()),
        };
        Ok(Self(match location {
            "body" => json_place(Root::Body, selector)?,
            "item" => json_place(Root::Item, selector)?,
            "data" => json_place(Root::Data, selector)?,
            "query" => Place::Query(named("query parameter")?),
            "form" => Place::Form(named("field of a form")?),
            "var" => Place::Var(named("variable")?),
            "cookie" => Place::Cookie(named("cookie")?),
            "path" => {
                let name = selector
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'));
                let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
                    InvalidConfig::whole("a part of the path is written `path:{name}`")
                })?;
                Place::Segment(name.to_owned())
            }
            "header" => {
                Place::Header(selector.parse().map_err(|_| {
                    InvalidConfig::whole(format!("`{selector}` is not a header name"))
                })?)
            }
            "secret" => match selector.split_once(':') {
                Some(("env", name)) if !name.is_empty() => Place::SecretEnv(name.to_owned()),
                Some(("file", path)) if !path.is_empty() => Place::SecretFile(path.to_owned()),
                _ => {
                    return Err(InvalidConfig::whole(
                        "a secret is written `secret:env:NAME` or `secret:file:PATH`",
                    ));
                }
            },
            _ => {
                return Err(InvalidConfig::whole(format!(
                    "`{location}` is not a location: it is one of `body`, `item`, `query`, `header`, `status`, `method`, `secret`, `cookie`, `path`, `form`, `var`, `event`, `data`"
                )));
            }
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Pointer(root, tokens) => {
                write!(f, "{root}:")?;
                for token in tokens {
                    write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
                }
                Ok(())
            }
            Place::Path(root, segments) => {
                write!(f, "{root}:$")?;
                segments
                    .iter()
                    .try_for_each(|segment| write!(f, "{segment}"))
            }
            Place::Query(name) => write!(f, "query:{name}"),
            Place::Header(name) => write!(f, "header:{name}"),
            Place::Method => f.write_str("method"),
            Place::Status => f.write_str("status"),
            Place::SecretEnv(name) => write!(f, "secret:env:{name}"),
            Place::SecretFile(path) => write!(f, "secret:file:{path}"),
            Place::Cookie(name) => write!(f, "cookie:{name}"),
            Place::Segment(name) => write!(f, "path:{{{name}}}"),
            Place::WholePath => f.write_str("path"),
            Place::Form(name) => write!(f, "form:{name}"),
            Place::Var(name) => write!(f, "var:{name}"),
            Place::Event => f.write_str("event"),
        }
    }
}

#[cfg(feature = "config")]
impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "config")]
impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Root ===

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "body",
            Self::Item => "item",
            Self::Data => "data",
        })
    }
}

fn json_place(root: Root, selector: &str) -> Result<Place, InvalidConfig> {
    let Some(path) = selector.strip_prefix('$') else {
        return pointer(root, selector).map(|tokens| Place::Pointer(root, tokens));
    };
    let segments = path::parse(path)?;
    // What a pointer can say as well is one, so that rules know it as the same place.
    let tokens: Option<Vec<_>> = segments.iter().map(Segment::token).collect();
    Ok(match tokens {
        Some(tokens) => Place::Pointer(root, tokens),
        None => Place::Path(root, segments),
    })
}

/// Reads a pointer inside the document with this name.
pub(crate) fn pointer(root: impl fmt::Display, text: &str) -> Result<Vec<String>, InvalidConfig> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(tokens) = text.strip_prefix('/') else {
        return Err(InvalidConfig::whole(format!(
            "a pointer must be empty or start with `/`: `{root}:/{text}`"
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
            "body:$['messages'][*]['content']",
            "item:/a",
            "cookie:session",
            "path:{model}",
            "path",
            "form:file",
            "status",
            "method",
            "event",
            "data:/a",
            "var:turn",
            "secret:env:KEY",
            "secret:file:/run/key",
        ] {
            let address: Address = text.parse().unwrap();

            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn pointer_tokens_are_unescaped() {
        let address: Address = "body:/a~1b/~01//\u{e4}".parse().unwrap();

        let tokens = ["a/b", "~1", "", "\u{e4}"].map(str::to_owned).to_vec();
        assert_eq!(address.0, Place::Pointer(Root::Body, tokens));
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
                "`bdy` is not a location: it is one of `body`, `item`, `query`, `header`, `status`, `method`, `secret`, `cookie`, `path`, `form`, `var`, `event`, `data`",
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
