use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::DEFAULT_NAME;
use tower_layer::Layer;

use crate::Timeout;
use crate::policy::Limits;

/// Limits how long an exchange and its phases may last.
///
/// See the [crate docs](crate) for examples. The default one has no limit of its own, and keeps the [`Deadline`](crate::Deadline) that a request comes with.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct TimeoutLayer {
    pub(crate) limits: Limits,
    pub(crate) answer: Form,
}

/// How a limit that strikes before the head is answered.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) status: StatusCode,
    pub(crate) name: Arc<str>,
}

// === impl TimeoutLayer ===

impl TimeoutLayer {
    /// A layer that limits the whole exchange: from the call to the last byte of the response, trailers included.
    pub fn new(total: Duration) -> Self {
        Self::default().total(total)
    }

    /// Limits the whole exchange, from the call to the last byte of the response. Default: no limit.
    pub const fn total(mut self, limit: Duration) -> Self {
        self.limits.total = Some(limit);
        self
    }

    /// Limits the time from the call to the response head. Default: no limit.
    pub const fn head(mut self, limit: Duration) -> Self {
        self.limits.head = Some(limit);
        self
    }

    /// Limits the time between two frames of the request body, while the inner service waits for the caller. Default: no limit.
    ///
    /// The body then ends with a [`TimeoutError`](crate::TimeoutError), which the client that sends it reports; a
    /// [`GatewayErrorLayer`](portcullis_gateway_error::GatewayErrorLayer) further out answers it with 408.
    pub const fn request_idle(mut self, limit: Duration) -> Self {
        self.limits.request_idle = Some(limit);
        self
    }

    /// Limits the time between two frames of the response body, while the caller waits for them. Default: no limit.
    ///
    /// Time in which the caller does not read does not count.
    pub const fn response_idle(mut self, limit: Duration) -> Self {
        self.limits.response_idle = Some(limit);
        self
    }

    /// Replaces the status of the answer when `total` or `head` strikes before the head. Default: 504; a server that limits its own
    /// handlers says 503, or 408 where the caller was slow.
    ///
    /// A gRPC caller gets `DEADLINE_EXCEEDED` whatever the status is.
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.answer.status = status;
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.answer.name = name.into();
        self
    }
}

impl Default for TimeoutLayer {
    fn default() -> Self {
        let answer = Form {
            status: StatusCode::GATEWAY_TIMEOUT,
            name: DEFAULT_NAME.into(),
        };
        Self {
            limits: Limits::default(),
            answer,
        }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, self.clone())
    }
}
