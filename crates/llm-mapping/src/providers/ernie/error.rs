//! The errors of both versions of ERNIE's API.

use http::StatusCode;

use crate::ChatError;
use crate::json::Json;

/// The error that a body is, whatever its status: one with an `error_code` that is not 0.
pub(crate) fn error_of(body: Json<'_>) -> Option<ChatError> {
    let [code, message] = body.pick(["error_code", "error_msg"]);
    let code = code?;
    let code: i64 = match code.as_text() {
        Some(text) => text.decode().parse().ok()?,
        None => code.raw().parse().ok()?,
    };
    if code == 0 {
        return None;
    }
    let (status, word) = meaning(code);
    let message = message.and_then(Json::as_text);
    let message = message.map_or_else(
        || format!("error {code}"),
        |text| text.decode().into_owned(),
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let error = ChatError::new(status, message);
    Some(match word {
        "" => error.code(code.to_string()),
        "insufficient_quota" => error.code(word).kind(word),
        word => error.code(word),
    })
}

/// The error of the server of tokens, or of whoever reads them: two texts, `error` and `error_description`.
pub(crate) fn oauth_error_of(body: Json<'_>) -> Option<ChatError> {
    let [error, description] = body.pick(["error", "error_description"]);
    let code = error?.as_text()?.decode();
    let message = description?.as_text()?.decode();
    Some(ChatError::new(StatusCode::UNAUTHORIZED, message).code(code.into_owned()))
}

/// The status and the code that a number stands for.
const fn meaning(code: i64) -> (u16, &'static str) {
    match code {
        13 | 14 | 100 | 110 | 111 => (401, ""),
        6 | 336_004 => (403, ""),
        3 | 15 | 336_005 | 336_101 => (404, ""),
        4 | 18 | 336_501..=336_507 => (429, "rate_limit_exceeded"),
        17 | 19 => (429, "insufficient_quota"),
        1 | 336_000 | 336_104 => (500, ""),
        2 | 336_100 => (503, ""),
        _ => (400, ""),
    }
}
