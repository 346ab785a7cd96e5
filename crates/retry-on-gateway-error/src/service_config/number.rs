//! Numbers and durations as proto3 JSON writes them.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A finite number, which may stand in quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f64);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DurationError {
    Malformed,
    Negative,
    TooLong,
}

// === impl Number ===

impl Number {
    /// The number in thousandths, cut off and not rounded; `u32::MAX` where it is larger, and where it is negative.
    pub(super) fn thousandths(self) -> u32 {
        // Display writes no exponent, and the fewest digits that read back as the same number: 0.546, where 0.546 * 1000.0 could fall short.
        let text = self.0.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        format!("{whole}{fraction:0<3.3}")
            .parse()
            .unwrap_or(u32::MAX)
    }

    pub(super) fn is_integer(self) -> bool {
        self.0.fract() == 0.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                if number.is_finite() {
                    return Ok(Number(number));
                }
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                parse_number(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl DurationError ===

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "must be seconds with up to 9 decimals and the suffix s, such as \"0.25s\"",
            ),
            Self::Negative => f.write_str("must not be negative"),
            Self::TooLong => write!(f, "must be {MAX_SECONDS}s at most"),
        }
    }
}

fn parse_number(text: &str) -> Option<Number> {
    let mut bytes = text.bytes();
    // Rust reads `inf`, `nan` and `+1` too, which are no numbers of JSON.
    let is_number = !text.starts_with('+')
        && bytes
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    number.is_finite().then_some(Number(number))
}

/// Reads the JSON form of `google.protobuf.Duration`. Nothing has to stand before the point: gRFC A6 once wrote `.1s`, and so do many files.
pub(super) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    const MALFORMED: DurationError = DurationError::Malformed;

    let seconds = text.strip_suffix('s').ok_or(MALFORMED)?;
    let (seconds, is_negative) = match seconds.strip_prefix('-') {
        Some(seconds) => (seconds, true),
        None => (seconds, false),
    };
    let (whole, fraction) = match seconds.split_once('.') {
        Some((_, "")) => return Err(MALFORMED),
        Some(parts) => parts,
        None if seconds.is_empty() => return Err(MALFORMED),
        None => (seconds, ""),
    };
    let is_decimal = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit());
    if !is_decimal || fraction.len() > 9 {
        return Err(MALFORMED);
    }
    // Digits only, so what does not parse is too large.
    let whole = match whole {
        "" => 0,
        digits => digits.parse().unwrap_or(u64::MAX),
    };
    let nanos = format!("{fraction:0<9}").parse().unwrap_or(0);
    if is_negative && (whole, nanos) != (0, 0) {
        return Err(DurationError::Negative);
    }
    if whole > MAX_SECONDS || (whole == MAX_SECONDS && nanos > 0) {
        return Err(DurationError::TooLong);
    }
    Ok(Duration::new(whole, nanos))
}

/// Ten thousand years, the limit of `google.protobuf.Duration`.
const MAX_SECONDS: u64 = 315_576_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_decimal_seconds_with_a_suffix() {
        for (text, expected) in [
            ("1s", Ok(Duration::from_secs(1))),
            ("0s", Ok(Duration::ZERO)),
            ("-0s", Ok(Duration::ZERO)),
            ("0.25s", Ok(Duration::from_millis(250))),
            (".1s", Ok(Duration::from_millis(100))),
            ("007.5s", Ok(Duration::from_millis(7500))),
            ("1.000000001s", Ok(Duration::new(1, 1))),
            ("315576000000s", Ok(Duration::from_secs(MAX_SECONDS))),
            ("315576000000.1s", Err(DurationError::TooLong)),
            ("99999999999999999999s", Err(DurationError::TooLong)),
            ("-1s", Err(DurationError::Negative)),
            ("-0.000000001s", Err(DurationError::Negative)),
            ("1.0000000001s", Err(DurationError::Malformed)),
            ("", Err(DurationError::Malformed)),
            ("s", Err(DurationError::Malformed)),
            ("-s", Err(DurationError::Malformed)),
            (".s", Err(DurationError::Malformed)),
            ("1.s", Err(DurationError::Malformed)),
            ("1", Err(DurationError::Malformed)),
            ("+1s", Err(DurationError::Malformed)),
            ("--1s", Err(DurationError::Malformed)),
            ("1e3s", Err(DurationError::Malformed)),
            ("100ms", Err(DurationError::Malformed)),
            ("1 s", Err(DurationError::Malformed)),
            ("1.5.5s", Err(DurationError::Malformed)),
            ("1S", Err(DurationError::Malformed)),
            ("\u{661}s", Err(DurationError::Malformed)),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn thousandths_are_cut_off_and_exact() {
        for (number, expected) in [
            (0.1, 100),
            (0.546, 546),
            (0.5466, 546),
            (0.9999, 999),
            (0.0009, 0),
            (1e-300, 0),
            (1.005, 1005),
            (1000.0, 1_000_000),
            (4_294_967.295, u32::MAX),
            (4_294_967.296, u32::MAX),
            (1e300, u32::MAX),
        ] {
            assert_eq!(Number(number).thousandths(), expected, "{number}");
        }
    }

    #[test]
    fn numbers_in_quotes_are_numbers_of_json() {
        for (text, expected) in [
            ("4", Some(4.0)),
            ("1.6", Some(1.6)),
            ("-2e1", Some(-20.0)),
            ("1E+2", Some(100.0)),
            ("+1", None),
            ("1e999", None),
            ("inf", None),
            ("NaN", None),
            ("e", None),
            (" 4", None),
            ("", None),
        ] {
            assert_eq!(parse_number(text), expected.map(Number), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_duration_or_none(text in "-?[0-9.]{0,24}(s|ms|)|\\PC*") {
            if let Ok(duration) = parse_duration(&text) {
                assert!(duration <= Duration::from_secs(MAX_SECONDS));
            }
        }

        #[test]
        fn thousandths_of_thousandths_are_the_same(milli: u32) {
            assert_eq!(Number(f64::from(milli) / 1000.0).thousandths(), milli);
        }
    }
}
