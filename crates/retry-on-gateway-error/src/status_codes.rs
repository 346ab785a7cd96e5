use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::StatusCode;
use portcullis_gateway_error::InvalidConfig;

/// A set of HTTP statuses: single codes and ranges, as in `503` and `500-599`.
///
/// ```
/// use http::StatusCode;
/// use portcullis_retry_on_gateway_error::StatusCodes;
///
/// let codes: StatusCodes = "502,520-530".parse()?;
/// assert!(codes.contains(StatusCode::BAD_GATEWAY));
/// assert!(codes.contains(StatusCode::from_u16(524).unwrap()));
/// assert_eq!(codes, StatusCodes::from([502]).and(520..=530));
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StatusCodes(Vec<RangeInclusive<u16>>);

// === impl StatusCodes ===

impl StatusCodes {
    /// Adds a range.
    #[must_use]
    pub fn and(mut self, range: RangeInclusive<u16>) -> Self {
        self.0.push(range);
        self
    }

    /// Says whether the status is in the set.
    #[must_use]
    pub fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }

    /// Says whether there is nothing in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[u16; N]> for StatusCodes {
    fn from(codes: [u16; N]) -> Self {
        codes.into_iter().collect()
    }
}

impl FromIterator<u16> for StatusCodes {
    fn from_iter<I: IntoIterator<Item = u16>>(codes: I) -> Self {
        Self(codes.into_iter().map(|code| code..=code).collect())
    }
}

impl FromStr for StatusCodes {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let parts = text.split(',').map(str::trim);
        let ranges = parts.filter(|part| !part.is_empty()).map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (code(first), code(last)) {
                (Some(first), Some(last)) if first <= last => Ok(first..=last),
                _ => Err(InvalidConfig::whole(format!(
                    "`{part}` is no status from 100 to 599, and no range of them as 500-599"
                ))),
            }
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for StatusCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.start())?;
            if range.end() > range.start() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

fn code(text: &str) -> Option<u16> {
    let code = text.trim().parse().ok()?;
    (100..=599).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_are_read_and_written() {
        let codes: StatusCodes = "429, 500-599".parse().unwrap();

        assert_eq!(codes.to_string(), "429,500-599");
        for (status, expected) in [
            (428, false),
            (429, true),
            (499, false),
            (500, true),
            (599, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(codes.contains(status), expected, "{status}");
        }
        assert!("".parse::<StatusCodes>().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_status_is_named() {
        for text in ["5xx", "600", "99", "599-500", "500-", "-"] {
            let mistake = format!("503,{text}").parse::<StatusCodes>().unwrap_err();

            assert_eq!(
                mistake.to_string(),
                format!("`{text}` is no status from 100 to 599, and no range of them as 500-599")
            );
        }
    }
}
