//! The forms in which errors come.

use std::borrow::Cow;

use http::StatusCode;

use crate::ChatError;
use crate::json::{Json, Text};
use crate::provider::Failed;

/// The most characters of a body that is no JSON.
const MAX_TEXT: usize = 512;

/// Reads an error in any form that is in use.
pub(crate) fn described(failed: &Failed<'_>) -> ChatError {
    let status = failed.status;
    let Some(body) = failed.body else {
        return ChatError::new(status, plain_message(failed.text, status));
    };
    let wrapped = body.elements().next().unwrap_or(body);
    let [error, message, other_message, detail, error_message] =
        wrapped.pick(["error", "message", "Message", "detail", "error_msg"]);
    // What holds the message: `error` where it is an object, else the whole.
    let inner = error.filter(|error| error.is_object()).unwrap_or(wrapped);
    let [own_message, code, param] = inner.pick(["message", "code", "param"]);
    let text = [
        own_message,
        error.filter(|error| !error.is_object()),
        message,
        other_message,
        detail,
        error_message,
        wrapped.get("title"),
    ]
    .into_iter()
    .flatten()
    .find_map(message_of);
    let message = text.unwrap_or_else(|| plain_message(failed.text, status));
    let mut error = ChatError::new(status, message);
    if let Some(code) = code.and_then(scalar) {
        error = error.code(code.into_owned());
    }
    if let Some(param) = param.and_then(Json::as_text) {
        error = error.param(param.decode());
    }
    error
}

/// The text of a string or a number.
pub(crate) fn scalar(value: Json<'_>) -> Option<Cow<'_, str>> {
    match value.as_text() {
        Some(text) => Some(text.decode()),
        None => value.as_f64().map(|_| value.raw().into()),
    }
}

/// A message is a text; some providers send an object or a list instead, which then stands as it is.
fn message_of(value: Json<'_>) -> Option<String> {
    match value.as_text() {
        Some(text) if text.is_blank() => None,
        Some(text) => Some(text.decode().into_owned()),
        None if value.is_object() || value.is_array() => Some(value.raw().to_owned()),
        None => None,
    }
}

/// What is told of a body that is no JSON: its beginning, or what the status means.
fn plain_message(text: &str, status: StatusCode) -> String {
    let text = text.trim();
    if text.is_empty() {
        return status.canonical_reason().map_or_else(
            || format!("the upstream answered {}", status.as_u16()),
            str::to_owned,
        );
    }
    text.chars().take(MAX_TEXT).collect()
}

/// An error as OpenAI has it, `{"error": {…}}`, or as Mistral and older vLLM do, `{"object": "error", …}`.
pub(crate) fn error_object(body: Json<'_>) -> Option<Json<'_>> {
    let [error, object] = body.pick(["error", "object"]);
    if is_any(object.and_then(Json::as_text), &["error"]) {
        return Some(error.unwrap_or(body));
    }
    error.filter(|error| error.is_object() || error.as_text().is_some())
}

/// An error that came as an event, with the status that its code or its type stands for.
pub(crate) fn of_event(body: Json<'_>, status_of: impl Fn(&str) -> Option<u16>) -> ChatError {
    let error = body.get("error").filter(|error| error.is_object());
    let [kind, code, status] = error.unwrap_or(body).pick(["type", "code", "status"]);
    let words = [code, kind, status];
    let known = words.into_iter().flatten().find_map(|word| {
        let word = scalar(word)?;
        let number = word
            .parse()
            .ok()
            .filter(|number| (400..600).contains(number));
        number
            .or_else(|| status_of(&word))
            .or_else(|| status_by_type(&word))
    });
    let status = known.and_then(|status| StatusCode::from_u16(status).ok());
    let headers = http::HeaderMap::new();
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    described(&Failed::new(status, &headers, Some(body), body.raw()))
}

/// The status of a type of OpenAI's errors.
fn status_by_type(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request_error" | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "permission_error" => 403,
        "not_found_error" | "model_not_found" => 404,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "requests"
        | "tokens" => 429,
        "server_error" | "internal_error" => 500,
        "timeout_error" => 504,
        _ => return None,
    })
}

/// Says whether a text is one of these words.
pub(crate) fn is_any(text: Option<Text<'_>>, words: &[&str]) -> bool {
    text.is_some_and(|text| words.iter().any(|word| text.is(word)))
}
