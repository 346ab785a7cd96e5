use std::time::Duration;

use http::HeaderMap;

use crate::{DeadlineHeader, grpc_timeout, telemetry};

/// Where a [`TimeoutLayer`](crate::TimeoutLayer) looks for the time that a caller gives it.
///
/// Where a request says several times, the least counts. What is malformed is ignored, and told to the log as a warning.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`grpc_timeout`](Self::grpc_timeout) | true | `grpc-timeout` of gRPC requests counts |
/// | [`header`](Self::header) | none | so do these headers, of all requests |
/// | [`max`](Self::max) | the layer's `total` | the longest that a caller may ask for, in a header or by a [`Deadline`](crate::Deadline) |
/// | [`offset`](Self::offset) | 0 | how much earlier we answer than the caller gives up |
#[must_use = "sources do nothing until a layer has them"]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeadlineSources {
    grpc_timeout: bool,
    headers: Vec<DeadlineHeader>,
    pub(crate) max: Option<Duration>,
    offset: Duration,
}

// === impl DeadlineSources ===

impl DeadlineSources {
    /// The default: `grpc-timeout` alone.
    pub const fn new() -> Self {
        Self {
            grpc_timeout: true,
            headers: Vec::new(),
            max: None,
            offset: Duration::ZERO,
        }
    }

    /// Says whether `grpc-timeout` of gRPC requests counts. Default: true.
    pub const fn grpc_timeout(mut self, counts: bool) -> Self {
        self.grpc_timeout = counts;
        self
    }

    /// Adds a header that counts. Default: none, since whoever can send it shortens how long his own requests may last.
    pub fn header(mut self, header: DeadlineHeader) -> Self {
        self.headers.push(header);
        self
    }

    /// Limits what a caller may ask for. Default: the layer's `total`.
    ///
    /// With it, the layer's `total` is only for callers that ask for nothing: one whose headers ask for more gets it, up to this. A [`Deadline`](crate::Deadline) is cut to it, and
    /// does not make `total` longer.
    pub const fn max(mut self, limit: Duration) -> Self {
        self.max = Some(limit);
        self
    }

    /// Takes this off what a caller says, so that our answer is there before he gives up. Default: 0.
    ///
    /// A time that is not longer than this stays as it is, as with Envoy's `grpc_timeout_header_offset`.
    pub const fn offset(mut self, offset: Duration) -> Self {
        self.offset = offset;
        self
    }

    /// The least time that these headers give, from now on.
    #[inline]
    pub(crate) fn read(&self, headers: &HeaderMap, grpc: bool) -> Option<Duration> {
        if self.headers.is_empty() && !(grpc && self.grpc_timeout) {
            return None;
        }
        let mut least = None;
        let mut consider = |time: Option<Duration>, name: &str| match time {
            None => telemetry::malformed(name),
            Some(time) if least.is_none_or(|least| time < least) => least = Some(time),
            Some(_) => {}
        };
        if grpc && self.grpc_timeout {
            for value in headers.get_all(grpc_timeout::NAME) {
                consider(grpc_timeout::parse(value.as_bytes()), grpc_timeout::NAME);
            }
        }
        for header in &self.headers {
            for time in header.read(headers) {
                consider(time, header.name().as_str());
            }
        }
        least.map(|time| match time.checked_sub(self.offset) {
            Some(earlier) if !earlier.is_zero() => earlier,
            _ => time,
        })
    }
}

impl Default for DeadlineSources {
    fn default() -> Self {
        Self::new()
    }
}
