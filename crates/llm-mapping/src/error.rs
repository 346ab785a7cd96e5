use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::StatusCode;

use crate::json::writer::JsonWriter;

/// Why a chat is refused or has failed, in the words of OpenAI's API: what `{"error": {…}}` holds, and its status.
///
/// ```
/// use portcullis_llm_mapping::ChatError;
///
/// let error = ChatError::invalid("messages[0].role", "`judge` is not a role");
/// assert_eq!(error.status(), 400);
/// assert_eq!(
///     error.to_json(),
///     r#"{"error":{"message":"`judge` is not a role","type":"invalid_request_error","param":"messages[0].role","code":null}}"#
/// );
/// ```
#[must_use = "an error does nothing until it is returned"]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChatError {
    status: StatusCode,
    message: String,
    /// Where the status says another one.
    kind: Option<Cow<'static, str>>,
    param: Option<String>,
    code: Option<Cow<'static, str>>,
    /// In seconds.
    retry_after: Option<u64>,
}

// === impl ChatError ===

impl ChatError {
    /// An error with this status. Its type is what the status stands for.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: None,
            param: None,
            code: None,
            retry_after: None,
        }
    }

    /// The request is wrong in this parameter: status 400.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message).param(param)
    }

    /// The provider has nothing like this parameter: status 400 and the code `unsupported_parameter`.
    pub fn unsupported(param: impl Into<String>, provider: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}` is not supported by {provider}");
        Self::invalid(param, message).code("unsupported_parameter")
    }

    /// The provider's answer is none: status 502 and the code `invalid_upstream_response`.
    pub fn bad_reply(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, message).code("invalid_upstream_response")
    }

    /// The stream ended before the provider said so: status 502 and the code `incomplete_stream`.
    pub fn incomplete_stream() -> Self {
        let message = "the stream ended before the reply was complete";
        Self::new(StatusCode::BAD_GATEWAY, message).code("incomplete_stream")
    }

    /// Replaces the type. Default: what the status stands for.
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Replaces the parameter at fault. Default: none.
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Replaces the code for programs. Default: none.
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets after how many seconds the caller may come back; it is sent as `retry-after` where the answer has none. Default: none.
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the type: the one that was set, or that of the status.
    #[must_use]
    pub fn error_type(&self) -> &str {
        self.kind.as_deref().unwrap_or(type_of(self.status))
    }

    /// Returns the parameter at fault.
    #[must_use]
    pub fn error_param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Returns the code.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(crate) const fn wait(&self) -> Option<u64> {
        self.retry_after
    }

    pub(crate) fn clear_secret(&mut self, secret: &str) {
        clear(&mut self.message, secret);
        self.param.iter_mut().for_each(|text| clear(text, secret));
        for text in [&mut self.kind, &mut self.code].into_iter().flatten() {
            if text.contains(secret) {
                clear(text.to_mut(), secret);
            }
        }
    }

    /// Returns the body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let mut out = JsonWriter::new();
        out.begin_object().key("error").begin_object();
        out.key("message").string(&self.message);
        out.key("type").string(self.error_type());
        for (name, value) in [("param", self.error_param()), ("code", self.error_code())] {
            out.key(name);
            match value {
                Some(value) => out.string(value),
                None => out.raw("null"),
            };
        }
        out.end_object().end_object();
        out.into_bytes()
    }
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ChatError {}

/// Takes a secret out of a text.
pub(crate) fn clear(text: &mut String, secret: &str) {
    if !secret.is_empty() && text.contains(secret) {
        *text = text.replace(secret, "[redacted]");
    }
}

/// The type that OpenAI's clients know for a status.
fn type_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_that_of_the_status() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "insufficient_quota"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (408, "timeout_error"),
            (409, "conflict_error"),
            (413, "invalid_request_error"),
            (422, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "server_error"),
            (503, "server_error"),
            (504, "timeout_error"),
            (529, "server_error"),
        ] {
            let error = ChatError::new(StatusCode::from_u16(status).unwrap(), "m");
            assert_eq!(error.error_type(), kind, "{status}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_messages() {
        let mut error = ChatError::new(StatusCode::UNAUTHORIZED, "bad key sk-1 (sk-1)")
            .kind("sk-1_error")
            .param("headers.sk-1")
            .code("sk-1");

        error.clear_secret("sk-1");

        assert_eq!(error.to_string(), "bad key [redacted] ([redacted])");
        let told = format!("{error:?}{}", String::from_utf8_lossy(&error.to_json()));
        assert!(!told.contains("sk-1"), "{told}");
    }
}
