//! Tries a call again after a gateway error, when that is safe.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::convert::Infallible;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use portcullis_gateway_error::RetryOutcome;
//! use portcullis_retry_on_gateway_error::RetryLayer;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let flaky = service_fn(|_| async {
//!     let mut response = Response::new(Empty::<bytes::Bytes>::new());
//!     if CALLS.fetch_add(1, Ordering::SeqCst) < 2 {
//!         *response.status_mut() = StatusCode::BAD_GATEWAY;
//!     }
//!     Ok::<_, Infallible>(response)
//! });
//! let service = RetryLayer::new().layer(flaky);
//!
//! let response = service.oneshot(Request::new(Empty::<bytes::Bytes>::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.extensions().get::<RetryOutcome>().unwrap().records().len(), 3);
//! # }
//! ```
//!
//! # When to use this
//! - Around any client of HTTP or gRPC: hyper-util, a tonic channel (with [`map_body`](RetryLayer::map_body)), reqwest, a `Router`.
//! - Once per chain of hops: three layers of three attempts are twenty-seven.
//!
//! # When not
//! - For errors that are the caller's (4xx), or the application's (500): another attempt brings the same.
//! - For work that must not be done twice, without an `Idempotency-Key` that the upstream knows.
//!
//! # What is retried
//! | failure | idempotent | other |
//! |---|---|---|
//! | answer 502, 503, 504 | yes | no |
//! | gRPC answer UNAVAILABLE, in its headers | yes | no |
//! | name not resolved, connection refused or not opened in time | yes | yes |
//! | stream refused, connection gone before a byte was sent | yes | yes |
//! | connection closed, nothing read, no answer in time | yes | no |
//! | answer that is not HTTP, TLS that failed on the way | yes | no |
//! | bad certificate, closed gate, own limit, bad request, own error | no | no |
//!
//! Idempotent is: `GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`, `DELETE` ([RFC 9110, section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)),
//! `QUERY` (RFC 10008), any method with a header `idempotency-key` that is not empty, and what the caller vouches for: [`Idempotent`] in the request's
//! extensions, or [`assume_idempotent`](RetryLayer::assume_idempotent) for all. What is in the third and fourth row was never processed, so its method does not matter.
//!
//! Passed through and never sent twice: `CONNECT`, and requests with `upgrade` or `expect`.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | `max_attempts` | 3 | botocore, go-retryablehttp and Polly make 3 or more, Envoy 2 |
//! | `backoff` | 25 ms doubling to 250 ms, full jitter | Envoy |
//! | `max_retry_after` | 300 s | Envoy; a longer one is handed on at once, never shortened |
//! | `max_replay_bytes` | 64 KiB | Linkerd |
//! | `drain` | 64 KiB, 100 ms beyond the wait | a connection is worth this much |
//!
//! # Order
//! Inside the [deadline](portcullis_timeout::Deadline) of the whole exchange, which it reads: a wait that would pass it is not begun. Outside the limit of one
//! attempt, the health check and the mapping, so that each attempt is mapped afresh from what the caller sent.
//!
//! # Cost
//! A request that may be sent again costs a copy of its head, a clone of the inner service, and an allocation each for the body and what is shared about it. What
//! passes of the body is kept by reference. One that is never sent twice costs nothing.
//!
//! # Cancellation and limits
//! Dropping the future ends the running attempt and lets go of everything that was kept. Over `max_replay_bytes` the running attempt goes on undisturbed and is the
//! last. When attempts, time or body end the retries, the caller gets the last real answer or error, and the
//! [`RetryOutcome`](portcullis_gateway_error::RetryOutcome) in its extensions say why.
#![forbid(unsafe_code)]

mod adaptive_throttle;
mod attempt;
mod attempt_future;
mod backoff;
mod body;
mod budget;
mod chance;
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
mod latency;
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
pub use crate::attempt::{Attempt, Idempotent};
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
pub use crate::future::ResponseFuture;
pub use crate::grpc_codes::GrpcCodes;
pub use crate::header_match::HeaderMatch;
pub use crate::hedging::Hedging;
pub use crate::hint::{HintRule, HintSource, LongHint, ServerHints};
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
