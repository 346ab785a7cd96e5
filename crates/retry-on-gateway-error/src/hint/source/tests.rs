use proptest::prelude::*;

use super::*;

const MAX: u64 = RetryAfter::MAX.as_secs() * 1000;

/// Sun, 06 Nov 1994 08:49:37 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// A header map of lines such as `retry-after: 3`.
fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// What this source reads in a gRPC answer, in nanoseconds.
fn read(source: HintSource, lines: &[&str]) -> Option<u128> {
    match source.read(&headers(lines), true, now())? {
        Hint::After {
            wait,
            source: origin,
        } => {
            assert_eq!(origin, source);
            Some(wait.as_nanos())
        }
        Hint::Never => panic!("{lines:?} is read as never"),
    }
}

#[test]
fn each_source_reads_its_field() {
    use HintSource::*;

    // Milliseconds.
    for (source, lines, expected) in [
        (RetryAfterMs, &["retry-after-ms: 0"][..], Some(0)),
        (RetryAfterMs, &["retry-after-ms: 1500"], Some(1500)),
        (
            RetryAfterMs,
            &["retry-after-ms: 99999999999999999999"],
            Some(MAX),
        ),
        (RetryAfterMs, &["retry-after-ms: -1"], None),
        (RetryAfterMs, &["retry-after-ms: 1e3"], None),
        (RetryAfterMs, &["retry-after-ms: 5."], None),
        (RetryAfterMs, &["retry-after-ms: .5"], None),
        (RetryAfterMs, &["retry-after-ms: 5.5.5"], None),
        (RetryAfterMs, &["retry-after-ms: NaN"], None),
        (RetryAfterMs, &["retry-after-ms: inf"], None),
        (
            RetryAfterMs,
            &[
                "retry-after-ms: 5",
                "retry-after-ms: x",
                "retry-after-ms: 7",
            ],
            Some(7),
        ),
        (RetryAfterMs, &["x-ms-retry-after-ms: 5"], None),
        (XMsRetryAfterMs, &["x-ms-retry-after-ms: 17"], Some(17)),
        (XMsRetryAfterMs, &["x-ms-retry-after-ms: soon"], None),
        (XAmzRetryAfter, &["x-amz-retry-after: 1500"], Some(1500)),
        (XAmzRetryAfter, &["x-amz-retry-after: 1500.5"], None),
        (XAmzRetryAfter, &["x-amz-retry-after: -5"], None),
        (XAmzRetryAfter, &["x-amz-retry-after: invalid"], None),
        (RetryAfter, &["retry-after: 3"], Some(3000)),
        (RetryAfter, &["retry-after: 0.5"], None),
        (
            RateLimit,
            &["ratelimit: \"default\";r=0;t=30"],
            Some(30_000),
        ),
        (RateLimit, &["ratelimit: default;r=0;t=30"], Some(30_000)),
        (RateLimit, &["ratelimit: \"default\";r=1;t=30"], None),
        (RateLimit, &["ratelimit: \"default\";r=0"], None),
        (RateLimit, &["ratelimit: \"default\";t=30"], None),
        (RateLimit, &["ratelimit: \"default\";r=0;t=-30"], None),
        (RateLimit, &["ratelimit: \"default\";r=0;t=\"30\""], None),
        (RateLimit, &["ratelimit: \"default;r=0;t=30"], None),
        (RateLimit, &["ratelimit: (\"a\" \"b\");r=0;t=30"], None),
        // The longest of those that are used up, over all lines.
        (
            RateLimit,
            &[
                "ratelimit: \"a\";r=0;t=5, \"b\";r=9;t=99",
                "ratelimit: \"c\";r=0;t=7;pk=:Zg==:",
            ],
            Some(7000),
        ),
        // More than 15 digits are no number of a structured field, so the field is as good as absent.
        (
            RateLimit,
            &["ratelimit: \"default\";r=0;t=999999999999999"],
            Some(MAX),
        ),
        (
            RateLimit,
            &["ratelimit: \"default\";r=0;t=9999999999999999"],
            None,
        ),
        (
            RateLimit,
            &["ratelimit-remaining: 0", "ratelimit-reset: 30"],
            Some(30_000),
        ),
        (
            RateLimit,
            &["ratelimit-remaining: 2", "ratelimit-reset: 30"],
            None,
        ),
        (RateLimit, &["ratelimit-reset: 30"], None),
        (
            RateLimit,
            &[
                "ratelimit-remaining: 0",
                "ratelimit-reset: 999999999999999999999999999999",
            ],
            Some(MAX),
        ),
        (XRateLimitReset, &["x-ratelimit-reset: 30"], Some(30_000)),
        (
            XRateLimitReset,
            &["x-ratelimit-remaining: 0", "x-ratelimit-reset: 30"],
            Some(30_000),
        ),
        (
            XRateLimitReset,
            &["x-ratelimit-remaining: 5", "x-ratelimit-reset: 30"],
            None,
        ),
        (
            XRateLimitReset,
            &["x-ratelimit-remaining: few", "x-ratelimit-reset: 30"],
            None,
        ),
        (XRateLimitReset, &["x-ratelimit-reset: tomorrow"], None),
        (
            XRateLimitReset,
            &["x-ratelimit-reset: 1000000000"],
            Some(1_000_000_000_000),
        ),
        // The clock here is of 1994, and above the bound it is a date of 2001.
        (
            XRateLimitReset,
            &["x-ratelimit-reset: 1000000001"],
            Some((1_000_000_001 - 784_111_777) * 1000),
        ),
        (
            XRateLimitReset,
            &[
                "x-ratelimit-reset: 1000000001",
                "date: Sun, 09 Sep 2001 01:46:31 GMT",
            ],
            Some(10_000),
        ),
        (
            XRateLimitReset,
            &[
                "x-ratelimit-reset: 1000000001",
                "date: Sun, 09 Sep 2001 01:46:59 GMT",
            ],
            Some(0),
        ),
        (
            XRateLimitReset,
            &["x-ratelimit-reset: 1000000001", "date: 5"],
            Some((1_000_000_001 - 784_111_777) * 1000),
        ),
        (
            XRateLimitReset,
            &["x-ratelimit-reset: 999999999999999999999999999999"],
            Some(MAX),
        ),
    ] {
        let expected = expected.map(|wait: u64| u128::from(wait) * 1_000_000);

        assert_eq!(read(source, lines), expected, "{lines:?}");
    }
}

#[test]
fn a_part_of_a_millisecond_is_kept_and_rounded_up() {
    for (value, expected) in [
        ("0.5", 500_000),
        ("1500.25", 1_500_250_000),
        ("0.000001", 1),
        ("0.0000001", 1),
        ("1.9999999", 2_000_000),
    ] {
        let line = format!("retry-after-ms: {value}");

        assert_eq!(
            read(HintSource::RetryAfterMs, &[&line]),
            Some(expected),
            "{line}"
        );
    }
}

#[test]
fn a_pushback_is_a_wait_or_a_no_and_for_grpc_only() {
    let wait = |ms| {
        Some(Hint::After {
            wait: Duration::from_millis(ms),
            source: HintSource::GrpcPushback,
        })
    };
    let never = Some(Hint::Never);

    for (values, expected) in [
        (&["0"][..], wait(0)),
        (&["250"], wait(250)),
        (&["2147483647"], wait(2_147_483_647)),
        (&["2147483648"], never),
        (&["9999999999"], never),
        (&["-1"], never),
        (&["1.5"], never),
        (&["soon"], never),
        (&[""], never),
        (&["250", "250"], never),
        (&[], None),
    ] {
        let lines: Vec<_> = values
            .iter()
            .map(|value| format!("grpc-retry-pushback-ms: {value}"))
            .collect();
        let headers = headers(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let source = HintSource::GrpcPushback;

        assert_eq!(source.read(&headers, true, now()), expected, "{values:?}");
        assert_eq!(source.read(&headers, false, now()), None, "{values:?}");
    }
}

#[test]
fn every_source_has_a_word_of_its_own() {
    let words = HintSource::ALL.map(HintSource::as_str);

    assert_eq!(
        words.join(" "),
        "grpc_pushback retry_after_ms x_ms_retry_after_ms x_amz_retry_after retry_after rate_limit x_rate_limit_reset"
    );
}

/// Every field that is read.
const NAMES: [&str; 11] = [
    "date",
    "grpc-retry-pushback-ms",
    "ratelimit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "retry-after-ms",
    "x-amz-retry-after",
    "x-ms-retry-after-ms",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

fn check(values: &[(usize, Vec<u8>)]) -> Result<(), TestCaseError> {
    let mut headers = HeaderMap::new();
    for (name, bytes) in values {
        if let Ok(value) = HeaderValue::from_bytes(bytes) {
            headers.append(NAMES[*name], value);
        }
    }
    for source in HintSource::ALL {
        if let Some(Hint::After { wait, .. }) = source.read(&headers, true, now()) {
            prop_assert!(wait <= RetryAfter::MAX, "{source:?}: {wait:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_ignored(values in prop::collection::vec((0..NAMES.len(), any::<Vec<u8>>()), 0..12)) {
        check(&values)?;
    }

    #[test]
    fn any_text_of_the_right_letters_is_read_or_ignored(
        values in prop::collection::vec((0..NAMES.len(), "[-+.0-9]{0,40}|\"a\";r=0{1,3};t=[-.0-9]{1,17}"), 0..12),
    ) {
        let values: Vec<_> = values.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        check(&values)?;
    }

    #[test]
    fn no_number_becomes_shorter_than_it_is(digits in "[1-9][0-9]{9,40}") {
        for (source, name) in [
            (HintSource::RetryAfterMs, "retry-after-ms"),
            (HintSource::XMsRetryAfterMs, "x-ms-retry-after-ms"),
            (HintSource::XAmzRetryAfter, "x-amz-retry-after"),
            (HintSource::RetryAfter, "retry-after"),
        ] {
            let wait = read(source, &[&format!("{name}: {digits}")]).unwrap();

            prop_assert!(wait >= 1_000_000 * 1_000_000_000, "{name}: {digits} is {wait} ns");
        }
    }
}
