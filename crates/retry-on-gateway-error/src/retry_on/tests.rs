use portcullis_gateway_error::{ErrorKind, Failure};

use super::*;

fn answered(status: u16) -> Sight<'static> {
    Sight {
        failure: None,
        status: Some(StatusCode::from_u16(status).unwrap()),
        grpc: None,
        hint: false,
        early_data: false,
        listed_status: false,
        listed_header: false,
    }
}

const ALL: [RetryOn; 18] = [
    RetryOn::GATEWAY_ERROR,
    RetryOn::SERVER_ERROR,
    RetryOn::CONNECT_FAILURE,
    RetryOn::REFUSED_STREAM,
    RetryOn::RESET,
    RetryOn::RESET_BEFORE_REQUEST,
    RetryOn::RETRIABLE_4XX,
    RetryOn::RETRIABLE_STATUS_CODES,
    RetryOn::RETRIABLE_HEADERS,
    RetryOn::RATE_LIMITED,
    RetryOn::TOO_EARLY,
    RetryOn::REQUEST_TIMEOUT,
    RetryOn::MISDIRECTED,
    RetryOn::GRPC_CANCELLED,
    RetryOn::GRPC_DEADLINE_EXCEEDED,
    RetryOn::GRPC_INTERNAL,
    RetryOn::GRPC_RESOURCE_EXHAUSTED,
    RetryOn::GRPC_UNAVAILABLE,
];

/// Every class that a failed attempt is in.
fn classes(sight: &Sight<'_>) -> RetryOn {
    let matching = ALL
        .into_iter()
        .filter(|class| class.matching(sight).is_some());
    matching.fold(RetryOn::NONE, BitOr::bitor)
}

#[test]
fn an_answer_is_in_the_classes_of_its_status() {
    let hint = Sight {
        hint: true,
        ..answered(429)
    };
    let early = Sight {
        early_data: true,
        ..answered(425)
    };
    let listed = Sight {
        listed_status: true,
        ..answered(418)
    };
    let header = Sight {
        listed_header: true,
        ..answered(200)
    };
    for (sight, expected) in [
        (answered(200), ""),
        (answered(404), ""),
        (answered(408), "request-timeout"),
        (answered(409), "retriable-4xx"),
        (answered(421), "misdirected"),
        (answered(425), "too-early"),
        (early, ""),
        (answered(429), ""),
        (hint, "rate-limited"),
        (answered(500), "5xx"),
        (answered(502), "gateway-error,5xx"),
        (answered(503), "gateway-error,5xx"),
        (answered(504), "gateway-error,5xx"),
        (answered(505), "5xx"),
        (listed, "retriable-status-codes"),
        (header, "retriable-headers"),
    ] {
        assert_eq!(classes(&sight).to_string(), expected, "{sight:?}");
    }
}

#[test]
fn what_did_not_bring_an_answer_is_in_the_classes_of_its_kind() {
    let lost = "gateway-error,5xx,reset";
    let kind = Failure::new;
    for (failure, expected) in [
        (
            kind(ErrorKind::DnsError),
            "gateway-error,5xx,connect-failure,reset",
        ),
        (
            kind(ErrorKind::ConnectionRefused),
            "gateway-error,5xx,connect-failure,reset",
        ),
        (
            kind(ErrorKind::ConnectionTimeout),
            "gateway-error,5xx,connect-failure,reset",
        ),
        (
            kind(ErrorKind::DestinationIpUnroutable),
            "gateway-error,5xx,connect-failure,reset",
        ),
        (kind(ErrorKind::ConnectionTerminated), lost),
        (
            kind(ErrorKind::ConnectionTerminated).refused(),
            "gateway-error,5xx,refused-stream,reset",
        ),
        (
            kind(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent),
            "gateway-error,5xx,reset,reset-before-request",
        ),
        (kind(ErrorKind::ConnectionReadTimeout), lost),
        (kind(ErrorKind::HttpResponseTimeout), lost),
        (kind(ErrorKind::HttpProtocolError), lost),
        (kind(ErrorKind::HttpResponseIncomplete), lost),
        (kind(ErrorKind::TlsProtocolError), lost),
        (kind(ErrorKind::TlsCertificateError), ""),
        (kind(ErrorKind::DestinationUnavailable), ""),
        (kind(ErrorKind::ConnectionLimitReached), ""),
        (kind(ErrorKind::HttpRequestError), ""),
        (kind(ErrorKind::HttpRequestDenied), ""),
        (kind(ErrorKind::ProxyLoopDetected), ""),
        (kind(ErrorKind::ProxyConfigurationError), ""),
        (kind(ErrorKind::ProxyInternalError), ""),
    ] {
        assert_eq!(
            classes(&Sight::of(&failure)).to_string(),
            expected,
            "{failure:?}"
        );
    }
}

#[test]
fn a_grpc_status_is_in_its_class() {
    for code in GrpcCode::ALL {
        let sight = Sight {
            grpc: Some(code),
            ..answered(200)
        };
        let expected = match code {
            GrpcCode::Cancelled => "cancelled",
            GrpcCode::DeadlineExceeded => "deadline-exceeded",
            GrpcCode::Internal => "internal",
            GrpcCode::ResourceExhausted => "resource-exhausted",
            GrpcCode::Unavailable => "unavailable",
            _ => "",
        };
        assert_eq!(classes(&sight).to_string(), expected, "{code}");
    }
}

#[test]
fn sets_are_read_written_and_combined() {
    let set = RetryOn::GATEWAY_ERROR | RetryOn::RESET;

    assert_eq!(" gateway-error , reset,".parse(), Ok(set));
    assert_eq!((set - RetryOn::RESET).to_string(), "gateway-error");
    assert_eq!("".parse(), Ok(RetryOn::NONE));
    assert_eq!(
        "gateway-error,rest"
            .parse::<RetryOn>()
            .unwrap_err()
            .to_string(),
        "`rest` is no class of failures"
    );
    assert_eq!(RetryOn::known_words("rest,reset"), RetryOn::RESET);
    assert_eq!(
        ALL.into_iter()
            .fold(RetryOn::NONE, BitOr::bitor)
            .to_string()
            .parse(),
        Ok(ALL.into_iter().fold(RetryOn::NONE, BitOr::bitor))
    );
    assert_eq!(
        RetryOn::default().to_string(),
        "gateway-error,connect-failure,refused-stream,reset-before-request,unavailable"
    );
}
