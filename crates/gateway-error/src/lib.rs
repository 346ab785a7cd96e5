//! What a gateway error is, which kind, and how to say it: one vocabulary for retry, health check, logs and the answer to the caller.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use portcullis_gateway_error::{ErrorKind, Failure, GatewayErrorLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let client = service_fn(async |_: Request<String>| {
//!     Err::<Response<String>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
//! });
//! let gateway = GatewayErrorLayer::new().name("edge").layer(client);
//!
//! let Ok(response) = gateway.oneshot(Request::new(String::new())).await;
//!
//! assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! assert_eq!(response.headers()["proxy-status"], "edge;error=connection_refused");
//! let failure = response.extensions().get::<Failure>().copied();
//! assert_eq!(failure, Some(Failure::new(ErrorKind::ConnectionRefused)));
//! # });
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! # When to use this
//! - [`GatewayErrorLayer`] around a client, where errors must become answers: in `axum::Router::layer`, in a proxy, in front of a tonic client.
//!   With `.diagnose(true)` its log event is a whole [`Diagnosis`].
//! - [`ErrorForStatusLayer`] at a caller's edge, where answers of 4xx and 5xx must become errors, as `raise_for_status` does in Python.
//! - [`classify_error`], [`classify_response`], [`Diagnosis`] and [`RetryAfter`] alone, in a client of your own.
//!
//! # When not
//! - For errors of handlers: they know better what they mean; use axum's `IntoResponse`.
//! - To try again: that is `portcullis-retry-on-gateway-error`, which decides by the same words.
//!
//! # What counts as which kind
//! | cause | kind | the request was |
//! | --- | --- | --- |
//! | the name does not resolve | `dns_error` | not sent |
//! | the connection is refused | `connection_refused` | not sent |
//! | opening the connection takes too long | `connection_timeout` | not sent |
//! | the upstream does not speak TLS | `tls_protocol_error` | not sent |
//! | an alert in the TLS handshake | `tls_alert_received` | not sent |
//! | a certificate for another name | `tls_certificate_error` | not sent |
//! | a certificate of an unknown issuer | `tls_certificate_error` | not sent |
//! | an alert after the TLS handshake | `tls_alert_received` | maybe processed |
//! | TLS breaks after the handshake | `tls_protocol_error` | maybe processed |
//! | closed before any byte | `connection_terminated` | maybe processed |
//! | reset before any byte | `connection_terminated` | maybe processed |
//! | closed in the middle of the head | `connection_terminated` | maybe processed |
//! | garbage instead of HTTP | `http_protocol_error` | maybe processed |
//! | a head that is too large | `http_response_header_section_size` | answered |
//! | closed in the middle of the body | `http_response_incomplete` | answered |
//! | closed between two chunks | `http_response_incomplete` | answered |
//! | a chunk whose size is no number | `http_response_transfer_coding` | answered |
//! | the caller's own body breaks off | `http_request_error` | maybe processed |
//! | GOAWAY with a lower last stream id | `connection_terminated` | refused |
//! | GOAWAY with our last stream id, then closed | `connection_terminated` | maybe processed |
//! | RST_STREAM with REFUSED_STREAM | `connection_terminated` | refused |
//! | RST_STREAM with another code | `connection_terminated` | maybe processed |
//! | RST_STREAM in the middle of the body | `http_response_incomplete` | answered |
//! | HTTP/2 frames that break the protocol | `http_protocol_error` | maybe processed |
//! | a pooled connection that was found dead | `connection_terminated` | not sent |
//! | a pooled connection that dies under the request | `connection_terminated` | maybe processed |
//!
//! A test gives each cause on a real socket and compares. hyper does not tell a close before the head from one inside it. h2 does not tell the
//! last stream id, but fails a stream with a GOAWAY only where the id is lower, and where hyper was just about to use the connection. What is not in the table is
//! [`ErrorKind::ProxyInternalError`]; [`Classified`], a closure or a [`Classify`] of yours tell more. An answer is a gateway error when it is 502, 503 or
//! 504, or a gRPC UNAVAILABLE; its kind is what `Proxy-Status` says.
//!
//! # Defaults
//! | setting | default | why |
//! | --- | --- | --- |
//! | `GatewayErrorLayer::name` | `portcullis` | the member of `Proxy-Status` needs one |
//! | `status` | [`ErrorKind::status`] | RFC 9209's, but 503 for a name that does not resolve and 502 for a wrong route |
//! | `expose_details` | no | addresses and paths are for the log |
//! | `diagnose` | no | it copies the head of every request |
//! | `ErrorForStatusLayer::is_error` | 400 to 599 | what `raise_for_status` takes |
//! | `body_limit` | 4 KiB | an error message, not a download |
//!
//! # Order
//! [`GatewayErrorLayer`] is the outermost: errors of all layers inside become answers, and outside of it `Error = Infallible`. Inside of retry it would
//! still work, since retry reads the [`Failure`] in an answer's extensions, but each attempt that fails would be logged as a failed exchange.
//! [`ErrorForStatusLayer`] is outside of everything, in a client only: outside of [`GatewayErrorLayer`] it makes errors of its answers again.
//!
//! # Cost
//! An exchange that succeeds pays for an [`AttemptLog`] in the request's extensions, a shared copy of one header and two counters; with `diagnose` also for
//! a copy of the request's head. A failure pays for its text and its answer.
//!
//! # Cancellation and limits
//! Dropping a future drops the inner future and whatever was read. A body that is over the limit of [`ErrorForStatusLayer`] is cut there and let go;
//! its time is not limited, that is for `portcullis-timeout` below it. A chain of errors is followed 32 deep, a diagnosis shows 32 headers of
//! 256 characters each, and [`RetryAfter::MAX`] is the longest wait.
#![forbid(unsafe_code)]

mod answer;
mod attempt;
mod audience;
mod body;
mod chance;
mod classified;
mod classify;
#[cfg(feature = "config")]
mod config;
mod diagnosis;
mod error_for_status;
mod failure;
mod future;
mod grpc;
mod invalid_config;
mod kind;
mod latency;
mod layer;
#[cfg(feature = "config")]
mod layer_config;
mod problem;
mod proxy_status;
mod record;
mod retry_after;
mod service;

pub use crate::answer::{Answer, DEFAULT_NAME};
pub use crate::attempt::Attempt;
pub use crate::audience::Audience;
pub use crate::body::AnswerBody;
pub use crate::classified::Classified;
pub use crate::classify::{
    Classify, DefaultClassifier, ErrorChain, classify_body_error, classify_error,
    classify_response, classify_trailers,
};
#[cfg(feature = "config")]
pub use crate::config::ConfigFile;
pub use crate::diagnosis::{Diagnosis, FailedHop, RequestFacts};
pub use crate::error_for_status::{
    ErrorForStatus, ErrorForStatusFuture, ErrorForStatusLayer, StatusError, StatusOr,
};
pub use crate::failure::Failure;
pub use crate::future::ResponseFuture;
pub use crate::grpc::{GrpcCode, is_grpc};
pub use crate::invalid_config::InvalidConfig;
pub use crate::kind::{Delivery, ErrorKind, UnknownErrorKind};
// Not for users: what several layers count with, and draw from.
#[doc(hidden)]
pub use crate::chance::Chance;
#[doc(hidden)]
pub use crate::latency::Latencies;
pub use crate::layer::GatewayErrorLayer;
#[cfg(feature = "config")]
pub use crate::layer_config::Config;
pub use crate::problem::Problem;
pub use crate::proxy_status::{Hop, PROXY_STATUS, ProxyStatus};
pub use crate::record::{
    AttemptLog, AttemptRecord, Decision, Outcome, Phase, RetryOutcome, StopReason, WaitReason,
};
pub use crate::retry_after::RetryAfter;
pub use crate::service::GatewayError;

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
