//! What elsewhere is called what here, and what differs on purpose: [Envoy](#envoy), [gRPC](#grpc), [nginx](#nginx), [HAProxy](#haproxy), [Finagle](#finagle),
//! [Linkerd](#linkerd), [tower and tower-http](#tower-and-tower-http), [tower-resilience](#tower-resilience), [tonic and reqwest](#tonic-and-reqwest).
//!
//! Settings without a type before them are setters of [`TimeoutLayer`](crate::TimeoutLayer); numbers in parentheses are defaults. There are no items in this module.
//!
//! Wherever one comes from, four things are other here:
//! - There is no limit without asking. `total` begins with the call, not with the end of the request; [`HeadStart::RequestSent`](crate::HeadStart::RequestSent) is
//!   there for `head` and `first_byte`.
//! - What is ready always wins: an answer that is there when the future is polled late is kept.
//! - The idle clock runs only while somebody waits for the peer.
//! - The limits of one attempt are a layer inside the retry, those of the whole a layer outside.
//!
//! # Envoy
//! | setting | here | what differs |
//! |---|---|---|
//! | `timeout` of the route (15 s) | `total`, outside of retry | none without asking, and from the call on |
//! | `per_try_timeout` | `head`, inside of retry, with `head_from: request_sent` | |
//! | `per_try_idle_timeout` | `response_idle`, inside of retry | |
//! | `stream_idle_timeout` (5 min) | `request_idle` and `response_idle` | each direction has its own clock; 408 before the head, as there |
//! | `max_stream_duration` | `total` with `total_on_streams` | |
//! | `request_timeout` | `request` | |
//! | `flush_timeout`, `request_headers_timeout`, idle connections | none | the server's: hyper's `header_read_timeout`, `keep_alive_timeout` |
//! | `connect_timeout` (5 s) | [`connect_timeout`](crate::connect_timeout) | |
//! | `grpc_timeout_header_max` | [`DeadlineSources::max`](crate::DeadlineSources::max) | `grpc-timeout` is read without asking |
//! | `grpc_timeout_header_offset` | [`DeadlineSources::offset`](crate::DeadlineSources::offset) | never makes it 0, as there |
//! | `x-envoy-upstream-rq-timeout-ms` | [`DeadlineSources::header`](crate::DeadlineSources::header) | only where the layer names it |
//! | `x-envoy-expected-rq-timeout-ms` | [`Propagation::header`](crate::Propagation::header) | |
//! | scaled timers of the overload manager | `scale` | the user's function says by how much |
//! | streams: set `timeout` to 0 | the default for `text/event-stream` | |
//!
//! # gRPC
//! | word | here | what differs |
//! |---|---|---|
//! | deadline of a call | [`Deadline`](crate::Deadline), or `total` | of a client and of a server |
//! | `grpc-timeout` | read and written, rounded down, at most eight digits | a malformed one is ignored with a warning |
//! | `context` that hands the deadline on | [`Propagation`](crate::Propagation) | by the request's extensions |
//! | `ctx.Done()` | [`Deadline::run`](crate::Deadline::run), or the handler is dropped | |
//! | a stream that should live long | no deadline of the caller, and [`TimeoutPolicy::without`](crate::TimeoutPolicy::without) the total | `response_idle` still finds a dead peer |
//!
//! # nginx
//! | setting | here | what differs |
//! |---|---|---|
//! | `proxy_connect_timeout` (60 s) | [`connect_timeout`](crate::connect_timeout) | |
//! | `proxy_read_timeout` (60 s) | `head` and `response_idle` | nginx has one number for both |
//! | `proxy_send_timeout` (60 s) | `request` | of the whole; the gap between two writes is the connection's |
//! | `client_body_timeout` (60 s) | `request_idle` | 408, as there |
//! | `proxy_next_upstream_timeout` (0) | `total`, outside of retry | it ends the running attempt too |
//!
//! # HAProxy
//! | setting | here |
//! |---|---|
//! | `timeout queue` | `ready` |
//! | `timeout connect` | [`connect_timeout`](crate::connect_timeout) |
//! | `timeout http-request` | `request` |
//! | `timeout client` | `request_idle` |
//! | `timeout server` | `head` and `response_idle` |
//! | `timeout tunnel` | none: after an upgrade the connection is its user's |
//! | the phase in the log (`sH`, `cD`) | `phase` of the event, [`Elapsed`](crate::Elapsed) of the answer |
//!
//! # Finagle
//! | setting | here | what differs |
//! |---|---|---|
//! | `withRequestTimeout` | `total`, inside of retry | |
//! | `withSession.acquisitionTimeout` | `ready` | |
//! | the `Deadline` context | [`Deadline`](crate::Deadline) | |
//! | `DeadlineFilter`, enabled, at most 20 % | `late_requests`: [`Refusal::at_most`](crate::Refusal::at_most) | all are refused without asking: what a header says is time that is left, so no clocks are compared |
//! | its dark mode | [`Refusal::count_only`](crate::Refusal::count_only) | |
//!
//! # Linkerd
//! | setting | here |
//! |---|---|
//! | `timeout.linkerd.io/request` | `total` |
//! | `timeout.linkerd.io/response` | `head`, and `first_byte` |
//! | `timeout.linkerd.io/idle` | `request_idle` and `response_idle` |
//! | `l5d-request-timeout` and its like | [`DeadlineSources::header`](crate::DeadlineSources::header), or a [`TimeoutPolicy`](crate::TimeoutPolicy) |
//!
//! # tower and tower-http
//! | layer | here | what differs |
//! |---|---|---|
//! | `tower::timeout::TimeoutLayer` | `head` | the error type stays; no `HandleErrorLayer` |
//! | `tower_http::timeout::TimeoutLayer` (408) | `head` (504) | a late answer that is there is kept; gRPC gets its status |
//! | `RequestBodyTimeoutLayer` | `request_idle` | 408 in band; sizes and ends are forwarded |
//! | `ResponseBodyTimeoutLayer` | `response_idle` | sizes and ends are forwarded |
//! | `RequestBodyDeadlineLayer` | `request` | |
//! | `ResponseBodyDeadlineLayer` | `response` | `total` is what begins with the call |
//!
//! Five layers of tower-http and the one here:
//! ```
//! # use std::time::Duration;
//! # let limit = Duration::from_secs(5);
//! use portcullis_timeout::TimeoutLayer;
//!
//! let layer = TimeoutLayer::new(6 * limit)
//!     .head(limit)
//!     .request(2 * limit)
//!     .request_idle(limit)
//!     .response(3 * limit)
//!     .response_idle(limit);
//! # let _ = layer;
//! ```
//!
//! # tower-resilience
//! | setting | here | what differs |
//! |---|---|---|
//! | `timeout_duration` | `head` | it begins with the call, not with the first poll |
//! | `timeout_fn` | [`TimeoutPolicy`](crate::TimeoutPolicy) | |
//! | `cancel_running_future(false)` | the inner service spawns its work | a panic of it stays a panic |
//!
//! Work that must go on when nobody waits for it any more:
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//! use http::{Request, Response};
//! use portcullis_timeout::TimeoutLayer;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! let detached = service_fn(|_: Request<_>| {
//!     let work = tokio::spawn(async { Response::new("done".to_owned()) });
//!     async { Ok::<_, BoxError>(work.await?) }
//! });
//! let service = TimeoutLayer::new(Duration::from_secs(1)).layer(detached);
//! assert_eq!(service.oneshot(Request::new(String::new())).await.unwrap().status(), 200);
//! # }
//! ```
//!
//! # tonic and reqwest
//! | setting | here | what differs |
//! |---|---|---|
//! | tonic: `Server::timeout` | `total` of a layer of the server | to the last byte; `DEADLINE_EXCEEDED`, where tonic says `CANCELLED` |
//! | tonic: what a server makes of `grpc-timeout` by itself | [`DeadlineSources::offset`](crate::DeadlineSources::offset) | it says `CANCELLED`, unless a layer inside answers sooner; a layer of the caller says `DEADLINE_EXCEEDED` all the same |
//! | tonic: `Endpoint::timeout` | `total` around the channel, with [`map_body`](crate::TimeoutLayer::map_body) | the server is told |
//! | tonic: `Request::set_timeout` | the same | it is kept to, to the last byte |
//! | reqwest: `timeout` | `total` | |
//! | reqwest: `read_timeout` | `response_idle`, and `head` from [`HeadStart::RequestSent`](crate::HeadStart::RequestSent) | an upload that goes on is not cut |
