use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::RetryAfter;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The own backoff of these tests.
const OWN: Duration = Duration::from_millis(200);

/// Without jitter, so that a wait can be compared.
const EVEN: ServerHints = ServerHints::new().jitter(0);

/// Sun, 06 Nov 1994 08:49:37 GMT, and a part of a second.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(784_111_777, 123_456_789)
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

fn http(hints: ServerHints, lines: &[&str]) -> HintDecision {
    hints.wait(&headers(lines), false, now(), OWN, &Chance::seeded(3))
}

fn grpc(hints: ServerHints, lines: &[&str]) -> HintDecision {
    hints.wait(&headers(lines), true, now(), OWN, &Chance::seeded(3))
}

fn wait(wait: Duration) -> HintDecision {
    HintDecision::Wait {
        wait,
        reason: WaitReason::RetryAfter,
        resets_backoff: false,
    }
}

fn pushback(wait: Duration) -> HintDecision {
    HintDecision::Wait {
        wait,
        reason: WaitReason::Pushback,
        resets_backoff: true,
    }
}

#[test]
fn the_first_source_that_holds_a_hint_counts() {
    let every = &[
        "grpc-retry-pushback-ms: 1000",
        "retry-after-ms: 2000",
        "x-ms-retry-after-ms: 3000",
        "x-amz-retry-after: 4000",
        "retry-after: 5",
        "ratelimit: \"default\";r=0;t=6",
        "x-ratelimit-reset: 7",
    ];

    assert_eq!(grpc(EVEN, every), pushback(SECOND));
    for (first, seconds) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)] {
        assert_eq!(
            http(EVEN, &every[first..]),
            wait(seconds * SECOND),
            "{:?}",
            &every[first..]
        );
    }
    assert_eq!(http(EVEN, every), wait(2 * SECOND), "pushback is gRPC's");
    let asked_for = EVEN.sources([HintSource::XRateLimitReset, HintSource::RetryAfter]);
    assert_eq!(http(EVEN, &every[6..]), HintDecision::Own, "opt-in");
    assert_eq!(http(asked_for, every), wait(7 * SECOND));
    assert_eq!(http(asked_for, &every[..6]), wait(5 * SECOND));
    assert_eq!(grpc(EVEN.sources([]), every), HintDecision::Own);
    assert_eq!(http(EVEN, &[]), HintDecision::Own);
}

#[test]
fn a_source_that_is_malformed_is_passed_over() {
    let lines = &[
        "retry-after-ms: soon",
        "retry-after: 1.5",
        "ratelimit: \"default\";r=0;t=6",
    ];

    assert_eq!(http(EVEN, lines), wait(6 * SECOND));
}

#[test]
fn sources_named_twice_keep_their_first_place() {
    use HintSource::{RetryAfter, RetryAfterMs};

    let twice = EVEN.sources([RetryAfter, RetryAfterMs, RetryAfter, RetryAfter]);
    let all = EVEN.sources(HintSource::ALL.into_iter().chain(HintSource::ALL));

    assert_eq!(twice, EVEN.sources([RetryAfter, RetryAfterMs]));
    assert_eq!(all, EVEN.sources(HintSource::ALL));
    assert_eq!(all.sources.iter().flatten().count(), HintSource::ALL.len());
    let default = &HintSource::ALL[..6];
    assert_eq!(EVEN, EVEN.sources(default.iter().copied()));
}

#[test]
fn a_hint_and_the_own_backoff_become_one_wait() {
    let clamp = HintRule::Clamp(5 * SECOND);
    let ms = Duration::from_millis;

    for (rule, hint, expected) in [
        (HintRule::AtLeast, 100, HintDecision::Own),
        (HintRule::AtLeast, 200, wait(OWN)),
        (HintRule::AtLeast, 9000, wait(ms(9000))),
        (clamp, 100, HintDecision::Own),
        (clamp, 200, wait(OWN)),
        (clamp, 1500, wait(ms(1500))),
        (clamp, 9000, wait(ms(5200))),
        (HintRule::Exact, 0, wait(ms(0))),
        (HintRule::Exact, 100, wait(ms(100))),
        (HintRule::Exact, 9000, wait(ms(9000))),
    ] {
        let line = format!("retry-after-ms: {hint}");

        assert_eq!(
            http(EVEN.rule(rule), &[&line]),
            expected,
            "{line}, {rule:?}"
        );
    }
}

/// The rows of the docs of [`LongHint`].
#[test]
fn a_hint_above_the_max_is_handed_on_discarded_or_cut() {
    let long = &["retry-after-ms: 60001"][..];
    let then_short = &["retry-after-ms: 60001", "retry-after: 3"][..];
    let short = &["retry-after-ms: 60000"][..];
    let at_most = wait(60 * SECOND);

    for (rule, lines, expected) in [
        (LongHint::HandOn, long, HintDecision::TooLong),
        (LongHint::HandOn, then_short, HintDecision::TooLong),
        (LongHint::HandOn, short, at_most),
        (LongHint::Discard, long, HintDecision::Own),
        (LongHint::Discard, then_short, wait(3 * SECOND)),
        (LongHint::Discard, short, at_most),
        (LongHint::Cap, long, at_most),
        (LongHint::Cap, then_short, at_most),
        (LongHint::Cap, short, at_most),
    ] {
        assert_eq!(
            http(EVEN.long(rule), lines),
            expected,
            "{lines:?}, {rule:?}"
        );
    }
    let pushed = &["grpc-retry-pushback-ms: 60001"];
    assert_eq!(grpc(EVEN, pushed), HintDecision::TooLong);
    assert_eq!(
        grpc(EVEN.long(LongHint::Discard), pushed),
        HintDecision::Own
    );
    assert_eq!(
        grpc(EVEN.long(LongHint::Cap), pushed),
        pushback(60 * SECOND)
    );
}

/// go-retryablehttp, issues 247, 283 and 295.
#[test]
fn a_hint_of_an_hour_is_not_slept_as_by_go_retryablehttp() {
    let date = "retry-after: Sun, 06 Nov 1994 09:49:37 GMT";

    for line in ["retry-after: 3600", "retry-after-ms: 3600000", date] {
        assert_eq!(http(ServerHints::new(), &[line]), HintDecision::TooLong);
        let patient = EVEN.max(HOUR);
        assert!(
            matches!(http(patient, &[line]), HintDecision::Wait { wait, .. } if wait > HOUR - SECOND && wait <= HOUR),
            "{line}"
        );
    }
}

/// go-retryablehttp multiplies nanoseconds in 64 bits: 9999999999 seconds are negative there, which is no wait.
#[test]
fn a_hint_that_overflows_is_long_and_not_negative_as_in_go_retryablehttp() {
    let digits = "9".repeat(30);

    for number in ["9999999999", "99999999999999", &digits] {
        for name in [
            "retry-after",
            "retry-after-ms",
            "x-ms-retry-after-ms",
            "x-amz-retry-after",
        ] {
            let line = format!("{name}: {number}");

            assert_eq!(http(EVEN, &[&line]), HintDecision::TooLong, "{line}");
            let capped = http(EVEN.long(LongHint::Cap), &[&line]);
            assert_eq!(capped, wait(60 * SECOND), "{line}");
        }
    }
    let forever = ServerHints::new().max(Duration::MAX).jitter(u8::MAX);
    assert!(matches!(
        http(forever, &["retry-after: 9999999999"]),
        HintDecision::Wait { wait, .. } if wait >= RetryAfter::MAX
    ));
}

#[test]
fn obsolete_forms_of_a_date_are_read_unlike_by_go_retryablehttp() {
    for date in [
        "Sun, 06 Nov 1994 08:49:47 GMT",
        "Sunday, 06-Nov-94 08:49:47 GMT",
        "Sun Nov  6 08:49:47 1994",
    ] {
        let retry_after = format!("retry-after: {date}");
        let lines = &["date: Sun, 06 Nov 1994 08:49:37 GMT", &retry_after];

        assert_eq!(http(EVEN, lines), wait(10 * SECOND), "{date}");
    }
}

/// Helicone parses the field as a number and nothing else.
#[test]
fn a_date_is_a_hint_unlike_for_helicone() {
    let lines = &["retry-after: Sun, 06 Nov 1994 08:49:40 GMT"];

    let decision = http(EVEN, lines);

    assert_eq!(decision, wait(Duration::from_nanos(2_876_543_211)));
}

/// dotnet, issue 7001: up to 11 ms early, in a tenth of the retries.
#[test]
fn a_wait_is_never_earlier_than_the_server_said_unlike_in_dotnet() {
    let chance = Chance::seeded(3);
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_787);
    let dated = headers(&["retry-after: Sun, 06 Nov 1994 08:49:47 GMT"]);
    let counted = headers(&["retry-after: 10"]);

    for nanos in (0..1_000_000_000).step_by(999_983) {
        let now = SystemTime::UNIX_EPOCH + Duration::new(784_111_777, nanos);
        for hints in [ServerHints::new(), EVEN, EVEN.rule(HintRule::Exact)] {
            for (headers, due) in [(&dated, date), (&counted, now + 10 * SECOND)] {
                let decision = hints.wait(headers, false, now, OWN, &chance);

                let HintDecision::Wait { wait, .. } = decision else {
                    panic!("{decision:?}");
                };
                assert!(now + wait >= due, "{wait:?} after {now:?}");
            }
        }
    }
}

/// dapr, issue 5872.
#[test]
fn a_hint_is_not_ignored_as_by_dapr() {
    assert_eq!(http(EVEN, &["retry-after: 3"]), wait(3 * SECOND));
}

/// Linkerd passes over a negative pushback and one that is no number, and tries again.
#[test]
fn a_pushback_that_is_negative_or_no_number_means_no_unlike_for_linkerd() {
    for value in ["-1", "-250", "never", "1.5", ""] {
        let pushed = format!("grpc-retry-pushback-ms: {value}");
        let lines = &[&pushed, "retry-after: 3"];

        for long in [LongHint::HandOn, LongHint::Discard, LongHint::Cap] {
            let decision = grpc(EVEN.long(long), lines);
            assert_eq!(decision, HintDecision::Never, "{pushed}, {long:?}");
        }
        assert_eq!(http(EVEN, lines), wait(3 * SECOND), "gRPC's own");
    }
}

#[test]
fn a_pushback_is_exact_and_resets_the_backoff() {
    let jittery = ServerHints::new().jitter(100);
    let clamp = jittery.rule(HintRule::Clamp(SECOND));

    for ms in [0, 1, 199, 200, 30_000] {
        let line = format!("grpc-retry-pushback-ms: {ms}");
        for hints in [jittery, clamp, jittery.rule(HintRule::Exact)] {
            assert_eq!(
                grpc(hints, &[&line]),
                pushback(Duration::from_millis(ms)),
                "{line}, {hints:?}"
            );
        }
    }
}

#[test]
fn jitter_makes_a_hint_longer_only() {
    let chance = Chance::seeded(3);
    let headers = headers(&["retry-after: 10"]);

    for (percent, most) in [(0, 10_000), (10, 11_000), (50, 15_000), (u8::MAX, 35_500)] {
        let hints = ServerHints::new().jitter(percent);
        let draw = || match hints.wait(&headers, false, now(), OWN, &chance) {
            HintDecision::Wait { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        let waits: Vec<_> = std::iter::repeat_with(draw).take(1000).collect();

        let most = Duration::from_millis(most);
        let edge = (most - 10 * SECOND) / 50;
        let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            (10 * SECOND..=10 * SECOND + edge).contains(shortest),
            "{percent} %: {shortest:?}"
        );
        assert!(
            (most - edge..=most).contains(longest),
            "{percent} %: {longest:?}"
        );
    }
    assert_eq!(ServerHints::default(), ServerHints::new().jitter(10));
    let exact = ServerHints::new().jitter(50).rule(HintRule::Exact);
    assert_eq!(http(exact, &["retry-after: 10"]), wait(10 * SECOND));
}

proptest! {
    /// The default: no earlier than the server said, no shorter than the own backoff, and no longer than both with their jitter.
    #[test]
    fn at_least_both_and_no_more(hint in 0_u64..60_000, own in 0_u64..60_000, seed: u64) {
        let headers = headers(&[&format!("retry-after-ms: {hint}")]);
        let (hint, own) = (Duration::from_millis(hint), Duration::from_millis(own));

        let decision = ServerHints::new().wait(&headers, false, now(), own, &Chance::seeded(seed));

        let wait = match decision {
            HintDecision::Own => own,
            HintDecision::Wait { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        prop_assert!(wait >= hint && wait >= own);
        prop_assert!(wait <= own.max(hint + hint / 10));
    }

    #[test]
    fn any_value_under_any_setting_gets_a_decision(
        value: Vec<u8>, name in prop::sample::select(vec!["retry-after", "ratelimit", "grpc-retry-pushback-ms", "x-ratelimit-reset"]),
        max: Duration, room: Duration, own: Duration, jitter: u8,
    ) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.insert(name, value);
        }

        for rule in [HintRule::AtLeast, HintRule::Clamp(room), HintRule::Exact] {
            for long in [LongHint::HandOn, LongHint::Discard, LongHint::Cap] {
                let hints = ServerHints::new().sources(HintSource::ALL).max(max).rule(rule).long(long).jitter(jitter);
                let _ = hints.wait(&headers, true, now(), own, &Chance::seeded(3));
            }
        }
    }
}
