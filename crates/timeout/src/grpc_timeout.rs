//! `grpc-timeout` ([PROTOCOL-HTTP2.md](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)): at most eight digits and a unit.

use std::time::Duration;

use http::HeaderValue;

/// Reads a value; `None` where it is not one, a sign, a space or a ninth digit included.
pub(crate) fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let (_, nanos) = UNITS.iter().find(|(name, _)| name == unit)?;
    // A unit of a second or more would overflow as nanoseconds.
    Some(if *nanos < SECOND {
        Duration::from_nanos(number * nanos)
    } else {
        Duration::from_secs(number * (nanos / SECOND))
    })
}

/// Writes a time in the finest unit that takes it, rounded down; the longest there is where none does.
pub(crate) fn write(time: Duration) -> HeaderValue {
    let nanos = time.as_nanos();
    let fits = UNITS.iter().find_map(|(unit, scale)| {
        let number = nanos / u128::from(*scale);
        (number <= MAX_NUMBER).then(|| format!("{number}{}", char::from(*unit)))
    });
    let text = fits.unwrap_or_else(|| format!("{MAX_NUMBER}H"));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1n"))
}

pub(crate) const NAME: &str = "grpc-timeout";

const MAX_DIGITS: usize = 8;
const MAX_NUMBER: u128 = 99_999_999;
const SECOND: u64 = 1_000_000_000;

/// From the finest, with its nanoseconds.
const UNITS: &[(u8, u64)] = &[
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', SECOND),
    (b'M', 60 * SECOND),
    (b'H', 3600 * SECOND),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("0n", Duration::ZERO),
            ("1n", Duration::from_nanos(1)),
            ("20u", Duration::from_micros(20)),
            ("300m", Duration::from_millis(300)),
            ("4S", Duration::from_secs(4)),
            ("5M", Duration::from_secs(300)),
            ("6H", Duration::from_secs(21_600)),
            ("00000007S", Duration::from_secs(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("99999999M", Duration::from_secs(5_999_999_940)),
            ("99999999H", Duration::from_secs(359_999_996_400)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_value() {
        for text in [
            "",
            "S",
            "5",
            "123456789S",
            "000000001S",
            "-5S",
            "+5S",
            " 5S",
            "5S ",
            "5 S",
            "5s",
            "5h",
            "5ms",
            "1.5S",
            "0x5S",
            "５S",
            "5µ",
            "n",
            "nn",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"\xff\xffS"), None);
    }

    #[test]
    fn the_finest_unit_that_takes_it_is_written() {
        for (time, expected) in [
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_micros(100_000_999), "100000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_999), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_059), "1666667M"),
            (Duration::from_secs(5_999_999_999), "99999999M"),
            (Duration::from_secs(6_000_000_000), "1666666H"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(write(time), expected, "{time:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_never_longer(seconds in 0_u64..400_000_000_000, nanos in 0_u32..1_000_000_000) {
            let time = Duration::new(seconds, nanos);

            let text = write(time);
            let read = parse(text.as_bytes()).unwrap();

            prop_assert!(text.len() <= 9, "{text:?}");
            prop_assert!(read <= time, "{text:?} for {time:?}");
            // Eight digits lose less than one part in a million, unless the longest there is was too short.
            prop_assert!(time - read <= time / 1_000_000 || text == "99999999H", "{text:?} for {time:?}");
        }

        #[test]
        fn nothing_that_is_read_panics(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse(&value);
        }
    }
}
