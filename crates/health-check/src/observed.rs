use http::{HeaderMap, StatusCode};
use portcullis_gateway_error::{Delivery, ErrorKind, Failure, GrpcCode};

/// What the end of one exchange says about the endpoint that it went to.
///
/// A gateway error is what `portcullis-gateway-error` says it is, in a status, in a gRPC status or in an error of the client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Observed {
    /// It answered, and the answer is no failure of the server: below 500, or a gRPC status that blames the caller.
    Success,
    /// It answered with a gateway error: 502, 503, 504 or gRPC UNAVAILABLE.
    GatewayFailure,
    /// It answered with another failure of the server: 500, 501, 505 and above, or gRPC UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL and DATA_LOSS.
    ServerFailure,
    /// It did not answer, or not to the end: no connection, no answer in time, a body that breaks off.
    LocalFailure,
    /// It says nothing: the caller went away, the request never left this hop, or the endpoint asked to be called less (429, gRPC RESOURCE_EXHAUSTED),
    /// which is neither a failure nor a recovery.
    Nothing,
}

// === impl Observed ===

impl Observed {
    /// Says whether it speaks against the endpoint.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::GatewayFailure | Self::ServerFailure | Self::LocalFailure
        )
    }

    /// What a classified failure says.
    ///
    /// What this hop itself refused, and what the caller broke, says nothing about the endpoint.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        if !failure.is_local() {
            return match failure.status() {
                Some(StatusCode::TOO_MANY_REQUESTS) => Self::Nothing,
                _ => Self::GatewayFailure,
            };
        }
        match failure.kind() {
            Some(
                ErrorKind::DestinationNotFound
                | ErrorKind::DestinationUnavailable
                | ErrorKind::DestinationIpProhibited
                | ErrorKind::ConnectionLimitReached
                | ErrorKind::HttpRequestError
                | ErrorKind::HttpRequestDenied
                | ErrorKind::ProxyInternalResponse
                | ErrorKind::ProxyConfigurationError
                | ErrorKind::ProxyLoopDetected,
            ) => Self::Nothing,
            // A deadline that had passed before the request left.
            Some(ErrorKind::HttpResponseTimeout) if failure.delivery() == Delivery::NotSent => {
                Self::Nothing
            }
            _ => Self::LocalFailure,
        }
    }

    /// What a status says that is no gateway error.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Nothing,
            _ if status.is_server_error() => Self::ServerFailure,
            _ => Self::Success,
        }
    }

    /// What a gRPC status says.
    #[must_use]
    pub const fn of_grpc(code: GrpcCode) -> Self {
        match code {
            GrpcCode::Unavailable => Self::GatewayFailure,
            GrpcCode::Unknown
            | GrpcCode::DeadlineExceeded
            | GrpcCode::Unimplemented
            | GrpcCode::Internal
            | GrpcCode::DataLoss => Self::ServerFailure,
            GrpcCode::ResourceExhausted => Self::Nothing,
            GrpcCode::Ok
            | GrpcCode::Cancelled
            | GrpcCode::InvalidArgument
            | GrpcCode::NotFound
            | GrpcCode::AlreadyExists
            | GrpcCode::PermissionDenied
            | GrpcCode::FailedPrecondition
            | GrpcCode::Aborted
            | GrpcCode::OutOfRange
            | GrpcCode::Unauthenticated => Self::Success,
        }
    }

    /// What the trailers of a gRPC answer say. Without a status the stream was cut.
    #[must_use]
    pub fn of_trailers(trailers: &HeaderMap) -> Self {
        GrpcCode::from_headers(trailers).map_or(Self::LocalFailure, Self::of_grpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_where_the_endpoint_made_them() {
        for (kind, expected) in [
            (ErrorKind::ConnectionRefused, Observed::LocalFailure),
            (ErrorKind::ConnectionTimeout, Observed::LocalFailure),
            (ErrorKind::HttpResponseTimeout, Observed::LocalFailure),
            (ErrorKind::DnsError, Observed::LocalFailure),
            (ErrorKind::ProxyInternalError, Observed::LocalFailure),
            (ErrorKind::DestinationUnavailable, Observed::Nothing),
            (ErrorKind::ConnectionLimitReached, Observed::Nothing),
            (ErrorKind::HttpRequestError, Observed::Nothing),
            (ErrorKind::HttpRequestDenied, Observed::Nothing),
        ] {
            assert_eq!(
                Observed::of_failure(&Failure::new(kind)),
                expected,
                "{kind:?}"
            );
        }
        let late = Failure::new(ErrorKind::HttpResponseTimeout).delivered(Delivery::NotSent);
        assert_eq!(Observed::of_failure(&late), Observed::Nothing);
        let answered = Failure::answered(StatusCode::BAD_GATEWAY, Some(ErrorKind::DnsError));
        assert_eq!(Observed::of_failure(&answered), Observed::GatewayFailure);
    }

    #[test]
    fn statuses_count_as_envoy_counts_them() {
        for (status, expected) in [
            (200, Observed::Success),
            (404, Observed::Success),
            (429, Observed::Nothing),
            (499, Observed::Success),
            (500, Observed::ServerFailure),
            (501, Observed::ServerFailure),
            (599, Observed::ServerFailure),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Observed::of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn a_grpc_status_counts_as_the_http_status_that_it_stands_for() {
        for code in GrpcCode::ALL {
            let expected = match code as u16 {
                14 => Observed::GatewayFailure,
                2 | 4 | 12 | 13 | 15 => Observed::ServerFailure,
                8 => Observed::Nothing,
                _ => Observed::Success,
            };
            assert_eq!(Observed::of_grpc(code), expected, "{code}");
        }
        assert_eq!(
            Observed::of_trailers(&HeaderMap::new()),
            Observed::LocalFailure
        );
    }
}
