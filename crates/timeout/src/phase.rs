use portcullis_gateway_error::ErrorKind;

/// Which limit of an exchange struck.
///
/// The variants stand in the order in which an exchange goes through them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Before the call: while the inner service was not ready.
    Ready,
    /// From the call to the end of the request body.
    Request,
    /// Between two frames of the request body, while the inner service waits for the caller.
    RequestIdle,
    /// From the call to the response head.
    Head,
    /// From the call to the first frame of the response body.
    FirstByte,
    /// From the response head to the end of the response body.
    Response,
    /// Between two frames of the response body, while the caller waits for the inner service.
    ResponseIdle,
    /// From the call to the last byte of the response, trailers included.
    Total,
}

// === impl Phase ===

impl Phase {
    /// Every phase, in their order.
    pub const ALL: &'static [Self] = &[
        Self::Ready,
        Self::Request,
        Self::RequestIdle,
        Self::Head,
        Self::FirstByte,
        Self::Response,
        Self::ResponseIdle,
        Self::Total,
    ];

    /// Returns the word used in logs and metrics, which is also the name of the setting: `head`, `response_idle`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Request => "request",
            Self::RequestIdle => "request_idle",
            Self::Head => "head",
            Self::FirstByte => "first_byte",
            Self::Response => "response",
            Self::ResponseIdle => "response_idle",
            Self::Total => "total",
        }
    }

    /// Returns the kind that a limit of this phase is classified as.
    ///
    /// One exception: where `request` strikes while the inner service takes nothing, it is [`ErrorKind::ConnectionWriteTimeout`].
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Ready => ErrorKind::ConnectionLimitReached,
            Self::Request | Self::RequestIdle => ErrorKind::HttpRequestError,
            Self::Head | Self::Response | Self::Total => ErrorKind::HttpResponseTimeout,
            Self::FirstByte | Self::ResponseIdle => ErrorKind::ConnectionReadTimeout,
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Ready => "waiting for the service to be ready",
            Self::Request => "waiting for the end of the request",
            Self::RequestIdle => "waiting for the next frame of the request",
            Self::Head => "waiting for the response head",
            Self::FirstByte => "waiting for the first frame of the response",
            Self::Response => "waiting for the end of the response",
            Self::ResponseIdle => "waiting for the next frame of the response",
            Self::Total => "waiting for the end of the exchange",
        }
    }
}
