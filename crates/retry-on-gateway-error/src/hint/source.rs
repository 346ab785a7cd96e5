use std::iter;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcullis_gateway_error::RetryAfter;
use sfv::{KeyRef, ListEntry};

/// Where an answer can say when to come back.
///
/// Of several lines of one field the longest wait counts. A value that is malformed is ignored, so that the next source is asked, but for a pushback. A wait
/// that is too long for a clock is [`RetryAfter::MAX`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum HintSource {
    /// `grpc-retry-pushback-ms: 250`, in gRPC exchanges only ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md)).
    ///
    /// A signed 32-bit number of milliseconds. What is negative, is no such number or stands there twice means that there must be no other attempt.
    GrpcPushback,
    /// `retry-after-ms: 1500` or `1500.5`, in milliseconds (OpenAI, Azure).
    RetryAfterMs,
    /// `x-ms-retry-after-ms: 1500` or `1500.5`, in milliseconds (Azure Cosmos DB).
    XMsRetryAfterMs,
    /// `x-amz-retry-after: 1500`, in whole milliseconds (AWS).
    XAmzRetryAfter,
    /// `retry-after: 120` in seconds, or a date in any of its three forms; see [`RetryAfter`].
    RetryAfter,
    /// `ratelimit: "default";r=0;t=30`: nothing is left, and there will be more in 30 seconds
    /// ([draft-ietf-httpapi-ratelimit-headers](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/)). Of several quotas that are used up the
    /// longest wait counts; one of which something is left does not count.
    ///
    /// Else the form of its older drafts: `ratelimit-remaining: 0` and `ratelimit-reset: 30`.
    RateLimit,
    /// `x-ratelimit-reset: 30` in seconds or, above 10^9, as unix time in seconds, where `x-ratelimit-remaining` is 0 or absent.
    ///
    /// Unix time is compared with the answer's own `date`, where it has one. This field is no standard and has other meanings too, so it is not asked
    /// unless it is named.
    XRateLimitReset,
}

/// What an answer says about another attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hint {
    /// Not before this much time has passed; at most [`RetryAfter::MAX`].
    After { wait: Duration, source: HintSource },
    /// Not at all.
    Never,
}

// === impl HintSource ===

impl HintSource {
    pub(crate) const ALL: [Self; 7] = [
        Self::GrpcPushback,
        Self::RetryAfterMs,
        Self::XMsRetryAfterMs,
        Self::XAmzRetryAfter,
        Self::RetryAfter,
        Self::RateLimit,
        Self::XRateLimitReset,
    ];

    /// Returns the word used in settings and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrpcPushback => "grpc_pushback",
            Self::RetryAfterMs => "retry_after_ms",
            Self::XMsRetryAfterMs => "x_ms_retry_after_ms",
            Self::XAmzRetryAfter => "x_amz_retry_after",
            Self::RetryAfter => "retry_after",
            Self::RateLimit => "rate_limit",
            Self::XRateLimitReset => "x_rate_limit_reset",
        }
    }

    /// Reads what this source says, if anything.
    pub(super) fn read(self, headers: &HeaderMap, grpc: bool, now: SystemTime) -> Option<Hint> {
        let wait = match self {
            Self::GrpcPushback if grpc => return pushback(headers),
            Self::GrpcPushback => None,
            Self::RetryAfterMs => longest(headers, &RETRY_AFTER_MS, decimal_milliseconds),
            Self::XMsRetryAfterMs => longest(headers, &X_MS_RETRY_AFTER_MS, decimal_milliseconds),
            Self::XAmzRetryAfter => longest(headers, &X_AMZ_RETRY_AFTER, milliseconds),
            Self::RetryAfter => RetryAfter::from_headers(headers, now),
            Self::RateLimit => quota(headers).or_else(|| older_quota(headers)),
            Self::XRateLimitReset => window(headers, now),
        };
        wait.map(|wait| Hint::After { wait, source: self })
    }
}

fn pushback(headers: &HeaderMap) -> Option<Hint> {
    let mut lines = headers.get_all(&PUSHBACK).iter();
    let line = lines.next()?;
    let number: Option<i32> = line.to_str().ok().and_then(|text| text.parse().ok());
    let wait = number.and_then(|number| u64::try_from(number).ok());
    Some(match (wait, lines.next()) {
        (Some(wait), None) => Hint::After {
            wait: Duration::from_millis(wait),
            source: HintSource::GrpcPushback,
        },
        _ => Hint::Never,
    })
}

/// Whether a gRPC server says that there must be no other attempt.
pub(crate) fn forbids_more(headers: &HeaderMap) -> bool {
    pushback(headers) == Some(Hint::Never)
}

/// The quotas that are used up, in the form of a structured field.
fn quota(headers: &HeaderMap) -> Option<Duration> {
    headers.get(&RATE_LIMIT)?;
    let lines = headers.get_all(&RATE_LIMIT).iter();
    let lines: Vec<_> = lines.map(HeaderValue::as_bytes).collect();
    let list: sfv::List = sfv::Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    let waits = list.iter().filter_map(|entry| {
        let ListEntry::Item(item) = entry else {
            return None;
        };
        let number = |key| {
            let value = item.params.get(KeyRef::from_str(key).ok()?)?;
            value.as_integer().map(i64::from)
        };
        let wait = u64::try_from(number("t")?).ok()?;
        (number("r")? == 0).then_some(wait)
    });
    waits.max().map(seconds)
}

/// The quota in the fields of the drafts up to the sixth.
fn older_quota(headers: &HeaderMap) -> Option<Duration> {
    let used_up = is_zero(headers, &RATE_LIMIT_REMAINING).unwrap_or(false);
    let reset = || longest(headers, &RATE_LIMIT_RESET, |text| whole(text).map(seconds));
    used_up.then(reset).flatten()
}

fn window(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let used_up = is_zero(headers, &X_RATE_LIMIT_REMAINING).unwrap_or(true);
    let clock = match headers.get(header::DATE).and_then(RetryAfter::parse) {
        Some(RetryAfter::Date(date)) => date,
        _ => now,
    };
    let reset = |text: &str| {
        let number = whole(text)?;
        if number <= LONGEST_DELTA {
            return Some(seconds(number));
        }
        let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(number));
        Some(date.map_or(RetryAfter::MAX, |date| RetryAfter::Date(date).wait(clock)))
    };
    used_up
        .then(|| longest(headers, &X_RATE_LIMIT_RESET, reset))
        .flatten()
}

/// Above it a number is a point of time: as a wait it would be 31 years, as a date it is in 2001.
const LONGEST_DELTA: u64 = 1_000_000_000;

/// Whether one of the lines is the number 0; `None` where there is no line.
fn is_zero(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    headers.get(name)?;
    Some(texts(headers, name).any(|text| whole(text) == Some(0)))
}

/// The longest of the waits that this field says.
fn longest(
    headers: &HeaderMap,
    name: &HeaderName,
    parse: impl Fn(&str) -> Option<Duration>,
) -> Option<Duration> {
    texts(headers, name).filter_map(parse).max()
}

/// The lines of a field that are text, without the space around it.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter();
    lines.filter_map(|line| Some(line.to_str().ok()?.trim_matches([' ', '\t'])))
}

fn decimal_milliseconds(text: &str) -> Option<Duration> {
    let Some((before, after)) = text.split_once('.') else {
        return milliseconds(text);
    };
    whole(after)?;
    let digits = after.bytes().chain(iter::repeat(b'0')).take(6);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0'));
    // What is less than a nanosecond is rounded up: never earlier than the server said.
    let nanos = nanos + u64::from(after.len() > 6);
    let wait = milliseconds(before)?.saturating_add(Duration::from_nanos(nanos));
    Some(wait.min(RetryAfter::MAX))
}

fn milliseconds(text: &str) -> Option<Duration> {
    whole(text).map(|number| Duration::from_millis(number).min(RetryAfter::MAX))
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number).min(RetryAfter::MAX)
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits alone fail to parse only by being too many.
    Some(text.parse().unwrap_or(u64::MAX))
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_MS_RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");
const X_AMZ_RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

#[cfg(test)]
mod tests;
