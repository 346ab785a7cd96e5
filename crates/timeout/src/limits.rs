use std::time::Duration;

use crate::Phase;

/// The limits of an exchange; each may be absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Limits {
    pub(crate) request: Option<Duration>,
    pub(crate) request_idle: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) response: Option<Duration>,
    pub(crate) response_idle: Option<Duration>,
    pub(crate) total: Option<Duration>,
}

/// In a request's extensions: replaces limits of the layer for this one request.
///
/// What it does not name stays as the layer has it. `ready` alone cannot be replaced: it is over before there is a request. A [`Deadline`](crate::Deadline) of
/// the request, and what its headers say, hold beside it: nobody makes them longer.
///
/// Every layer that the request comes to takes it, and gets limits that it had not: with one layer outside of a retry and one inside, a `head` for the attempt ends
/// the whole after the first one. Such a policy is put in between the two.
///
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use portcullis_timeout::{Phase, TimeoutPolicy};
///
/// let mut request = Request::get("/report").body(())?;
/// request.extensions_mut().insert(TimeoutPolicy::new().head(Duration::from_secs(90)).without(Phase::Total));
/// # Ok::<_, http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use = "a policy does nothing until it is in the extensions of a request"]
pub struct TimeoutPolicy {
    limits: Limits,
    /// What the layer's limits are replaced by none for, a bit for each phase.
    without: u8,
    pub(crate) total_on_streams: Option<bool>,
}

// === impl Limits ===

impl Limits {
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.total.is_some()
            || self.head.is_some()
            || self.response_idle.is_some()
            || self.first_byte.is_some()
            || self.response.is_some()
            || self.request.is_some()
            || self.request_idle.is_some()
    }

    /// The same limits, `total` excepted, this many times as long.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        let scale = |limit: Option<Duration>| limit.map(|limit| limit.mul_f64(f64::from(factor)));
        Self {
            request: scale(self.request),
            request_idle: scale(self.request_idle),
            head: scale(self.head),
            first_byte: scale(self.first_byte),
            response: scale(self.response),
            response_idle: scale(self.response_idle),
            total: self.total,
        }
    }
}

// === impl TimeoutPolicy ===

impl TimeoutPolicy {
    /// A policy that leaves everything as the layer has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// No limit of the layer holds.
    pub fn off() -> Self {
        Self {
            without: u8::MAX,
            ..Self::default()
        }
    }

    /// Replaces [`TimeoutLayer::total`](crate::TimeoutLayer::total).
    pub const fn total(mut self, limit: Duration) -> Self {
        self.limits.total = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::request`](crate::TimeoutLayer::request).
    pub const fn request(mut self, limit: Duration) -> Self {
        self.limits.request = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::request_idle`](crate::TimeoutLayer::request_idle).
    pub const fn request_idle(mut self, limit: Duration) -> Self {
        self.limits.request_idle = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::head`](crate::TimeoutLayer::head), or what an [`AdaptiveHead`](crate::AdaptiveHead) gives.
    pub const fn head(mut self, limit: Duration) -> Self {
        self.limits.head = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::first_byte`](crate::TimeoutLayer::first_byte).
    pub const fn first_byte(mut self, limit: Duration) -> Self {
        self.limits.first_byte = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::response`](crate::TimeoutLayer::response).
    pub const fn response(mut self, limit: Duration) -> Self {
        self.limits.response = Some(limit);
        self
    }

    /// Replaces [`TimeoutLayer::response_idle`](crate::TimeoutLayer::response_idle).
    pub const fn response_idle(mut self, limit: Duration) -> Self {
        self.limits.response_idle = Some(limit);
        self
    }

    /// Takes the layer's limit of this phase away. A limit that is set here holds all the same.
    pub const fn without(mut self, phase: Phase) -> Self {
        self.without |= bit(phase);
        self
    }

    /// Replaces [`TimeoutLayer::total_on_streams`](crate::TimeoutLayer::total_on_streams).
    pub const fn total_on_streams(mut self, holds: bool) -> Self {
        self.total_on_streams = Some(holds);
        self
    }

    /// The layer's limits with these in their place.
    pub(crate) fn over(&self, layer: Limits) -> Limits {
        let choose = |phase, own: Option<Duration>, layer: Option<Duration>| {
            let layer = layer.filter(|_| self.without & bit(phase) == 0);
            own.or(layer)
        };
        let own = &self.limits;
        Limits {
            request: choose(Phase::Request, own.request, layer.request),
            request_idle: choose(Phase::RequestIdle, own.request_idle, layer.request_idle),
            head: choose(Phase::Head, own.head, layer.head),
            first_byte: choose(Phase::FirstByte, own.first_byte, layer.first_byte),
            response: choose(Phase::Response, own.response, layer.response),
            response_idle: choose(Phase::ResponseIdle, own.response_idle, layer.response_idle),
            total: choose(Phase::Total, own.total, layer.total),
        }
    }
}

const fn bit(phase: Phase) -> u8 {
    1 << phase as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_replaces_what_it_names() {
        let seconds = Duration::from_secs;
        let layer = Limits {
            head: Some(seconds(1)),
            total: Some(seconds(2)),
            response_idle: Some(seconds(3)),
            ..Limits::default()
        };
        for (policy, head, total, idle) in [
            (TimeoutPolicy::new(), Some(1), Some(2), Some(3)),
            (TimeoutPolicy::off(), None, None, None),
            (
                TimeoutPolicy::new().head(seconds(9)),
                Some(9),
                Some(2),
                Some(3),
            ),
            (
                TimeoutPolicy::new().without(Phase::Total),
                Some(1),
                None,
                Some(3),
            ),
            (
                TimeoutPolicy::off().response_idle(seconds(7)),
                None,
                None,
                Some(7),
            ),
        ] {
            let limits = policy.over(layer);

            let found = (limits.head, limits.total, limits.response_idle);
            let expected = (head.map(seconds), total.map(seconds), idle.map(seconds));
            assert_eq!(found, expected, "{policy:?}");
        }
    }

    #[test]
    fn a_scale_leaves_the_total_alone() {
        let second = Some(Duration::from_secs(1));
        let limits = Limits {
            head: second,
            total: second,
            ..Limits::default()
        };

        let scaled = limits.scaled(0.5);

        assert_eq!(scaled.head, Some(Duration::from_millis(500)));
        assert_eq!((scaled.total, scaled.request), (second, None));
        assert!(scaled.any() && !Limits::default().any());
    }
}
