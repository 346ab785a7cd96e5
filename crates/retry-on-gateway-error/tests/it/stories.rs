//! Failures of proxies, clients and libraries that people reported: each test says one, and what happens here.
//!
//! Those of a hint, a backoff or a limit alone stand beside their code.

mod bodies;
mod grpc;
mod storms;
mod writes;

use super::*;

/// A request of one attempt.
type Attempted = Request<ReplayBody<ScriptBody>>;

/// Reads so many frames of a request body.
async fn read(body: &mut ReplayBody<ScriptBody>, frames: usize) -> Result<String, BoxError> {
    let mut text = String::new();
    for _ in 0..frames {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame?.into_data() {
            text.push_str(std::str::from_utf8(&data)?);
        }
    }
    Ok(text)
}
