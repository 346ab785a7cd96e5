//! Tower layers for whoever stands between a caller and an upstream that answers `502 Bad Gateway`.
//!
//! ```
//! # #[cfg(feature = "stack")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::io;
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use portcullis::Stack;
//! use portcullis::gateway_error::RetryOutcome;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! // A client whose upstream is not there.
//! let client = service_fn(|_| async {
//!     Err::<Response<Full<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
//! });
//! let service = Stack::new().layer(client);
//!
//! let request = Request::new(Full::new(Bytes::new()));
//! let response = service.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! assert_eq!(response.headers()["proxy-status"], "portcullis;error=connection_refused");
//! assert_eq!(response.extensions().get::<RetryOutcome>().unwrap().records().len(), 3);
//! # }
//! # #[cfg(not(feature = "stack"))] fn main() {}
//! ```
//!
//! # When to use this
//! - For the whole stack, in its order, from code or from one [`Config`](https://docs.rs/portcullis): `Stack`.
//! - For the same over several endpoints: `Config::pool` makes a pool, and `Stack::over` stands on it.
//! - For one request that goes to another provider where the first has failed: `FallbackLayer`, with the feature `fallback`; for the
//!   providers and the routes to them from data: `Chats`, with `config` and `llm-mapping` too.
//! - To have all layers under one name and one version.
//!
//! # When not
//! - For one layer: each is a crate of its own, with fewer dependencies.
//!
//! # What is in it
//! | module | crate | what |
//! |---|---|---|
//! | [`gateway_error`] | `portcullis-gateway-error` | the vocabulary, answers, diagnosis |
//! | `retry` | `portcullis-retry-on-gateway-error` | another attempt when that is safe |
//! | `timeout` | `portcullis-timeout` | limits and deadlines |
//! | `param_mapping` | `portcullis-param-mapping` | parameters as the upstream wants them |
//! | `llm_mapping` | `portcullis-llm-mapping` | one chat API in front of many providers |
//! | `health_check` | `portcullis-health-check` | probes, the gate, `/livez` and `/readyz` |
//!
//! # Defaults
//! A `Stack::new()` has the defaults of each layer: three attempts, no limit of time, an open gate, no mapping.
//!
//! # Order
//! Outer first: errors become answers, the limit of the whole, retry, the limit of an attempt, the gate, the mapping, the client. What goes wrong elsewhere is on the
//! page of each crate. Over a pool, which stands in place of the gate, each endpoint has its mapping.
//!
//! # Cost
//! The sum of the layers; a layer with nothing to do passes what it gets.
//!
//! # Cancellation and limits
//! Dropping the future of the stack drops everything inside. The limits are those of the layers.
#![forbid(unsafe_code)]

#[cfg(all(feature = "config", feature = "fallback", feature = "llm-mapping"))]
mod chats;
#[cfg(feature = "config")]
mod config;
#[cfg(feature = "fallback")]
mod fallback;
#[cfg(feature = "stack")]
mod stack;

pub use portcullis_gateway_error as gateway_error;
#[cfg(feature = "health-check")]
pub use portcullis_health_check as health_check;
#[cfg(feature = "llm-mapping")]
pub use portcullis_llm_mapping as llm_mapping;
#[cfg(feature = "param-mapping")]
pub use portcullis_param_mapping as param_mapping;
#[cfg(feature = "retry")]
pub use portcullis_retry_on_gateway_error as retry;
#[cfg(feature = "timeout")]
pub use portcullis_timeout as timeout;

#[cfg(all(feature = "config", feature = "fallback", feature = "llm-mapping"))]
pub use crate::chats::{ChatRouteConfig, Chats, ChatsConfig, ChatsService, FallbackConfig};
#[cfg(feature = "config")]
pub use crate::config::Config;
#[cfg(feature = "fallback")]
pub use crate::fallback::{
    AnsweredBy, Fallback, FallbackBody, FallbackFuture, FallbackLayer, FallbackOn,
};
#[cfg(feature = "stack")]
pub use crate::stack::{PoolService, Stack, StackService};

#[cfg(all(doctest, feature = "stack"))]
#[doc = include_str!("../README.md")]
struct Readme;
