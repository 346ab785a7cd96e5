use http::Method;
use portcullis_gateway_error::InvalidConfig;

use crate::path::is_literal;
use crate::{InvalidPathTemplate, PathTemplate};

/// Which requests a [`Mapping`](crate::Mapping) is for: by the path, and by the method. All others pass as they are, and so do their responses.
///
/// ```
/// use http::Method;
/// use portcullis_param_mapping::Route;
///
/// let route = Route::new("/v1/{name}/chat")?.method(Method::POST);
/// assert!(route.matches(&Method::POST, "/v1/eu/chat"));
/// assert!(!route.matches(&Method::GET, "/v1/eu/chat"));
/// assert!(!route.matches(&Method::POST, "/v1/eu/west/chat"));
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// `None` for any path.
    path: Option<Pattern>,
    methods: Vec<Method>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    /// One segment, and not an empty one.
    Any,
    /// One segment that begins and ends so, with something between.
    Between(String, String),
    /// All that is left.
    Rest,
}

// === impl Route ===

impl Route {
    /// Requests to paths that look like this: `{name}` is one segment or a part of one, as in `/models/{model}:generate`, and `{*name}` at the
    /// end is all that is left. What is not in braces is compared as it is sent, encoded.
    ///
    /// The names of parts are what `path:{name}` is about.
    ///
    /// # Errors
    /// When the pattern does not start with `/`, or has braces that stand otherwise.
    pub fn new(pattern: &str) -> Result<Self, InvalidConfig> {
        let Some(segments) = pattern.strip_prefix('/') else {
            return Err(InvalidConfig::whole(format!(
                "`{pattern}` does not start with `/`"
            )));
        };
        let mut parts = Vec::new();
        for segment in segments.split('/') {
            if parts.last() == Some(&Part::Rest) {
                return Err(InvalidConfig::whole("`{*name}` must be the last segment"));
            }
            let neither =
                || InvalidConfig::whole(format!("`{segment}` is neither a text nor `{{name}}`"));
            let Some((before, rest)) = segment.split_once('{') else {
                if segment.contains('}') {
                    return Err(neither());
                }
                if !is_literal(segment) {
                    return Err(InvalidConfig::whole(format!(
                        "`{segment}` has a character that no path has: write it encoded"
                    )));
                }
                parts.push(Part::Text(segment.to_owned()));
                continue;
            };
            let (name, after) = rest.split_once('}').ok_or_else(neither)?;
            if name.is_empty() || [before, name, after].concat().contains(['{', '}']) {
                return Err(neither());
            }
            parts.push(match (before, name.starts_with('*'), after) {
                ("", true, "") => Part::Rest,
                ("", false, "") => Part::Any,
                (before, false, after) => Part::Between(before.to_owned(), after.to_owned()),
                (_, true, _) => return Err(neither()),
            });
        }
        let text = pattern.to_owned();
        Ok(Self {
            path: Some(Pattern { text, parts }),
            methods: Vec::new(),
        })
    }

    /// Requests to any path.
    #[must_use]
    pub const fn any() -> Self {
        Self {
            path: None,
            methods: Vec::new(),
        }
    }

    /// Adds a method. Default: all.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Returns whether a request is among them.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str) -> bool {
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return false;
        }
        let Some(Pattern { parts, .. }) = &self.path else {
            return true;
        };
        let Some(segments) = path.strip_prefix('/') else {
            return false;
        };
        let mut segments = segments.split('/');
        for part in parts {
            let fits = match (part, segments.next()) {
                (Part::Rest, rest) => return rest.is_some_and(|rest| !rest.is_empty()),
                (Part::Text(text), Some(segment)) => text == segment,
                (Part::Any, Some(segment)) => !segment.is_empty(),
                (Part::Between(before, after), Some(segment)) => segment
                    .strip_prefix(&**before)
                    .and_then(|rest| rest.strip_suffix(&**after))
                    .is_some_and(|between| !between.is_empty()),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        segments.next().is_none()
    }

    /// The form of the paths, with the names of their parts; `None` for any path.
    pub(crate) fn template(&self) -> Option<Result<PathTemplate, InvalidPathTemplate>> {
        let Pattern { text, parts } = self.path.as_ref()?;
        Some(match (parts.last(), text.rsplit_once('/')) {
            (Some(Part::Rest), Some((start, _))) => PathTemplate::beginning(start),
            _ => text.parse(),
        })
    }
}

/// All requests.
impl Default for Route {
    fn default() -> Self {
        Self::any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_segment_by_segment() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/v1/chat", "/v1/chat", true),
            ("/v1/chat", "/v1/chat/", false),
            ("/v1/{x}", "/v1/a", true),
            ("/v1/{x}", "/v1/", false),
            ("/v1/{x}", "/v1/a/b", false),
            ("/v1/{*rest}", "/v1/a/b", true),
            ("/v1/{*rest}", "/v1", false),
            ("/v1/{*rest}", "/v1/", false),
            ("/v1", "*", false),
            ("/m/{x}:run", "/m/a:run", true),
            ("/m/{x}:run", "/m/:run", false),
            ("/m/{x}:run", "/m/a", false),
            ("/m/a-{x}", "/m/a-b", true),
        ] {
            let route = Route::new(pattern).unwrap();

            assert_eq!(
                route.matches(&Method::GET, path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_a_mistake() {
        for (pattern, expected) in [
            ("v1", "`v1` does not start with `/`"),
            ("/{*a}/b", "`{*name}` must be the last segment"),
            ("/{}", "`{}` is neither a text nor `{name}`"),
            ("/a{*b}", "`a{*b}` is neither a text nor `{name}`"),
            ("/{a}{b}", "`{a}{b}` is neither a text nor `{name}`"),
            (
                "/a b",
                "`a b` has a character that no path has: write it encoded",
            ),
            ("/a}", "`a}` is neither a text nor `{name}`"),
        ] {
            assert_eq!(Route::new(pattern).unwrap_err().to_string(), expected);
        }
    }
}
