//! What the APIs of Amazon Bedrock have in common.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use crate::failed::described;
use crate::json::{Json, Text};
use crate::provider::{Failed, StreamEvent};
use crate::{ChatError, Outgoing};

/// The id of a request, which is that of the reply, too.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-amzn-requestid")?.to_str().ok()
}

/// Asks for a stream: what the caller accepts is its own protocol's.
pub(super) fn accept_stream(out: &mut Outgoing) {
    out.header(
        header::ACCEPT,
        HeaderValue::from_static("application/vnd.amazon.eventstream"),
    );
}

/// An error with its status: its type stands in a header, or in the body.
pub(super) fn failed(answer: &Failed<'_>) -> ChatError {
    let in_body = answer.body.and_then(|body| body.text("__type"));
    let in_body = in_body.map(Text::decode);
    let kind = answer.header("x-amzn-errortype").or(in_body.as_deref());
    typed(described(answer), kind.unwrap_or_default())
}

/// An exception in a stream, with the status that its type stands for.
pub(super) fn exception(event: &StreamEvent<'_>) -> ChatError {
    let kind = String::from_utf8_lossy(event.event().name().unwrap_or_default());
    let body = Json::parse(event.data(), "it").ok();
    let text = String::from_utf8_lossy(event.data());
    let headers = HeaderMap::new();
    let failed = Failed::new(status_of(&kind), &headers, body, &text);
    typed(described(&failed), &kind)
}

/// Adds the type as the code: `ValidationException` of `com.amazon.coral.validate#ValidationException:http://…`, and of `validationException`.
fn typed(error: ChatError, kind: &str) -> ChatError {
    let kind = kind.split(':').next().unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default().trim();
    let mut letters = kind.chars();
    let Some(first) = letters.next() else {
        return error;
    };
    let code: String = first.to_uppercase().chain(letters).collect();
    let error = error.code(code);
    // The model failed, not the request.
    if error.status() == StatusCode::FAILED_DEPENDENCY {
        return error.kind("server_error");
    }
    error
}

fn status_of(kind: &str) -> StatusCode {
    let known = STATUSES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind));
    known.map_or(StatusCode::BAD_GATEWAY, |(_, status)| *status)
}

const STATUSES: [(&str, StatusCode); 11] = [
    ("ValidationException", StatusCode::BAD_REQUEST),
    ("ServiceQuotaExceededException", StatusCode::BAD_REQUEST),
    ("AccessDeniedException", StatusCode::FORBIDDEN),
    ("ResourceNotFoundException", StatusCode::NOT_FOUND),
    ("ModelTimeoutException", StatusCode::REQUEST_TIMEOUT),
    ("ModelErrorException", StatusCode::FAILED_DEPENDENCY),
    ("ModelStreamErrorException", StatusCode::FAILED_DEPENDENCY),
    ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS),
    ("ModelNotReadyException", StatusCode::TOO_MANY_REQUESTS),
    ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR),
    (
        "ServiceUnavailableException",
        StatusCode::SERVICE_UNAVAILABLE,
    ),
];
