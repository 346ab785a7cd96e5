use std::time::{Duration, SystemTime};

use http::HeaderValue;
use httpdate::fmt_http_date;

use crate::fault::RetryAfter;

/// The value of the field; `now` is the wall clock.
pub(crate) fn value(retry_after: RetryAfter, now: SystemTime) -> HeaderValue {
    let text = match retry_after {
        RetryAfter::Seconds(seconds) => return HeaderValue::from(seconds),
        RetryAfter::ImfFixdate(seconds) => date(now, seconds),
        RetryAfter::Rfc850(seconds) => rearrange(&date(now, seconds), |date| {
            let day = match date.day_name {
                "Mon" => "Monday",
                "Tue" => "Tuesday",
                "Wed" => "Wednesday",
                "Thu" => "Thursday",
                "Fri" => "Friday",
                "Sat" => "Saturday",
                _ => "Sunday",
            };
            let year = date.year.get(2..).unwrap_or_default();
            format!(
                "{day}, {}-{}-{year} {} GMT",
                date.day, date.month, date.time
            )
        }),
        RetryAfter::Asctime(seconds) => rearrange(&date(now, seconds), |date| {
            let day = date.day.trim_start_matches('0');
            format!(
                "{} {} {day:>2} {} {}",
                date.day_name, date.month, date.time, date.year
            )
        }),
    };
    // Letters, digits and blanks only.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

/// The parts of `Sun, 06 Nov 1994 08:49:37 GMT`.
struct Date<'a> {
    day_name: &'a str,
    day: &'a str,
    month: &'a str,
    year: &'a str,
    time: &'a str,
}

fn date(now: SystemTime, seconds: u32) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(LATEST);
    let then = now
        .checked_add(Duration::from_secs(seconds.into()))
        .unwrap_or(latest);
    // What is before 1970 or after 9999 has no text form.
    fmt_http_date(then.clamp(SystemTime::UNIX_EPOCH, latest))
}

fn rearrange(date: &str, write: impl FnOnce(Date<'_>) -> String) -> String {
    let mut words = date.split(' ');
    let mut word = || words.next().unwrap_or_default();
    write(Date {
        day_name: word().trim_end_matches(','),
        day: word(),
        month: word(),
        year: word(),
        time: word(),
    })
}

/// The end of the year 9999.
const LATEST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_as_rfc_9110_shows_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        for (form, text) in [
            (RetryAfter::Seconds(5), "5"),
            (RetryAfter::ImfFixdate(5), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (RetryAfter::Rfc850(5), "Sunday, 06-Nov-94 08:49:37 GMT"),
            (RetryAfter::Asctime(5), "Sun Nov  6 08:49:37 1994"),
        ] {
            assert_eq!(value(form, now), text, "{form:?}");
        }
    }

    #[test]
    fn dates_out_of_range_do_not_panic() {
        let first = SystemTime::UNIX_EPOCH - Duration::from_secs(10);
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LATEST);
        assert_eq!(
            value(RetryAfter::ImfFixdate(0), first),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert_eq!(
            value(RetryAfter::ImfFixdate(9), last),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }
}
