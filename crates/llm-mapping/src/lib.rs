//! Lets a caller of OpenAI's Chat Completions reach other providers of chat models: requests, replies, streams and errors.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use portcullis_llm_mapping::{ApiKey, LlmMappingLayer, RequestBody, providers::Anthropic};
//! use serde_json::Value;
//! use tower::{Layer, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let layer = LlmMappingLayer::new(Anthropic::new())?
//!     .base_url("https://api.anthropic.com")?
//!     .api_key(ApiKey::new("sk-ant-secret")?);
//! # let client = tower::service_fn(|request: Request<RequestBody<Full<Bytes>>>| async move {
//! #     assert_eq!(request.uri(), "https://api.anthropic.com/v1/messages");
//! #     assert_eq!(request.headers()["x-api-key"], "sk-ant-secret");
//! #     let body = r#"{"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": [{"type": "text", "text": "Hello!"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2}}"#;
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(body)))
//! # });
//! let service = layer.layer(client);
//!
//! let request = Request::post("/v1/chat/completions")
//!     .body(Full::from(r#"{"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}"#))?;
//! let response = service.oneshot(request).await?;
//!
//! assert_eq!(response.headers()["x-portcullis-mapped"], r#"dropped=("body:/seed")"#);
//! let reply: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
//! assert_eq!(reply["choices"][0]["message"]["content"], "Hello!");
//! # Ok(())
//! # }
//! ```
//!
//! # When to use this
//! - A caller that speaks OpenAI's chat API, in any language, and a provider that does not.
//! - The same before several providers, one layer for each, behind a [`ModelRouter`], with `FallbackLayer` of `portcullis` around those of one route.
//!
//! Not for other APIs of OpenAI (responses, embeddings, files): they pass as they are.
//!
//! # What is mapped
//! A `POST` to a path that ends in `/chat/completions`. Everything else passes untouched. With [`Caller::Anthropic`] the caller speaks Anthropic's
//! Messages instead, to a path that ends in `/messages`, and still reaches whatever provider the layer has.
//!
//! | provider | protocol |
//! |---|---|
//! | `openai`, `portkey`, `apipark` | OpenAI's: requests, replies and streams pass byte for byte, and are checked |
//! | `anthropic` | [Messages](providers::Anthropic) |
//! | `bedrock`, `bedrock-converse` (feature `aws`) | Bedrock's InvokeModel for Llama 2, and Converse, with Amazon's event streams |
//! | `gemini` | [generateContent](providers::Gemini), also on Vertex AI |
//! | `ollama` | [Ollama's own](providers::Ollama), lines of JSON |
//! | `tgi` | [Text Generation Inference](providers::Tgi) with Llama 2 |
//! | `ernie-v1` | [ERNIE's first](providers::Ernie), a path for each model |
//! | `mistral`, `together`, `ernie-v2` | [nearly OpenAI's](providers::OpenAiLike) |
//!
//! - A member that is `null` was not given; `0`, `false`, `""` and `[]` are values. Numbers keep their digits.
//! - What the system says, wherever it stands, is sent where the provider has its place; adjacent messages of one side become one where
//!   sides must alternate; what tools answer is joined to its call by the id.
//! - Arguments of tools are a text for the caller and an object for providers that have one: one that is no JSON object is refused, an empty one is `{}`.
//! - A parameter that the provider has nothing like is left out, refused or passed, by its [`Policy`]. What is left out, clamped or changed
//!   stands in the header `x-portcullis-mapped`, in a `debug` event, and as a
//!   [`Report`](portcullis_param_mapping::Report) in the response's extensions.
//! - An error has the form of OpenAI's, and the provider's status, also where it came with the status of a success. The key is taken out of its message.
//! - A stream has one role, calls that are counted from 0, one reason for the end, the usage where it was asked for, and `[DONE]`. One that
//!   breaks off, ends early or tells an error ends with an event `{"error": {…}}` and without `[DONE]`. While events come of which nothing is
//!   told (pings, thoughts), the caller gets comments, or pings of Messages, so that no idle timeout on the way ends it.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | [`base_url`](LlmMappingLayer::base_url) | that of the request | a client below may know |
//! | [`api_key`](LlmMappingLayer::api_key) | the caller's | a gateway may have one for all |
//! | [`unsupported`](LlmMappingLayer::unsupported) | the provider's table | hints are left out; what changes the promise of the reply is refused |
//! | [`report_header`](LlmMappingLayer::report_header) | `x-portcullis-mapped` | whoever sent a parameter should know that it did nothing |
//! | [`max_request_bytes`](LlmMappingLayer::max_request_bytes), [`max_reply_bytes`](LlmMappingLayer::max_reply_bytes) | 32 MiB | the most that Anthropic takes |
//! | [`max_event_bytes`](LlmMappingLayer::max_event_bytes) | 1 MiB | one event of a stream |
//! | [`wait_for_first_event`](LlmMappingLayer::wait_for_first_event) | yes | an error that comes first can be tried again |
//! | [`tell_reasoning`](LlmMappingLayer::tell_reasoning) | no | OpenAI's API has no place for it |
//!
//! # Order
//! Below retry, so that each attempt is mapped from the caller's original and an error inside a 200 has its status before retry looks; above
//! signing, which `SigV4Layer` (feature `sigv4`) does for Bedrock.
//!
//! # Cost
//! A request is collected and checked once, and walked over where it is mapped; long texts and images of it are not copied. A reply is collected, too.
//! Events of a stream leave as they come.
//!
//! # Cancellation and limits
//! Dropping the future drops the body, or the inner call; dropping the response's body drops the provider's stream.
//!
//! | what | answer |
//! |---|---|
//! | a body that is no chat, has more than 100000 messages, or cannot be said to the provider | 400, with the place in `param`; the provider is not called |
//! | a body over the limit, or in a content coding | 413, 415 |
//! | a reply that is none, over the limit, or breaks off; a whole reply instead of a stream | 502 and `invalid_upstream_response`, with `Proxy-Status` |
//! | a stream with more than 128 choices or 1024 calls, or with an event that is over its limit or becomes eight times as long | the same as the first event, later an event with that error |
#![forbid(unsafe_code)]

mod answer;
mod body;
mod caller;
mod chat;
mod chunks;
mod collect;
mod config;
mod error;
mod exchange;
mod failed;
mod finish;
mod future;
pub mod guide;
mod json;
mod key;
mod layer;
mod message;
mod messages_api;
mod outgoing;
mod provider;
pub mod providers;
mod reply;
mod request;
mod router;
mod service;
#[cfg(feature = "sigv4")]
mod sigv4;
mod stream;
mod tables;
mod time;
mod tool;
mod uri;
mod usage;

pub use crate::body::{RequestBody, ResponseBody};
pub use crate::caller::Caller;
pub use crate::chat::{Chat, Turn};
pub use crate::chunks::Chunks;
pub use crate::config::{ApiKeyConfig, Config};
pub use crate::error::ChatError;
pub use crate::exchange::Exchange;
pub use crate::finish::FinishReason;
pub use crate::future::ResponseFuture;
pub use crate::json::writer::JsonWriter;
pub use crate::json::{Json, Text};
pub use crate::key::ApiKey;
pub use crate::layer::{DEFAULT_MAX_CHAT_BYTES, DEFAULT_REPORT_HEADER, LlmMappingLayer};
pub use crate::message::{CallId, Message, Part, Role, ToolCall};
pub use crate::outgoing::Outgoing;
pub use crate::provider::{
    Answered, Authorization, EventMapper, Failed, Flow, Provider, StreamEvent,
};
pub use crate::reply::{Called, Choice, Reply};
pub use crate::request::ChatModel;
pub use crate::router::{ModelRouter, RouterFuture};
pub use crate::service::LlmMapping;
#[cfg(feature = "sigv4")]
pub use crate::sigv4::{AwsCredentials, SigV4, SigV4Layer};
pub use crate::tables::Policy;
pub use crate::tool::{Function, ResponseFormat, ToolChoice};
pub use crate::usage::Usage;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
