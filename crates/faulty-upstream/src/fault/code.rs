//! Names of error codes, so that a fault can be read.

/// The code of this name, or the number itself.
pub(super) fn parse(table: &[&str], text: &str) -> Option<u32> {
    let named = table
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    match named {
        Some(code) => u32::try_from(code).ok(),
        None => text.parse().ok(),
    }
}

/// The name of this code, or the number itself.
pub(super) fn name(table: &[&str], code: u32) -> String {
    usize::try_from(code)
        .ok()
        .and_then(|index| table.get(index))
        .map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

/// [RFC 9113, section 7](https://www.rfc-editor.org/rfc/rfc9113#section-7).
pub(super) const HTTP2: &[&str] = &[
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// The status codes of gRPC.
pub(super) const GRPC: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
