use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header of HTTP that says how much time a request has, as `grpc-timeout` does for gRPC: a number, in the unit that is chosen here.
///
/// `x-request-timeout`, `request-timeout` and Envoy's `x-envoy-expected-rq-timeout-ms` are such headers. They say what is left, so no clocks of two machines
/// are compared. A fraction is read and written in seconds only, with at most nine digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeadlineHeader {
    name: HeaderName,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unit {
    Millis,
    Seconds,
}

// === impl DeadlineHeader ===

impl DeadlineHeader {
    /// A header with a whole number of milliseconds.
    #[must_use]
    pub const fn millis(name: HeaderName) -> Self {
        let unit = Unit::Millis;
        Self { name, unit }
    }

    /// A header with a number of seconds: `30`, `1.5`.
    #[must_use]
    pub const fn seconds(name: HeaderName) -> Self {
        let unit = Unit::Seconds;
        Self { name, unit }
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// What each of its lines says; `None` where one is malformed.
    pub(crate) fn read(&self, headers: &HeaderMap) -> impl Iterator<Item = Option<Duration>> {
        let lines = headers.get_all(&self.name).iter();
        lines.map(|value| self.parse(value.as_bytes()))
    }

    fn parse(&self, value: &[u8]) -> Option<Duration> {
        let text = std::str::from_utf8(value).ok()?;
        let (whole, fraction) = match (self.unit, text.split_once('.')) {
            (_, None) => (text, ""),
            (Unit::Seconds, Some((whole, fraction))) if !fraction.is_empty() => (whole, fraction),
            (_, Some(_)) => return None,
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > MAX_DIGITS || fraction.len() > 9 {
            return None;
        }
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let number: u64 = whole.parse().ok()?;
        match self.unit {
            Unit::Millis => Some(Duration::from_millis(number)),
            Unit::Seconds => {
                let nanos = format!("{fraction:0<9}").parse().ok()?;
                Some(Duration::new(number, nanos))
            }
        }
    }

    /// The value for this time, rounded down to milliseconds.
    pub(crate) fn write(&self, time: Duration) -> HeaderValue {
        let text = match self.unit {
            Unit::Millis => time.as_millis().to_string(),
            Unit::Seconds if time.subsec_millis() == 0 => time.as_secs().to_string(),
            Unit::Seconds => {
                let text = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
                text.trim_end_matches('0').to_owned()
            }
        };
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// Of the whole number: 30,000 years of milliseconds.
const MAX_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-request-timeout");

    #[test]
    fn numbers_are_read_in_the_unit_and_nothing_else_is() {
        let millis = DeadlineHeader::millis(NAME);
        let seconds = DeadlineHeader::seconds(NAME);
        for (text, in_millis, in_seconds) in [
            ("0", Some(Duration::ZERO), Some(Duration::ZERO)),
            (
                "1500",
                Some(Duration::from_millis(1500)),
                Some(Duration::from_secs(1500)),
            ),
            ("1.5", None, Some(Duration::from_millis(1500))),
            ("0.000000001", None, Some(Duration::from_nanos(1))),
            ("0.0000000001", None, None),
            ("1.", None, None),
            (".5", None, None),
            ("", None, None),
            ("-1", None, None),
            ("+1", None, None),
            ("1e3", None, None),
            ("5s", None, None),
            ("1.-5", None, None),
            ("1234567890123456", None, None),
        ] {
            assert_eq!(millis.parse(text.as_bytes()), in_millis, "{text:?} ms");
            assert_eq!(seconds.parse(text.as_bytes()), in_seconds, "{text:?} s");
        }
        assert_eq!(millis.parse(b"\xff"), None);
        assert_eq!(millis.read(&HeaderMap::new()).count(), 0);
    }

    #[test]
    fn what_is_written_is_rounded_down() {
        for (micros, in_millis, in_seconds) in [
            (999, "0", "0"),
            (1_999, "1", "0.001"),
            (1_500_900, "1500", "1.5"),
            (30_000_000, "30000", "30"),
        ] {
            let time = Duration::from_micros(micros);

            assert_eq!(DeadlineHeader::millis(NAME).write(time), in_millis);
            assert_eq!(DeadlineHeader::seconds(NAME).write(time), in_seconds);
        }
    }
}
