use super::*;

fn facts<'a>(
    request: &'a RequestParts,
    response: &'a ResponseParts,
    failure: &'a Failure,
) -> Facts<'a> {
    let mut facts = Facts::new(request);
    facts.response = Some(response);
    facts.failure = Some(failure);
    facts
}

#[test]
fn every_limit_has_its_reason() {
    let request = request("GET", &[]);
    let failure = Failure::answered(StatusCode::BAD_GATEWAY, None);
    let plain = response(502, &[]);
    let hinted = |seconds: &str| response(502, &[("retry-after", seconds)]);
    let (zero, ten, eleven) = (hinted("0"), hinted("10"), hinted("11"));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let facts = |response| facts(&request, response, &failure);

    for (facts, expected) in [
        (
            Facts {
                attempts: NonZeroU32::new(3).unwrap(),
                ..facts(&plain)
            },
            Decision::Stop(StopReason::AttemptsExhausted),
        ),
        (
            Facts {
                not_replayable: Some(StopReason::BodyTooLarge),
                ..facts(&plain)
            },
            Decision::Stop(StopReason::BodyTooLarge),
        ),
        (facts(&eleven), Decision::Stop(StopReason::WaitTooLong)),
        (
            Facts {
                remaining: seconds(0),
                ..facts(&plain)
            },
            Decision::Stop(StopReason::Deadline),
        ),
        (
            Facts {
                remaining: Some(Duration::from_millis(100)),
                ..facts(&plain)
            },
            Decision::Stop(StopReason::Deadline),
        ),
        (
            Facts {
                remaining: Some(Duration::from_millis(101)),
                ..facts(&plain)
            },
            RETRY,
        ),
        // Kevlar: a hint that does not fit turned a 429 into a timeout.
        (
            Facts {
                remaining: seconds(9),
                ..facts(&ten)
            },
            Decision::Stop(StopReason::Deadline),
        ),
        (
            facts(&ten),
            Decision::Retry {
                wait: Duration::from_secs(10),
                reason: WaitReason::RetryAfter,
            },
        ),
        (facts(&zero), RETRY),
    ] {
        assert_eq!(policy().decide(&facts).decision, expected, "{facts:?}");
    }
}

#[test]
fn a_hint_that_is_always_there_does_not_pass_the_attempts_as_it_did_in_conjure() {
    let request = request("GET", &[]);
    let response = response(503, &[("retry-after", "0")]);
    let failure = Failure::answered(StatusCode::SERVICE_UNAVAILABLE, None);
    let mut facts = facts(&request, &response, &failure);
    facts.attempts = NonZeroU32::new(3).unwrap();

    assert_eq!(
        policy().decide(&facts).decision,
        Decision::Stop(StopReason::AttemptsExhausted)
    );
}

#[test]
fn what_never_left_goes_again_until_the_deadline_and_what_was_refused_once() {
    let post = request("POST", &[]);
    let never_left = Failure::new(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent);
    let refused = Failure::new(ErrorKind::ConnectionTerminated).refused();
    let decide = |policy: &StandardPolicy, failure: &Failure, never_left, refused, remaining| {
        let mut facts = Facts::new(&post);
        facts.failure = Some(failure);
        facts.attempts = NonZeroU32::new(3).unwrap();
        (facts.never_left, facts.refused, facts.remaining) = (never_left, refused, remaining);
        let verdict = policy.decide(&facts);
        (verdict.decision, verdict.transparent)
    };
    let exhausted = (Decision::Stop(StopReason::AttemptsExhausted), None);
    let hour = Some(Duration::from_secs(3600));

    let found = decide(&policy(), &never_left, 0, 0, None);
    assert_eq!(
        found,
        (AT_ONCE, Some(Transparent::NeverLeft)),
        "the first time at once"
    );
    let found = decide(&policy(), &never_left, 9, 0, None);
    assert_eq!(
        found,
        (RETRY, Some(Transparent::NeverLeft)),
        "later with backoff"
    );
    assert_eq!(
        decide(&policy(), &never_left, 10, 0, None),
        exhausted,
        "bounded without a deadline"
    );
    let found = decide(&policy(), &never_left, 1000, 0, hour);
    assert_eq!(
        found,
        (RETRY, Some(Transparent::NeverLeft)),
        "any number until it"
    );

    let found = decide(&policy(), &refused, 0, 0, None);
    assert_eq!(found, (AT_ONCE, Some(Transparent::Refused)));
    assert_eq!(decide(&policy(), &refused, 0, 1, hour), exhausted, "once");
    let off = StandardPolicy {
        transparent: false,
        ..policy()
    };
    assert_eq!(decide(&off, &never_left, 0, 0, None), exhausted);
}

#[test]
fn a_pushback_is_waited_exactly_and_starts_the_backoff_anew() {
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));
    let response = response(
        200,
        &[GRPC, ("grpc-status", "14"), ("grpc-retry-pushback-ms", "7")],
    );

    let verdict = decide_answer(&policy(), &call, &response);

    let wait = Duration::from_millis(7);
    assert_eq!(
        verdict.decision,
        Decision::Retry {
            wait,
            reason: WaitReason::Pushback
        }
    );
    assert!(verdict.resets_backoff);
}

#[test]
fn a_status_and_a_pushback_in_trailers_count_like_those_in_headers() {
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));
    let head = response(200, &[GRPC]);
    let trailers = response(
        200,
        &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "9")],
    )
    .headers;
    let failure = Failure::answered_grpc(StatusCode::OK, GrpcCode::Unavailable);
    let mut facts = facts(&call, &head, &failure);
    facts.trailers = Some(&trailers);

    let wait = Duration::from_millis(9);
    assert_eq!(
        policy().decide(&facts).decision,
        Decision::Retry {
            wait,
            reason: WaitReason::Pushback
        }
    );
}

#[test]
fn the_guard_holds_where_there_is_no_answer_as_it_did_not_in_the_dotnet_handler() {
    // Their opt-out looked at the response, which a timeout has not.
    let timeout = Failure::new(ErrorKind::HttpResponseTimeout);

    assert_eq!(
        decide_failure(&policy(), &request("POST", &[]), timeout),
        NOT_SAFE
    );
    assert_eq!(
        decide_failure(&policy(), &request("PATCH", &[]), timeout),
        NOT_SAFE
    );
}

#[test]
fn a_server_that_forbids_more_counts_against_the_throttle_whatever_its_status_is() {
    for (status, pushback, score) in [
        ("13", Some("-1"), Score::Failure),
        ("13", Some("soon"), Score::Failure),
        ("13", Some("100"), Score::Ignored),
        ("13", None, Score::Ignored),
        ("0", Some("-1"), Score::Success),
    ] {
        let mut headers = vec![GRPC, ("grpc-status", status)];
        headers.extend(pushback.map(|value| ("grpc-retry-pushback-ms", value)));

        let verdict = decide_answer(
            &policy(),
            &request("POST", &[GRPC]),
            &response(200, &headers),
        );

        assert_eq!(verdict.score, score, "{status} {pushback:?}");
        assert!(matches!(verdict.decision, Decision::Stop(_)));
    }
}

#[test]
fn a_server_that_forbids_more_is_heard_whatever_hints_are_read() {
    let policy = StandardPolicy {
        hints: ServerHints::new().sources([]),
        ..policy()
    };
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));
    let headers = [
        GRPC,
        ("grpc-status", "14"),
        ("grpc-retry-pushback-ms", "-1"),
    ];

    let verdict = decide_answer(&policy, &call, &response(200, &headers));

    assert_eq!(verdict.decision, Decision::Stop(StopReason::ServerSaidNo));
}
