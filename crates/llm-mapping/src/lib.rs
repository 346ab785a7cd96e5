//! Lets a caller of the OpenAI chat API reach providers that name some of its parameters differently.
//!
//! ```
//! use portcullis_llm_mapping::Provider;
//! use portcullis_param_mapping::ParamMappingLayer;
//!
//! let provider: Provider = "mistral".parse()?;
//! // {"model": .., "max_completion_tokens": 50, "seed": 7} becomes {"model": .., "max_tokens": 50, "random_seed": 7}
//! let layer = ParamMappingLayer::new(provider.mapping());
//! assert!(provider.table().contains("to: body:/random_seed"));
//! # let _ = layer;
//! # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
//! ```
//!
//! # When to use this
//! In front of a provider of the table below, on the route of its chat completions. Not for providers with a protocol of their own
//! (Anthropic, Gemini): their requests, answers and streams need more than names.
//!
//! # What is mapped
//! | provider | renamed | dropped |
//! |---|---|---|
//! | [Mistral](Provider::Mistral) | `max_completion_tokens` to `max_tokens`, `seed` to `random_seed` | `logit_bias`, `safety_identifier`, `service_tier`, `store`, `stream_options`, `user`, `verbosity` |
//! | [Together](Provider::Together) | `max_completion_tokens` to `max_tokens` | nothing |
//!
//! `max_completion_tokens` wins over `max_tokens` where both are given. All else passes byte for byte, answers and streams too, since they
//! have OpenAI's shape already. What the provider refuses and what changes the promise of an answer (`logprobs`, `audio`) is left for it to refuse.
//!
//! The tables are data: take [`Provider::table`], change it, and read it by `Mapping::from_yaml`.
//!
//! # Limits
//! - An explicit `null` passes, or is moved, as the value that it is; Mistral refuses it.
//! - Messages are not looked at: the role `developer` and images are sent as they came.
//! - Paths, keys and `finish_reason` are not mapped.
//!
//! # Order, cost, cancellation
//! Those of [`portcullis_param_mapping`].
#![forbid(unsafe_code)]

mod provider;

pub use crate::provider::Provider;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
