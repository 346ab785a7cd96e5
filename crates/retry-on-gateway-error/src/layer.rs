use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::DefaultClassifier;
use tower_layer::Layer;

use crate::chance::Chance;
use crate::drain::DrainLimit;
use crate::map_body::{Direct, MapBody};
use crate::{Backoff, Retry, StandardPolicy};

/// Tries a call again after a gateway error, when that is safe.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug, Default)]
pub struct RetryLayer<P = StandardPolicy, C = DefaultClassifier, M = Direct> {
    pub(crate) policy: P,
    pub(crate) classifier: C,
    pub(crate) convert: M,
    pub(crate) limits: Limits,
}

/// What the layer itself keeps and reads, whatever the policy is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    pub(crate) max_replay_bytes: usize,
    pub(crate) drain: DrainLimit,
}

// === impl RetryLayer ===

impl RetryLayer {
    /// A layer with the [`StandardPolicy`] and the [`DefaultClassifier`].
    pub fn new() -> Self {
        Self::default()
    }
}

impl<C, M> RetryLayer<StandardPolicy, C, M> {
    /// Replaces how many attempts there are, the original included. Default: 3.
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.policy.max_attempts = attempts;
        self
    }

    /// Replaces the wait before an attempt. Default: 25 ms doubling to 250 ms, with full jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Replaces the longest `retry-after` that is waited for; for a longer one the answer is handed on at once. Default: 300 s.
    pub const fn max_retry_after(mut self, limit: Duration) -> Self {
        self.policy.max_retry_after = limit;
        self
    }

    /// Says that every request may be sent twice, whatever its method is. Default: no.
    ///
    /// For one request, put [`Idempotent`](crate::Idempotent) into its extensions.
    pub const fn assume_idempotent(mut self, assume: bool) -> Self {
        self.policy.assume_idempotent = assume;
        self
    }

    /// Makes the jitter repeat: the same seed gives the same waits. Default: another seed for every layer.
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.chance = Chance::seeded(seed);
        self
    }
}

impl<P, C, M> RetryLayer<P, C, M> {
    /// Replaces the policy.
    pub fn policy<Q>(self, policy: Q) -> RetryLayer<Q, C, M> {
        let Self {
            classifier,
            convert,
            limits,
            ..
        } = self;
        RetryLayer {
            policy,
            classifier,
            convert,
            limits,
        }
    }

    /// Replaces what classifies the errors of the inner service: [`ErrorChain`](portcullis_gateway_error::ErrorChain), a closure, or a type of yours.
    pub fn classifier<D>(self, classifier: D) -> RetryLayer<P, D, M> {
        let Self {
            policy,
            convert,
            limits,
            ..
        } = self;
        RetryLayer {
            policy,
            classifier,
            convert,
            limits,
        }
    }

    /// Wraps the request body for an inner service with a fixed body type: `tonic::body::Body::new` for a tonic channel.
    pub fn map_body<F>(self, wrap: F) -> RetryLayer<P, C, MapBody<F>> {
        let Self {
            policy,
            classifier,
            limits,
            ..
        } = self;
        RetryLayer {
            policy,
            classifier,
            convert: MapBody(wrap),
            limits,
        }
    }

    /// Replaces how many bytes of a request body are kept for another attempt. Default: 64 KiB.
    ///
    /// A body that is larger is sent all the same; there is no other attempt once more than this was sent of it.
    pub const fn max_replay_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_replay_bytes = bytes;
        self
    }

    /// Replaces how much of a discarded answer is read so that its connection can be used again: this many bytes, and for this long beyond the wait.
    /// Default: 64 KiB and 100 ms.
    ///
    /// What is left after that is dropped, which closes an HTTP/1.1 connection.
    pub const fn drain(mut self, bytes: usize, time: Duration) -> Self {
        self.limits.drain = DrainLimit { bytes, time };
        self
    }
}

impl<S, P: Clone, C: Clone, M: Clone> Layer<S> for RetryLayer<P, C, M> {
    type Service = Retry<S, P, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, self.clone())
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_replay_bytes: 64 * 1024,
            drain: DrainLimit::default(),
        }
    }
}
