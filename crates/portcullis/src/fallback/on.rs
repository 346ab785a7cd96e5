use http::StatusCode;
use http::response::Parts;
use portcullis_gateway_error::{ErrorKind, Failure};
use portcullis_retry_on_gateway_error::StatusCodes;

/// Which failures of a target lead to the next one.
///
/// | what came | leads on by default |
/// |---|---|
/// | an error, or an answer of a layer of ours: no connection, a closed gate, an answer that is none | yes |
/// | a limit of time of ours | yes |
/// | a 4xx of ours: a request that cannot be said to the target | no |
/// | 429, 5xx, and UNAVAILABLE of gRPC, which counts as 503 | yes |
/// | another status | no; 401, 402 and 403 by choice |
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct FallbackOn {
    failures: bool,
    timeouts: bool,
    statuses: StatusCodes,
}

// === impl FallbackOn ===

impl FallbackOn {
    /// Nothing leads to the next target.
    pub fn nothing() -> Self {
        Self {
            failures: false,
            timeouts: false,
            statuses: StatusCodes::default(),
        }
    }

    /// Replaces whether a failure that this hop found leads on: an error of the client, a gate that is closed, an answer that cannot be read. Default: yes.
    pub const fn failures(mut self, leads: bool) -> Self {
        self.failures = leads;
        self
    }

    /// Replaces whether a limit of time leads on. Default: yes.
    pub const fn timeouts(mut self, leads: bool) -> Self {
        self.timeouts = leads;
        self
    }

    /// Replaces the statuses that lead on. Default: 429 and 500 to 599, of which 529 is Anthropic's for being overloaded.
    pub fn statuses(mut self, statuses: impl Into<StatusCodes>) -> Self {
        self.statuses = statuses.into();
        self
    }

    /// Says whether this leads on.
    pub(crate) fn includes(&self, response: Option<&Parts>, failure: Option<&Failure>) -> bool {
        let status = response.map(|response| response.status);
        match failure {
            Some(failure) if failure.is_local() => {
                let kind = failure.kind();
                let status = status
                    .or(failure.answer_status())
                    .or(kind.map(ErrorKind::status));
                match status.filter(StatusCode::is_client_error) {
                    Some(status) => self.statuses.contains(status),
                    None if kind.is_some_and(is_timeout) => self.timeouts,
                    None => self.failures,
                }
            }
            Some(failure) if failure.grpc_code().is_some() => {
                self.statuses.contains(StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => status.is_some_and(|status| self.statuses.contains(status)),
        }
    }
}

impl Default for FallbackOn {
    fn default() -> Self {
        Self {
            failures: true,
            timeouts: true,
            statuses: StatusCodes::from([429]).and(500..=599),
        }
    }
}

const fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DnsTimeout
            | ErrorKind::ConnectionTimeout
            | ErrorKind::ConnectionReadTimeout
            | ErrorKind::ConnectionWriteTimeout
            | ErrorKind::HttpResponseTimeout
    )
}

#[cfg(test)]
mod tests {
    use http::Response;
    use portcullis_gateway_error::GrpcCode;

    use super::*;

    fn head(status: u16) -> Parts {
        Response::builder()
            .status(status)
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    #[test]
    fn what_leads_on_is_as_the_table_says() {
        let unavailable = Failure::answered_grpc(StatusCode::OK, GrpcCode::Unavailable);
        let too_large = Failure::new(ErrorKind::HttpRequestError);
        let too_large = too_large.answer_with(StatusCode::PAYLOAD_TOO_LARGE);
        let refused = Failure::new(ErrorKind::ConnectionRefused);
        let late = Failure::new(ErrorKind::HttpResponseTimeout);
        let bad_request = Failure::new(ErrorKind::HttpRequestError);
        let answered = |status| Failure::answered(status, None);
        let bad_gateway = answered(StatusCode::BAD_GATEWAY);
        for (status, failure, default, strict) in [
            (None, Some(refused), true, false),
            (None, Some(late), true, true),
            (None, Some(too_large), false, false),
            (
                Some(503),
                Some(Failure::new(ErrorKind::DestinationUnavailable)),
                true,
                false,
            ),
            (
                Some(502),
                Some(Failure::new(ErrorKind::HttpProtocolError)),
                true,
                false,
            ),
            (Some(504), Some(late), true, true),
            (Some(400), Some(bad_request), false, false),
            (Some(413), Some(too_large), false, false),
            (Some(502), Some(bad_gateway), true, false),
            (Some(200), Some(unavailable), true, false),
            (Some(400), None, false, false),
            (Some(401), None, false, false),
            (Some(402), None, false, true),
            (Some(404), None, false, false),
            (Some(429), None, true, false),
            (Some(500), None, true, false),
            (Some(529), None, true, false),
            (Some(304), None, false, false),
        ] {
            let head = status.map(head);
            let strictly = FallbackOn::nothing().timeouts(true).statuses([402]);

            let found = FallbackOn::default().includes(head.as_ref(), failure.as_ref());

            assert_eq!(found, default, "{status:?} {failure:?}");
            let found = strictly.includes(head.as_ref(), failure.as_ref());
            assert_eq!(found, strict, "{status:?} {failure:?}, strictly");
        }
        let failures = FallbackOn::nothing().failures(true);
        assert!(failures.includes(None, Some(&refused)) && !failures.includes(None, Some(&late)));
    }
}
