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
    /// More segments may follow these.
    is_open: bool,
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
    /// The form of all paths that begin like this, which is empty or has a slash in front.
    pub(crate) fn beginning(start: &str) -> Result<Self, InvalidPathTemplate> {
        let segments = match start {
            "" => Vec::new(),
            start => start.parse::<Self>()?.segments,
        };
        Ok(Self {
            segments,
            is_open: true,
        })
    }

    /// Whether this text can be a segment.
    pub(crate) fn check(text: &str) -> Result<(), PathError> {
        Segment::Literal(String::new()).check(text)
    }

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
        if !self.is_open && parts.next().is_some() {
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
        Ok(Self {
            segments,
            is_open: false,
        })
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

/// Whether a path can hold it as it is (RFC 3986, section 3.3).
pub(crate) fn is_literal(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte))
}

// === impl Segment ===

impl Segment {
    fn parse(text: &str) -> Result<Self, &'static str> {
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
mod tests;
