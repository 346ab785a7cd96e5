//! Tower layers for whoever calls an upstream that answers 502 Bad Gateway.
#![forbid(unsafe_code)]
