//! Route templates, after [RFC 6570](https://www.rfc-editor.org/rfc/rfc6570), level 1.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The form of a path with names for parts of it: `/v1/models/{model}:generate`.
///
/// A segment has at most one `{name}`, with text before and after it.
///
/// ```
/// # use portcullis_param_mapping::PathTemplate;
/// let template: PathTemplate = "/v1/models/{model}:generate".parse()?;
/// assert_eq!(template.get("/v1/models/a%20b:generate", "model")?.as_deref(), Some("a b"));
/// assert_eq!(template.get("/v1/models", "model")?, None);
///
/// let path = template.set("/v1/models/x:generate", "model", "gpt 4")?;
/// assert_eq!(path.as_deref(), Some("/v1/models/gpt%204:generate"));
/// assert!(template.set("/v1/models/x:generate", "model", "../admin").is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
}

/// Says that a template is not one. It is found when the template is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPathTemplate {
    /// Counted from 1; 0 for the whole.
    segment: usize,
    reason: &'static str,
}

/// Says that a text cannot be read from a path or written into one. It does not hold the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable {
        before: String,
        name: String,
        after: String,
    },
}

/// Everything but the unreserved characters: what simple expansion writes (RFC 6570, section 3.2.2).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Some upstreams decode twice. Nobody decodes more often.
const DECODINGS: usize = 3;

// === impl PathTemplate ===

impl PathTemplate {
    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// Whether this path, which is encoded and has no query, has this form. No part with a name may be empty.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.place(path, None).is_some()
    }

    /// Reads the decoded part of a path with this name; `None` where the path has another form, or no part has this name.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub fn get<'p>(&self, path: &'p str, name: &str) -> Result<Option<Cow<'p, str>>, PathError> {
        let Some(place) = self.place(path, Some(name)) else {
            return Ok(None);
        };
        let part = path.get(place).unwrap_or_default();
        let text = percent_decode_str(part).decode_utf8();
        let not_utf8 = "the part of the path is not UTF-8";
        text.map(Some).map_err(|_| PathError { reason: not_utf8 })
    }

    /// Writes a text, which is not encoded, in the place of the part with this name, and keeps all else byte for byte. `None` where the
    /// path has another form, or no part has this name.
    ///
    /// # Errors
    /// Where the text is empty, holds a slash, a backslash or a control character, or makes the segment `.` or `..`; also where it does so
    /// after it was decoded once more, as in `%2f`. An upstream that decodes would see another path.
    pub fn set(&self, path: &str, name: &str, text: &str) -> Result<Option<String>, PathError> {
        let Some(place) = self.place(path, Some(name)) else {
            return Ok(None);
        };
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.name() == Some(name));
        segment.map_or(Ok(()), |segment| segment.check(text))?;
        let before = path.get(..place.start).unwrap_or_default();
        let after = path.get(place.end..).unwrap_or_default();
        Ok(Some(format!("{before}{}{after}", encode(text))))
    }

    /// Makes a path of this form, with these texts, which are not encoded.
    ///
    /// # Errors
    /// Where a name has no text, or as for [`set`](Self::set).
    pub fn expand<'t>(
        &self,
        mut text: impl FnMut(&str) -> Option<&'t str>,
    ) -> Result<String, PathError> {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::Variable {
                    before,
                    name,
                    after,
                } => {
                    let no_text = "a part of the path has no text";
                    let text = text(name).ok_or(PathError { reason: no_text })?;
                    segment.check(text)?;
                    path.push_str(before);
                    path.push_str(&encode(text));
                    path.push_str(after);
                }
            }
        }
        Ok(path)
    }

    /// Where in a path of this form the part with this name is; some place where no name is asked for.
    fn place(&self, path: &str, name: Option<&str>) -> Option<Range<usize>> {
        let mut found = name.is_none().then_some(0..0);
        let mut start = 1;
        let mut parts = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) => {
                    // `%61` is `a`, and a slash that is encoded parts nothing.
                    if !percent_decode_str(part).eq(percent_decode_str(literal)) {
                        return None;
                    }
                }
                Segment::Variable {
                    before,
                    name: own,
                    after,
                } => {
                    let rest = part.strip_prefix(&**before)?;
                    let value = rest.strip_suffix(&**after)?;
                    if value.is_empty() {
                        return None;
                    }
                    if name == Some(own) {
                        let start = start + before.len();
                        found = Some(start..start + value.len());
                    }
                }
            }
            start += part.len() + 1;
        }
        if parts.next().is_some() {
            return None;
        }
        found
    }
}

impl FromStr for PathTemplate {
    type Err = InvalidPathTemplate;

    fn from_str(template: &str) -> Result<Self, InvalidPathTemplate> {
        let fail = |segment, reason| InvalidPathTemplate { segment, reason };
        let path = template
            .strip_prefix('/')
            .ok_or_else(|| fail(0, "it must begin with a slash"))?;
        let mut segments: Vec<Segment> = Vec::new();
        for (index, text) in path.split('/').enumerate() {
            let segment = Segment::parse(text).map_err(|reason| fail(index + 1, reason))?;
            let name = segment.name();
            if name.is_some() && segments.iter().any(|other| other.name() == name) {
                return Err(fail(index + 1, "it has a name that was there before"));
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{literal}")?,
                Segment::Variable {
                    before,
                    name,
                    after,
                } => write!(f, "/{before}{{{name}}}{after}")?,
            }
        }
        Ok(())
    }
}

// === impl Segment ===

impl Segment {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let is_literal = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte))
        };
        let Some((before, rest)) = text.split_once('{') else {
            if !is_literal(text) {
                return Err("it has a character that no path has");
            }
            if is_dots(text) {
                return Err("it is `.` or `..`");
            }
            return Ok(Self::Literal(text.to_owned()));
        };
        let (name, after) = rest.split_once('}').ok_or("it has no closing brace")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err("its name must be letters, digits and underscores");
        }
        if after.contains('{') {
            return Err("it has two names");
        }
        if !is_literal(before) || !is_literal(after) {
            return Err("it has a character that no path has");
        }
        Ok(Self::Variable {
            before: before.to_owned(),
            name: name.to_owned(),
            after: after.to_owned(),
        })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Variable { name, .. } => Some(name),
        }
    }

    /// Whether this text can be written here.
    fn check(&self, text: &str) -> Result<(), PathError> {
        let fail = |reason| Err(PathError { reason });
        if text.is_empty() {
            return fail("a part of the path cannot be empty");
        }
        let (before, after) = match self {
            Self::Literal(_) => ("", ""),
            Self::Variable { before, after, .. } => (&**before, &**after),
        };
        let mut text = Cow::Borrowed(text);
        for _ in 0..DECODINGS {
            if text.contains(['/', '\\']) {
                return fail("a part of the path cannot hold a slash or a backslash");
            }
            if text.contains(char::is_control) {
                return fail("a part of the path cannot hold a control character");
            }
            if is_dots(&format!("{before}{text}{after}")) {
                return fail("a part of the path cannot be `.` or `..`");
            }
            text = percent_decode_str(&text)
                .decode_utf8_lossy()
                .into_owned()
                .into();
        }
        Ok(())
    }
}

// === impl InvalidPathTemplate ===

impl fmt::Display for InvalidPathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, reason } = self;
        match segment {
            0 => write!(f, "the path template is malformed: {reason}"),
            _ => write!(
                f,
                "segment {segment} of the path template is malformed: {reason}"
            ),
        }
    }
}

impl Error for InvalidPathTemplate {}

// === impl PathError ===

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl Error for PathError {}

fn is_dots(segment: &str) -> bool {
    let mut decoded = percent_decode_str(segment);
    let is_dot = |byte: Option<u8>| byte == Some(b'.');
    is_dot(decoded.next())
        && matches!(decoded.next(), None | Some(b'.'))
        && decoded.next().is_none()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> PathTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn paths_of_the_form_match_and_others_do_not() {
        for (text, path, expected) in [
            ("/", "/", true),
            ("/", "", false),
            ("/a/{x}", "/a/b", true),
            ("/a/{x}", "/%61/b", true),
            ("/a/{x}", "/a/", false),
            ("/a/{x}", "/a/b/", false),
            ("/a/{x}", "/a/b/c", false),
            ("/a/{x}", "/a%2fb", false),
            ("/a/{x}", "a/b", false),
            ("/{x}:go", "/a:go", true),
            ("/{x}:go", "/:go", false),
            ("/{x}:go", "/a:stop", false),
            ("/v{n}x", "/vx", false),
            ("/{a}/{b}", "/1/2", true),
            ("*", "*", false),
        ] {
            let matches = text
                .parse()
                .is_ok_and(|template: PathTemplate| template.matches(path));
            assert_eq!(matches, expected, "{text} {path}");
        }
    }

    #[test]
    fn parts_are_read_decoded_and_written_encoded() {
        let template = template("/v1/{a}/x-{b}.json");
        let path = "/v1/%7Ea/x-%C3%A4.json";
        assert_eq!(template.get(path, "a").unwrap().as_deref(), Some("~a"));
        assert_eq!(template.get(path, "b").unwrap().as_deref(), Some("\u{e4}"));
        assert_eq!(template.get(path, "c"), Ok(None));
        assert!(template.get("/v1/%ff/x-1.json", "a").is_err());

        let set = template.set(path, "b", "a b:c").unwrap();
        assert_eq!(set.as_deref(), Some("/v1/%7Ea/x-a%20b%3Ac.json"));
        assert_eq!(template.set("/v2", "b", "x"), Ok(None));

        let expanded = template.expand(|name| (name == "a").then_some("1").or(Some("?")));
        assert_eq!(expanded.as_deref(), Ok("/v1/1/x-%3F.json"));
        assert!(template.expand(|_| None).is_err());
    }

    #[test]
    fn what_would_be_another_path_is_refused() {
        let plain = template("/a/{x}");
        for (text, reason) in [
            ("", "a part of the path cannot be empty"),
            (".", "a part of the path cannot be `.` or `..`"),
            ("..", "a part of the path cannot be `.` or `..`"),
            ("%2e%2E", "a part of the path cannot be `.` or `..`"),
            ("%252e.", "a part of the path cannot be `.` or `..`"),
            (
                "../b",
                "a part of the path cannot hold a slash or a backslash",
            ),
            (
                "a%2fb",
                "a part of the path cannot hold a slash or a backslash",
            ),
            (
                "a%252Fb",
                "a part of the path cannot hold a slash or a backslash",
            ),
            (
                "a\\b",
                "a part of the path cannot hold a slash or a backslash",
            ),
            (
                "a\r\nX: y",
                "a part of the path cannot hold a control character",
            ),
            (
                "a%0d%0ab",
                "a part of the path cannot hold a control character",
            ),
            ("a\0", "a part of the path cannot hold a control character"),
        ] {
            let error = plain.set("/a/b", "x", text).unwrap_err();
            assert_eq!(error.to_string(), reason, "{text:?}");
        }
        assert!(template("/a/.{x}").set("/a/.b", "x", ".").is_err());
        assert!(plain.set("/a/b", "x", "...").is_ok());
        assert!(plain.set("/a/b", "x", "100%").is_ok());
    }

    #[test]
    fn mistakes_in_a_template_are_found_when_it_is_built() {
        for (text, reason) in [
            (
                "a",
                "the path template is malformed: it must begin with a slash",
            ),
            (
                "/a/{",
                "segment 2 of the path template is malformed: it has no closing brace",
            ),
            (
                "/{}",
                "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
            ),
            (
                "/{+x}",
                "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
            ),
            (
                "/{x*}",
                "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
            ),
            (
                "/{x}{y}",
                "segment 1 of the path template is malformed: it has two names",
            ),
            (
                "/{x}/{x}",
                "segment 2 of the path template is malformed: it has a name that was there before",
            ),
            (
                "/a b",
                "segment 1 of the path template is malformed: it has a character that no path has",
            ),
            (
                "/x}",
                "segment 1 of the path template is malformed: it has a character that no path has",
            ),
            (
                "/a?b",
                "segment 1 of the path template is malformed: it has a character that no path has",
            ),
            (
                "/../{x}",
                "segment 1 of the path template is malformed: it is `.` or `..`",
            ),
        ] {
            let error = text.parse::<PathTemplate>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_one_segment_and_read_back(text in "\\PC{0,12}|[./%2fF5eE]{0,8}") {
            let template = template("/a/{x}/b");
            let Ok(path) = template.set("/a/old/b", "x", &text) else { return Ok(()) };
            let path = path.unwrap();
            prop_assert_eq!(path.split('/').count(), 4);
            prop_assert_eq!(template.get(&path, "x").unwrap(), Some(Cow::Borrowed(text.as_str())));
            let lower = path.to_lowercase();
            prop_assert!(!lower.contains("%2f") && !lower.contains("/../") && !lower.contains("/./"));
        }

        #[test]
        fn a_template_is_written_as_it_was_read(text in "(/[a-z{}:.]{0,6}){1,4}") {
            if let Ok(template) = text.parse::<PathTemplate>() {
                prop_assert_eq!(template.to_string(), text);
            }
        }
    }
}
