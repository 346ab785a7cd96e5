use std::borrow::Cow;
use std::num::NonZeroU32;

use http::StatusCode;
use http::request::Parts;

use crate::retry_on::Sight;
use crate::{Backoff, GrpcCodes, Hedging, RetryOn, RetryPolicy, StandardPolicy, StatusCodes};

/// What holds for one request: the layer's policy, what a gRPC service config says of its method, and what its own extensions say.
pub(crate) struct Rules<'a> {
    pub(crate) off: bool,
    pub(crate) max_attempts: NonZeroU32,
    codes: &'a StatusCodes,
    also_codes: Option<&'a StatusCodes>,
    pub(crate) backoff: Cow<'a, Backoff>,
    /// Whether the backoff is not the layer's, so that it holds for throttling too.
    pub(crate) named_backoff: bool,
    pub(crate) hedging: Option<Cow<'a, Hedging>>,
    /// Whether the owner of the service says that its methods may be called twice.
    pub(crate) vouched: bool,
    retry_on: RetryOn,
    /// What a service config retries, instead of the classes.
    pub(crate) grpc_codes: Option<GrpcCodes>,
}

// === impl Rules ===

impl<'a> Rules<'a> {
    pub(crate) fn of(policy: &'a StandardPolicy, request: &'a Parts) -> Self {
        let mut rules = Self {
            off: false,
            max_attempts: policy.max_attempts,
            codes: &policy.retriable_status_codes,
            also_codes: None,
            backoff: Cow::Borrowed(&policy.backoff),
            named_backoff: false,
            hedging: policy.hedging.as_ref().map(Cow::Borrowed),
            vouched: false,
            retry_on: policy.retry_on,
            grpc_codes: None,
        };
        #[cfg(feature = "config")]
        rules.apply_service_config(policy, request);
        if let Some(own) = request.extensions.get::<RetryPolicy>() {
            rules.apply(own);
        }
        rules
    }

    pub(crate) fn retries(&self, sight: &Sight<'_>) -> bool {
        match self.grpc_codes {
            Some(codes) => sight.grpc.is_some_and(|code| codes.contains(code)),
            None => self.retry_on.matching(sight).is_some(),
        }
    }

    /// Whether a status is one of those that are named by number.
    pub(crate) fn lists(&self, status: StatusCode) -> bool {
        self.codes.contains(status) || self.also_codes.is_some_and(|codes| codes.contains(status))
    }

    fn apply(&mut self, own: &'a RetryPolicy) {
        self.off = own.off;
        self.max_attempts = own.max_attempts.unwrap_or(self.max_attempts);
        if let Some(classes) = own.retry_on {
            self.retry_on = classes;
            self.grpc_codes = None;
        }
        self.codes = own.retriable_status_codes.as_ref().unwrap_or(self.codes);
        self.retry_on |= own.also_retry_on.unwrap_or(RetryOn::NONE);
        self.also_codes = own.also_codes.as_ref();
        if let Some(backoff) = &own.backoff {
            self.backoff = Cow::Borrowed(backoff);
            self.named_backoff = true;
        }
        if let Some(hedging) = &own.hedging {
            self.hedging = hedging.as_ref().map(Cow::Borrowed);
        }
    }

    #[cfg(feature = "config")]
    fn apply_service_config(&mut self, policy: &StandardPolicy, request: &Parts) {
        use portcullis_gateway_error::is_grpc;

        use crate::{Jitter, MethodPolicy};

        let Some(config) = &policy.service_config else {
            return;
        };
        if !is_grpc(&request.headers) {
            // Its owner vouches for the methods of a gRPC service, and for nothing else.
            return;
        }
        let Some(method) = config.method(request.uri.path()) else {
            return;
        };
        self.hedging = None;
        match method {
            MethodPolicy::None => self.max_attempts = NonZeroU32::MIN,
            MethodPolicy::Retry(retry) => {
                self.vouched = true;
                self.max_attempts = retry.max_attempts();
                let backoff = Backoff::exponential(retry.initial_backoff(), retry.max_backoff());
                // Finite and above 0: it was looked at when the config was read.
                let backoff = backoff
                    .clone()
                    .multiplier(retry.multiplier())
                    .unwrap_or(backoff);
                self.backoff = Cow::Owned(backoff.jitter(Jitter::Proportional));
                self.named_backoff = true;
                self.grpc_codes = Some(retry.retryable());
            }
            MethodPolicy::Hedging(hedging) => {
                self.vouched = true;
                self.max_attempts = hedging.max_attempts();
                let plan = Hedging::after(hedging.hedging_delay());
                self.hedging = Some(Cow::Owned(plan.max_attempts(hedging.max_attempts())));
                self.grpc_codes = Some(hedging.non_fatal());
            }
        }
    }
}
