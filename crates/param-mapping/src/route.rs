use http::Method;
use portcullis_gateway_error::InvalidConfig;

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
    path: Option<Vec<Part>>,
    methods: Vec<Method>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    /// One segment, and not an empty one.
    Any,
    /// All that is left.
    Rest,
}

// === impl Route ===

impl Route {
    /// Requests to paths that look like this: `{name}` is one segment, and `{*name}` at the end is all that is left. What is not in braces
    /// is compared as it is sent, encoded.
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
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            parts.push(match name {
                Some(name) if name.starts_with('*') => Part::Rest,
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Part::Any,
                None if !segment.contains(['{', '}']) => Part::Text(segment.to_owned()),
                _ => {
                    return Err(InvalidConfig::whole(format!(
                        "`{segment}` is neither a text nor `{{name}}`"
                    )));
                }
            });
        }
        Ok(Self {
            path: Some(parts),
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
        let Some(parts) = &self.path else {
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
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        segments.next().is_none()
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
            ("/a{b}", "`a{b}` is neither a text nor `{name}`"),
        ] {
            assert_eq!(Route::new(pattern).unwrap_err().to_string(), expected);
        }
    }
}
