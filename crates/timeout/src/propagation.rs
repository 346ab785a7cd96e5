use std::time::Duration;

use http::HeaderMap;

use crate::{DeadlineHeader, grpc_timeout};

/// How a [`TimeoutLayer`](crate::TimeoutLayer) tells the next hop how much time is left.
///
/// What is written is rounded down, and never more than what the request said before.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`grpc_timeout`](Self::grpc_timeout) | true | gRPC requests get `grpc-timeout` |
/// | [`header`](Self::header) | none | all other requests get this header |
/// | [`margin`](Self::margin) | 0 | how much less than what is left the next hop is told |
#[must_use = "a propagation does nothing until a layer has it"]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Propagation {
    grpc_timeout: bool,
    header: Option<DeadlineHeader>,
    margin: Duration,
}

// === impl Propagation ===

impl Propagation {
    /// The default: `grpc-timeout` for gRPC, nothing for other requests.
    pub const fn new() -> Self {
        Self {
            grpc_timeout: true,
            header: None,
            margin: Duration::ZERO,
        }
    }

    /// Says whether gRPC requests get `grpc-timeout`. Default: true.
    pub const fn grpc_timeout(mut self, written: bool) -> Self {
        self.grpc_timeout = written;
        self
    }

    /// Writes this header into requests that are not gRPC. Default: none.
    pub fn header(mut self, header: DeadlineHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Tells the next hop less than what is left, for the way back. Default: 0.
    ///
    /// Where less than this is left, the next hop is told the least there is: a nanosecond, or 0 in a header of HTTP.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// Writes what is left into a request.
    pub(crate) fn write(&self, headers: &mut HeaderMap, grpc: bool, left: Duration) {
        let left = left.saturating_sub(self.margin);
        if grpc {
            if self.grpc_timeout {
                let said = headers.get(grpc_timeout::NAME);
                let said = said.and_then(|value| grpc_timeout::parse(value.as_bytes()));
                if said.is_none_or(|said| left < said) {
                    let value = grpc_timeout::write(left.max(Duration::from_nanos(1)));
                    headers.insert(grpc_timeout::NAME, value);
                }
            }
        } else if let Some(header) = &self.header {
            let said = header.read(headers).flatten().min();
            if said.is_none_or(|said| left < said) {
                headers.insert(header.name().clone(), header.write(left));
            }
        }
    }
}

impl Default for Propagation {
    fn default() -> Self {
        Self::new()
    }
}
