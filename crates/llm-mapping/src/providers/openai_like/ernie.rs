//! What ERNIE's errors of v2 mean.

use http::StatusCode;

use crate::ChatError;
use crate::provider::Failed;
use crate::providers::ernie::error_of;

/// The flat pair of v1 may appear too; a model that is not there is no question of who asks.
pub(super) fn error(failed: &Failed<'_>, error: ChatError) -> ChatError {
    if let Some(error) = failed.body.and_then(error_of) {
        return error;
    }
    match error.error_code() {
        Some("invalid_model") => {
            ChatError::new(StatusCode::NOT_FOUND, error.message()).code("model_not_found")
        }
        Some("account_overdue") => error.kind("insufficient_quota"),
        _ => error,
    }
}
