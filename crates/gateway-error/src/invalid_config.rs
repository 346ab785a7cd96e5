use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// A mistake in a setting, with the path of the field and, where it came from a file, the line.
///
/// It is the one error that building any layer of this project can give.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidConfig {
    /// From the field outwards, so that what holds it can add itself at the end.
    path: Vec<Segment>,
    message: Cow<'static, str>,
    /// Line and column, both from 1.
    position: Option<(usize, usize)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Segment {
    Field(Cow<'static, str>),
    Index(usize),
}

// === impl InvalidConfig ===

impl InvalidConfig {
    /// A mistake in this field: `max_attempts`, `must be at least 1, is 0`.
    #[must_use]
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
            position: None,
        }
        .within(field)
    }

    /// A mistake in the whole, not in one field of it.
    #[must_use]
    pub fn whole(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
            position: None,
        }
    }

    /// Says that the field stands inside this one.
    #[must_use]
    pub fn within(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.path.push(Segment::Field(field.into()));
        self
    }

    /// Says that the field stands inside this element of a list, counted from 0.
    #[must_use]
    pub fn within_index(mut self, index: usize) -> Self {
        self.path.push(Segment::Index(index));
        self
    }

    /// Returns the path of the field: `retry.backoff.base`, `rules[2].to`; empty where the whole is wrong.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.path.iter().rev() {
            match segment {
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
                Segment::Field(field) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(field);
                }
            }
        }
        path
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the line, from 1, where it stands in a file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// Returns the column, from 1, where it stands in a file.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    #[cfg(feature = "config")]
    pub(crate) fn at(mut self, position: (usize, usize)) -> Self {
        self.position = Some(position);
        self
    }

    /// The path from the outside inwards.
    #[cfg(feature = "config")]
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.path.iter().rev()
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        f.write_str(&self.message)
    }
}

impl Error for InvalidConfig {}
