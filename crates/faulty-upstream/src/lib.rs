//! A server that misbehaves on purpose, with a ledger of what it saw.
//!
//! ```
//! use http::StatusCode;
//! use portcullis_faulty_upstream::{Fault, FaultyUpstream, Plan, Script};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = FaultyUpstream::builder()
//!     .plan(Plan::new(1).status(StatusCode::BAD_GATEWAY, 0.1).reset(0.01))
//!     .start()
//!     .await?;
//! // Two attempts of the requests with `x-test-id: orders` are answered 503, all others well.
//! upstream.script("orders", "status=503;times=2".parse::<Script>()?);
//!
//! assert!(upstream.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(upstream.ledger().totals().processed, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # When to use this
//! - In the tests of a client, a gateway or a retry, where the claim is about what happens on a wire.
//! - As the upstream of a demonstration.
//!
//! # When not
//! - For load: it reads whole bodies and keeps a ledger. For faults of the network itself, use a proxy below HTTP.
//!
//! # What goes wrong, and who says so
//! In this order: the header `x-fault` of the request; the script of its `x-test-id`, from Rust or by `PUT /__faulty/scripts/ID`; the [`Plan`].
//! A fault is text, `name=value` and parameters after `;`. Several, between commas, are steps of a [`Script`].
//!
//! | text | what happens |
//! |---|---|
//! | `ok` | nothing goes wrong |
//! | `status=503;retry-after=2` | this answer; dates by `imf-fixdate+2`, `rfc850+2`, `asctime+2` |
//! | `stall=2s`, `stall=2s;after=10` | silence before the head, or after so many bytes of the body |
//! | `trickle=10ms;piece=1` | the body in small pieces |
//! | `reset`, `reset=head`, `reset=body;after=10` | TCP RST before the head, in it, in the body |
//! | `close`, `close=head`, `close=body;after=10` | TCP FIN there |
//! | `garbage` | bytes that are not HTTP |
//! | `truncated-chunk`, `wrong-length=5` | a body that is not what its framing says |
//! | `unsaid-close` | a good answer, and then the connection is closed without a word |
//! | `interim=103;count=2` | interim answers first |
//! | `large-head=100000` | a head of that size |
//! | `goaway`, `goaway=INTERNAL_ERROR;last=this` | HTTP/2 GOAWAY |
//! | `rst-stream=REFUSED_STREAM`, `rst-stream=CANCEL;after=0` | HTTP/2 RST_STREAM |
//! | `grpc-status=14;message=m;pushback=100ms;in=trailers` | a gRPC status, in headers or trailers |
//!
//! Every fault takes `times=N` (for that many requests), `ratio=0.1` (for that share, from the plan's seed), `early=N` (after so many bytes of the request's body,
//! while the rest is being sent), `processed` (the work is done first), `delay=10ms` (before anything is sent) and `work=1s` (the work takes that long).
//!
//! # What is answered when nothing goes wrong
//! `/sse?n=10&gap=10ms` is a stream of events, `content-type: application/grpc` gets its messages back, everything else a JSON echo. With an `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header) the work is done once: a key seen before gets the stored answer, 409 while the work is being done, 422 for
//! another payload. A fault that sends nothing of the plain answer happens *instead* of the work, unless it says `processed`.
//!
//! # The ledger
//! [`Ledger`] from Rust; `GET /__faulty/ledger`, `/__faulty/ledger/tests/ID` and `/__faulty/ledger/keys/KEY` over HTTP. `GET /__faulty/health` answers 200.
//!
//! # Defaults
//! | setting | default |
//! |---|---|
//! | `listen` | a free port of 127.0.0.1 |
//! | `plan` | no faults |
//! | `body_limit` | 16 MiB, over it 413 |
//! | connections | 1,024 at a time |
//!
//! # Protocols
//! HTTP/1.1, and HTTP/2 with prior knowledge; over TLS (feature `tls`) by ALPN. A fault of HTTP/2 is answered 501 on HTTP/1.1. Over TLS, `goaway` names this stream
//! as the last one. What no HTTP server sends is for [`RawUpstream`].
//!
//! # Cancellation and limits
//! Dropping the server closes its port and its connections. The ledger is bounded; see [`Ledger`].
#![forbid(unsafe_code)]

mod admin;
mod answer;
mod exchange;
mod fault;
mod http1;
mod http2;
mod idempotency;
mod ledger;
mod plan;
mod raw;
mod retry_after;
mod script;
mod server;
mod shelf;
mod socket;
#[cfg(feature = "tls")]
mod tls;

pub use crate::fault::{
    BadFault, Fault, FaultKind, GrpcPlace, Interim, LastStream, Place, Pushback, RetryAfter,
};
pub use crate::ledger::{Attempt, Entry, Ledger, Totals};
pub use crate::plan::Plan;
pub use crate::raw::{RawStep, RawUpstream};
pub use crate::script::Script;
pub use crate::server::{Builder, FaultyUpstream};
#[cfg(feature = "tls")]
pub use crate::tls::Tls;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
