//! Limits how long an HTTP or gRPC exchange and its phases may last, and answers in band when a limit strikes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use http::{Request, Response, StatusCode};
//! use portcullis_timeout::TimeoutLayer;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let slow = service_fn(|_| async {
//!     tokio::time::sleep(Duration::from_secs(60)).await;
//!     Ok::<_, Infallible>(Response::new(String::new()))
//! });
//! let service = TimeoutLayer::new(Duration::from_secs(5)).layer(slow);
//!
//! let response = service.oneshot(Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
//! assert_eq!(response.headers()["proxy-status"], "portcullis;error=http_response_timeout");
//! # }
//! ```
//!
//! # When to use this
//! - Around a client, outside and inside a retry: `total` for the whole exchange, `head` for one attempt.
//! - In front of handlers of your own, with `.status(StatusCode::SERVICE_UNAVAILABLE)`.
//!
//! # When not
//! - For the time to open a connection: that is the connector's (`HttpConnector::set_connect_timeout`,
//!   `reqwest::ClientBuilder::connect_timeout`, `tonic::transport::Endpoint::connect_timeout`).
//! - For streams that may last for ever (SSE): leave `total` out and set `response_idle`.
//!
//! # What strikes when
//! | limit | from | to | answered with |
//! |---|---|---|---|
//! | `total` | the call | the last byte of the response | 504 before the head, an error of the body after it |
//! | `head` | the call | the response head | 504 |
//! | `request_idle` | the inner service asks for a frame | the caller gives one | an error of the request body (408) |
//! | `response_idle` | the caller asks for a frame | the inner service gives one | an error of the response body |
//!
//! Where several strike, the earliest counts; what is ready when it is polled always wins over a limit that has passed. For gRPC the answer before the head is a
//! trailers-only `DEADLINE_EXCEEDED`. An error of a body is a [`TimeoutError`] in a
//! [`Classified`](portcullis_gateway_error::Classified), so the shared classifiers know its kind.
//!
//! # The deadline
//! The end of the exchange is a [`Deadline`] in the request's extensions, for all layers inside: the earlier of the one that the request came with and the layer's
//! own `total`. A request that comes with one is held to it even by a layer without a `total`; one whose deadline has passed is answered at once, and the
//! inner service is not called.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | `total`, `head`, `request_idle`, `response_idle` | none | how long is too long is known to the caller alone |
//! | `status` | 504 | what a gateway says when nobody answers in time (RFC 9110, section 15.6.5) |
//! | `name` | `portcullis` | the hop in `Proxy-Status` |
//!
//! # Order
//! One outside retry (`total`: all attempts and their waits), one inside (`head`: one attempt), both inside
//! [`GatewayErrorLayer`](portcullis_gateway_error::GatewayErrorLayer). Inside retry alone, a limit of the whole would begin anew with each attempt.
//!
//! # Cost
//! No box, no lock, no task. There is no timer before the inner future was pending, and none for a frame that is ready; a body has one timer, which is moved.
//! A `Deadline` that is new costs an entry in the request's extensions.
//!
//! # Cancellation and limits
//! Dropping the future drops the inner call; dropping a body drops the inner body. After an error a body gives `None` for ever.
#![forbid(unsafe_code)]

mod adaptive;
#[cfg(feature = "config")]
mod config;
mod deadline;
mod deadline_header;
mod deadline_sources;
mod ending;
mod error;
mod future;
mod grpc_timeout;
mod head_start;
mod layer;
mod limits;
mod map_body;
mod phase;
mod policy;
mod propagation;
mod ready;
mod refusal;
mod request_body;
mod response_body;
mod service;
mod telemetry;
mod timer;
mod upload;
mod wait;

pub use crate::adaptive::AdaptiveHead;
#[cfg(feature = "config")]
pub use crate::config::{
    AdaptiveHeadConfig, Config, DeadlineHeaderConfig, DeadlineSourcesConfig, DeadlineUnitConfig,
    HeadStartConfig, PropagationConfig, RefusalConfig,
};
pub use crate::deadline::{Deadline, Run};
pub use crate::deadline_header::DeadlineHeader;
pub use crate::deadline_sources::DeadlineSources;
pub use crate::error::{Elapsed, TimeoutError};
pub use crate::future::ResponseFuture;
pub use crate::head_start::HeadStart;
pub use crate::layer::TimeoutLayer;
pub use crate::limits::TimeoutPolicy;
pub use crate::map_body::{ConvertBody, Direct, MapBody};
pub use crate::phase::Phase;
pub use crate::propagation::Propagation;
pub use crate::refusal::Refusal;
pub use crate::request_body::RequestBody;
pub use crate::response_body::ResponseBody;
pub use crate::service::Timeout;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
