use std::fmt;

use http::response::Parts as ResponseParts;
use http::{HeaderMap, header};
use portcullis_gateway_error::{ErrorKind, Failure, classify_trailers, is_grpc};

use crate::policy::GRPC_STATUS;

/// Looks at the first frame of an answer before the answer is handed on.
///
/// An answer whose head is good can still be a failure: the first event of a stream may be an error. While nothing of the body was handed on, there can be another
/// attempt. It is the first frame only, and there is no wait beyond it; where nobody [`wants`](Self::wants) to see it, the head is handed on at once. That is also so
/// while the caller still sends its body, as it may be waiting for the head before it goes on.
///
/// gRPC answers are looked at always: their status may come in trailers after the head. [`ErrorEvent`] is one for event streams.
pub trait Peek: Send + Sync {
    /// Says whether the first frame of this answer is to be seen.
    fn wants(&self, response: &ResponseParts) -> bool;

    /// Judges the first frame; `None` where it is no failure.
    fn judge(&self, response: &ResponseParts, first: First<'_>) -> Option<Failure>;
}

/// What a body begins with.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum First<'a> {
    /// Data. It is what the connection gave at once, so an event may be cut.
    Data(&'a [u8]),
    /// Trailers, without data before them.
    Trailers(&'a HeaderMap),
    /// An error: the answer broke off before its first frame.
    Broken,
    /// Nothing: the body ended.
    End,
}

/// Takes an event stream whose first event is an error for a failure.
///
/// For `text/event-stream`: an event with the name `error`, or whose data is a JSON object that begins with the member `error`. For `application/x-ndjson` and
/// `application/jsonl`: such an object as the first line. It is a failure of the kind [`ErrorKind::HttpResponseIncomplete`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorEvent;

/// Reads the status of a gRPC answer that comes in trailers after the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrpcStatus;

// === impl ErrorEvent ===

impl Peek for ErrorEvent {
    fn wants(&self, response: &ResponseParts) -> bool {
        response.status.is_success() && stream(&response.headers).is_some()
    }

    fn judge(&self, response: &ResponseParts, first: First<'_>) -> Option<Failure> {
        let failed = match (first, stream(&response.headers)?) {
            (First::Data(data), Stream::Events) => is_error_event(data),
            (First::Data(data), Stream::Lines) => is_error_object(data),
            (First::Broken, _) => true,
            (First::Trailers(_) | First::End, _) => false,
        };
        failed.then(broken)
    }
}

// === impl GrpcStatus ===

impl Peek for GrpcStatus {
    fn wants(&self, response: &ResponseParts) -> bool {
        is_grpc(&response.headers) && !response.headers.contains_key(GRPC_STATUS)
    }

    fn judge(&self, _: &ResponseParts, first: First<'_>) -> Option<Failure> {
        match first {
            First::Trailers(trailers) => classify_trailers(trailers),
            First::Broken => Some(broken()),
            First::Data(_) | First::End => None,
        }
    }
}

impl fmt::Debug for dyn Peek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peek")
    }
}

/// How a stream is cut into events.
#[derive(Clone, Copy)]
enum Stream {
    Events,
    Lines,
}

fn stream(headers: &HeaderMap) -> Option<Stream> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| media.eq_ignore_ascii_case(name);
    if is("text/event-stream") {
        Some(Stream::Events)
    } else if is("application/x-ndjson") || is("application/jsonl") {
        Some(Stream::Lines)
    } else {
        None
    }
}

/// Whether the first event is named `error` or brings an error. Comments and events without data before it are passed over, as no client is told of them.
fn is_error_event(data: &[u8]) -> bool {
    let mut rest = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let (mut error, mut data) = (false, false);
    while let Some((line, after)) = split_line(rest) {
        let value = |field: &[u8]| {
            let value = line.strip_prefix(field)?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        };
        error |= value(b"event:") == Some(b"error") || value(b"data:").is_some_and(is_error_object);
        data |= value(b"data:").is_some();
        if line.is_empty() && data {
            break;
        }
        rest = after;
    }
    error
}

/// The first line and what comes after it; lines end with CR, LF or both (WHATWG HTML, section 9.2.5). What is left at the end is a line too.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let (line, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.split_first().map(|(_, rest)| rest));
    Some((line, rest.unwrap_or_default()))
}

/// Whether this is a JSON object whose first member is `error`.
fn is_error_object(text: &[u8]) -> bool {
    let Some(text) = text.trim_ascii_start().strip_prefix(b"{") else {
        return false;
    };
    let Some(text) = text.trim_ascii_start().strip_prefix(b"\"error\"") else {
        return false;
    };
    text.trim_ascii_start()
        .strip_prefix(b":")
        .is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
}

/// There was a head, and no answer in it.
fn broken() -> Failure {
    Failure::new(ErrorKind::HttpResponseIncomplete)
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(content_type: &str) -> ResponseParts {
        let builder = Response::builder().header("content-type", content_type);
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_error_as_the_first_event_is_a_failure() {
        for (content_type, first, expected) in [
            ("text/event-stream", "event: error\ndata: {}\n\n", true),
            ("text/event-stream", "event:error\r\ndata: {}\r\n\r\n", true),
            (
                "text/event-stream",
                "\u{feff}: hi\nid: 1\nevent: error\n\n",
                true,
            ),
            (
                "text/event-stream; charset=utf-8",
                "data: {\"error\": {\"code\": 502}}\n\n",
                true,
            ),
            ("text/event-stream", "data: {\"error\": null}\n\n", false),
            ("text/event-stream", "data: {}\n\nevent: error\n\n", false),
            (
                "text/event-stream",
                "event: message\ndata: error\n\n",
                false,
            ),
            ("text/event-stream", ": only a comment\n\n", false),
            ("application/x-ndjson", " {\"error\":\"down\"}\n", true),
            (
                "application/x-ndjson",
                "{\"ok\":1}\n{\"error\":\"down\"}\n",
                false,
            ),
            ("application/jsonl", "{ \"error\" : 1}", true),
        ] {
            let head = head(content_type);

            let failure = ErrorEvent.judge(&head, First::Data(first.as_bytes()));

            assert!(ErrorEvent.wants(&head), "{content_type}");
            assert_eq!(failure.is_some(), expected, "{first:?}");
        }
        assert!(!ErrorEvent.wants(&head("application/json")));
        let head = head("text/event-stream");
        assert!(ErrorEvent.judge(&head, First::Broken).is_some());
        assert!(ErrorEvent.judge(&head, First::End).is_none());
    }

    #[test]
    fn a_grpc_status_is_looked_for_where_it_can_still_come() {
        let mut grpc = head("application/grpc");
        assert!(GrpcStatus.wants(&grpc));
        assert!(!GrpcStatus.wants(&head("application/json")));
        let trailers = |code: &str| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])
        };

        for (code, expected) in [("14", true), ("0", false), ("5", false)] {
            let trailers = trailers(code);
            let failure = GrpcStatus.judge(&grpc, First::Trailers(&trailers));
            assert_eq!(failure.is_some(), expected, "{code}");
        }
        assert!(GrpcStatus.judge(&grpc, First::Data(b"message")).is_none());
        assert!(GrpcStatus.judge(&grpc, First::Broken).is_some());

        grpc.headers.insert("grpc-status", "0".parse().unwrap());
        assert!(!GrpcStatus.wants(&grpc), "it is there already");
    }
}
