//! Numbers as people read them, with no line end between them and their units.

use std::time::Duration;

use crate::ProbeError;

/// A time in whole seconds, in its two largest units. The script of the page says it with the same words.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (minutes, hours, days) {
        (0, ..) => format!("{seconds}\u{a0}s"),
        (_, 0, _) => format!("{minutes}\u{a0}min {}\u{a0}s", seconds % 60),
        (.., 0) => format!("{hours}\u{a0}h {}\u{a0}min", minutes % 60),
        _ => format!("{days}\u{a0}d {}\u{a0}h", hours % 24),
    }
}

/// A latency, with three digits.
pub(super) fn latency(latency: Duration) -> String {
    let micros = latency.as_micros();
    let (value, unit) = match micros {
        ..1_000 => return format!("{micros}\u{a0}µs"),
        1_000..1_000_000 => (latency.as_secs_f64() * 1e3, "ms"),
        _ => (latency.as_secs_f64(), "s"),
    };
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}\u{a0}{unit}")
}

/// A share in per cent.
pub(super) fn share(part: u64, total: u64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * part as f64 / total.max(1) as f64)
}

/// Why it failed: the kind, and the details.
pub(super) fn reason(error: &ProbeError) -> String {
    format!("{}: {error}", error.failure().error_type())
}

/// A number of things.
pub(super) fn count(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spaced(text: &str) -> String {
        text.replace('\u{a0}', " ")
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (86399, "23 h 59 min"),
            (86400, "1 d 0 h"),
            (1_000_000, "11 d 13 h"),
        ] {
            let time = spaced(&time(Duration::from_secs(seconds)));
            assert_eq!(time, expected, "{seconds}");
        }
    }

    #[test]
    fn latencies_have_three_digits() {
        for (micros, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (9_996, "10.0 ms"),
            (12_345, "12.3 ms"),
            (99_951, "100 ms"),
            (123_456, "123 ms"),
            (1_000_000, "1.00 s"),
            (61_000_000, "61.0 s"),
        ] {
            let latency = spaced(&latency(Duration::from_micros(micros)));
            assert_eq!(latency, expected, "{micros}");
        }
    }

    #[test]
    fn shares_and_counts_are_said_as_people_say_them() {
        assert_eq!(
            [share(0, 0), share(1, 3)].map(|share| spaced(&share)),
            ["0.0 %", "33.3 %"]
        );
        assert_eq!(
            [count(1, "probe", "probes"), count(2, "probe", "probes")],
            ["1 probe", "2 probes"]
        );
    }
}
