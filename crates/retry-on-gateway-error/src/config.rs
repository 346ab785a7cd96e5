use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;

use crate::{
    ErrorEvent, RetryLayer, ServerHints, ServiceConfig, ServiceConfigData, StandardPolicy,
};

mod adaptive_throttle;
mod backoff;
mod budget;
mod headers;
mod hedging;
mod hints;
mod lists;
pub(crate) mod words;

pub use self::adaptive_throttle::AdaptiveThrottleConfig;
pub use self::backoff::BackoffConfig;
pub use self::budget::{
    BudgetConfig, BudgetKindConfig, InFlightBudgetConfig, QuotaBudgetConfig, RatioBudgetConfig,
    ThrottleBudgetConfig,
};
pub use self::headers::{AttemptHeaderConfig, HeaderMatchConfig, HeaderValueConfig};
pub use self::hedging::HedgingConfig;
pub use self::hints::ServerHintsConfig;

/// The serde form of [`RetryLayer`]: its settings by the same names. Durations are text: `25ms`, `2s`.
///
/// What is not said is as [`RetryLayer::new`] has it. What is code has no data: [`policy`](RetryLayer::policy), [`classifier`](RetryLayer::classifier),
/// [`map_body`](RetryLayer::map_body), [`retry_if`](RetryLayer::retry_if), [`prepare`](RetryLayer::prepare), [`shared_budget`](RetryLayer::shared_budget),
/// a [`peek`](RetryLayer::peek), [`budgets`](RetryLayer::budgets) and a [`Backoff`](crate::Backoff) of your own.
///
/// ```
/// use portcullis_gateway_error::ConfigFile;
/// use portcullis_retry_on_gateway_error::{Config, RetryLayer};
///
/// let file = ConfigFile::parse(r#"
/// max_attempts: 3
/// retry_on: [gateway-error, connect-failure, retriable-status-codes, retriable-headers]
/// retriable_status_codes: [409, 520-530]
/// retriable_headers: [x-again, {name: x-retry, value: "yes"}]
/// no_retry_headers: [x-envoy-overloaded]
/// assume_idempotent: false
/// idempotent_grpc_methods: [/shop.Orders/Get, /shop.Catalogue/*]
/// transparent_retries: true
/// backoff: {base: 25ms, max: 250ms, multiplier: 2, jitter: full}       # or {fixed: 2s}
/// throttling_backoff: {base: 1s, max: 20s}
/// server_hints:
///   sources: [grpc_pushback, retry_after_ms, x_ms_retry_after_ms, x_amz_retry_after, retry_after, rate_limit]
///   max: 60s
///   long: hand_on              # or discard, cap
///   rule: at_least             # or exact, {clamp: 5s}
///   jitter_percent: 10
/// budget:                      # or none; instead of `ratio` also:
///   ratio: {ratio: 0.2, reserve_per_second: 10, window: 10s}
///   ## in_flight: {ratio: 0.2, min_concurrency: 3}
///   ## throttle: {max_tokens: 10, token_ratio: 0.1}
///   ## quota: {capacity: 500, transient_price: 14, throttling_price: 5}
///   per_upstream: true
///   max_keys: 1024
/// max_concurrent_retries: 10
/// adaptive_throttle: {k: 2, max_rejection: 0.9, min_per_second: 1}
/// hedging: {percentile: 95, initial: 100ms, max_attempts: 2}           # or {after: 100ms}
/// peek_error_events: false
/// peek_time: 5s
/// attempt_header: {count: x-envoy-attempt-count}                       # or none, amz-sdk-request
/// attempt_count_in_answer: false
/// exhausted_header: x-retries-exhausted
/// renew_traceparent: false
/// track_endpoints: false
/// trust_envoy_headers: false
/// retry_nested: false
/// wait_for_ready: false
/// idempotency_key: false       # true needs the feature `idempotency-key`
/// max_replay_bytes: 65536
/// replay_memory: 67108864
/// drain: {bytes: 65536, time: 1s}
/// service_config:
///   methodConfig:
///     - name: [{service: shop.Stock}]
///       hedgingPolicy: {maxAttempts: 2, hedgingDelay: 0.1s}
/// seed: 1
/// "#)?;
/// let layer = RetryLayer::try_from(file.read::<Config>()?)
///     .map_err(|mistake| file.locate(mistake))?;
/// # let _ = layer;
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// See [`RetryLayer::max_attempts`].
    pub max_attempts: Option<u32>,
    /// See [`RetryLayer::retry_on`]: the words of [`RetryOn`](crate::RetryOn), as a list or as one text with commas.
    #[serde(deserialize_with = "words::list")]
    pub retry_on: Option<Vec<String>>,
    /// See [`RetryLayer::retriable_status_codes`]: numbers and ranges, as a list or as one text with commas.
    #[serde(deserialize_with = "words::list")]
    pub retriable_status_codes: Option<Vec<String>>,
    /// See [`RetryLayer::retriable_headers`].
    pub retriable_headers: Option<Vec<HeaderMatchConfig>>,
    /// See [`RetryLayer::no_retry_headers`].
    pub no_retry_headers: Option<Vec<HeaderMatchConfig>>,
    /// See [`RetryLayer::assume_idempotent`].
    pub assume_idempotent: bool,
    /// See [`RetryLayer::idempotent_grpc_methods`].
    pub idempotent_grpc_methods: Option<Vec<String>>,
    /// See [`RetryLayer::transparent_retries`].
    pub transparent_retries: Option<bool>,
    /// See [`RetryLayer::backoff`].
    pub backoff: Option<BackoffConfig>,
    /// See [`RetryLayer::throttling_backoff`].
    pub throttling_backoff: Option<BackoffConfig>,
    /// See [`RetryLayer::server_hints`].
    pub server_hints: Option<ServerHintsConfig>,
    /// See [`RetryLayer::budget`].
    pub budget: Option<BudgetConfig>,
    /// See [`RetryLayer::max_concurrent_retries`].
    pub max_concurrent_retries: Option<u32>,
    /// See [`RetryLayer::adaptive_throttle`].
    pub adaptive_throttle: Option<AdaptiveThrottleConfig>,
    /// See [`RetryLayer::hedging`].
    pub hedging: Option<HedgingConfig>,
    /// [`RetryLayer::peek`] with an [`ErrorEvent`].
    pub peek_error_events: bool,
    /// See [`RetryLayer::peek_time`].
    #[serde(with = "humantime_serde")]
    pub peek_time: Option<Duration>,
    /// See [`RetryLayer::attempt_header`].
    pub attempt_header: Option<AttemptHeaderConfig>,
    /// See [`RetryLayer::attempt_count_in_answer`]. Only where `attempt_header` has a `count`.
    pub attempt_count_in_answer: bool,
    /// See [`RetryLayer::exhausted_header`].
    pub exhausted_header: Option<String>,
    /// See [`RetryLayer::renew_traceparent`].
    pub renew_traceparent: bool,
    /// See [`RetryLayer::track_endpoints`].
    pub track_endpoints: bool,
    /// See [`RetryLayer::trust_envoy_headers`].
    pub trust_envoy_headers: bool,
    /// See [`RetryLayer::retry_nested`].
    pub retry_nested: bool,
    /// See [`RetryLayer::wait_for_ready`].
    pub wait_for_ready: bool,
    /// See `RetryLayer::idempotency_key`, which is there with the feature `idempotency-key` only.
    pub idempotency_key: bool,
    /// See [`RetryLayer::max_replay_bytes`].
    pub max_replay_bytes: Option<usize>,
    /// See [`RetryLayer::replay_memory`].
    pub replay_memory: Option<usize>,
    /// See [`RetryLayer::drain`].
    pub drain: Option<DrainConfig>,
    /// See [`RetryLayer::service_config`]. Its `retryThrottling` is a budget, so there is no `budget` beside it.
    pub service_config: Option<ServiceConfigData>,
    /// See [`RetryLayer::seed`].
    pub seed: Option<u64>,
}

/// The serde form of the limits of [`RetryLayer::drain`].
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DrainConfig {
    /// How many bytes of a discarded answer are read.
    pub bytes: usize,
    /// For how long.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

// === impl RetryLayer ===

impl TryFrom<Config> for RetryLayer {
    type Error = InvalidConfig;

    fn try_from(config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let StandardPolicy {
            backoff,
            throttling_backoff,
            ..
        } = StandardPolicy::default();
        let retry_on = checked("retry_on", config.retry_on, lists::classes)?;
        let codes = config.retriable_status_codes;
        let codes = checked("retriable_status_codes", codes, lists::status_codes)?;
        let retriable = checked("retriable_headers", config.retriable_headers, headers::all)?;
        let no_retry = checked("no_retry_headers", config.no_retry_headers, headers::all)?;
        let methods = config.idempotent_grpc_methods;
        let methods = checked("idempotent_grpc_methods", methods, lists::grpc_methods)?;
        let backoff = checked("backoff", config.backoff, |own| own.build(backoff))?;
        let throttling = config.throttling_backoff;
        let throttling = checked("throttling_backoff", throttling, |own| {
            own.build(throttling_backoff)
        })?;
        let throttle = config.adaptive_throttle;
        let throttle = checked("adaptive_throttle", throttle, TryInto::try_into)?;
        let hedging = checked("hedging", config.hedging, TryInto::try_into)?;
        let attempt_header = config.attempt_header;
        let attempt_header = checked("attempt_header", attempt_header, TryInto::try_into)?;
        let exhausted = checked("exhausted_header", config.exhausted_header, |name| {
            headers::name(&name)
        })?;
        let service_config = config.service_config;
        let service_config = checked("service_config", service_config, ServiceConfig::try_from)?;
        if let Some(throttling) = service_config.as_ref().map(ServiceConfig::throttling)
            && throttling.is_some()
            && config.budget.is_some()
        {
            let message = "must not stand beside service_config.retryThrottling";
            return Err(InvalidConfig::new("budget", message));
        }

        let layer = Self::new()
            .assume_idempotent(config.assume_idempotent)
            .attempt_count_in_answer(config.attempt_count_in_answer)
            .renew_traceparent(config.renew_traceparent)
            .track_endpoints(config.track_endpoints)
            .trust_envoy_headers(config.trust_envoy_headers)
            .retry_nested(config.retry_nested)
            .wait_for_ready(config.wait_for_ready);
        #[cfg(feature = "idempotency-key")]
        let layer = layer.idempotency_key(config.idempotency_key);
        let layer = match config.budget {
            Some(budget) => budget
                .put_into(layer)
                .map_err(|mistake| mistake.within("budget"))?,
            None => layer,
        };
        let attempts = checked("max_attempts", config.max_attempts, at_least_one)?;
        let peek = config.peek_error_events.then_some(ErrorEvent);
        let hints = config.server_hints.map(ServerHints::from);
        Ok(layer
            .set(attempts, Self::max_attempts)
            .set(retry_on, Self::retry_on)
            .set(codes, Self::retriable_status_codes)
            .set(retriable, Self::retriable_headers)
            .set(no_retry, Self::no_retry_headers)
            .set(methods, Self::idempotent_grpc_methods)
            .set(config.transparent_retries, Self::transparent_retries)
            .set(backoff, Self::backoff)
            .set(throttling, Self::throttling_backoff)
            .set(hints, Self::server_hints)
            .set(config.max_concurrent_retries, Self::max_concurrent_retries)
            .set(throttle, Self::adaptive_throttle)
            .set(hedging, Self::hedging)
            .set(peek, Self::peek)
            .set(config.peek_time, Self::peek_time)
            .set(attempt_header, Self::attempt_header)
            .set(exhausted, Self::exhausted_header)
            .set(config.max_replay_bytes, Self::max_replay_bytes)
            .set(config.replay_memory, Self::replay_memory)
            .set(config.drain, |layer, DrainConfig { bytes, time }| {
                layer.drain(bytes, time)
            })
            .set(service_config, Self::service_config)
            .set(config.seed, Self::seed))
    }
}

impl RetryLayer {
    /// Tells the layer what was said, if it was.
    fn set<T>(self, said: Option<T>, setter: impl FnOnce(Self, T) -> Self) -> Self {
        match said {
            Some(value) => setter(self, value),
            None => self,
        }
    }
}

// === impl Config ===

impl Config {
    /// Finds what would have no effect.
    fn check(&self) -> Result<(), InvalidConfig> {
        let counts = matches!(self.attempt_header, Some(AttemptHeaderConfig::Count(_)));
        if self.attempt_count_in_answer && !counts {
            let message = "needs an attempt_header with a count";
            return Err(InvalidConfig::new("attempt_count_in_answer", message));
        }
        if self.idempotency_key && !cfg!(feature = "idempotency-key") {
            let message = "needs the feature `idempotency-key`, without which this was built";
            return Err(InvalidConfig::new("idempotency_key", message));
        }
        Ok(())
    }
}

/// Checks what was said, if it was; a mistake in it gets the name of the field.
fn checked<T, U>(
    field: &'static str,
    said: Option<T>,
    check: impl FnOnce(T) -> Result<U, InvalidConfig>,
) -> Result<Option<U>, InvalidConfig> {
    let checked = said.map(check).transpose();
    checked.map_err(|mistake| mistake.within(field))
}

fn at_least_one(number: u32) -> Result<NonZeroU32, InvalidConfig> {
    NonZeroU32::new(number).ok_or_else(|| InvalidConfig::whole("must be at least 1, is 0"))
}

#[cfg(test)]
mod tests;
