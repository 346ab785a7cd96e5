//! Tries a call again after a gateway error, when that is safe.
#![forbid(unsafe_code)]

mod attempt;
mod backoff;
mod chance;
mod drain;
mod exchange;
mod future;
mod layer;
mod map_body;
mod policy;
mod replay;
mod service;

pub use crate::attempt::{Attempt, Idempotent};
pub use crate::backoff::{Backoff, Jitter};
pub use crate::future::ResponseFuture;
pub use crate::layer::RetryLayer;
pub use crate::map_body::{ConvertBody, Direct, MapBody};
pub use crate::policy::{Facts, Policy, StandardPolicy};
pub use crate::replay::{ReplayBody, ReplayError};
pub use crate::service::Retry;
