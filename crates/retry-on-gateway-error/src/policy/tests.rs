use http::{Request, StatusCode};
use portcullis_gateway_error::GrpcCode;

use super::*;
use crate::Jitter;

fn policy() -> StandardPolicy {
    StandardPolicy {
        backoff: Backoff::fixed(Duration::from_millis(100)).jitter(Jitter::None),
        max_retry_after: Duration::from_secs(10),
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

const RETRY: Decision = Decision::Retry {
    wait: Duration::from_millis(100),
    reason: WaitReason::Backoff,
};

const BAD_GATEWAY: Failure = Failure::answered(StatusCode::BAD_GATEWAY, None);

#[test]
fn what_is_retried_is_the_table_of_the_crate_page() {
    let retried = RETRY;
    let not_retriable = Decision::Stop(StopReason::NotRetriable);
    let not_safe = Decision::Stop(StopReason::NotSafe);
    let kind = Failure::new;

    for (failure, idempotent, other) in [
        (BAD_GATEWAY, retried, not_safe),
        (
            Failure::answered(StatusCode::SERVICE_UNAVAILABLE, None),
            retried,
            not_safe,
        ),
        (
            Failure::answered(StatusCode::GATEWAY_TIMEOUT, Some(ErrorKind::DnsTimeout)),
            retried,
            not_safe,
        ),
        (
            Failure::answered_grpc(StatusCode::OK, GrpcCode::Unavailable),
            retried,
            not_safe,
        ),
        (kind(ErrorKind::DnsError), retried, retried),
        (kind(ErrorKind::ConnectionRefused), retried, retried),
        (kind(ErrorKind::ConnectionTimeout), retried, retried),
        (kind(ErrorKind::ConnectionTerminated), retried, not_safe),
        (
            kind(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent),
            retried,
            retried,
        ),
        (kind(ErrorKind::ConnectionReadTimeout), retried, not_safe),
        (kind(ErrorKind::HttpResponseTimeout), retried, not_safe),
        (kind(ErrorKind::HttpProtocolError), retried, not_safe),
        (kind(ErrorKind::TlsProtocolError), retried, not_safe),
        (
            kind(ErrorKind::TlsCertificateError),
            not_retriable,
            not_retriable,
        ),
        (
            kind(ErrorKind::DestinationUnavailable),
            not_retriable,
            not_retriable,
        ),
        (
            kind(ErrorKind::ConnectionLimitReached),
            not_retriable,
            not_retriable,
        ),
        (
            kind(ErrorKind::HttpRequestError),
            not_retriable,
            not_retriable,
        ),
        (
            kind(ErrorKind::ProxyInternalError),
            not_retriable,
            not_retriable,
        ),
    ] {
        for (method, expected) in [("GET", idempotent), ("POST", other)] {
            let request = request(method, &[]);

            let decision = policy().decide(&Facts::new(&request, &failure));

            assert_eq!(decision, expected, "{method} {failure:?}");
        }
    }
}

#[test]
fn a_request_is_idempotent_by_method_by_key_or_by_word() {
    let not_safe = Decision::Stop(StopReason::NotSafe);
    for (method, headers, word, expected) in [
        ("GET", &[][..], None, RETRY),
        ("HEAD", &[], None, RETRY),
        ("OPTIONS", &[], None, RETRY),
        ("TRACE", &[], None, RETRY),
        ("PUT", &[], None, RETRY),
        ("DELETE", &[], None, RETRY),
        ("QUERY", &[], None, RETRY),
        ("POST", &[], None, not_safe),
        ("PATCH", &[], None, not_safe),
        ("get", &[], None, not_safe),
        ("POST", &[("idempotency-key", "\"8e03978e\"")], None, RETRY),
        ("POST", &[("idempotency-key", "")], None, not_safe),
        ("POST", &[], Some(true), RETRY),
        ("GET", &[], Some(false), not_safe),
        ("POST", &[("idempotency-key", "k")], Some(false), not_safe),
    ] {
        let mut request = request(method, headers);
        if let Some(word) = word {
            request.extensions.insert(Idempotent(word));
        }

        let decision = policy().decide(&Facts::new(&request, &BAD_GATEWAY));

        assert_eq!(decision, expected, "{method} {headers:?} {word:?}");
    }
    let everything = StandardPolicy {
        assume_idempotent: true,
        ..policy()
    };
    let post = request("POST", &[]);
    assert_eq!(everything.decide(&Facts::new(&post, &BAD_GATEWAY)), RETRY);
}

#[test]
fn every_limit_has_its_reason() {
    let request = request("GET", &[]);
    let facts = Facts::new(&request, &BAD_GATEWAY);
    let three = NonZeroU32::new(3).unwrap();
    let seconds = |seconds| Some(Duration::from_secs(seconds));

    for (facts, expected) in [
        (
            Facts {
                attempts: three,
                ..facts
            },
            Decision::Stop(StopReason::AttemptsExhausted),
        ),
        (
            Facts {
                replayable: false,
                ..facts
            },
            Decision::Stop(StopReason::BodyTooLarge),
        ),
        (
            Facts {
                retry_after: seconds(11),
                ..facts
            },
            Decision::Stop(StopReason::WaitTooLong),
        ),
        (
            Facts {
                remaining: seconds(0),
                ..facts
            },
            Decision::Stop(StopReason::Deadline),
        ),
        (
            Facts {
                remaining: Some(Duration::from_millis(100)),
                ..facts
            },
            Decision::Stop(StopReason::Deadline),
        ),
        (
            Facts {
                remaining: Some(Duration::from_millis(101)),
                ..facts
            },
            RETRY,
        ),
        (
            Facts {
                retry_after: seconds(10),
                ..facts
            },
            Decision::Retry {
                wait: Duration::from_secs(10),
                reason: WaitReason::RetryAfter,
            },
        ),
        (
            Facts {
                retry_after: seconds(0),
                ..facts
            },
            RETRY,
        ),
    ] {
        assert_eq!(policy().decide(&facts), expected, "{facts:?}");
    }
}
