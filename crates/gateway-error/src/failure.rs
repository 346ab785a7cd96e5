use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::{Delivery, ErrorKind, GrpcCode};

/// One failed exchange, classified: the kind, how far the request got, and the status if there was an answer.
///
/// It is what a [`Classify`](crate::Classify) returns, what retry and health check decide by, and what the answers that our layers make carry in their
/// extensions. See the [crate docs](crate) for examples.
#[must_use]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failure {
    /// None: the upstream answered with a failure and gave no reason.
    kind: Option<ErrorKind>,
    delivery: Delivery,
    status: Option<StatusCode>,
    grpc: Option<GrpcCode>,
    local: bool,
    /// The upstream said that it has not processed the request and will not.
    refused: bool,
    retry_after: Option<Duration>,
    /// The status of our answer, where it is not the kind's.
    answer_status: Option<StatusCode>,
}

// === impl Failure ===

impl Failure {
    /// A failure without an answer: an error of a client, a limit of ours.
    pub const fn new(kind: ErrorKind) -> Self {
        Self {
            kind: Some(kind),
            delivery: kind.delivery(),
            status: None,
            grpc: None,
            local: true,
            refused: false,
            retry_after: None,
            answer_status: None,
        }
    }

    /// A failure that the upstream answered with this status. `kind` is what its `Proxy-Status` says, if it says anything.
    pub const fn answered(status: StatusCode, kind: Option<ErrorKind>) -> Self {
        Self {
            kind,
            delivery: Delivery::Answered,
            status: Some(status),
            grpc: None,
            local: false,
            refused: false,
            retry_after: None,
            answer_status: None,
        }
    }

    /// A failure that the upstream answered with this gRPC status.
    pub const fn answered_grpc(status: StatusCode, code: GrpcCode) -> Self {
        Self {
            kind: None,
            delivery: Delivery::Answered,
            status: Some(status),
            grpc: Some(code),
            local: false,
            refused: false,
            retry_after: None,
            answer_status: None,
        }
    }

    /// Replaces how far the request got, where more is known than the kind says.
    pub const fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Says that the upstream refused the request before it processed any of it: HTTP/2 `REFUSED_STREAM`, or `GOAWAY` with a lower last stream id
    /// ([RFC 9113, section 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7)). So it was [not sent](Delivery::NotSent), for what that means.
    pub const fn refused(mut self) -> Self {
        self.refused = true;
        self.delivery = Delivery::NotSent;
        self
    }

    /// Says when the caller may come back: [`Answer`](crate::Answer) sends it as `Retry-After`.
    pub const fn come_back_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the status that this failure is answered with, where its kind alone does not tell: 413 and 408 are both
    /// [`ErrorKind::HttpRequestError`].
    pub const fn answer_with(mut self, status: StatusCode) -> Self {
        self.answer_status = Some(status);
        self
    }

    /// Returns the kind; `None` where the upstream answered with a failure and gave no reason.
    #[must_use]
    pub const fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// Returns how far the request got.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Says whether the upstream refused the request before it processed any of it, as opposed to a request that never left.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Returns the status that the upstream answered with, if it answered.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the gRPC status that the upstream answered with, if it did.
    #[must_use]
    pub const fn grpc_code(&self) -> Option<GrpcCode> {
        self.grpc
    }

    /// Returns when the caller may come back, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the status that this failure is answered with, where it was set.
    #[must_use]
    pub const fn answer_status(&self) -> Option<StatusCode> {
        self.answer_status
    }

    /// Says whether this hop found the failure, as opposed to an answer that came from upstream.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }

    /// Says whether this hop found that no connection could be opened: no address, no route, refused, too slow, no TLS. The request was not sent then.
    #[must_use]
    pub fn is_connect_failure(&self) -> bool {
        self.local
            && self.delivery == Delivery::NotSent
            && matches!(
                self.kind,
                Some(
                    ErrorKind::DnsTimeout
                        | ErrorKind::DnsError
                        | ErrorKind::DestinationIpUnroutable
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::ConnectionTimeout
                        | ErrorKind::TlsProtocolError
                        | ErrorKind::TlsAlertReceived
                )
            )
    }

    /// Returns the value of `error.type` in logs and metrics: the kind's token, else the name of the gRPC status, else the status.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match (self.kind, self.grpc, &self.status) {
            (Some(kind), _, _) => kind.token(),
            (None, Some(code), _) => code.name(),
            (None, None, Some(status)) => status.as_str(),
            (None, None, None) => "_OTHER",
        }
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.grpc, self.status) {
            (Some(kind), ..) => f.write_str(kind.words()),
            (None, Some(code), _) => write!(f, "the upstream answered {code}"),
            (None, None, Some(status)) => write!(f, "the upstream answered {status}"),
            (None, None, None) => f.write_str("the exchange failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_failure_is_one_that_this_hop_found_before_it_sent_anything() {
        let refused = Failure::new(ErrorKind::ConnectionRefused);
        let tls = Failure::new(ErrorKind::TlsProtocolError);
        for (failure, expected) in [
            (refused, true),
            (Failure::new(ErrorKind::DnsError), true),
            (Failure::new(ErrorKind::ConnectionTimeout), true),
            (tls.delivered(Delivery::NotSent), true),
            (tls.delivered(Delivery::MaybeProcessed), false),
            (refused.delivered(Delivery::MaybeProcessed), false),
            (Failure::new(ErrorKind::ConnectionTerminated), false),
            (Failure::new(ErrorKind::HttpResponseTimeout), false),
            (
                Failure::answered(StatusCode::BAD_GATEWAY, Some(ErrorKind::ConnectionRefused)),
                false,
            ),
        ] {
            assert_eq!(failure.is_connect_failure(), expected, "{failure:?}");
        }
    }
}
