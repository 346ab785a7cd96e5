//! JSONPath (RFC 9535), as much of it as can be followed without looking at the whole document.

use std::fmt;

use portcullis_gateway_error::InvalidConfig;

use crate::json;

/// One step down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Segment {
    Name(String),
    /// From the end where it is negative.
    Index(i64),
    Wildcard,
    Slice(Slice),
}

/// The elements from one index to before another, in steps. Indexes are from the end where they are negative.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slice {
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) step: i64,
}

/// Reads what follows the `$`.
pub(crate) fn parse(text: &str) -> Result<Vec<Segment>, InvalidConfig> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (segment, behind) = segment(rest)?;
        segments.push(segment);
        rest = behind;
    }
    if segments.len() > json::MAX_DEPTH {
        return Err(InvalidConfig::whole(format!(
            "the path is {} levels deep, the limit is {}",
            segments.len(),
            json::MAX_DEPTH
        )));
    }
    Ok(segments)
}

fn segment(text: &str) -> Result<(Segment, &str), InvalidConfig> {
    let wrong = || {
        InvalidConfig::whole(format!(
            "`{text}` is not a step of a path: it is `.name`, `['name']`, `[0]`, `[-1]`, `[*]` or `[0:2]`"
        ))
    };
    if text.starts_with("..") {
        return Err(InvalidConfig::whole(
            "`..` would look at the whole document: name the way",
        ));
    }
    if let Some(rest) = text.strip_prefix('.') {
        if let Some(behind) = rest.strip_prefix('*') {
            return Ok((Segment::Wildcard, behind));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end).ok_or_else(wrong)?;
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(wrong());
        }
        return Ok((Segment::Name(name.to_owned()), behind));
    }
    let rest = text.strip_prefix('[').ok_or_else(wrong)?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            let (name, behind) = quoted.split_once(quote).ok_or_else(wrong)?;
            let behind = behind.strip_prefix(']').ok_or_else(wrong)?;
            if name.contains('\\') {
                return Err(wrong());
            }
            return Ok((Segment::Name(name.to_owned()), behind));
        }
    }
    let (selector, behind) = rest.split_once(']').ok_or_else(wrong)?;
    if selector.starts_with('?') {
        return Err(InvalidConfig::whole(
            "a path has no filters: use `for_each` with `keep`",
        ));
    }
    let number = |text: &str| -> Result<Option<i64>, InvalidConfig> {
        match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| wrong()),
        }
    };
    let segment = match selector.split(':').collect::<Vec<_>>()[..] {
        ["*"] => Segment::Wildcard,
        [index] => Segment::Index(number(index)?.ok_or_else(wrong)?),
        [start, end] => Segment::Slice(Slice {
            start: number(start)?,
            end: number(end)?,
            step: 1,
        }),
        [start, end, step] => {
            let step = number(step)?.unwrap_or(1);
            if step < 1 {
                return Err(InvalidConfig::whole("the step of a slice is at least 1"));
            }
            Segment::Slice(Slice {
                start: number(start)?,
                end: number(end)?,
                step,
            })
        }
        _ => return Err(wrong()),
    };
    Ok((segment, behind))
}

// === impl Segment ===

impl Segment {
    /// Whether it leads to one place at most.
    pub(crate) const fn is_single(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Index(_))
    }

    /// Whether it selects the item at this position of an object or an array of this length.
    pub(crate) fn selects(&self, key: Option<&str>, position: usize, length: usize) -> bool {
        match self {
            Self::Wildcard => true,
            Self::Name(name) => key.is_some_and(|key| key == name),
            Self::Index(index) => {
                key.is_none() && from_start(*index, length) == position_of(position)
            }
            Self::Slice(slice) => key.is_none() && slice.selects(position, length),
        }
    }

    /// The token of a pointer that leads to the same place.
    pub(crate) fn token(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Index(index) if *index >= 0 => Some(index.to_string()),
            Self::Index(_) | Self::Wildcard | Self::Slice(_) => None,
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |index: Option<i64>| index.map(|index| index.to_string()).unwrap_or_default();
        match self {
            Self::Name(name) => write!(f, "['{name}']"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Wildcard => f.write_str("[*]"),
            Self::Slice(Slice { start, end, step }) => {
                write!(f, "[{}:{}", shown(*start), shown(*end))?;
                if *step != 1 {
                    write!(f, ":{step}")?;
                }
                f.write_str("]")
            }
        }
    }
}

// === impl Slice ===

impl Slice {
    fn selects(&self, position: usize, length: usize) -> bool {
        let bound = |index: Option<i64>, default: i64| {
            index.map_or(default, |index| from_start(index, length).max(0))
        };
        let position = position_of(position);
        let start = bound(self.start, 0);
        position >= start
            && position < bound(self.end, i64::MAX)
            && (position - start) % self.step == 0
    }
}

fn from_start(index: i64, length: usize) -> i64 {
    if index < 0 {
        index.saturating_add(position_of(length))
    } else {
        index
    }
}

fn position_of(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_mistakes_are_told() {
        for (text, expected) in [
            ("", Ok("")),
            (".a.b", Ok("['a']['b']")),
            ("['a b'][\"c.d\"].*[*]", Ok("['a b']['c.d'][*][*]")),
            ("[0][-1][1:][:-1][::2]", Ok("[0][-1][1:][:-1][::2]")),
            (
                "..a",
                Err("`..` would look at the whole document: name the way"),
            ),
            (
                "[?@.a]",
                Err("a path has no filters: use `for_each` with `keep`"),
            ),
            ("[::0]", Err("the step of a slice is at least 1")),
            (
                ".",
                Err(
                    "`.` is not a step of a path: it is `.name`, `['name']`, `[0]`, `[-1]`, `[*]` or `[0:2]`",
                ),
            ),
            (
                "[1",
                Err(
                    "`[1` is not a step of a path: it is `.name`, `['name']`, `[0]`, `[-1]`, `[*]` or `[0:2]`",
                ),
            ),
        ] {
            let path =
                parse(text).map(|segments| segments.iter().map(ToString::to_string).collect());
            let path: Result<String, _> = path.map_err(|mistake| mistake.to_string());

            assert_eq!(
                path,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn slices_and_indexes_select_as_rfc_9535_says() {
        for (text, expected) in [
            ("[0]", &[0][..]),
            ("[-1]", &[4]),
            ("[-6]", &[]),
            ("[1:3]", &[1, 2]),
            ("[1:]", &[1, 2, 3, 4]),
            ("[:-2]", &[0, 1, 2]),
            ("[-2:]", &[3, 4]),
            ("[-9:2]", &[0, 1]),
            ("[::2]", &[0, 2, 4]),
            ("[*]", &[0, 1, 2, 3, 4]),
        ] {
            let segments = parse(text).unwrap();

            let selected: Vec<_> = (0..5)
                .filter(|at| segments[0].selects(None, *at, 5))
                .collect();
            assert_eq!(selected, expected, "{text}");
        }
    }
}
