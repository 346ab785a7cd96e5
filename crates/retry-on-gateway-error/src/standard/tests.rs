use http::{Request, Response};
use portcullis_gateway_error::{DefaultClassifier, ErrorKind};

use super::*;
use crate::{Idempotent, RetryPolicy};

mod limits;

fn policy() -> StandardPolicy {
    StandardPolicy {
        backoff: Backoff::fixed(Duration::from_millis(100)),
        throttling_backoff: Backoff::fixed(Duration::from_secs(1)),
        hints: ServerHints::new().jitter(0).max(Duration::from_secs(10)),
        ..StandardPolicy::default()
    }
}

fn request(method: &str, headers: &[(&str, &str)]) -> RequestParts {
    let builder = headers.iter().fold(
        Request::builder().method(method),
        |builder, (name, value)| builder.header(*name, *value),
    );
    builder.body(()).unwrap().into_parts().0
}

fn response(status: u16, headers: &[(&str, &str)]) -> ResponseParts {
    let builder = headers.iter().fold(
        Response::builder().status(status),
        |builder, (name, value)| builder.header(*name, *value),
    );
    builder.body(()).unwrap().into_parts().0
}

/// Decides about an answer as the layer asks it: with the failure that the classifier finds.
fn decide_answer(
    policy: &StandardPolicy,
    request: &RequestParts,
    response: &ResponseParts,
) -> Verdict {
    let failure = portcullis_gateway_error::Classify::<std::convert::Infallible>::classify_head(
        &DefaultClassifier,
        response,
    );
    let mut facts = Facts::new(request);
    facts.response = Some(response);
    facts.failure = failure.as_ref();
    policy.decide(&facts)
}

fn decide_failure(policy: &StandardPolicy, request: &RequestParts, failure: Failure) -> Decision {
    let mut facts = Facts::new(request);
    facts.failure = Some(&failure);
    policy.decide(&facts).decision
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const RETRY: Decision = Decision::Retry {
    wait: Duration::from_millis(100),
    reason: WaitReason::Backoff,
};
const AT_ONCE: Decision = Decision::Retry {
    wait: Duration::ZERO,
    reason: WaitReason::Immediate,
};
const NOT_SAFE: Decision = Decision::Stop(StopReason::NotSafe);
const NOT_RETRIABLE: Decision = Decision::Stop(StopReason::NotRetriable);
const SUCCESS: Decision = Decision::Stop(StopReason::Success);

#[test]
fn what_is_retried_is_the_table_of_the_crate_page() {
    let kind = Failure::new;
    for (failure, idempotent, other) in [
        (kind(ErrorKind::DnsError), RETRY, RETRY),
        (kind(ErrorKind::ConnectionRefused), RETRY, RETRY),
        (kind(ErrorKind::ConnectionTimeout), RETRY, RETRY),
        (
            kind(ErrorKind::ConnectionTerminated).refused(),
            AT_ONCE,
            AT_ONCE,
        ),
        (
            kind(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent),
            AT_ONCE,
            AT_ONCE,
        ),
        (kind(ErrorKind::ConnectionTerminated), RETRY, NOT_SAFE),
        (kind(ErrorKind::ConnectionReadTimeout), RETRY, NOT_SAFE),
        (kind(ErrorKind::HttpResponseTimeout), RETRY, NOT_SAFE),
        (kind(ErrorKind::HttpProtocolError), RETRY, NOT_SAFE),
        (kind(ErrorKind::TlsProtocolError), RETRY, NOT_SAFE),
        (
            kind(ErrorKind::TlsCertificateError),
            NOT_RETRIABLE,
            NOT_RETRIABLE,
        ),
        (
            kind(ErrorKind::DestinationUnavailable),
            NOT_RETRIABLE,
            NOT_RETRIABLE,
        ),
        (
            kind(ErrorKind::ConnectionLimitReached),
            NOT_RETRIABLE,
            NOT_RETRIABLE,
        ),
        (
            kind(ErrorKind::HttpRequestError),
            NOT_RETRIABLE,
            NOT_RETRIABLE,
        ),
        (
            kind(ErrorKind::ProxyInternalError),
            NOT_RETRIABLE,
            NOT_RETRIABLE,
        ),
    ] {
        for (method, expected) in [("GET", idempotent), ("POST", other)] {
            let found = decide_failure(&policy(), &request(method, &[]), failure);

            assert_eq!(found, expected, "{method} {failure:?}");
        }
    }
    for (status, idempotent, other) in [
        (200, SUCCESS, SUCCESS),
        (404, SUCCESS, SUCCESS),
        (429, SUCCESS, SUCCESS),
        (500, SUCCESS, SUCCESS),
        (501, SUCCESS, SUCCESS),
        (502, RETRY, NOT_SAFE),
        (503, RETRY, NOT_SAFE),
        (504, RETRY, NOT_SAFE),
    ] {
        for (method, expected) in [("GET", idempotent), ("POST", other)] {
            let found = decide_answer(&policy(), &request(method, &[]), &response(status, &[]));

            assert_eq!(found.decision, expected, "{method} {status}");
        }
    }
}

#[test]
fn other_classes_are_retried_when_they_are_asked_for() {
    let asked = |classes| StandardPolicy {
        retry_on: classes,
        retriable_status_codes: [499].into(),
        retriable_headers: vec![HeaderMatch::present(HeaderName::from_static("x-again"))],
        ..policy()
    };
    let throttled = Decision::Retry {
        wait: Duration::from_secs(2),
        reason: WaitReason::RetryAfter,
    };
    for (classes, status, headers, idempotent, other) in [
        (RetryOn::SERVER_ERROR, 501, &[][..], RETRY, NOT_SAFE),
        (RetryOn::RETRIABLE_4XX, 409, &[], RETRY, NOT_SAFE),
        (RetryOn::RETRIABLE_STATUS_CODES, 499, &[], RETRY, NOT_SAFE),
        (
            RetryOn::RETRIABLE_HEADERS,
            200,
            &[("x-again", "1")],
            RETRY,
            NOT_SAFE,
        ),
        (
            RetryOn::RATE_LIMITED,
            429,
            &[("retry-after", "2")],
            throttled,
            NOT_SAFE,
        ),
        (RetryOn::RATE_LIMITED, 429, &[], SUCCESS, SUCCESS),
        (RetryOn::REQUEST_TIMEOUT, 408, &[], RETRY, NOT_SAFE),
        // The upstream says that it has not processed the request.
        (RetryOn::TOO_EARLY, 425, &[], RETRY, RETRY),
        (RetryOn::MISDIRECTED, 421, &[], RETRY, RETRY),
        (RetryOn::NONE, 503, &[], NOT_RETRIABLE, NOT_RETRIABLE),
    ] {
        for (method, expected) in [("GET", idempotent), ("POST", other)] {
            let response = response(status, headers);

            let verdict = decide_answer(&asked(classes), &request(method, &[]), &response);

            assert_eq!(
                verdict.decision, expected,
                "{classes} {method} {status} {headers:?}"
            );
        }
    }
    let early = request("GET", &[("early-data", "1")]);
    let verdict = decide_answer(&asked(RetryOn::TOO_EARLY), &early, &response(425, &[]));
    assert_eq!(
        verdict.decision, SUCCESS,
        "its caller must repeat it (RFC 8470, section 5.2)"
    );
}

#[test]
fn a_grpc_call_is_a_post_so_its_method_must_be_vouched_for() {
    let unavailable = [GRPC, ("grpc-status", "14")];
    let exhausted = [GRPC, ("grpc-status", "8")];
    let listed = StandardPolicy {
        safety: Safety {
            grpc_methods: Arc::new(["/a.B/C".into()].into()),
            ..Safety::default()
        },
        ..policy()
    };
    let mut call = request("POST", &[GRPC]);
    call.uri = "/a.B/C".parse().unwrap();

    let decide = |policy: &StandardPolicy, call: &RequestParts, headers: &[_]| {
        decide_answer(policy, call, &response(200, headers)).decision
    };
    assert_eq!(decide(&policy(), &call, &unavailable), NOT_SAFE);
    assert_eq!(decide(&listed, &call, &unavailable), RETRY);
    assert_eq!(
        decide(&listed, &call, &exhausted),
        SUCCESS,
        "not a class of the default"
    );
    let refused = Failure::new(ErrorKind::ConnectionTerminated).refused();
    assert_eq!(
        decide_failure(&policy(), &call, refused),
        AT_ONCE,
        "nothing was processed"
    );
    call.extensions.insert(Idempotent(true));
    assert_eq!(decide(&policy(), &call, &unavailable), RETRY);

    let exhausts = StandardPolicy {
        retry_on: RetryOn::GRPC_RESOURCE_EXHAUSTED,
        ..policy()
    };
    let verdict = decide_answer(&exhausts, &call, &response(200, &exhausted));
    assert_eq!(verdict.cost, Cost::Throttling);
    let slow = Decision::Retry {
        wait: Duration::from_secs(1),
        reason: WaitReason::Backoff,
    };
    assert_eq!(verdict.decision, slow, "throttling has its own backoff");
}

#[test]
fn an_answer_that_is_no_grpc_is_unavailable_to_a_grpc_call() {
    let only_grpc = StandardPolicy {
        retry_on: RetryOn::GRPC_UNAVAILABLE,
        ..policy()
    };
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));
    for (status, expected) in [
        (429, true),
        (502, true),
        (503, true),
        (504, true),
        (500, false),
        (404, false),
    ] {
        let found = decide_answer(
            &only_grpc,
            &call,
            &response(status, &[("content-type", "text/html")]),
        );

        let retried = matches!(found.decision, Decision::Retry { .. });
        assert_eq!(retried, expected, "{status}");
    }
    let plain = decide_answer(&only_grpc, &request("GET", &[]), &response(502, &[]));
    assert_eq!(plain.decision, NOT_RETRIABLE, "not a gRPC call");
}

#[test]
fn an_own_limit_is_not_retried_whatever_it_is_written_as() {
    // A closed gate of ours answers a gRPC call with 200 and UNAVAILABLE.
    let mut gate = response(200, &[GRPC, ("grpc-status", "14")]);
    gate.extensions
        .insert(Failure::new(ErrorKind::DestinationUnavailable));
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));

    assert_eq!(
        decide_answer(&policy(), &call, &gate).decision,
        NOT_RETRIABLE
    );
    let mut gate = response(503, &[]);
    gate.extensions
        .insert(Failure::new(ErrorKind::ConnectionLimitReached));
    assert_eq!(
        decide_answer(&policy(), &request("GET", &[]), &gate).decision,
        NOT_RETRIABLE
    );
}

#[test]
fn a_server_can_say_no() {
    let no = Decision::Stop(StopReason::ServerSaidNo);
    let mut call = request("POST", &[GRPC]);
    call.extensions.insert(Idempotent(true));
    for (status, headers) in [
        (503, &[("x-envoy-overloaded", "true")][..]),
        (503, &[("x-envoy-ratelimited", "true")]),
        (503, &[("finagle-http-nonretryable-nack", "")]),
        (
            200,
            &[
                GRPC,
                ("grpc-status", "14"),
                ("grpc-retry-pushback-ms", "-1"),
            ],
        ),
        (
            200,
            &[
                GRPC,
                ("grpc-status", "14"),
                ("grpc-retry-pushback-ms", "soon"),
            ],
        ),
    ] {
        let verdict = decide_answer(&policy(), &call, &response(status, headers));

        assert_eq!(verdict.decision, no, "{headers:?}");
        assert_eq!(verdict.score, Score::Failure, "{headers:?}");
    }
}

#[test]
fn a_predicate_decides_before_the_classes_and_never_about_safety() {
    let policy = StandardPolicy {
        retry_if: Some(RetryIf::new(|facts| {
            let judgement = facts.response?.headers.get("x-judgement")?;
            Some(match judgement.to_str().ok()? {
                "retryable" => Judgement::Retryable,
                "success" => Judgement::Success,
                "ignored" => Judgement::Ignored,
                _ => Judgement::NotRetryable,
            })
        })),
        ..policy()
    };
    for (method, status, judgement, expected, score) in [
        ("GET", 200, "retryable", RETRY, Score::Failure),
        ("POST", 200, "retryable", NOT_SAFE, Score::Failure),
        ("GET", 404, "success", SUCCESS, Score::Success),
        ("GET", 200, "not", SUCCESS, Score::Ignored),
        ("GET", 200, "ignored", SUCCESS, Score::Ignored),
        ("GET", 502, "not", NOT_RETRIABLE, Score::Ignored),
    ] {
        let response = response(status, &[("x-judgement", judgement)]);

        let verdict = decide_answer(&policy, &request(method, &[]), &response);

        assert_eq!(
            (verdict.decision, verdict.score),
            (expected, score),
            "{method} {status} {judgement}"
        );
    }
    assert_eq!(
        decide_answer(&policy, &request("GET", &[]), &response(502, &[])).decision,
        RETRY,
        "without a word the classes decide"
    );
}

#[test]
fn an_answer_that_an_inner_retry_gave_up_on_is_let_be() {
    use portcullis_gateway_error::{AttemptRecord, Outcome};

    let mut record = AttemptRecord::new(
        NonZeroU32::MIN,
        Outcome::Failed(Failure::answered(StatusCode::BAD_GATEWAY, None)),
    );
    record.decision = Decision::Stop(StopReason::BudgetEmpty);
    let mut response = response(502, &[]);
    response.extensions.insert(RetryOutcome::from(vec![record]));

    let verdict = decide_answer(&policy(), &request("GET", &[]), &response);

    assert_eq!(verdict.decision, Decision::Stop(StopReason::BudgetEmpty));
}

#[test]
fn a_request_replaces_parts_of_the_policy() {
    let mut get = request("GET", &[]);
    get.extensions.insert(
        RetryPolicy::new()
            .retry_on(RetryOn::RETRIABLE_STATUS_CODES)
            .retriable_status_codes([418].into())
            .backoff(Backoff::fixed(Duration::from_secs(7))),
    );

    let teapot = decide_answer(&policy(), &get, &response(418, &[])).decision;
    let bad_gateway = decide_answer(&policy(), &get, &response(502, &[])).decision;

    assert_eq!(
        teapot,
        Decision::Retry {
            wait: Duration::from_secs(7),
            reason: WaitReason::Backoff
        }
    );
    assert_eq!(bad_gateway, NOT_RETRIABLE);
    assert!(policy().plan(&get).retries);
    get.extensions.insert(RetryPolicy::off());
    assert!(!policy().plan(&get).retries);
}

#[test]
fn only_what_may_be_sent_twice_is_hedged() {
    let policy = StandardPolicy {
        hedging: Some(Hedging::after(Duration::from_secs(1))),
        ..policy()
    };
    assert!(policy.plan(&request("GET", &[])).hedging.is_some());
    assert!(policy.plan(&request("POST", &[])).hedging.is_none());
    let mut get = request("GET", &[]);
    get.extensions.insert(RetryPolicy::new().hedging(None));
    assert!(policy.plan(&get).hedging.is_none());
}
