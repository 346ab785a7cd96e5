//! Times as providers tell them.

/// The seconds since 1970 of a time after [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339), without its fraction; nothing where it is none, or before 1970.
pub(crate) fn seconds_of_rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, "-")?;
    let (clock, rest) = clock.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [hour, minute, second] = numbers(clock, ":")?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let ahead = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), zone) => {
            let [hours, minutes] = numbers(zone, ":")?;
            let ahead = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            if sign == "-" { -ahead } else { ahead }
        }
        _ => return None,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = days(year.into(), month.into(), day.into()) * 86_400 + seconds - ahead;
    seconds.try_into().ok()
}

/// The numbers between these separators, all of digits alone.
fn numbers<const N: usize>(text: &str, separator: &str) -> Option<[u16; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for number in &mut found {
        let part = parts.next()?;
        if !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// The days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from March, so that a leap day is the last one.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // From 0000-03-01 to 1970-01-01 there are 719468.
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_of_the_rfc() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000)),
            ("2023-11-14T22:13:20.999999999Z", Some(1_700_000_000)),
            ("2023-11-14t14:13:20.5-08:00", Some(1_700_000_000)),
            ("2023-11-15 03:43:20+05:30", Some(1_700_000_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("1969-12-31T23:59:59Z", None),
            ("2023-13-14T22:13:20Z", None),
            ("2023-11-14T24:13:20Z", None),
            ("2023-11-14T22:13:20", None),
            ("2023-11-14T22:13:20+0530", None),
            ("2023-11-14T22:13:20Zulu", None),
            ("2023-11-14T+2:13:20Z", None),
            ("2023-11-1é", None),
            ("", None),
        ] {
            assert_eq!(seconds_of_rfc3339(text), expected, "{text}");
        }
    }
}
