//! Limits how long an HTTP or gRPC exchange and its phases may last, and answers in band when a limit strikes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use http::{Request, Response, StatusCode};
//! use portcullis_timeout::{Elapsed, Phase, TimeoutLayer};
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
//! assert_eq!(response.extensions().get().map(Elapsed::phase), Some(Phase::Total));
//! # }
//! ```
//!
//! # When to use this
//! - Around a client, outside and inside a retry: `total` for the whole exchange, `head` for one attempt.
//! - In front of handlers of your own, with `.status(StatusCode::SERVICE_UNAVAILABLE)`.
//!
//! # When not
//! - For the time to open a connection, which is the connector's: see [`connect_timeout`]. For settings that you know from elsewhere see [`coming_from`].
//!
//! # What strikes when
//! | limit | from | to | answered with |
//! |---|---|---|---|
//! | `ready` | the inner service is not ready | it is | 503, `connection_limit_reached` |
//! | `request` | the call | the end of the request body | 408; 504 and `connection_write_timeout` where the inner service takes nothing |
//! | `request_idle` | the inner service asks for a frame | the caller gives one | 408, and an error of the request body |
//! | `head` | the call (or the first poll, see [`head`](TimeoutLayer::head)), or the end of the request body ([`HeadStart`]) | the response head | 504, `http_response_timeout` |
//! | `first_byte` | the same | the first frame of the response body | 504, or an error of the body; `connection_read_timeout` |
//! | `response` | the response head | the last byte of the response | an error of the body, `http_response_timeout` |
//! | `response_idle` | the caller asks for a frame | the inner service gives one | an error of the body, `connection_read_timeout` |
//! | `total` | the call | the last byte of the response, trailers included | 504 before the head, an error of the body after it |
//!
//! Where several strike, the earliest counts; what is ready when it is polled always wins over a limit that has passed, and time in which nobody asks for a frame
//! is not idle. For gRPC the answer before the head is a trailers-only `DEADLINE_EXCEEDED`, and a body in which no message is cut ends with it in its trailers. Other
//! bodies end with a [`TimeoutError`] in a [`Classified`](portcullis_gateway_error::Classified). [`Elapsed`] in the extensions of an answer says what struck.
//! A [`TimeoutPolicy`] in the extensions of a request replaces limits for it.
//!
//! On streams of events and after an upgrade `total` ends at the head, unless [`TimeoutLayer::total_on_streams`] asks for more.
//!
//! # The deadline
//! The end of the exchange is a [`Deadline`] in the request's extensions, for all layers and handlers inside. It is the least of the one that the request came with, of
//! `grpc-timeout` and other headers ([`DeadlineSources`]) and of the layer's own `total`. What is left is told to the next hop ([`Propagation`]), anew for each attempt
//! of a retry outside, which needs a layer outside of it: one that stands inside alone counts what a header says from each attempt anew. Where the next hop cancels a gRPC call
//! because of it, sooner than our timer, the caller gets `DEADLINE_EXCEEDED` all the same. A request whose deadline has passed is answered at once, and the inner service is not called ([`Refusal`]).
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | every limit | none | how long is too long is known to the caller alone |
//! | `head_from` | the call | what the caller waits for |
//! | `adaptive_head`, `scale`, `sse_error_event` | off | they change what is answered |
//! | `deadline_sources`, `propagation` | `grpc-timeout` of gRPC | what the protocol says |
//! | `share_deadline` | true | so that retries and handlers keep to it |
//! | `late_requests` | all refused | nobody waits for the answer any more |
//! | `status` | 504 | what a gateway says when nobody answers in time (RFC 9110, section 15.6.5) |
//! | `name` | `portcullis` | the hop in `Proxy-Status` |
//!
//! A limit of zero is one: it strikes as soon as something is pending. The serde form refuses it, and limits that never strike because another is shorter.
//!
//! # Order
//! One outside retry (`total`: all attempts and their waits), one inside (`head`: one attempt), both inside
//! [`GatewayErrorLayer`](portcullis_gateway_error::GatewayErrorLayer). Inside retry alone, a limit of the whole would begin anew with each attempt. A client with a fixed
//! body type gets [`map_body`](TimeoutLayer::map_body).
//!
//! # Cost
//! No lock, no task. A call with an end (a deadline, `total`), `first_byte`, `adaptive_head` or a limit of the request reads the clock once, and again at the head for `first_byte`, `response` and `adaptive_head`; where there is nothing but `head` and `response_idle`, time counts from when something was pending
//! for the first time, and what is ready reads no clock at all. There is no timer before something was pending, and none for a frame that is ready; an
//! exchange has one timer, in one box (`request_idle` one more), that moves from the future to the body. A new `Deadline` is an entry in the request's extensions; `request`, `request_idle` and
//! [`HeadStart::RequestSent`] cost two allocations for a request with a body, a `TimeoutPolicy`, `scale` and `adaptive_head` one more.
//!
//! # Cancellation and limits
//! Dropping the future drops the inner call; dropping a body drops the inner body. A limit drops them too: HTTP/1.1 loses its connection, HTTP/2 resets the stream. Work
//! that must go on is spawned by the inner service. After an error a body gives `None` for ever. A body whose frames are all ready when asked for is never cut.
#![forbid(unsafe_code)]

mod adaptive;
mod begin;
pub mod coming_from;
#[cfg(feature = "config")]
mod config;
pub mod connect_timeout;
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
