use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};

/// The value of `Retry-After`: when an upstream says to come back ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use portcullis_gateway_error::RetryAfter;
///
/// let headers = http::HeaderMap::from_iter([
///     (http::header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse()?),
///     (http::header::RETRY_AFTER, "Sun, 06 Nov 1994 08:50:00 GMT".parse()?),
/// ]);
/// let wait = RetryAfter::from_headers(&headers, SystemTime::now());
/// assert_eq!(wait, Some(Duration::from_secs(23)));
/// # Ok::<_, http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAfter {
    /// After this much time.
    Delay(Duration),
    /// At this point of time.
    Date(SystemTime),
}

// === impl RetryAfter ===

impl RetryAfter {
    /// The longest wait that is told: 2^31 seconds, about 68 years. A longer one becomes this, so that it can be added to any clock.
    pub const MAX: Duration = Duration::from_secs(1 << 31);

    /// Returns how long to wait from now; `None` where the field is absent or malformed.
    ///
    /// A date is compared with the answer's own `Date`, where it has one, so that a clock that differs from the upstream's does no harm;
    /// else with `now`. One that has passed is no wait at all. Of several lines the longest wait counts.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
        let waits = headers.get_all(header::RETRY_AFTER).iter();
        waits
            .filter_map(Self::parse)
            .map(|value| value.wait(sent(headers).unwrap_or(now)))
            .max()
    }

    /// Reads one field value: whole seconds, or a date in any of the three forms of
    /// [RFC 9110, section 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7).
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.trim_matches([' ', '\t']);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // Digits alone fail to parse only by being too many.
            let seconds = text.parse().map_or(Self::MAX, Duration::from_secs);
            return Some(Self::Delay(seconds.min(Self::MAX)));
        }
        httpdate::parse_http_date(text).ok().map(Self::Date)
    }

    /// Returns how long to wait from this point of time on.
    #[must_use]
    pub fn wait(self, now: SystemTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::Date(date) => date.duration_since(now).unwrap_or_default().min(Self::MAX),
        }
    }
}

/// When the answer was made, by the clock of who made it.
fn sent(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_read() {
        for (value, expected) in [
            ("0", Some(Duration::ZERO)),
            ("120", Some(Duration::from_secs(120))),
            ("007", Some(Duration::from_secs(7))),
            ("2147483649", Some(RetryAfter::MAX)),
            ("99999999999999999999999999", Some(RetryAfter::MAX)),
            (
                "Sun, 06 Nov 1994 08:49:38 GMT",
                Some(Duration::from_secs(1)),
            ),
            (
                "Sunday, 06-Nov-94 08:50:37 GMT",
                Some(Duration::from_secs(60)),
            ),
            ("Sun Nov  6 09:49:37 1994", Some(Duration::from_secs(3600))),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(Duration::ZERO)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(RetryAfter::MAX)),
            ("-1", None),
            ("1.5", None),
            ("1s", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);

            assert_eq!(
                RetryAfter::from_headers(&headers, now()),
                expected,
                "retry-after: {value}"
            );
        }
        assert_eq!(RetryAfter::from_headers(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn a_date_is_compared_with_the_clock_of_the_upstream() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::RETRY_AFTER,
            "Sun, 06 Nov 1994 08:50:37 GMT".parse().unwrap(),
        );
        for (date, expected) in [
            // Its clock is a day ahead of ours; it means ten seconds.
            ("Sun, 06 Nov 1994 08:50:27 GMT", 10),
            ("Sun, 06 Nov 1994 08:51:00 GMT", 0),
            ("yesterday", 60),
        ] {
            headers.insert(header::DATE, date.parse().unwrap());

            assert_eq!(
                RetryAfter::from_headers(&headers, now()),
                Some(Duration::from_secs(expected)),
                "date: {date}"
            );
        }
    }

    #[test]
    fn the_longest_of_several_lines_counts() {
        let lines = ["3", "soon", "7", "5"];
        let headers = lines.map(|line| (header::RETRY_AFTER, line.parse().unwrap()));

        assert_eq!(
            RetryAfter::from_headers(&HeaderMap::from_iter(headers), now()),
            Some(Duration::from_secs(7))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(bytes: Vec<u8>, date: Vec<u8>) {
            let mut headers = HeaderMap::new();
            for (name, bytes) in [(header::RETRY_AFTER, bytes), (header::DATE, date)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    headers.insert(name, value);
                }
            }

            if let Some(wait) = RetryAfter::from_headers(&headers, now()) {
                prop_assert!(wait <= RetryAfter::MAX);
            }
        }
    }
}
