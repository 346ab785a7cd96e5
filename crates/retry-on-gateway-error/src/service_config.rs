//! The gRPC service config: which method is tried again or hedged, and how.

mod data;
mod number;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{ConfigFile, InvalidConfig};
use serde::de::IgnoredAny;

pub use self::data::ServiceConfigData;
use crate::{GrpcCodes, ThrottleBudget};

/// A gRPC [service config](https://github.com/grpc/grpc/blob/master/doc/service_config.md), as far as it says what is tried again: `methodConfig` with
/// `name`, `retryPolicy` and `hedgingPolicy`, and `retryThrottling`, with the validation rules of
/// [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
///
/// What else a service config holds (`loadBalancingConfig`, `timeout`, `waitForReady`, `perAttemptRecvTimeout`) is accepted and has no effect. A clone shares the
/// content.
///
/// ```
/// use portcullis_retry_on_gateway_error::{MethodPolicy, ServiceConfig};
///
/// let config = ServiceConfig::from_json(
///     r#"{"methodConfig": [{
///         "name": [{"service": "shop.Stock"}],
///         "retryPolicy": {
///             "maxAttempts": 3, "initialBackoff": "0.2s", "maxBackoff": "2s",
///             "backoffMultiplier": 1.5, "retryableStatusCodes": ["UNAVAILABLE"]
///         }
///     }]}"#,
/// )?;
///
/// let Some(MethodPolicy::Retry(retry)) = config.method("/shop.Stock/Count") else { panic!() };
/// assert_eq!(retry.max_attempts().get(), 3);
/// assert_eq!(config.method("/shop.Cart/Add"), None);
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    inner: Arc<Inner>,
}

/// What a service config says about a method.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MethodPolicy {
    /// It is tried again after a failure: `retryPolicy`.
    Retry(GrpcRetry),
    /// It is sent several times without waiting for the failure: `hedgingPolicy`.
    Hedging(GrpcHedging),
    /// It is sent once: the entry that names it has neither of the two.
    None,
}

/// A `retryPolicy` that is valid by gRFC A6.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrpcRetry {
    max_attempts: NonZeroU32,
    initial_backoff: Duration,
    max_backoff: Duration,
    multiplier: f64,
    retryable: GrpcCodes,
}

/// A `hedgingPolicy` that is valid by gRFC A6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GrpcHedging {
    max_attempts: NonZeroU32,
    delay: Duration,
    non_fatal: GrpcCodes,
}

/// A `retryThrottling` that is valid by gRFC A6, counted in thousandths of a token, so that adding up is exact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Throttling {
    max_tokens_milli: u32,
    token_ratio_milli: u32,
}

#[derive(Debug, Default, PartialEq)]
struct Inner {
    /// By `/pkg.Service/Method`, and by `/pkg.Service/` for the methods of a service that have no entry of their own. Sorted, so that two of the same are written
    /// the same.
    methods: BTreeMap<Box<str>, MethodPolicy>,
    /// For the methods that are in no entry.
    default: Option<MethodPolicy>,
    throttling: Option<Throttling>,
}

// === impl ServiceConfig ===

impl ServiceConfig {
    /// Reads the JSON of a service config.
    ///
    /// Numbers may be text (`"4"`) and fields may have the names of the proto file (`max_attempts`), as
    /// [proto3 JSON](https://protobuf.dev/programming-guides/json/) has it; `null` stands for a field that is not there.
    ///
    /// # Errors
    /// When it is not JSON, or when any part of it is not valid; the error names the field, its line and column. Those of text that is not JSON are in the message.
    pub fn from_json(text: &str) -> Result<Self, InvalidConfig> {
        let not_json = |error: serde_json::Error| InvalidConfig::whole(error.to_string());
        // All of it, before anything else looks at it: what is JSON is safe for the reader of YAML, which other text can nest too deeply.
        let IgnoredAny = serde_json::from_str(text).map_err(not_json)?;
        let data = serde_json::from_str::<ServiceConfigData>(text).map_err(not_json);

        data.and_then(Self::try_from)
            .map_err(|mistake| locate(text, mistake))
    }

    /// Returns what is said about the method of this path: `/pkg.Service/Method`.
    ///
    /// The entry that names the method comes first, then the one for all methods of its service, then the default; `None` is when no entry is for it. An entry
    /// counts as a whole: nothing is added to it from a less exact one.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&MethodPolicy> {
        let methods = &self.inner.methods;
        let of_service = || {
            let slash = path.rfind('/')?;
            methods.get(path.get(..=slash)?)
        };
        methods
            .get(path)
            .or_else(of_service)
            .or(self.inner.default.as_ref())
    }

    /// Returns the limit on all attempts but the first to this server; `None` is no limit.
    #[must_use]
    pub fn throttling(&self) -> Option<Throttling> {
        self.inner.throttling
    }
}

// === impl GrpcRetry ===

impl GrpcRetry {
    /// How many times the call is sent at most, the first time included: 2 to 5. A higher `maxAttempts` is 5.
    #[must_use]
    pub const fn max_attempts(&self) -> NonZeroU32 {
        self.max_attempts
    }

    /// The wait before the second attempt, without jitter. More than zero.
    #[must_use]
    pub const fn initial_backoff(&self) -> Duration {
        self.initial_backoff
    }

    /// The longest wait, without jitter. More than zero; it may be shorter than [`initial_backoff`](Self::initial_backoff).
    #[must_use]
    pub const fn max_backoff(&self) -> Duration {
        self.max_backoff
    }

    /// What each wait is multiplied by to get the next one. Finite and more than zero; below one the waits get shorter.
    #[must_use]
    pub const fn multiplier(&self) -> f64 {
        self.multiplier
    }

    /// The codes after which the call is sent again. OK is never one of them, whatever `retryableStatusCodes` says, for only a failure is compared with it.
    #[must_use]
    pub const fn retryable(&self) -> GrpcCodes {
        self.retryable
    }
}

// === impl GrpcHedging ===

impl GrpcHedging {
    /// How many times the call is sent at most, the first time included: 2 to 5. A higher `maxAttempts` is 5.
    #[must_use]
    pub const fn max_attempts(&self) -> NonZeroU32 {
        self.max_attempts
    }

    /// The wait from one attempt to the next. Default: zero, all are sent at once.
    #[must_use]
    pub const fn hedging_delay(&self) -> Duration {
        self.delay
    }

    /// The codes after which the other attempts go on. Default: none. OK is never one of them, whatever `nonFatalStatusCodes` says.
    #[must_use]
    pub const fn non_fatal(&self) -> GrpcCodes {
        self.non_fatal
    }
}

// === impl Throttling ===

impl Throttling {
    /// The tokens at the start and at most, in thousandths: 1000 to 1,000,000, in whole tokens. Nothing is sent again while half of them or less are left.
    #[must_use]
    pub const fn max_tokens_milli(&self) -> u32 {
        self.max_tokens_milli
    }

    /// What a success adds, in thousandths of a token: at least 1, further decimals of `tokenRatio` are cut off. A failure takes 1000.
    #[must_use]
    pub const fn token_ratio_milli(&self) -> u32 {
        self.token_ratio_milli
    }

    /// Makes the budget that this describes.
    #[must_use]
    pub fn budget(&self) -> ThrottleBudget {
        ThrottleBudget::thousandths(self.max_tokens_milli, self.token_ratio_milli)
    }
}

/// Reads the text once more to learn where the mistake is. What YAML cannot read, such as a surrogate pair in a string, leaves the mistake as it is.
fn locate(text: &str, mistake: InvalidConfig) -> InvalidConfig {
    // JSON is indented by tabs where YAML takes spaces only. No string of JSON holds a bare tab, and a tab counts as one column.
    let text = text.replace('\t', " ");
    let Ok(file) = ConfigFile::parse(&text) else {
        return mistake;
    };
    match file.read::<ServiceConfigData>() {
        Ok(_) => file.locate(mistake),
        Err(located) => located,
    }
}

#[cfg(test)]
mod tests;
