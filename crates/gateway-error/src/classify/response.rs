use http::{HeaderMap, StatusCode};

use crate::{Failure, GrpcCode, ProxyStatus, is_grpc};

/// Classifies an answer by its head; `None` where it is no gateway error.
///
/// A gateway error is 502, 503 or 504, and a gRPC answer whose headers carry a `grpc-status` of UNAVAILABLE (a trailers-only answer). The kind is what the member
/// of `Proxy-Status` nearest to the origin says, where there is one.
#[must_use]
pub fn classify_response(status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let reported = ProxyStatus::from_headers(headers);
            let kind = reported
                .as_ref()
                .and_then(ProxyStatus::failed_hop)
                .and_then(|hop| hop.kind());
            Some(Failure::answered(status, kind))
        }
        StatusCode::OK if is_grpc(headers) => grpc(status, headers),
        _ => None,
    }
}

/// Classifies a gRPC answer by its trailers; `None` where they report no gateway error.
#[must_use]
pub fn classify_trailers(trailers: &HeaderMap) -> Option<Failure> {
    grpc(StatusCode::OK, trailers)
}

fn grpc(status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
    match GrpcCode::from_headers(headers)? {
        code @ GrpcCode::Unavailable => Some(Failure::answered_grpc(status, code)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn gateway_errors_are_502_503_504() {
        for (status, expected) in [
            (200, false),
            (429, false),
            (500, false),
            (501, false),
            (502, true),
            (503, true),
            (504, true),
            (505, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();

            let failure = classify_response(status, &HeaderMap::new());

            assert_eq!(failure.is_some(), expected, "{status}");
            assert_eq!(failure.and_then(|failure| failure.kind()), None, "{status}");
        }
    }

    #[test]
    fn proxy_status_tells_the_kind() {
        let headers = HeaderMap::from_iter([(
            crate::PROXY_STATUS,
            "far;error=dns_error, near;received-status=502"
                .parse()
                .unwrap(),
        )]);

        let failure = classify_response(StatusCode::BAD_GATEWAY, &headers).unwrap();

        assert_eq!(failure.kind(), Some(ErrorKind::DnsError));
        assert_eq!(failure.status(), Some(StatusCode::BAD_GATEWAY));
    }

    #[test]
    fn grpc_unavailable_is_a_gateway_error_in_headers_and_in_trailers() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "14".parse().unwrap());
        assert_eq!(
            classify_response(StatusCode::OK, &headers),
            None,
            "not a gRPC answer"
        );
        headers.insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());

        for failure in [
            classify_response(StatusCode::OK, &headers),
            classify_trailers(&headers),
        ] {
            assert_eq!(
                failure.and_then(|failure| failure.grpc_code()),
                Some(GrpcCode::Unavailable)
            );
        }
        headers.insert("grpc-status", "13".parse().unwrap());
        assert_eq!(classify_trailers(&headers), None);
    }
}
