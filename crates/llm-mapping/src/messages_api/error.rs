use bytes::Bytes;

use crate::ChatError;
use crate::json::writer::JsonWriter;

/// An error as Anthropic has it.
pub(crate) fn json(error: &ChatError) -> Bytes {
    let mut out = JsonWriter::new();
    out.begin_object().key("type").string("error");
    out.key("error").begin_object();
    out.key("type").string(type_of(error.status().as_u16()));
    out.key("message").string(error.message());
    out.end_object().end_object();
    out.into_bytes()
}

/// The type that a status stands for there.
const fn type_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
