//! Tower layers for whoever calls an upstream that answers 502 Bad Gateway.
#![forbid(unsafe_code)]

pub use portcullis_gateway_error as gateway_error;
#[cfg(feature = "retry")]
pub use portcullis_retry_on_gateway_error as retry;
