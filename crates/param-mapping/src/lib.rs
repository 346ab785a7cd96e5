//! A tower layer that maps the parameters of a request to what the upstream wants.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody, Rule};
//! use tower::{Layer, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let mapping = Mapping::builder()
//!     .rule(Rule::rename("body:/input".parse()?, "body:/parameters/input".parse()?).required())
//!     .rule(Rule::rename("body:/type".parse()?, "body:/parameters/map/type".parse()?))
//!     .build()?;
//! # let upstream = tower::service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
//! # });
//! let service = ParamMappingLayer::new(mapping).layer(upstream); // one that echoes
//!
//! let post = |body| Request::post("/").header("content-type", "application/json").body(Full::from(body));
//! let response = service.clone().oneshot(post(r#"{"input": "a cat", "type": "image"}"#)?).await?;
//! assert_eq!(
//!     response.into_body().collect().await?.to_bytes(),
//!     r#"{"parameters":{"input":"a cat","map":{"type":"image"}}}"#
//! );
//!
//! let response = service.oneshot(post("{}")?).await?; // the upstream is not called
//! assert_eq!(response.status(), StatusCode::BAD_REQUEST);
//! let problem = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
//! assert!(problem.contains("required parameter body:/input is missing"), "{problem}");
//! # Ok(())
//! # }
//! ```
//! With the feature `config` the same mapping is read from YAML or JSON: see `Mapping::from_yaml`.
//!
//! # When to use this
//! - A caller and an upstream that disagree about names and places of parameters, and nobody can change either.
//! - Secrets that must not travel on, constants and defaults that every request needs.
//!
//! Not for: answers and streams (this maps requests only), forms, values that must be computed, choices by condition. For those write a
//! service of your own, or `axum::middleware::map_request`.
//!
//! # What the rules do
//! | rule | from code | does |
//! |---|---|---|
//! | `{move: A, to: B}`, `{rename: A, to: B}` | [`Rule::rename`] | takes what is at A away and writes it at B; nothing where A is missing |
//! | `{move: A, to: B, require: true}` | [`Rule::required`] | the same; 400 where A is missing |
//! | `{set: A, value: V}` | [`Rule::set`] | writes V at A, whatever is there |
//! | `{default: A, value: V}` | [`Rule::default`] | writes V at A where nothing, or `null`, would be |
//! | `{remove: A}` | [`Rule::remove`] | takes away what is at A |
//! | `{require: A}` | [`Rule::require`] | 400 where A is missing |
//!
//! An [`Address`] is `body:` with a JSON pointer, `query:` with a name, or `header:` with a name. In YAML, `body:` alone needs quotes.
//! - Reads see the request as it came; then all removals happen, then all writes, outer places before inner ones, then all defaults. The
//!   order of the rules has no meaning, so `a` to `b` beside `b` to `a` swaps them. All rules are applied, or the request is refused.
//! - Missing, `null` and falsy are three things: `null` is there for `require` and is moved; `0`, `false`, `""` and `[]` are values.
//! - Objects on the way to a body address are made. A number addresses an element of an array that is there; nothing is appended to arrays.
//! - Moved values and all that no rule names keep their bytes: `1e400`, `1.0`, 64-bit numbers, escapes, spaces, the order of members.
//!   A member that a rule names and that is given twice is refused; other members given twice pass.
//! - A text from the query or a header becomes a JSON string; a string, number or boolean becomes the text of a header or query parameter.
//!   Several query parameters or header lines of one name move together to the head, and are refused on the way to the body.
//!
//! | the body | what happens |
//! |---|---|
//! | no rule has a `body:` address | streams through as it is, whatever it is |
//! | `application/json` or `+json` | is read and mapped |
//! | empty | counts as missing; a write makes it `application/json`. For GET, HEAD, DELETE, OPTIONS, TRACE and CONNECT only a `move` does that |
//! | another type, or with `content-encoding` | streams through, and rules with a `body:` address are skipped; 415 where one is a `set`, is required, or would move something into the body |
//! | `application/grpc` | streams through; only rules with nothing but `header:` addresses are applied |
//!
//! Where a body changed, `content-length` is right and its digests are gone.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | [`max_body_bytes`](MappingBuilder::max_body_bytes) | 1 MiB | more than parameters need, and little enough to keep per request |
//! | [`name`](ParamMappingLayer::name) | `portcullis` | the name of this hop in `Proxy-Status` |
//!
//! # Order
//! Below retry, so that each attempt is mapped from the caller's original; above whatever signs the request. Above retry it would be
//! mapped once, which is right as well while the mapping is the same for all attempts.
//!
//! # Cost
//! Without `body:` addresses: no body is looked at, and a header or the query is copied only where it changes. With them the body is
//! collected (a body of one frame is not copied), checked once, and looked into along the rules' addresses; no tree is built. The result
//! is written to one new buffer; where nothing changed, the body is passed on as it was read. No box, no lock, no timer.
//!
//! # Cancellation and limits
//! Dropping the future drops the body, or the inner call. While the body is read, the inner service that was made ready is kept for it.
//!
//! | what | answer, in band, with the upstream not called |
//! |---|---|
//! | a required parameter is missing, or a value does not fit its target | 400 with the member `param`, its address |
//! | the body is not valid JSON, not UTF-8, nested deeper than 128 levels, or broke off | 400 |
//! | the body is longer than the limit | 413 |
//! | a rule needs a body that cannot be read | 415 |
//!
//! Each is an [`Answer`](portcullis_gateway_error::Answer) (`http_request_error`) and one `debug` event with `param` and `reason`. Neither
//! holds a value of the request.
#![forbid(unsafe_code)]

mod address;
mod body;
#[cfg(feature = "config")]
mod config;
mod evaluate;
mod found;
mod future;
mod head;
mod json;
mod layer;
mod mapping;
mod plan;
mod query;
mod refusal;
mod rule;
mod service;
mod tree;

#[cfg(feature = "codings")]
mod coding;
mod cookie;
mod form;
mod path;
mod stream;

pub use crate::address::Address;
pub use crate::body::{RequestBody, ResponseBody};
#[cfg(feature = "config")]
pub use crate::config::{Config, Require, RuleConfig};
pub use crate::future::ResponseFuture;
pub use crate::layer::ParamMappingLayer;
pub use crate::mapping::{DEFAULT_MAX_BODY_BYTES, Mapping, MappingBuilder};
pub use crate::rule::Rule;
pub use crate::service::ParamMapping;

#[cfg(feature = "codings")]
pub use crate::coding::{
    Coding, CodingError, Codings, DEFAULT_MAX_RATIO, DecodeError, DecodeLimits, DecodedBody,
    Decoder, decode,
};
pub use crate::cookie::{Cookies, InvalidCookie};
pub use crate::form::{Boundary, Field, Form, FormEdit, FormError, FormFormat};
pub use crate::path::{InvalidPathTemplate, PathError, PathTemplate};
pub use crate::stream::{
    AtEof, DEFAULT_MAX_EVENT_BYTES, Edit, Editor, Event, EventBody, EventParser, Fields, Framing,
    FramingError, Keys, Piece, SseEvent,
};

#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../README.md")]
struct Readme;
