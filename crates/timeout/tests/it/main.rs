//! The layer as a `tower::Service`.
#![cfg(test)]

mod bodies;
mod busy;
mod contract;
mod deadlines;
mod endings;
mod heads;
mod nested;
mod peers;
mod phases;
mod stacks;
mod table;
mod telemetry;
mod uploads;

use std::time::Duration;

use http::{Request, Response};
use portcullis_test_support::{BoxError, ScriptBody};

type Outcome = Result<Response<ScriptBody>, BoxError>;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn request() -> Request<ScriptBody> {
    Request::new(ScriptBody::chunks([]))
}

/// An inner service that answers after this time.
async fn answer_after(wait: Duration) -> Outcome {
    tokio::time::sleep(wait).await;
    Ok(Response::new(ScriptBody::chunks(["late"])))
}
