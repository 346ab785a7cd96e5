//! Chat protocols of LLM providers on top of portcullis-param-mapping.
#![forbid(unsafe_code)]
