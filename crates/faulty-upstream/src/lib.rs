//! A server that misbehaves on purpose.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use http::StatusCode;
//! use portcullis_faulty_upstream::{FaultyUpstream, Plan};
//!
//! let plan = Plan::new(7).status(StatusCode::BAD_GATEWAY, 0.1);
//! let upstream = FaultyUpstream::builder().plan(plan).start().await?;
//! assert!(upstream.url().starts_with("http://127.0.0.1:"));
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod plan;
mod server;

pub use crate::plan::Plan;
pub use crate::server::{Builder, FaultyUpstream};
