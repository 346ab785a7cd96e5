//! What elsewhere is called what here, and what differs on purpose: [Envoy](#envoy), [gRPC](#grpc-grfc-a6), [nginx](#nginx), [AWS SDKs](#aws-sdks),
//! [Finagle](#finagle), [Linkerd](#linkerd), [tower](#towerretry), [reqwest](#reqwest-retry).
//!
//! Settings without a type before them are setters of [`RetryLayer`](crate::RetryLayer); numbers in parentheses are defaults. There are no items in this module.
//!
//! Wherever one comes from, five things are other here:
//! - What may have been processed is only sent again when the request is idempotent, by its method, its `idempotency-key` or somebody's word. Where retries went by the
//!   status alone, [`assume_idempotent`](crate::RetryLayer::assume_idempotent) is that.
//! - `max_attempts` counts the original: `num_retries: 2` is `max_attempts` 3.
//! - There is a budget without asking; [`no_budget`](crate::RetryLayer::no_budget) takes it away.
//! - At every limit the caller gets the last real answer, and its [`RetryOutcome`](portcullis_gateway_error::RetryOutcome) says why.
//! - The limit of one attempt is a `TimeoutLayer` of `portcullis-timeout` inside of this one, and the limit of the whole is another one outside.
//!
//! # Envoy
//! Words of `retry_on` and `retry_grpc_on`, which [`RetryOn`](crate::RetryOn) reads as text too, apart from the two that have no class:
//!
//! | word | here | what differs |
//! |---|---|---|
//! | `5xx` | [`SERVER_ERROR`](crate::RetryOn::SERVER_ERROR) | |
//! | `gateway-error` | [`GATEWAY_ERROR`](crate::RetryOn::GATEWAY_ERROR) | |
//! | `reset` | [`RESET`](crate::RetryOn::RESET) | not for a bad certificate, which is as bad the next time |
//! | `reset-before-request` | [`RESET_BEFORE_REQUEST`](crate::RetryOn::RESET_BEFORE_REQUEST) | costs no attempt, see `transparent_retries` |
//! | `connect-failure` | [`CONNECT_FAILURE`](crate::RetryOn::CONNECT_FAILURE) | a name that does not resolve counts too |
//! | `envoy-ratelimited` | no class | name `x-envoy-ratelimited` in `retriable_headers`, and not in `no_retry_headers` |
//! | `retriable-4xx` | [`RETRIABLE_4XX`](crate::RetryOn::RETRIABLE_4XX) | 409, as there |
//! | `refused-stream` | [`REFUSED_STREAM`](crate::RetryOn::REFUSED_STREAM) | the first costs no attempt |
//! | `retriable-status-codes` | [`RETRIABLE_STATUS_CODES`](crate::RetryOn::RETRIABLE_STATUS_CODES) | ranges too: `500-599` |
//! | `retriable-headers` | [`RETRIABLE_HEADERS`](crate::RetryOn::RETRIABLE_HEADERS) | a name, or a name and its exact value; for more, `retry_if` |
//! | `http3-post-connect-failure` | no class | the protocol is the client's affair; what got lost is `reset` |
//! | `cancelled`, `deadline-exceeded`, `internal`, `resource-exhausted`, `unavailable` | `GRPC_CANCELLED` and so on | Envoy reads the status in headers only; here also in trailers with no message before |
//!
//! `rate-limited`, `too-early`, `request-timeout` and `misdirected` are words that Envoy has not.
//!
//! | setting | here | what differs |
//! |---|---|---|
//! | `num_retries` (1) | `max_attempts` (3) | one more than there |
//! | `retry_back_off` (25 ms, 250 ms) | `backoff`: [`Backoff::exponential`](crate::Backoff::exponential) | before retry N Envoy draws from up to (2^N - 1) x base, here from up to 2^(N-1) x base |
//! | `rate_limited_retry_back_off.reset_headers` (none) | `server_hints`: [`ServerHints::sources`](crate::ServerHints::sources) | fields by their meaning, not by any name; dates too |
//! | its `max_interval` (300 s) | [`ServerHints::max`](crate::ServerHints::max) (60 s) and [`LongHint::Discard`](crate::LongHint::Discard) | a longer hint ends the retries, where nothing else is said |
//! | its jitter, up to 50 % later | [`ServerHints::jitter`](crate::ServerHints::jitter) (10) | |
//! | `retry_budget` (20 %, at least 3) | `budget`: [`InFlightBudget`](crate::InFlightBudget) | the default is a [`RatioBudget`](crate::RatioBudget); what waits in its backoff counts |
//! | `circuit_breakers.max_retries` (3) | `max_concurrent_retries` (no limit) | beside the budget, not instead of it |
//! | one of each per cluster | `budgets`: [`KeyedBudgets::by_authority`](crate::KeyedBudgets::by_authority) | one for the layer, where nothing else is said |
//! | `per_try_timeout` | `TimeoutLayer::head` inside | |
//! | `per_try_idle_timeout` | `TimeoutLayer::response_idle` inside | it ends the body, when it is too late to retry |
//! | `timeout` of the route | `TimeoutLayer::new` outside | a wait that would pass it is not begun |
//! | `hedge_on_per_try_timeout` | `hedging`: [`Hedging::after`](crate::Hedging::after) that time | only what may be sent twice is hedged |
//! | `initial_requests`, `additional_request_chance` | none | Envoy does not implement them |
//! | `retry_host_predicate: previous_hosts` | [`Attempt::has_tried`](crate::Attempt::has_tried), with `track_endpoints` | the pool asks; this layer does not pick |
//! | `host_selection_retry_max_attempts` (1) | [`Attempt::pick`](crate::Attempt::pick) with one more | picks are counted, the first one included |
//! | `retry_priority: previous_priorities` | [`Attempt::priority_shift`](crate::Attempt::priority_shift) | |
//! | `retriable_request_headers` | `retry_if`, or [`RetryPolicy::off`](crate::RetryPolicy::off) for the others | |
//! | `retriable_headers`, `retriable_status_codes` | the same names | |
//! | request headers `x-envoy-retry-on`, `-retry-grpc-on`, `-max-retries`, `-retriable-status-codes` | `trust_envoy_headers` (no) | classes and statuses come on top of the layer's, as there; at most 5 attempts; other `x-envoy-` headers pass unread |
//! | `x-envoy-attempt-count` | `attempt_header`: [`AttemptHeader::envoy`](crate::AttemptHeader::envoy); `attempt_count_in_answer` | |
//! | `x-envoy-overloaded`, `x-envoy-ratelimited` in an answer | `no_retry_headers`, both by default | |
//! | the buffer of the request (1 MiB) | `max_replay_bytes` (64 KiB) | a body that is larger streams, and an event says that it is not kept |
//!
//! ```yaml
//! retry_policy:
//!   retry_on: gateway-error,connect-failure,retriable-status-codes
//!   retriable_status_codes: [429]
//!   num_retries: 3
//!   retry_back_off: { base_interval: 0.1s, max_interval: 2s }
//!   rate_limited_retry_back_off: { reset_headers: [{ name: Retry-After, format: SECONDS }], max_interval: 300s }
//! ```
//! ```
//! use std::time::Duration;
//! use portcullis_retry_on_gateway_error::{Backoff, HintSource, InFlightBudget, LongHint, RetryLayer, ServerHints};
//!
//! let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(2));
//! let hints = ServerHints::new()
//!     .sources([HintSource::RetryAfter])
//!     .max(Duration::from_secs(300))
//!     .long(LongHint::Discard)
//!     .jitter(50);
//! let envoy = RetryLayer::new()
//!     .retry_on("gateway-error,connect-failure,retriable-status-codes".parse()?)
//!     .retriable_status_codes([429])
//!     .max_attempts(4.try_into()?)
//!     .backoff(backoff.clone())
//!     .throttling_backoff(backoff) // Envoy has one for both.
//!     .server_hints(hints)
//!     .budget(InFlightBudget::new())
//!     .assume_idempotent(true); // Envoy does not look at the method.
//! # let _ = envoy;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # gRPC (gRFC A6)
//! `ServiceConfig::from_json` (feature `config`) reads the JSON of a service config with the rules of
//! [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md); `service_config` gives it to the layer.
//!
//! | in gRFC A6 | here | what differs |
//! |---|---|---|
//! | `maxAttempts` | the same, more than 5 is 5 | `max_attempts` in code has no such limit |
//! | `initialBackoff`, `maxBackoff`, `backoffMultiplier` | the same, within 20 % up or down | by hand: [`Backoff::multiplier`](crate::Backoff::multiplier), [`Jitter::Proportional`](crate::Jitter::Proportional) |
//! | `retryableStatusCodes` | the same; an error without an answer counts by the code that it maps to | by hand: the five classes of [`RetryOn`](crate::RetryOn), `retry_if` for other codes |
//! | `hedgingPolicy`: `maxAttempts`, `hedgingDelay`, `nonFatalStatusCodes` | the same | by hand: `hedging`, whose codes are those of `retry_on` |
//! | `retryThrottling` | the same: [`ThrottleBudget`](crate::ThrottleBudget) replaces the budget | per server name there, per layer here: one layer for each channel |
//! | `grpc-retry-pushback-ms` | followed to the millisecond, resets the backoff; negative or unreadable: no retry | longer than [`ServerHints::max`](crate::ServerHints::max) (60 s): no retry |
//! | transparent retries | `transparent_retries` (yes) | what never left goes again until the deadline, or 10 times without one; from the second time after a backoff |
//! | committed by response headers | committed by the first message | a status in trailers with no message before is still retried |
//! | committed by a full buffer | `max_replay_bytes`, `replay_memory` | an event says so |
//! | `grpc-previous-rpc-attempts` | on every retry of a gRPC call | |
//! | the deadline of the call | `Deadline`, from a `TimeoutLayer` outside | a wait that would pass it is not begun |
//! | who says that a method may be called twice | the service config, for the methods in it | it also overrides an [`Idempotent`](crate::Idempotent)`(false)` of the request |
//! | methods in no entry | the other settings of the layer | an entry with the name `{}` is for all gRPC calls, and for nothing that is not gRPC |
//! | `timeout`, `waitForReady`, `perAttemptRecvTimeout` | accepted, without effect | `TimeoutLayer` outside and inside |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), portcullis_gateway_error::InvalidConfig> {
//! # #[cfg(feature = "config")] {
//! use portcullis_retry_on_gateway_error::{RetryLayer, ServiceConfig};
//! use tower::Layer;
//!
//! let config = ServiceConfig::from_json(
//!     r#"{
//!         "methodConfig": [
//!             {
//!                 "name": [{"service": "shop.Stock"}],
//!                 "retryPolicy": {
//!                     "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
//!                     "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
//!                 }
//!             },
//!             {
//!                 "name": [{"service": "shop.Search"}],
//!                 "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.05s", "nonFatalStatusCodes": ["UNAVAILABLE"]}
//!             }
//!         ],
//!         "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
//!     }"#,
//! )?;
//! let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
//! let channel = RetryLayer::new().service_config(config).map_body(tonic::body::Body::new).layer(channel);
//! # fn is_grpc(_: impl tonic::client::GrpcService<tonic::body::Body>) {}
//! # is_grpc(channel);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # nginx
//! | `proxy_next_upstream` | here | what differs |
//! |---|---|---|
//! | `error` | `connect-failure`, `reset` | |
//! | `timeout` | the same two classes | the times are those of the connector and of a `TimeoutLayer` inside |
//! | `invalid_header` | `reset` | |
//! | `http_500` | `retriable_status_codes` | |
//! | `http_502`, `http_503`, `http_504` | `gateway-error`, which has the three rows above too | one of them alone: `retriable_status_codes` |
//! | `http_403`, `http_404` | `retriable_status_codes` | |
//! | `http_429` | `retriable_status_codes`, or `rate-limited` where the answer says when | nginx goes on at once; here `throttling_backoff` is waited |
//! | `non_idempotent` | `assume_idempotent` | for nginx `POST`, `LOCK` and `PATCH` are not idempotent; here, every method that RFC 9110 does not name |
//! | `off` | [`RetryPolicy::off`](crate::RetryPolicy::off) for a request | |
//!
//! | directive | here | what differs |
//! |---|---|---|
//! | `proxy_next_upstream_tries` (0, as many as there are servers) | `max_attempts` (3) | there is always a limit |
//! | `proxy_next_upstream_timeout` (0, none) | a `Deadline` in the request's extensions | no attempt begins after it; a `TimeoutLayer` also ends the running one |
//! | `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout` | the connector; `request_idle`, `head` and `response_idle` of a `TimeoutLayer` inside | |
//! | `proxy_request_buffering` | none | the body always streams, and up to `max_replay_bytes` are kept |
//! | no wait | `backoff`: [`Backoff::fixed`](crate::Backoff::fixed) of zero | another server is the pool's choice, see [`Attempt`](crate::Attempt) |
//!
//! ```nginx
//! proxy_next_upstream error timeout invalid_header http_502 http_503;
//! proxy_next_upstream_tries 3;
//! proxy_next_upstream_timeout 10s;
//! ```
//! ```
//! use std::time::Duration;
//! use portcullis_retry_on_gateway_error::{Backoff, RetryLayer, RetryOn};
//! use portcullis_timeout::Deadline;
//!
//! let nginx = RetryLayer::new()
//!     .retry_on(RetryOn::CONNECT_FAILURE | RetryOn::RESET | RetryOn::RETRIABLE_STATUS_CODES)
//!     .retriable_status_codes([502, 503])
//!     .max_attempts(3.try_into()?)
//!     .backoff(Backoff::fixed(Duration::ZERO));
//! let mut request = http::Request::get("/").body(())?;
//! request.extensions_mut().insert(Deadline::after(Duration::from_secs(10)));
//! # let _ = nginx;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # AWS SDKs
//! | in `standard` mode | here | what differs |
//! |---|---|---|
//! | `max_attempts` (3) | `max_attempts` (3) | |
//! | 500, 502, 503, 504 and connections | the default, and `retriable_status_codes` 500 | |
//! | error codes of throttling | `rate-limited`, or `retriable_status_codes` 429; `retry_if` for a header | a code in the body is not seen |
//! | 50 ms, up to 20 s, full jitter; throttling from 1 s | `backoff` (25 ms to 250 ms), `throttling_backoff` (1 s to 20 s) | |
//! | the retry quota: 500, 14 for a retry, 5 after throttling | `budget`: [`QuotaBudget`](crate::QuotaBudget) | |
//! | `x-amz-retry-after`, at most 5 s more than the backoff | [`HintRule::Clamp`](crate::HintRule::Clamp) | by default the longer one of both is waited |
//! | `amz-sdk-request: attempt=2; max=3` | [`AttemptHeader::AmzSdkRequest`](crate::AttemptHeader::AmzSdkRequest) | |
//! | every operation is sent again | `assume_idempotent` | |
//! | mode `adaptive` | `adaptive_throttle`: [`AdaptiveThrottle`](crate::AdaptiveThrottle) | it refuses requests, where the SDK delays them |
//! | mode `legacy` | none | it is another one in each SDK |
//!
//! ```
//! use std::time::Duration;
//! use portcullis_retry_on_gateway_error::{
//!     AttemptHeader, Backoff, HintRule, HintSource, QuotaBudget, RetryLayer, RetryOn, ServerHints,
//! };
//!
//! let hints = ServerHints::new().sources([HintSource::XAmzRetryAfter]).rule(HintRule::Clamp(Duration::from_secs(5)));
//! let aws = RetryLayer::new()
//!     .retry_on(RetryOn::default() | RetryOn::RETRIABLE_STATUS_CODES)
//!     .retriable_status_codes([429, 500])
//!     .backoff(Backoff::exponential(Duration::from_millis(50), Duration::from_secs(20)))
//!     .server_hints(hints)
//!     .budget(QuotaBudget::new())
//!     .attempt_header(AttemptHeader::AmzSdkRequest)
//!     .assume_idempotent(true);
//! # let _ = aws;
//! ```
//!
//! # Finagle
//! | there | here | what differs |
//! |---|---|---|
//! | `RetryBudget(ttl, minRetriesPerSec, percentCanRetry)` (10 s, 10, 0.2) | [`RatioBudget`](crate::RatioBudget), the default | |
//! | requeues of what was not written | `reset-before-request`, transparent | they cost nothing of the budget |
//! | `finagle-http-nack` | `retriable_headers` | the request must be idempotent |
//! | `finagle-http-nonretryable-nack` | `no_retry_headers`, by default | |
//! | `ResponseClassifier` | `retry_if` with a [`Judgement`](crate::Judgement) | what it says nothing about is decided by class |
//! | `idempotent(maxExtraLoad)` | `assume_idempotent`, [`Hedging::after_percentile`](crate::Hedging::after_percentile) | the extra load is bounded by the budget, for retries and hedges together |
//! | `NonRetryable` on exhaustion | the `RetryOutcome` in an answer; `exhausted_header` between processes | |
//!
//! ```
//! use std::time::Duration;
//! use portcullis_retry_on_gateway_error::{Hedging, Ratio, RatioBudget, RetryLayer};
//!
//! // MethodBuilder.idempotent(maxExtraLoad = 1.percent)
//! let finagle = RetryLayer::new()
//!     .assume_idempotent(true)
//!     .hedging(Hedging::after_percentile(99.0, Duration::from_millis(500)))
//!     .budget(RatioBudget::new().ratio(Ratio::percent(1)).reserve_per_second(0));
//! # let _ = finagle;
//! ```
//!
//! # Linkerd
//! | there | here | what differs |
//! |---|---|---|
//! | `retry.linkerd.io/http`: `5xx`, `gateway-error`, codes and ranges | `retry_on`, `retriable_status_codes` | here `5xx` and `gateway-error` include what has no answer |
//! | `retry.linkerd.io/grpc` | the classes `cancelled` to `unavailable` | |
//! | `retry.linkerd.io/limit` (1) | `max_attempts` (3) | one more than there |
//! | `retry.linkerd.io/timeout` | `TimeoutLayer::head` inside | |
//! | `retryBudget` of a ServiceProfile (0.2, 10 a second, 10 s) | [`RatioBudget`](crate::RatioBudget), the default | |
//! | headers `l5d-retry-` | a [`RetryPolicy`](crate::RetryPolicy) in the extensions | they are not read |
//! | bodies up to 64 KiB | `max_replay_bytes` (64 KiB) | |
//! | retries only where the service is ready | `wait_for_ready` (no) | |
//!
//! ```
//! use portcullis_retry_on_gateway_error::{RetryLayer, RetryOn, StatusCodes};
//!
//! let linkerd = RetryLayer::new()
//!     .retry_on(RetryOn::GATEWAY_ERROR | RetryOn::RETRIABLE_STATUS_CODES)
//!     .retriable_status_codes("429,520-530".parse::<StatusCodes>()?)
//!     .max_attempts(2.try_into()?)
//!     .assume_idempotent(true);
//! # let _ = linkerd;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # tower::retry
//! | there | here | what differs |
//! |---|---|---|
//! | `Policy::retry` | [`Policy::decide`](crate::Policy::decide), or `retry_if` | it returns a wait and not a future, and keeps no state of the request |
//! | `Policy::clone_request` | none | the head is kept, and the body is kept as it streams |
//! | `TpsBudget::new(ttl, min_per_sec, retry_percent)` | [`RatioBudget`](crate::RatioBudget): `window`, `reserve_per_second`, `ratio` | the layer asks it, before the wait |
//! | `ExponentialBackoffMaker` | [`Backoff::exponential`](crate::Backoff::exponential) | its jitter adds to the wait; for that, [`Backoff::custom`](crate::Backoff::custom) |
//! | `tower::hedge` | `hedging` | in the same budget as retries |
//!
//! ```
//! use portcullis_gateway_error::{Decision, StopReason, WaitReason};
//! use portcullis_retry_on_gateway_error::{Facts, Plan, Policy, RetryLayer, Verdict};
//!
//! /// Tries again what was answered 502, three times in all.
//! #[derive(Clone)]
//! struct Attempts;
//!
//! impl Policy for Attempts {
//!     fn plan(&self, _: &http::request::Parts) -> Plan {
//!         Plan::attempts(const { std::num::NonZeroU32::new(3).unwrap() })
//!     }
//!
//!     fn decide(&self, facts: &Facts<'_>) -> Verdict {
//!         let wait = std::time::Duration::from_secs(2);
//!         match facts.response {
//!             Some(head) if head.status != 502 => Verdict::success(),
//!             Some(_) if facts.attempts.get() < 3 && facts.not_replayable.is_none() => {
//!                 Verdict::new(Decision::Retry { wait, reason: WaitReason::Backoff })
//!             }
//!             _ => Verdict::new(Decision::Stop(StopReason::AttemptsExhausted)),
//!         }
//!     }
//! }
//!
//! let layer = RetryLayer::new().policy(Attempts);
//! # let _ = layer;
//! ```
//!
//! # reqwest-retry
//! | there | here | what differs |
//! |---|---|---|
//! | `build_with_max_retries(3)` | `max_attempts` 4 | |
//! | `build_with_total_retry_duration` | a `Deadline`, from a `TimeoutLayer` outside | |
//! | 408, 429, 5xx and network errors are transient | `5xx`, `request-timeout`, and 429 in `retriable_status_codes` | the default here is less |
//! | `RetryableStrategy` | `retry_if`, `classifier` | |
//! | `retry-after` is not read | `server_hints` | |
//! | any method | `assume_idempotent` | |
//! | a body that cannot be cloned is an error | none | it streams, and is kept as it does |
//! | `RetryError::WithRetries` | the `RetryOutcome` | |
//!
//! ```
//! use portcullis_retry_on_gateway_error::{RetryLayer, RetryOn};
//!
//! let reqwest = RetryLayer::new()
//!     .retry_on(RetryOn::SERVER_ERROR | RetryOn::REQUEST_TIMEOUT | RetryOn::RETRIABLE_STATUS_CODES)
//!     .retriable_status_codes([429])
//!     .max_attempts(4.try_into()?)
//!     .assume_idempotent(true);
//! # let _ = reqwest;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
