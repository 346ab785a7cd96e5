use std::fmt;
use std::str::FromStr;

use http::StatusCode;

use crate::GrpcCode;

/// The error types of [RFC 9209, section 2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3): what went wrong between a gateway and its next hop.
///
/// The variants stand in the order of the RFC. See the [crate docs](crate) for examples.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ErrorKind {
    /// A timeout while finding an IP address for the next hop.
    DnsTimeout,
    /// A DNS error while finding an IP address for the next hop.
    DnsError,
    /// The gateway cannot determine the next hop: there is no route.
    DestinationNotFound,
    /// The next hop is considered unavailable: recent failures, or its health check is down.
    DestinationUnavailable,
    /// The gateway is configured not to connect to the next hop's IP address.
    DestinationIpProhibited,
    /// There is no network route to the next hop's IP address.
    DestinationIpUnroutable,
    /// The connection to the next hop was refused.
    ConnectionRefused,
    /// The connection was closed before the response was complete.
    ConnectionTerminated,
    /// Opening the connection took too long.
    ConnectionTimeout,
    /// No data came on an open connection for too long.
    ConnectionReadTimeout,
    /// Data could not be written to an open connection for too long.
    ConnectionWriteTimeout,
    /// The gateway's own limit on connections or requests to the next hop is reached.
    ConnectionLimitReached,
    /// A TLS error during or after the handshake, other than an alert.
    TlsProtocolError,
    /// The next hop's certificate did not verify.
    TlsCertificateError,
    /// The next hop sent a TLS alert.
    TlsAlertReceived,
    /// The gateway answers with a 4xx on the origin's behalf.
    HttpRequestError,
    /// The gateway's policy rejects the request; it was not forwarded.
    HttpRequestDenied,
    /// The response ended before it was complete.
    HttpResponseIncomplete,
    /// The response's header section is too large.
    HttpResponseHeaderSectionSize,
    /// One header field line of the response is too large.
    HttpResponseHeaderSize,
    /// The response's body is too large.
    HttpResponseBodySize,
    /// The response's trailer section is too large.
    HttpResponseTrailerSectionSize,
    /// One trailer field line of the response is too large.
    HttpResponseTrailerSize,
    /// The response's transfer coding could not be decoded.
    HttpResponseTransferCoding,
    /// The response's content coding could not be decoded.
    HttpResponseContentCoding,
    /// The time limit for the complete response was reached.
    HttpResponseTimeout,
    /// The upgrade between the gateway and the next hop failed.
    HttpUpgradeFailed,
    /// The next hop broke the HTTP protocol in a way that no other type names.
    HttpProtocolError,
    /// The gateway made the response itself, without asking the next hop.
    ProxyInternalResponse,
    /// An internal error of the gateway that has nothing to do with the origin.
    ProxyInternalError,
    /// An error in the gateway's configuration.
    ProxyConfigurationError,
    /// The gateway forwarded the request to itself, or saw it before.
    ProxyLoopDetected,
}

/// How far a failed request got: whether the upstream can have seen it.
///
/// This decides what is safe to send again. The order is from what is safe to what is not, so the worse of two is their [`max`](Ord::max).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Delivery {
    /// The upstream has not processed the request and never will: nothing of it was sent, or the upstream said so
    /// (HTTP/2 `REFUSED_STREAM`, or `GOAWAY` with a lower last stream id, [RFC 9113, section 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7)).
    /// Sending it again is safe whatever its method is.
    NotSent,
    /// The upstream may have processed the request, in part or whole, and its answer did not come.
    MaybeProcessed,
    /// The upstream, or a hop behind it, answered.
    Answered,
}

// === impl ErrorKind ===

impl ErrorKind {
    /// Every kind, in the order of the RFC.
    pub const ALL: &'static [Self] = &[
        Self::DnsTimeout,
        Self::DnsError,
        Self::DestinationNotFound,
        Self::DestinationUnavailable,
        Self::DestinationIpProhibited,
        Self::DestinationIpUnroutable,
        Self::ConnectionRefused,
        Self::ConnectionTerminated,
        Self::ConnectionTimeout,
        Self::ConnectionReadTimeout,
        Self::ConnectionWriteTimeout,
        Self::ConnectionLimitReached,
        Self::TlsProtocolError,
        Self::TlsCertificateError,
        Self::TlsAlertReceived,
        Self::HttpRequestError,
        Self::HttpRequestDenied,
        Self::HttpResponseIncomplete,
        Self::HttpResponseHeaderSectionSize,
        Self::HttpResponseHeaderSize,
        Self::HttpResponseBodySize,
        Self::HttpResponseTrailerSectionSize,
        Self::HttpResponseTrailerSize,
        Self::HttpResponseTransferCoding,
        Self::HttpResponseContentCoding,
        Self::HttpResponseTimeout,
        Self::HttpUpgradeFailed,
        Self::HttpProtocolError,
        Self::ProxyInternalResponse,
        Self::ProxyInternalError,
        Self::ProxyConfigurationError,
        Self::ProxyLoopDetected,
    ];

    /// Returns the token that stands for this kind in `Proxy-Status`, in logs and in metrics.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::DnsTimeout => "dns_timeout",
            Self::DnsError => "dns_error",
            Self::DestinationNotFound => "destination_not_found",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DestinationIpProhibited => "destination_ip_prohibited",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionReadTimeout => "connection_read_timeout",
            Self::ConnectionWriteTimeout => "connection_write_timeout",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsAlertReceived => "tls_alert_received",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpResponseHeaderSectionSize => "http_response_header_section_size",
            Self::HttpResponseHeaderSize => "http_response_header_size",
            Self::HttpResponseBodySize => "http_response_body_size",
            Self::HttpResponseTrailerSectionSize => "http_response_trailer_section_size",
            Self::HttpResponseTrailerSize => "http_response_trailer_size",
            Self::HttpResponseTransferCoding => "http_response_transfer_coding",
            Self::HttpResponseContentCoding => "http_response_content_coding",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpUpgradeFailed => "http_upgrade_failed",
            Self::HttpProtocolError => "http_protocol_error",
            Self::ProxyInternalResponse => "proxy_internal_response",
            Self::ProxyInternalError => "proxy_internal_error",
            Self::ProxyConfigurationError => "proxy_configuration_error",
            Self::ProxyLoopDetected => "proxy_loop_detected",
        }
    }

    /// Returns the status that RFC 9209 recommends for this kind.
    ///
    /// [`HttpRequestError`](Self::HttpRequestError) stands for any 4xx and gives 400;
    /// [`ProxyInternalResponse`](Self::ProxyInternalResponse) has no recommendation and gives 500.
    /// What our own answers use is [`status`](Self::status).
    #[must_use]
    pub const fn recommended_status(self) -> StatusCode {
        match self {
            Self::DnsTimeout
            | Self::ConnectionTimeout
            | Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::DestinationUnavailable | Self::ConnectionLimitReached => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::DestinationNotFound
            | Self::ProxyInternalResponse
            | Self::ProxyInternalError
            | Self::ProxyConfigurationError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::HttpRequestError => StatusCode::BAD_REQUEST,
            Self::HttpRequestDenied => StatusCode::FORBIDDEN,
            Self::DnsError
            | Self::DestinationIpProhibited
            | Self::DestinationIpUnroutable
            | Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::TlsProtocolError
            | Self::TlsCertificateError
            | Self::TlsAlertReceived
            | Self::HttpResponseIncomplete
            | Self::HttpResponseHeaderSectionSize
            | Self::HttpResponseHeaderSize
            | Self::HttpResponseBodySize
            | Self::HttpResponseTrailerSectionSize
            | Self::HttpResponseTrailerSize
            | Self::HttpResponseTransferCoding
            | Self::HttpResponseContentCoding
            | Self::HttpUpgradeFailed
            | Self::HttpProtocolError
            | Self::ProxyLoopDetected => StatusCode::BAD_GATEWAY,
        }
    }

    /// Returns the status of our own answers: the recommended one, but 503 for a name that does not resolve and 502 for a wrong route.
    ///
    /// A name that does not resolve is most often a service that is not there yet or not there any more, which is what 503 says;
    /// a request that was routed wrongly is a fault of the gateway chain, which is what 502 says.
    ///
    /// An upstream in maintenance is seen as what it does: its port is closed ([`ConnectionRefused`](Self::ConnectionRefused)) or its connections end
    /// ([`ConnectionTerminated`](Self::ConnectionTerminated)), so 502 too. Where it still answers, its answer passes as it is, and where a health check has
    /// taken it out before, it is [`DestinationUnavailable`](Self::DestinationUnavailable): 503, which says that it comes back.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::DnsError => StatusCode::SERVICE_UNAVAILABLE,
            Self::DestinationNotFound => StatusCode::BAD_GATEWAY,
            _ => self.recommended_status(),
        }
    }

    /// Returns the gRPC status that says the same.
    ///
    /// Timeouts are `DEADLINE_EXCEEDED`, what the gateway itself did wrong is `INTERNAL`, a denied request is
    /// `PERMISSION_DENIED`, a bad one `INVALID_ARGUMENT`, everything else `UNAVAILABLE`.
    #[must_use]
    pub const fn grpc_code(self) -> GrpcCode {
        match self {
            Self::DnsTimeout
            | Self::ConnectionTimeout
            | Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::HttpResponseTimeout => GrpcCode::DeadlineExceeded,
            Self::HttpRequestError => GrpcCode::InvalidArgument,
            Self::HttpRequestDenied => GrpcCode::PermissionDenied,
            Self::HttpResponseHeaderSectionSize
            | Self::HttpResponseHeaderSize
            | Self::HttpResponseBodySize
            | Self::HttpResponseTrailerSectionSize
            | Self::HttpResponseTrailerSize
            | Self::HttpResponseTransferCoding
            | Self::HttpResponseContentCoding
            | Self::HttpProtocolError
            | Self::ProxyInternalResponse
            | Self::ProxyInternalError
            | Self::ProxyConfigurationError
            | Self::ProxyLoopDetected => GrpcCode::Internal,
            Self::DnsError
            | Self::DestinationNotFound
            | Self::DestinationUnavailable
            | Self::DestinationIpProhibited
            | Self::DestinationIpUnroutable
            | Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::ConnectionLimitReached
            | Self::TlsProtocolError
            | Self::TlsCertificateError
            | Self::TlsAlertReceived
            | Self::HttpResponseIncomplete
            | Self::HttpUpgradeFailed => GrpcCode::Unavailable,
        }
    }

    /// Returns how far a request that failed with this kind got, when nothing more is known about it.
    ///
    /// A classifier that knows more says so in its [`Failure`](crate::Failure): `ConnectionTerminated` on a pooled connection that was
    /// found dead before a byte was written is [`Delivery::NotSent`].
    #[must_use]
    pub const fn delivery(self) -> Delivery {
        match self {
            Self::DnsTimeout
            | Self::DnsError
            | Self::DestinationNotFound
            | Self::DestinationUnavailable
            | Self::DestinationIpProhibited
            | Self::DestinationIpUnroutable
            | Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::ConnectionLimitReached
            | Self::TlsCertificateError
            | Self::HttpRequestError
            | Self::HttpRequestDenied
            | Self::ProxyInternalResponse
            | Self::ProxyConfigurationError
            | Self::ProxyLoopDetected => Delivery::NotSent,
            Self::ConnectionTerminated
            | Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::TlsProtocolError
            | Self::TlsAlertReceived
            | Self::HttpResponseTimeout
            | Self::HttpProtocolError
            | Self::ProxyInternalError => Delivery::MaybeProcessed,
            Self::HttpResponseIncomplete
            | Self::HttpResponseHeaderSectionSize
            | Self::HttpResponseHeaderSize
            | Self::HttpResponseBodySize
            | Self::HttpResponseTrailerSectionSize
            | Self::HttpResponseTrailerSize
            | Self::HttpResponseTransferCoding
            | Self::HttpResponseContentCoding
            | Self::HttpUpgradeFailed => Delivery::Answered,
        }
    }

    /// Returns the kind in words, for people: `the connection was refused`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::DnsTimeout => "the name of the upstream was not resolved in time",
            Self::DnsError => "the name of the upstream does not resolve",
            Self::DestinationNotFound => "there is no route to an upstream",
            Self::DestinationUnavailable => "the upstream is considered unavailable",
            Self::DestinationIpProhibited => "the address of the upstream is prohibited",
            Self::DestinationIpUnroutable => "the address of the upstream cannot be routed",
            Self::ConnectionRefused => "the connection was refused",
            Self::ConnectionTerminated => {
                "the connection was closed before the answer was complete"
            }
            Self::ConnectionTimeout => "the connection was not opened in time",
            Self::ConnectionReadTimeout => "the upstream sent nothing for too long",
            Self::ConnectionWriteTimeout => "the upstream read nothing for too long",
            Self::ConnectionLimitReached => "a limit on connections or requests is reached",
            Self::TlsProtocolError => "TLS with the upstream failed",
            Self::TlsCertificateError => "the certificate of the upstream is not valid",
            Self::TlsAlertReceived => "the upstream sent a TLS alert",
            Self::HttpRequestError => "the request is not valid",
            Self::HttpRequestDenied => "the request is not allowed",
            Self::HttpResponseIncomplete => "the answer ended before it was complete",
            Self::HttpResponseHeaderSectionSize => "the header section of the answer is too large",
            Self::HttpResponseHeaderSize => "a header field of the answer is too large",
            Self::HttpResponseBodySize => "the body of the answer is too large",
            Self::HttpResponseTrailerSectionSize => {
                "the trailer section of the answer is too large"
            }
            Self::HttpResponseTrailerSize => "a trailer field of the answer is too large",
            Self::HttpResponseTransferCoding => "the transfer coding of the answer is broken",
            Self::HttpResponseContentCoding => "the content coding of the answer is broken",
            Self::HttpResponseTimeout => "the upstream did not answer in time",
            Self::HttpUpgradeFailed => "the upgrade with the upstream failed",
            Self::HttpProtocolError => "the upstream broke the HTTP protocol",
            Self::ProxyInternalResponse => "the gateway answered by itself",
            Self::ProxyInternalError => "the gateway has an internal error",
            Self::ProxyConfigurationError => "the gateway is not configured correctly",
            Self::ProxyLoopDetected => "the request came back to the gateway that sent it",
        }
    }
}

impl FromStr for ErrorKind {
    type Err = UnknownErrorKind;

    fn from_str(token: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.token() == token)
            .ok_or(UnknownErrorKind(()))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// The token names no error type of RFC 9209.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownErrorKind(());

// === impl UnknownErrorKind ===

impl fmt::Display for UnknownErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an error type of RFC 9209")
    }
}

impl std::error::Error for UnknownErrorKind {}

// === impl Delivery ===

impl Delivery {
    /// Returns the words used in logs: `not_sent`, `maybe_processed`, `answered`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::MaybeProcessed => "maybe_processed",
            Self::Answered => "answered",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back_as_its_kind() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.token().parse(), Ok(*kind), "{kind}");
        }
        assert_eq!(ErrorKind::ALL.len(), 32, "RFC 9209 has 32 error types");
        assert!("no_such_type".parse::<ErrorKind>().is_err());
    }

    #[test]
    fn four_situations_have_their_status() {
        for (situation, kind, status) in [
            ("the name does not resolve", ErrorKind::DnsError, 503),
            ("an invalid answer", ErrorKind::HttpProtocolError, 502),
            ("an invalid answer", ErrorKind::HttpResponseIncomplete, 502),
            ("maintenance", ErrorKind::ConnectionRefused, 502),
            ("maintenance", ErrorKind::ConnectionTerminated, 502),
            ("a wrong route", ErrorKind::DestinationNotFound, 502),
            ("a wrong route", ErrorKind::DestinationIpUnroutable, 502),
            ("a wrong route", ErrorKind::ProxyLoopDetected, 502),
        ] {
            assert_eq!(kind.status().as_u16(), status, "{situation}: {kind}");
        }
    }

    #[test]
    fn our_status_differs_from_the_rfc_in_two_rows() {
        let differing: Vec<_> = ErrorKind::ALL
            .iter()
            .filter(|kind| kind.status() != kind.recommended_status())
            .map(|kind| (kind.token(), kind.status().as_u16()))
            .collect();

        assert_eq!(
            differing,
            [("dns_error", 503), ("destination_not_found", 502)]
        );
    }
}
