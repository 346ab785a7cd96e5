//! Tries a call again after a gateway error, when that is safe.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! # use std::{convert::Infallible, sync::atomic::{AtomicU32, Ordering}, time::Duration};
//! # use http::{Request, Response, StatusCode};
//! # use portcullis_gateway_error::RetryOutcome;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # type Body = http_body_util::Empty<bytes::Bytes>;
//! use portcullis_retry_on_gateway_error::{Backoff, RetryLayer, RetryOn};
//!
//! // Answers 502 to two calls of three.
//! # static CALLS: AtomicU32 = AtomicU32::new(0);
//! let flaky = service_fn(async |_: Request<_>| {
//!     let status = if CALLS.fetch_add(1, Ordering::SeqCst) % 3 < 2 { 502 } else { 200 };
//!     Ok::<_, Infallible>(Response::builder().status(status).body(Body::new()).unwrap())
//! });
//!
//! let service = RetryLayer::new().layer(flaky);
//! let response = service.oneshot(Request::new(Body::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.extensions().get::<RetryOutcome>().unwrap().records().len(), 3);
//!
//! // The loop that is often written by hand: three tries, two seconds between them, for 502 only. For POST, the caller vouches.
//! let by_hand = RetryLayer::new().retry_on(RetryOn::RETRIABLE_STATUS_CODES).retriable_status_codes([502]).backoff(Backoff::fixed(Duration::from_secs(2)));
//! let service = by_hand.assume_idempotent(true).layer(flaky);
//! # let start = tokio::time::Instant::now();
//! let response = service.oneshot(Request::post("/").body(Body::new()).unwrap()).await.unwrap();
//! assert_eq!((response.status(), start.elapsed()), (StatusCode::OK, Duration::from_secs(4)));
//! # }
//! ```
//!
//! # When to use this
//! - In place of the retries of Envoy, nginx, gRPC, an SDK or another crate: [`coming_from`] has their settings beside those here.
//! - Around any client of HTTP or gRPC, or a `Router`. Errors of hyper-util, tonic and reqwest are classified behind features of their names in
//!   `portcullis-gateway-error`; without that feature the layer does not compile around the client, unless it has a [`classifier`](RetryLayer::classifier).
//! ```
//! # use portcullis_retry_on_gateway_error::RetryLayer;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # use tower::Layer;
//! let router = axum::Router::<()>::new().layer(RetryLayer::new());
//! let client = RetryLayer::new().layer(Client::builder(TokioExecutor::new()).build_http());
//! let channel = tonic::transport::Endpoint::from_static("http://[::1]:50051").connect_lazy();
//! let channel = RetryLayer::new().map_body(tonic::body::Body::new).layer(channel);
//! # fn is_grpc(_: impl tonic::client::GrpcService<tonic::body::Body>) {}
//! # is_grpc(channel);
//! # fn is_http(_: impl tower::Service<http::Request<axum::body::Body>>) {}
//! # is_http(client);
//! # is_http(router);
//! # }
//! ```
//!
//! # When not
//! - For errors that are the caller's (4xx) or the application's (500): another attempt brings the same.
//! - For work that must not be done twice, without an `Idempotency-Key` that the upstream knows.
//! - At each of several hops: three layers of three attempts are twenty-seven.
//!
//! # What is retried
//! | failure | idempotent | other |
//! |---|---|---|
//! | answer 502, 503, 504 | yes | no |
//! | gRPC answer UNAVAILABLE, in its headers or in trailers with no message before | yes | no |
//! | name not resolved, connection refused or not opened in time | yes | yes |
//! | stream refused, connection gone before a byte was sent | yes | yes |
//! | connection closed, nothing read, no answer in time | yes | no |
//! | answer that is not HTTP, TLS that failed on the way | yes | no |
//! | bad certificate, closed gate, own limit, bad request, own error | no | no |
//!
//! Idempotent is: `GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`, `DELETE` ([RFC 9110, section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)),
//! `QUERY` (RFC 10008), any method with a header `idempotency-key` that is not empty, and what is vouched for: [`Idempotent`] in the request's extensions (which
//! also takes it away), [`assume_idempotent`](RetryLayer::assume_idempotent), [`idempotent_grpc_methods`](RetryLayer::idempotent_grpc_methods). What is in the third and
//! fourth row was not processed, so its method does not matter. The fourth row is sent again *transparently*: at once, at no cost of attempts and budget, see
//! [`transparent_retries`](RetryLayer::transparent_retries). [`RetryOn`] has more classes, such as 408, 425, 429 and 5xx; a [`RetryPolicy`] in the request's extensions replaces
//! parts for one request. Sent once, whatever comes: `CONNECT`, requests with `upgrade` or `expect`, and what already is another [`Attempt`] of a layer further out.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | `max_attempts` | 3, the original included | AWS SDKs; Envoy makes 2 |
//! | `retry_on` | `gateway-error`, `connect-failure`, `refused-stream`, `reset-before-request`, `unavailable` | none of them comes from the application |
//! | `retriable_status_codes`, `retriable_headers`, `retry_if` | none | only the caller knows them |
//! | `no_retry_headers` | `x-envoy-overloaded`, `x-envoy-ratelimited`, `finagle-http-nonretryable-nack` | Envoy, Finagle |
//! | `assume_idempotent`, `idempotent_grpc_methods`, `idempotency_key` | no, none, no | only the caller can vouch |
//! | `transparent_retries` | yes | gRFC A6 |
//! | `backoff` | 25 ms doubling to 250 ms, full jitter | Envoy |
//! | `throttling_backoff` | 1 s doubling to 20 s, full jitter, after 429 and RESOURCE_EXHAUSTED | AWS SDKs |
//! | `server_hints` | up to 60 s, never earlier than said, up to 10 % later; all sources but `x-ratelimit-reset` | a longer one is for the caller to wait |
//! | `budget` | 20 % of the requests and 10 a second, over 10 s, for all clones of the layer | Finagle, Linkerd, tower |
//! | `max_concurrent_retries`, `adaptive_throttle`, `hedging`, `service_config`, `peek` | none | they add load, or refuse requests |
//! | `peek_time` | 5 s for the first frame, where it is looked at | a stream may bring its head long before its first message |
//! | `max_replay_bytes`, `replay_memory` | 64 KiB for a request, 64 MiB for a layer | Linkerd; a thousand of these |
//! | `drain` | 64 KiB, 1 s | a connection is worth this much |
//! | `wait_for_ready`, `retry_nested` | no, no | Linkerd; each layer multiplies |
//! | `attempt_header`, `attempt_count_in_answer`, `exhausted_header`, `renew_traceparent` | none, no, none, no | the wire says what the caller said |
//! | `track_endpoints`, `prepare`, `trust_envoy_headers` | no, none, no | for pools, for signatures, for hops that are trusted |
//! | `seed` | another one for each layer | jitter must differ |
//!
//! # Order
//! Inside the [deadline](portcullis_timeout::Deadline) of the whole exchange, which it reads; outside of that, a wait has no end but its own. Outside the limit of one
//! attempt, the health check and the mapping: inside of them, one limit would hold for all attempts, and a mapped request would be mapped again.
//!
//! # Cost
//! A request whose first attempt succeeds pays for a copy of its header map, one `Arc` for its body and a clone of the inner service; extensions that are of types of ours
//! ([`Idempotent`], [`RetryPolicy`], `Deadline`, `AttemptLog`) cost no allocation, any other costs a clone of them all. No timer, no box, no task; hedging takes a box and a
//! timer. Of the body, what passes is kept by reference. A request that is sent once by the rules above is handed through.
//!
//! # Cancellation and limits
//! Dropping the future ends the attempts that run and gives back what was kept or paid. At every limit the caller gets the last real answer, its body unread, or the last
//! error, as it came; only where the deadline passes while the inner service is not ready for an attempt that was decided on, a 504 of the layer, as the answer is gone. Why is the [`StopReason`](portcullis_gateway_error::StopReason): `attempts_exhausted`, `deadline` (the wait would have passed it, so it was not begun),
//! `not_retriable`, `not_safe`, `server_said_no`, `wait_too_long` (than `ServerHints::max`), `body_too_large`, `replay_memory_full`, `not_replayable` (the caller's body failed),
//! `budget_empty`, `too_many_retries`, `not_ready`; `superseded` is an attempt that lost to a hedge. A body over its limit still streams, in the last attempt.
//!
//! # What one sees
//! A [`RetryOutcome`](portcullis_gateway_error::RetryOutcome) is in the extensions of every answer that was not a plain success at the first attempt, and was not sent once by the rules above, and of all where the
//! request carries an [`AttemptLog`](portcullis_gateway_error::AttemptLog), which also gets that of an error. (An answer of no class, such as 404, is a plain success.)
//! Events, at `debug`: `retrying` (`retry.attempt`, `error.type`, `delivery`, `wait_ms`, `wait_reason`, `transparent`), `not retrying` (with `reason`), `hedging`, `not hedging`,
//! `hedge decided`, `request throttled`, and one when a body is no longer kept. A span that has the field `http.request.resend_count` gets it. With feature `metrics`:
//! `retry.attempts`, `retry.retries`, `retry.backoff.duration` (seconds), `retry.exhausted`, `retry.not_replayable`, `retry.throttled`, `retry.hedges`, `.refused` and `.won`.
#![forbid(unsafe_code)]

mod adaptive_throttle;
mod attempt_future;
mod backoff;
mod body;
mod budget;
pub mod coming_from;
#[cfg(feature = "config")]
mod config;
mod drain;
mod envoy;
mod exchange;
mod future;
mod grpc_codes;
mod head;
mod header_match;
mod hedging;
mod hint;
mod idempotent;
mod layer;
mod map_body;
mod marks;
mod peek;
mod policy;
mod race;
mod replay;
mod request_policy;
mod retry_on;
mod rules;
mod safety;
mod service;
#[cfg(feature = "config")]
mod service_config;
mod standard;
mod status_codes;
mod telemetry;
mod ticket;

pub use crate::adaptive_throttle::AdaptiveThrottle;
pub use crate::backoff::{Backoff, Jitter, Step};
pub use crate::body::ResponseBody;
pub use crate::budget::{
    Budget, Cost, InFlightBudget, KeyedBudgets, QuotaBudget, Ratio, RatioBudget, Score,
    SelectBudget, ThrottleBudget, Tokens,
};
#[cfg(feature = "config")]
pub use crate::config::{
    AdaptiveThrottleConfig, AttemptHeaderConfig, BackoffConfig, BudgetConfig, BudgetKindConfig,
    Config, DrainConfig, HeaderMatchConfig, HeaderValueConfig, HedgingConfig, InFlightBudgetConfig,
    QuotaBudgetConfig, RatioBudgetConfig, ServerHintsConfig, ThrottleBudgetConfig,
};
// Not for users: how lists of words are read where others have them.
#[cfg(feature = "config")]
#[doc(hidden)]
pub use crate::config::words::list as deserialize_words;
pub use crate::future::ResponseFuture;
pub use crate::grpc_codes::GrpcCodes;
pub use crate::header_match::HeaderMatch;
pub use crate::hedging::Hedging;
pub use crate::hint::{HintRule, HintSource, LongHint, ServerHints};
pub use crate::idempotent::Idempotent;
pub use crate::layer::RetryLayer;
pub use crate::map_body::{ConvertBody, Direct, MapBody};
pub use crate::marks::AttemptHeader;
pub use crate::peek::{ErrorEvent, First, Peek};
pub use crate::policy::{Facts, Plan, Policy, Transparent, Verdict};
pub use crate::replay::{ReplayBody, ReplayError};
pub use crate::request_policy::RetryPolicy;
pub use crate::retry_on::{RetryOn, UnknownRetryOn};
pub use crate::service::Retry;
#[cfg(feature = "config")]
pub use crate::service_config::{
    GrpcHedging, GrpcRetry, MethodPolicy, ServiceConfig, ServiceConfigData, Throttling,
};
pub use crate::standard::{Judgement, StandardPolicy};
pub use crate::status_codes::StatusCodes;
// What this layer and whoever picks an endpoint both know.
pub use portcullis_gateway_error::Attempt;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
