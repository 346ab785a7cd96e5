//! Scripted bodies and the service probe that the tests of every crate use.
//!
//! It depends on none of our crates, so that each of them can depend on it.
#![forbid(unsafe_code)]

mod body;
mod frames;
mod log;
mod probe;

pub use crate::body::{ScriptBody, Step};
pub use crate::frames::frames;
pub use crate::log::Log;
pub use crate::probe::{Probe, ProbeFuture, ProbeHandle};

/// The error of whatever can fail here.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
