//! From the provider's answer to the caller's.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, response};
use portcullis_gateway_error::{Answer, ErrorKind, Failure, classify_body_error};

use crate::collect::Unread;
use crate::error::clear;
use crate::future::Turn;
use crate::json::writer::JsonWriter;
use crate::provider::{Answered, Failed};
use crate::{ChatError, Json, ResponseBody};

/// The answer to a request that got one with the status of a success.
pub(crate) fn mapped_reply<B>(
    mut parts: response::Parts,
    body: Result<Bytes, Unread>,
    turn: &mut Turn,
) -> Response<ResponseBody<B>> {
    let body = match body {
        Ok(body) => body,
        Err(error) => return broken(parts, &error, turn),
    };
    let mut out = JsonWriter::with_source(&body);
    let Some(exchange) = turn.exchange() else {
        let error = ChatError::bad_reply("the reply is not known");
        return error_response(Some(parts), error, turn);
    };
    let outcome = Json::parse(&body, "the upstream's reply")
        .map_err(ChatError::bad_reply)
        .and_then(|json| {
            let answered = Answered::new(&parts.headers, json);
            turn.settings.provider.reply(&answered, &exchange, &mut out)
        })
        .and_then(|()| {
            if exchange.is_stream() {
                let message = "the upstream answered with a whole reply instead of a stream";
                return Err(ChatError::bad_reply(message));
            }
            Ok(())
        });
    let caller = turn.caller;
    match outcome.and_then(|()| caller.reply(out.into_bytes(), &exchange)) {
        Err(error) => error_response(Some(parts), error, turn),
        Ok(body) => {
            describe(&mut parts.headers, body.len());
            Response::from_parts(parts, ResponseBody::answer(body))
        }
    }
}

/// The answer to a request that got one with the status of an error.
pub(crate) fn mapped_error<B>(
    parts: response::Parts,
    body: &Bytes,
    turn: &Turn,
) -> Response<ResponseBody<B>> {
    // What is coded is no text.
    let body = if is_coded(&parts.headers) {
        &[][..]
    } else {
        body
    };
    let mut text = String::from_utf8_lossy(body).into_owned();
    if let Some(secret) = &turn.secret {
        // Before a long text is cut, which may cut the key.
        clear(&mut text, secret);
    }
    let json = Json::parse(text.as_bytes(), "it").ok();
    let failed = Failed::new(parts.status, &parts.headers, json, &text);
    let error = turn.settings.provider.error(&failed);
    error_response(Some(parts), error, turn)
}

/// The answer instead of one in a content coding.
pub(crate) fn coded_reply<B>(parts: response::Parts, turn: &Turn) -> Response<ResponseBody<B>> {
    let message = "the upstream's reply has a content coding that was not asked for";
    error_response(Some(parts), ChatError::bad_reply(message), turn)
}

/// Whether a body is in a content coding.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// An answer that says what went wrong: with the head of the provider's answer, if there was one.
pub(crate) fn error_response<B>(
    parts: Option<response::Parts>,
    mut error: ChatError,
    turn: &Turn,
) -> Response<ResponseBody<B>> {
    if let Some(secret) = &turn.secret {
        error.clear_secret(secret);
    }
    let provider = turn.settings.provider.name();
    let status = error.status();
    tracing::debug!(
        provider,
        status = status.as_u16(),
        code = error.error_code(),
        param = error.error_param(),
        is_upstream = parts.is_some(),
        "chat failed"
    );
    let body = turn.caller.error(&error);
    let is_ours = error.error_code().is_some_and(|code| OURS.contains(&code));
    let mut parts = match parts {
        Some(parts) if !is_ours => parts,
        parts => {
            let kind = match &parts {
                Some(_) => ErrorKind::HttpProtocolError,
                None => ErrorKind::HttpRequestError,
            };
            let answer = Answer::new(kind).status(status).name(&*turn.settings.name);
            let (mut head, _) = answer.into_response::<Bytes>(&turn.audience).into_parts();
            if let Some(parts) = parts {
                // What the provider said beside: ids of the request, limits.
                let mut headers = parts.headers;
                headers.extend(std::mem::take(&mut head.headers));
                head.headers = headers;
            }
            head
        }
    };
    parts.status = status;
    describe(&mut parts.headers, body.len());
    if let Some(seconds) = error.wait()
        && !parts.headers.contains_key(header::RETRY_AFTER)
    {
        parts.headers.insert(header::RETRY_AFTER, seconds.into());
    }
    Response::from_parts(parts, ResponseBody::answer(body))
}

/// The answer where the provider's own broke off, or was too long.
fn broken<B>(parts: response::Parts, error: &Unread, turn: &Turn) -> Response<ResponseBody<B>> {
    let (message, failure) = match error {
        Unread::TooLarge => {
            let limit = turn.settings.max_reply_bytes;
            let failure = Failure::new(ErrorKind::HttpResponseBodySize);
            (
                format!("the upstream's reply is larger than {limit} bytes"),
                failure,
            )
        }
        Unread::Broken(error) => {
            let message = "the upstream's reply broke off".to_owned();
            (message, classify_body_error(&**error))
        }
    };
    let mut response = error_response(Some(parts), ChatError::bad_reply(message), turn);
    response.extensions_mut().insert::<Failure>(failure);
    response
}

/// Takes away what was true of a body that is another one now.
pub(crate) fn forget_content(headers: &mut HeaderMap) {
    for name in [
        "content-length",
        "content-encoding",
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "etag",
        "last-modified",
        "accept-ranges",
        "transfer-encoding",
        "trailer",
    ] {
        headers.remove(name);
    }
}

pub(crate) fn describe(headers: &mut HeaderMap, length: usize) {
    forget_content(headers);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
}

/// The codes of errors that an answer is replaced by here, so that it is this hop that says them.
const OURS: [&str; 2] = ["invalid_upstream_response", "incomplete_stream"];
