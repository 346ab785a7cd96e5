//! What the layer sets in its [`StandardPolicy`].

use std::num::NonZeroU32;
use std::sync::Arc;

use portcullis_gateway_error::Chance;

use crate::standard::RetryIf;
use crate::{
    Backoff, Facts, HeaderMatch, Hedging, Judgement, RetryLayer, RetryOn, ServerHints,
    StandardPolicy, StatusCodes,
};

// === impl RetryLayer ===

impl<C, M> RetryLayer<StandardPolicy, C, M> {
    /// Replaces how many attempts there are, the original included. Default: 3.
    ///
    /// What never left the client, and what the server refused before it processed it, does not count: see [`transparent_retries`](Self::transparent_retries).
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.settings.policy.max_attempts = attempts;
        self
    }

    /// Replaces what is retried. Default: [`RetryOn::default`].
    pub const fn retry_on(mut self, classes: RetryOn) -> Self {
        self.settings.policy.retry_on = classes;
        self
    }

    /// Replaces the statuses of [`RetryOn::RETRIABLE_STATUS_CODES`]. Default: none. They are looked at only where that class is in [`retry_on`](Self::retry_on).
    pub fn retriable_status_codes(mut self, codes: impl Into<StatusCodes>) -> Self {
        self.settings.policy.retriable_status_codes = codes.into();
        self
    }

    /// Replaces the headers of [`RetryOn::RETRIABLE_HEADERS`]: an answer with one of them is retried. Default: none.
    pub fn retriable_headers(mut self, headers: impl IntoIterator<Item = HeaderMatch>) -> Self {
        self.settings.policy.retriable_headers = headers.into_iter().collect();
        self
    }

    /// Replaces the headers by which an answer says that it is not to be retried. Default: `x-envoy-overloaded`, `x-envoy-ratelimited` and
    /// `finagle-http-nonretryable-nack`.
    pub fn no_retry_headers(mut self, headers: impl IntoIterator<Item = HeaderMatch>) -> Self {
        self.settings.policy.no_retry_headers = headers.into_iter().collect();
        self
    }

    /// Asks this of each attempt before the classes of [`retry_on`](Self::retry_on); where it says `None`, they decide. Default: nothing.
    ///
    /// Whether another attempt is safe is decided as always.
    pub fn retry_if(
        mut self,
        predicate: impl Fn(&Facts<'_>) -> Option<Judgement> + Send + Sync + 'static,
    ) -> Self {
        self.settings.policy.retry_if = Some(RetryIf::new(predicate));
        self
    }

    /// Replaces the wait before an attempt. Default: 25 ms doubling to 250 ms, with full jitter (Envoy).
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.policy.backoff = backoff;
        self
    }

    /// Replaces the wait after an answer 429 or a RESOURCE_EXHAUSTED. Default: 1 s doubling to 20 s, with full jitter (AWS).
    pub fn throttling_backoff(mut self, backoff: Backoff) -> Self {
        self.settings.policy.throttling_backoff = backoff;
        self
    }

    /// Replaces what is made of an upstream's word about when to come back. Default: [`ServerHints::new`].
    pub const fn server_hints(mut self, hints: ServerHints) -> Self {
        self.settings.policy.hints = hints;
        self
    }

    /// Says that every request may be sent twice, whatever its method is. Default: no.
    ///
    /// For one request, put [`Idempotent`](crate::Idempotent) into its extensions.
    pub const fn assume_idempotent(mut self, assume: bool) -> Self {
        self.settings.policy.safety.assume_idempotent = assume;
        self
    }

    /// Replaces the gRPC methods that may be called twice: `/package.Service/Method`, or `/package.Service/*` for all of a service. Default: none.
    pub fn idempotent_grpc_methods<T: Into<Box<str>>>(
        mut self,
        methods: impl IntoIterator<Item = T>,
    ) -> Self {
        let methods = methods.into_iter().map(Into::into).collect();
        self.settings.policy.safety.grpc_methods = Arc::new(methods);
        self
    }

    /// Sends again what was not processed at no cost of attempts and budget: what never left the client as often as needed until the deadline (10 times where there is
    /// none), the first time at once, then with backoff; what the server refused once. Default: yes (gRFC A6).
    ///
    /// That a connection could not be made is none of this: it has its class, costs an attempt and waits.
    pub const fn transparent_retries(mut self, retry: bool) -> Self {
        self.settings.policy.transparent = retry;
        self
    }

    /// Starts a second attempt beside the first when that takes long, for requests that may be sent twice. Default: no.
    pub fn hedging(mut self, hedging: Hedging) -> Self {
        self.settings.policy.hedging = Some(hedging);
        self
    }

    /// Takes what is retried, how often and when from a gRPC service config, for the methods that it names. Its throttling replaces the budget.
    #[cfg(feature = "config")]
    pub fn service_config(mut self, config: crate::ServiceConfig) -> Self {
        if let Some(throttling) = config.throttling() {
            self = self.budget(throttling.budget());
        }
        self.settings.policy.service_config = Some(config);
        self
    }

    /// Makes the jitter repeat: the same seed gives the same waits. Default: another seed for every layer.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.policy.chance = Chance::seeded(seed);
        self.settings.chance = Chance::seeded(seed);
        self
    }
}
