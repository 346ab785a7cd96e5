//! Mappings that people need, each with what goes in and what comes out. There are no items in this module.
//!
//! The language itself is on the [crate page](crate#the-language); what each word does, with an example, in the [reference](crate::reference).
//!
//! # Nest what is flat
//! An API that wants its parameters under others. Objects on the way are made; what is missing and must not be is told by name.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {move: body:/input, to: body:/parameters/input, require: true}
//!       - {move: body:/type, to: body:/parameters/map/type}
//! ")?;
//! let mapped = mapping.apply(&r#"{"input": "a cat", "type": "image"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"parameters":{"input":"a cat","map":{"type":"image"}}}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # One limit of tokens, of two names
//! Callers send `max_completion_tokens`, `max_tokens`, both or none; the provider wants `max_tokens` and refuses a request without.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {move: [body:/max_completion_tokens, body:/max_tokens], to: body:/max_tokens, default: 4096}
//! ")?;
//! let mapped = mapping.apply(&r#"{"max_completion_tokens":100,"max_tokens":50}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"max_tokens":100}"#);
//! let mapped = mapping.apply(&r#"{"model":"m"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"model":"m","max_tokens":4096}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # A text where a list is wanted
//! `stop` is a text or a list of texts; `stop_sequences` is a list.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {move: body:/stop, to: body:/stop_sequences, with: {wrap: if_scalar}}
//! ")?;
//! let mapped = mapping.apply(&r#"{"stop":"END"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"stop_sequences":["END"]}"#);
//! let mapped = mapping.apply(&r#"{"stop":["a","b"]}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"stop_sequences":["a","b"]}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # A temperature in the provider's range
//! Callers have 0 to 2; this provider takes more than 0, and up to 1. The other parameter is halved, and refused
//! where it is no number of that range.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {update: body:/temperature, with: {clamp: {exclusive_min: 0, replace_with: 0.01, max: 1}}}
//!       - {update: body:/top_p, with: [{validate: {type: number, min: 0, max: 2}}, {scale: {by: 0.5}}]}
//! ")?;
//! let mapped = mapping.apply(&r#"{"temperature":0,"top_p":1}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"temperature":0.01,"top_p":0.5}"#);
//! let mapped = mapping.apply(&r#"{"temperature":1.7}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"temperature":1}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//! What was clamped can be told to the caller: [`report_header`](crate::ParamMappingLayer::report_header).
//!
//! # System messages in a place of their own
//! All of them, as parts of one prompt; the others stay. Both rules read the messages as they came, so the one takes nothing from the other.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - for_each: body:/messages
//!         keep: {item:/role: system}
//!         to: body:/system
//!         rules:
//!           - {move: item:/content, to: item:/text}
//!           - {set: item:/type, value: text}
//!           - {remove: item:/role}
//!       - {for_each: body:/messages, keep: {item:/role: {ne: system}}}
//! ")?;
//! let mapped = mapping.apply(&r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"messages":[{"role":"user","content":"Hi"}],"system":[{"text":"Be brief.","type":"text"}]}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # A real status for an error inside a 200
//! An upstream that answers every error with 200 and a code in the body. Retry, outside of this layer, sees the status.
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
//! # use tower::{Layer, ServiceExt};
//! # type Error = Box<dyn std::error::Error + Send + Sync>;
//! # async fn exchange(mapping: Mapping, request: http::request::Builder, answer: &'static str) -> Result<(Request<()>, Response<Bytes>), Error> {
//! #     let upstream = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| async move {
//! #         let mut response = Response::builder().header("content-type", "application/json").body(Full::from(answer))?;
//! #         response.extensions_mut().insert(request.map(drop));
//! #         Ok::<_, Error>(response)
//! #     });
//! #     let request = request.body(Full::<Bytes>::default())?;
//! #     let (mut parts, body) = ParamMappingLayer::new(mapping).layer(upstream).oneshot(request).await?.into_parts();
//! #     let sent = parts.extensions.remove().ok_or("the upstream is not called")?;
//! #     Ok((sent, Response::from_parts(parts, body.collect().await?.to_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let mapping = Mapping::from_yaml("
//!     response:
//!       rules:
//!         - set: status
//!           from: body:/error_code
//!           with: {map: {table: {'4': 429, '18': 429, '110': 401, '336100': 503}, otherwise: {value: 502}}}
//! ")?;
//! let busy = r#"{"error_code":18,"error_msg":"Open api qps request limit reached"}"#;
//! let (_, response) = exchange(mapping.clone(), Request::post("/chat"), busy).await?;
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.body(), busy);
//!
//! let (_, response) = exchange(mapping, Request::post("/chat"), r#"{"result":"Hi"}"#).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # The gateway's key instead of the caller's
//! The caller's key opens the gateway and must not travel on; the provider's is in the environment, and in no log.
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
//! # use tower::{Layer, ServiceExt};
//! # type Error = Box<dyn std::error::Error + Send + Sync>;
//! # async fn exchange(mapping: Mapping, request: http::request::Builder, answer: &'static str) -> Result<(Request<()>, Response<Bytes>), Error> {
//! #     let upstream = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| async move {
//! #         let mut response = Response::builder().header("content-type", "application/json").body(Full::from(answer))?;
//! #         response.extensions_mut().insert(request.map(drop));
//! #         Ok::<_, Error>(response)
//! #     });
//! #     let request = request.body(Full::<Bytes>::default())?;
//! #     let (mut parts, body) = ParamMappingLayer::new(mapping).layer(upstream).oneshot(request).await?.into_parts();
//! #     let sent = parts.extensions.remove().ok_or("the upstream is not called")?;
//! #     Ok((sent, Response::from_parts(parts, body.collect().await?.to_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let mapping = "
//!     rules:
//!       - {remove: [header:authorization, query:key]}
//!       - {set: header:x-api-key, from: secret:env:PROVIDER_KEY}
//! ";
//! # // The environment of a test has no such key.
//! # let mapping = mapping.replace("PROVIDER_KEY", "CARGO_PKG_NAME");
//! let mapping = Mapping::from_yaml(&mapping)?;
//! let request = Request::get("/models?key=theirs&page=2").header("authorization", "Bearer theirs");
//! let (sent, _) = exchange(mapping, request, "{}").await?;
//! assert_eq!(sent.uri(), "/models?page=2");
//! assert!(sent.headers().get("authorization").is_none());
//! assert!(sent.headers().contains_key("x-api-key"));
//! # Ok(())
//! # }
//! ```
//!
//! # Other names for query parameters
//! All values of one name move, in order, byte for byte. The default fills a gap.
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
//! # use tower::{Layer, ServiceExt};
//! # type Error = Box<dyn std::error::Error + Send + Sync>;
//! # async fn exchange(mapping: Mapping, request: http::request::Builder, answer: &'static str) -> Result<(Request<()>, Response<Bytes>), Error> {
//! #     let upstream = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| async move {
//! #         let mut response = Response::builder().header("content-type", "application/json").body(Full::from(answer))?;
//! #         response.extensions_mut().insert(request.map(drop));
//! #         Ok::<_, Error>(response)
//! #     });
//! #     let request = request.body(Full::<Bytes>::default())?;
//! #     let (mut parts, body) = ParamMappingLayer::new(mapping).layer(upstream).oneshot(request).await?.into_parts();
//! #     let sent = parts.extensions.remove().ok_or("the upstream is not called")?;
//! #     Ok((sent, Response::from_parts(parts, body.collect().await?.to_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {rename: query:q, to: query:query}
//!       - {rename: query:tag, to: query:label}
//!       - {default: query:lang, value: en}
//! ")?;
//! let (sent, _) = exchange(mapping, Request::get("/?q=a+cat&tag=x&page=2&tag=%C3%A4"), "{}").await?;
//! assert_eq!(sent.uri(), "/?page=2&query=a+cat&label=x&label=%C3%A4&lang=en");
//! # Ok(())
//! # }
//! ```
//!
//! # Nothing but what is allowed
//! The body starts with nothing, so what no rule writes does not reach the upstream; a new parameter of a caller is never let through by accident.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     request:
//!       rules:
//!         - {allow: [body:/model, body:/messages]}
//!         - {require: body:/model}
//!         - {set: body:/stream, value: false}
//! ")?;
//! let mapped = mapping.apply(&r#"{"model":"m","messages":[],"debug":true,"stream":true}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"model":"m","messages":[],"stream":false}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # A new body of what is needed
//! `base: empty` builds instead of changing: the output has what rules write, in their shape, and nothing else.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     request:
//!       base: empty
//!       rules:
//!         - {copy: body:/prompt, to: body:/inputs, require: true}
//!         - {copy: body:/max_tokens, to: body:/parameters/max_new_tokens}
//!         - {set: body:/parameters/return_full_text, value: false}
//! ")?;
//! let mapped = mapping.apply(&r#"{"prompt":"Hi","max_tokens":9,"user":"u1"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"inputs":"Hi","parameters":{"max_new_tokens":9,"return_full_text":false}}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What one model does not take
//! Newer models refuse `temperature` beside `top_p`, and some refuse it at all. Only there it is dropped.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {remove: body:/temperature, when: {body:/model: {glob: 'claude-opus-4-*'}}}
//!       - {remove: body:/top_p, when: {body:/temperature: {exists: true}, not: {body:/model: {glob: 'gpt-*'}}}}
//! ")?;
//! let mapped = mapping.apply(&r#"{"model":"claude-opus-4-1","temperature":1}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"model":"claude-opus-4-1"}"#);
//! let mapped = mapping.apply(&r#"{"model":"m","temperature":1,"top_p":0.9}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"model":"m","temperature":1}"#);
//! let mapped = mapping.apply(&r#"{"model":"gpt-4o","temperature":1,"top_p":0.9}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"model":"gpt-4o","temperature":1,"top_p":0.9}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Group, and flatten
//! To group is to move each one below a new name; to flatten is to lay an object over the one around it, and to remove it.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     rules:
//!       - {move: body:/width, to: body:/size/width}
//!       - {move: body:/height, to: body:/size/height}
//!       - {merge: 'body:', from: body:/options}
//!       - {remove: body:/options}
//! ")?;
//! let mapped = mapping.apply(&r#"{"width":2,"height":1,"options":{"seed":7}}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"size":{"width":2,"height":1},"seed":7}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # One vocabulary into another
//! A table of words. What is not in it passes here; `reject` and `drop` are there too, and a value.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     response:
//!       rules:
//!         - {rename: body:/stop_reason, to: body:/finish_reason, with: {map: {table: {end_turn: stop, max_tokens: length, tool_use: tool_calls}, otherwise: pass}}}
//! ")?;
//! let mapped = mapping.apply_response(&r#"{"stop_reason":"tool_use"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"finish_reason":"tool_calls"}"#);
//! let mapped = mapping.apply_response(&r#"{"stop_reason":"refusal"}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"finish_reason":"refusal"}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Numbers that are one number there
//! The usage of a provider that counts in parts.
//! ```
//! # use portcullis_param_mapping::Mapping;
//! let mapping = Mapping::from_yaml("
//!     response:
//!       rules:
//!         - {set: body:/usage/total_tokens, sum: [body:/usage/input_tokens, body:/usage/cache_read_tokens, body:/usage/output_tokens]}
//! ")?;
//! let mapped = mapping.apply_response(&r#"{"usage":{"input_tokens":7,"cache_read_tokens":90,"output_tokens":3}}"#.into())?;
//! assert_eq!(mapped.into_bytes(), r#"{"usage":{"input_tokens":7,"cache_read_tokens":90,"output_tokens":3,"total_tokens":100}}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # An id for every request, and no name of a user
//! With the feature `generate`. The same user has the same pseudonym, which nobody can find out who has not the key.
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
//! # use tower::{Layer, ServiceExt};
//! # type Error = Box<dyn std::error::Error + Send + Sync>;
//! # async fn exchange(mapping: Mapping, request: http::request::Builder, answer: &'static str) -> Result<(Request<()>, Response<Bytes>), Error> {
//! #     let upstream = tower::service_fn(move |request: Request<RequestBody<Full<Bytes>>>| async move {
//! #         let mut response = Response::builder().header("content-type", "application/json").body(Full::from(answer))?;
//! #         response.extensions_mut().insert(request.map(drop));
//! #         Ok::<_, Error>(response)
//! #     });
//! #     let request = request.body(Full::<Bytes>::default())?;
//! #     let (mut parts, body) = ParamMappingLayer::new(mapping).layer(upstream).oneshot(request).await?.into_parts();
//! #     let sent = parts.extensions.remove().ok_or("the upstream is not called")?;
//! #     Ok((sent, Response::from_parts(parts, body.collect().await?.to_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # #[cfg(feature = "generate")] {
//! let mapping = "
//!     rules:
//!       - {add: header:x-request-id, generate: uuid}
//!       - {update: header:x-user, with: {hmac: {key: 'secret:env:PSEUDONYM_KEY'}}}
//! ";
//! # // The environment of a test has no such key.
//! # let mapping = mapping.replace("PSEUDONYM_KEY", "CARGO_PKG_NAME");
//! let mapping = Mapping::from_yaml(&mapping)?;
//! let (sent, _) = exchange(mapping, Request::get("/").header("x-user", "ada"), "{}").await?;
//! assert_eq!(sent.headers()["x-request-id"].len(), 36);
//! assert_eq!(sent.headers()["x-user"].len(), 64);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # What has no word of its own
//! Words that other gateways have, said with the pieces that are there:
//!
//! | word | said as |
//! |---|---|
//! | concat of texts, append to a text | `{set: body:/a, template: "{body:/a}, {body:/b}"}` |
//! | concat of lists | `{set: body:/all, from: "body:$.lists[*][*]"}` |
//! | first of | `from: [body:/a, body:/b]`, or a list beside `move` and `copy` |
//! | overwrite if exists, add if absent | `replace`, `add` |
//! | define (if missing), default (if missing or null) | `add`, `default` |
//! | append to what may be no list yet | `{update: body:/a, with: {wrap: if_scalar}}` beside `{append: body:/a, value: x}` |
//! | partition | two `for_each` with opposite `keep`, as for the system messages above |
//! | filter | `for_each` with `keep` and no rules |
//! | pluck | `{set: body:/ids, from: "body:$.items[*].id"}` |
//! | group, flatten | above |
//! | count of what is there | not said: a function, by [`MappingBuilder::function`](crate::MappingBuilder::function) |
//! | out of range: clamp, reject, drop | `clamp`; `validate`; `validate` with `on_error: drop` |
//! | conflict of two writers: keep the first | `default` or `add` for the second |
//! | swap | `{move: body:/a, to: body:/b}` beside `{move: body:/b, to: body:/a}` |
