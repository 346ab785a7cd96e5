//! Faults of other retries in Rust: each test says the fault, and that it is not here.
//!
//! Those of a backoff, a budget, a replay or a hint alone stand beside their code.

mod clients;
mod linkerd;
mod routers;
mod towers;

use super::*;

/// A request of one attempt.
type Attempted = Request<ReplayBody<ScriptBody>>;
