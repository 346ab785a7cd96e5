//! What the facade adds, as a `tower::Service`.
#![cfg(test)]

#[cfg(feature = "fallback")]
mod fallback;
