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
//! - A caller and an upstream that disagree about names, places and forms of parameters, and nobody can change either.
//! - Secrets that must not travel on, constants and defaults that every request needs, limits and checks.
//!
//! For calculations there is [`MappingBuilder::function`].
//!
//! # The language
//! A rule is a verb with [addresses](Address), the value's way ([`with`](Transform)), [`when`](When), and [`on_error`](OnError). The
//! [reference](mod@reference) has an example of each word, the [cookbook] whole mappings. Feature `cli` adds `portcullis-map`, which checks, explains and tries
//! mappings; `schema` adds `json_schema`, for editors.
//!
//! | verb | does | beside it |
//! |---|---|---|
//! | `move: A`, `rename: A` | takes the first of A that is there to `to`; all of A are gone | `to`, `with`, `default`, `require: true` |
//! | `copy: A` | the same, and A stays | the same |
//! | `set: B` | writes, whatever is there; a `body:/a/-` appends | one of `value: V`, `template: "..{A}.."`, `from: A`, `sum: [A, ..]`, `generate: uuid`; unless `value`: `with`, `default`, `require` |
//! | `replace: B`, `add: B`, `default: B` | writes if something, if nothing, if nothing or `null` is there | the same |
//! | `append: B`, `prepend: B` | adds an element, a header line, a query parameter or a field of a form | the same |
//! | `merge: B` | lays a merge patch (RFC 7396) over it | the same |
//! | `update: A` | changes what is there by `with`; gone where nothing comes out | `with`, `default`, `require` |
//! | `remove: A`, `allow: A` | takes A away, or all but A | |
//! | `require: A`, `test: A` | refuses where A is missing, or is not `value` | `value` |
//! | `for_each: A` | applies `rules` (with `item:`) to each element that `keep` holds for | `rules`, `keep`, `to` |
//!
//! `with` is one of these, or a list: `coerce`, `clamp`, `validate`, `map`, `scale`, `negate`, `split`, `join`, `trim`, `lower`, `upper`,
//! `regex_replace`, `wrap`, `unwrap`, `get`, `sum`, `lookup`, `merge_adjacent`, `data_uri`, `hash`, `hmac`, `custom` (see [`Transform`]). `when` and `keep` are
//! `{A: 7}`, or `{A: {..}}` with `exists`, `missing`, `"null"`, `eq`, `ne`, `in`, `gt`, `gte`, `lt`, `lte`, `matches`, `glob`, `type`, and
//! `all`, `any`, `not` (see [`When`]). `on_error` is `reject`, `drop`, `keep` or `default`. Where one address stands, a list of them can.
//! ```yaml
//! match: {path: "/v1/{kind}", methods: [POST]}
//! request:                      # `rules:` alone at the top are these too
//!   unmapped: pass              # or drop, or reject; `base: empty` starts with nothing
//!   rules:
//!     - {move: [body:/max_completion_tokens, body:/max_tokens], to: body:/max_tokens, default: 4096}
//!     - {move: body:/stop, to: body:/stop_sequences, with: {wrap: if_scalar}}
//!     - {update: body:/temperature, with: {clamp: {min: 0, max: 1}}, on_error: drop}
//!     - {remove: body:/top_k, when: {body:/model: {glob: "claude-*"}}}
//!     - {for_each: body:/messages, keep: {item:/role: system}, to: body:/system}
//! response:
//!   rules: [{set: status, value: 503, when: {body:/error_code: {exists: true}}}]
//! stream: {}                    # see below
//! duplicate_keys: reject        # or last
//! ```
//! - Reads see the message as it came; then all removals happen, then all writes, outer places before inner ones, and at each place what fills
//!   it before what is below it. Order counts among rules for one place only: the later one wins, and two without `when` are a mistake. All is done, or the message is refused.
//! - Variables (`var:x`) become known first of all, each after those that it is made of; rules for the response know those for the request.
//! - Missing, `null` and falsy are three things: `null` is there for `require` and is moved; `0`, `false`, `""` and `[]` are values.
//! - Objects on the way to a body address are made. A number addresses an element that is there. `coerce` is exact or an error.
//! - Moved values and all that no rule names keep their bytes: `1e400`, 64-bit numbers, escapes, spaces, order. Members given twice pass unless a rule names them.
//! - What is not JSON is text, in JSON a string. Several of one name move together to where several can be, and elsewhere by `coerce: array` or `join`.
//!
//! | the body | what happens |
//! |---|---|
//! | no rule has a `body:` or `form:` address, or it is that of HEAD, 1xx, 204, 304 or after an upgrade | streams through as it is |
//! | `application/json` or `+json`, and a rule has a `body:` address | is read and mapped; `content-length` is right then, digests and `etag` are gone |
//! | a form, urlencoded or multipart, and a rule has a `form:` address | the same. Where a rule reads the one and writes the other, it becomes that, and nothing else is left |
//! | empty | counts as missing; a write makes it JSON, or an urlencoded form. For GET, HEAD, DELETE, OPTIONS, TRACE and CONNECT only a `move` or `copy` does that |
//! | with `content-encoding` gzip, deflate, br or zstd (features `codings`, `zstd`) | is decoded to be read; goes on as it came, or if changed without coding. A request whose response is read accepts no other, and asks for no part (`range`) |
//! | another type or coding | streams through without the rules that need it; 415 where one must write or have it |
//! | `application/grpc` | streams through; only rules with nothing but `header:` addresses are applied |
//! | a stream, where the mapping has `stream` | see below; of the rules of `response` those without `body:` are applied to its head |
//!
//! ## Streams
//! With `stream`, its rules are applied to each event of a response of type `text/event-stream`, or of lines of JSON (`application/x-ndjson`,
//! `application/jsonl`), or with the feature `aws` of Amazon's messages, and with `framing: json_array` to each element of a successful response
//! of any other type. `data:` is the JSON of the event, `event` its name (written in event streams alone, and missing in JSON), `var:` what
//! [`state`](State) keeps from event to event, or what a rule wrote for this event or for the request.
//! To `remove` the whole of `data:` takes the event away. `header:` and `status` can be read, as they came.
//! ```
//! # #[cfg(feature = "config")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # use http_body_util::{BodyExt, Full};
//! # use portcullis_param_mapping::{Framing, Mapping};
//! let mapping = Mapping::from_yaml("
//!     stream:                     # beside rules, base and unmapped: framing, eof, max_event_bytes, max_state_bytes
//!       state: {model: {remember: data:/model}, first: once}
//!       rules:
//!         - {remove: [data:/usage, 'data:$.choices[*].logprobs']}
//!         - {move: data:/reasoning, to: data:/thinking}
//!         - {remove: 'data:', when: {event: ping}}
//!         - {set: data:/role, value: assistant, when: {var:first: true}}
//! ")?;
//! # let body = Full::from("data: {\"reasoning\":\"so\"}\n\nevent: ping\ndata: {}\n\ndata: {\"usage\":7, \"n\":1.0}\n\ndata: [DONE]\n\n");
//! # let mapped = mapping.event_body(body, Framing::Sse).collect().await?.to_bytes();
//! # assert_eq!(mapped, "data: {\"thinking\":\"so\",\"role\":\"assistant\"}\n\ndata: {\"n\":1.0}\n\ndata: [DONE]\n\n");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "config"))]
//! # fn main() {}
//! ```
//! - An event leaves once it is complete. One that holds nothing that a rule looks for is not even read: it passes byte for byte, as comments,
//!   `retry` and `id` do.
//! - Data that are no JSON and do not begin with `{`, as `[DONE]`, are a text, but in lines and arrays a fault. A text is a string to rules
//!   that neither change nor `require` something in `data:`, and nothing to the others.
//! - A fault becomes an event `error` with the problem as its data (a line, the last element, an exception), and the stream ends there.
//! - A `content-encoding` is taken off with the feature `codings`; a stream with one that cannot be passes as it is.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | [`max_body_bytes`](MappingBuilder::max_body_bytes) | 2 MiB | more than chats need, and little enough to keep per exchange |
//! | [`max_event_bytes`](StreamRules::max_event_bytes), [`max_state_bytes`](StreamRules::max_state_bytes) | 1 MiB each | one event, and what is kept of one stream |
//! | [`at_eof`](StreamRules::at_eof) | flush | several providers end their streams without the last empty line |
//! | [`duplicate_keys`](MappingBuilder::duplicate_keys) | refused | whoever looked before may have seen the other value |
//! | [`name`](ParamMappingLayer::name) | `portcullis` | the name of this hop in `Proxy-Status` |
//! | [`report_header`](ParamMappingLayer::report_header) | none | which parameters an upstream does not take is its operator's to tell |
//!
//! # Order
//! Below retry, so that each attempt is mapped from the caller's original, and an error inside a 200 has its status before retry looks; above signing.
//!
//! # Cost
//! Without `body:` and `form:` addresses no body is looked at. With them it is collected (one of one frame is not copied) and JSON is scanned once:
//! UTF-8, then a validating pass of our own that notes spans of what rules name. `RawValue` and `sonic-rs` are as fast (see the README), but need one
//! for each level. The output is slices of the input between small pieces, below 4 KiB one copy; `for_each`, transforms, variables and codings copy.
//! Streams are searched for what the rules look for, and only events that have it are read; rules that may change any event (a `set` or `require`
//! without `when`) read all.
//!
//! # Cancellation and limits
//! Dropping the future drops the body, or the inner call. While the body is read, the inner service that was made ready is kept for it.
//!
//! | what | answer, in band; for a request with the upstream not called |
//! |---|---|
//! | a required parameter is missing, or a value does not fit | 400 with the member `param`, its address |
//! | the body is not valid JSON, not UTF-8, nested deeper than 128 levels, no form, wrongly encoded, or broke off | 400 |
//! | the body is longer than the limit, or what it is decoded to is or is more than 200 times as long; a rule needs one that cannot be read | 413; 415 |
//! | what the rules make is larger than 64 MiB, and than four times what came | 413 |
//! | the same of a response | 502 |
//! | the same of an event | an error event, and an orderly end |
//!
//! Each is an [`Answer`](portcullis_gateway_error::Answer) and one `debug` event with `param` and `reason`. Neither holds a value.
//!
//! What is dropped, clamped or coerced is one `debug` event a kind and address, `parameter changed` with `kind`, `param`, `count` and `side`; a counter
//! `param_mapping.changes` with feature `metrics`; a [`Report`] in the response's extensions; and [`report_header`](ParamMappingLayer::report_header).
#![forbid(unsafe_code)]

mod address;
mod body;
mod collect;
mod condition;
#[cfg(feature = "config")]
mod config;
mod constant;
mod content;
// Its examples are read from YAML.
#[cfg(any(feature = "config", not(doctest)))]
pub mod cookbook;
mod emit;
mod encoding;
mod env;
mod error;
mod events;
mod fields;
mod future;
mod generate;
mod head;
mod json;
mod layer;
mod mapped;
mod mapping;
mod message;
mod number;
mod out;
mod patch;
mod pipe;
mod plan;
mod query;
mod read;
pub mod reference;
mod refusal;
mod report;
mod route;
mod rule;
mod run;
mod scan;
mod service;
mod transform;
mod trie;
mod vars;
mod when;

#[cfg(feature = "codings")]
mod coding;
mod cookie;
mod form;
mod path;
mod stream;

pub use crate::address::Address;
pub use crate::body::{RequestBody, ResponseBody};
#[cfg(feature = "config")]
pub use crate::config::forms::{AddressesOr, Many};
#[cfg(feature = "schema")]
pub use crate::config::schema::json_schema;
#[cfg(feature = "config")]
pub use crate::config::{Config, RouteConfig, RuleConfig, RulesConfig, StreamConfig};
pub use crate::error::MapError;
pub use crate::events::{DEFAULT_MAX_STATE_BYTES, State, StreamEditor, StreamRules};
pub use crate::future::ResponseFuture;
pub use crate::generate::{Generate, Now};
// Not for users: how our crates read JSON of which they keep nothing but places.
#[doc(hidden)]
pub use crate::json::{
    Item as JsonItem, Items as JsonItems, items as json_items, items_by as json_items_by,
    read as read_json, read_jumps as read_json_jumps, type_name as json_type_name,
};
pub use crate::layer::ParamMappingLayer;
pub use crate::mapped::Mapped;
pub use crate::mapping::{DEFAULT_MAX_BODY_BYTES, Mapping, MappingBuilder, Rules};
pub use crate::plan::{Base, DuplicateKeys, Unmapped};
pub use crate::report::{Change, ChangeKind, Report};
pub use crate::route::Route;
pub use crate::rule::{OnError, Rule, Source};
#[doc(hidden)]
pub use crate::scan::{
    plain as plain_json,
    tape::{Jump, Jumps},
};
pub use crate::service::ParamMapping;
pub use crate::transform::{
    Check, DataUri, Digest, Hmac, Kind, Limits, Line, Lookup, MergeAdjacent, Otherwise,
    Replacement, Table, Transform, Type, Wrap,
};
pub use crate::when::{Is, When};

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
