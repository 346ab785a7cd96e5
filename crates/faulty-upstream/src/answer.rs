//! What a plain request is answered, and the parts that all answers are made of.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What is answered, before a fault spoils it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    pub(crate) trailers: Option<HeaderMap>,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    /// Server-sent events, so many and so far apart.
    Events {
        count: u32,
        gap: Duration,
    },
}

/// The pieces of a body, and the wait between two of them.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) gap: Duration,
}

// === impl Answer ===

impl Answer {
    /// The answer of the work that was done for this request.
    pub(crate) fn plain(head: &Parts, body: &Bytes) -> Self {
        if is_grpc(&head.headers) {
            return Self::grpc_echo(&head.headers, body);
        }
        if head.uri.path() == "/sse" {
            return Self::events(head.uri.query().unwrap_or_default());
        }
        Self::echo(head, body)
    }

    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain", Bytes::from(text.into()))
    }

    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", line(value))
    }

    /// RFC 9457.
    pub(crate) fn problem(status: StatusCode, title: &str) -> Self {
        let problem = json!({ "status": status.as_u16(), "title": title });
        Self::new(status, "application/problem+json", line(&problem))
    }

    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self {
            status,
            headers: HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(content_type),
            )]),
            content: Content::Bytes(body),
            trailers: None,
        }
    }

    /// What it costs to keep.
    pub(crate) fn cost(&self) -> usize {
        match &self.content {
            Content::Bytes(body) => body.len(),
            Content::Events { .. } => 0,
        }
    }

    fn echo(head: &Parts, body: &Bytes) -> Self {
        let mut seen = Map::new();
        seen.insert("length".into(), json!(body.len()));
        seen.insert("sha256".into(), json!(hex(&Sha256::digest(body))));
        if body.len() <= ECHO_TEXT_LIMIT
            && let Ok(text) = std::str::from_utf8(body)
        {
            seen.insert("text".into(), json!(text));
        }
        let echo = json!({
            "protocol": format!("{:?}", head.version),
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "headers": headers_json(&head.headers),
            "body": seen,
        });
        Self::json(StatusCode::OK, &echo)
    }

    /// Each message comes back as it was.
    fn grpc_echo(headers: &HeaderMap, body: &Bytes) -> Self {
        if !is_whole_messages(body) {
            let mut answer = Self::grpc(GRPC_INTERNAL);
            answer.headers.insert(
                "grpc-message",
                HeaderValue::from_static("the body does not end where a message ends"),
            );
            return answer;
        }
        let mut answer = Self::new(StatusCode::OK, "application/grpc", body.clone());
        if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
            answer
                .headers
                .insert(header::CONTENT_TYPE, content_type.clone());
        }
        let encoding = HeaderName::from_static("grpc-encoding");
        if let Some(value) = headers.get(&encoding) {
            answer.headers.insert(encoding, value.clone());
        }
        answer.trailers = Some(grpc_status(0));
        answer
    }

    /// A gRPC status in the headers: "trailers-only".
    pub(crate) fn grpc(code: u32) -> Self {
        let mut answer = Self::new(StatusCode::OK, "application/grpc", Bytes::new());
        answer.headers.extend(grpc_status(code));
        answer
    }

    fn events(query: &str) -> Self {
        let mut count = 10;
        let mut gap = Duration::ZERO;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let understood = match name {
                "n" => value
                    .parse()
                    .ok()
                    .filter(|n| *n <= EVENTS_LIMIT)
                    .map(|n| count = n),
                "gap" => humantime::parse_duration(value).ok().map(|time| gap = time),
                _ => Some(()),
            };
            if understood.is_none() {
                return Self::problem(
                    StatusCode::BAD_REQUEST,
                    "the query wants n from 0 to 10000 and gap as 10ms",
                );
            }
        }
        let mut answer = Self::new(StatusCode::OK, "text/event-stream", Bytes::new());
        answer
            .headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.content = Content::Events { count, gap };
        answer
    }
}

// === impl Content ===

impl Content {
    pub(crate) fn pieces(&self) -> Pieces {
        match self {
            Self::Bytes(body) if body.is_empty() => Pieces::none(),
            Self::Bytes(body) => Pieces {
                pieces: vec![body.clone()],
                gap: Duration::ZERO,
            },
            Self::Events { count, gap } => Pieces {
                pieces: (1..=*count)
                    .map(|n| {
                        let data = json!({ "n": n, "of": count });
                        Bytes::from(format!("id: {n}\nevent: tick\ndata: {data}\n\n"))
                    })
                    .collect(),
                gap: *gap,
            },
        }
    }
}

// === impl Pieces ===

impl Pieces {
    pub(crate) const fn none() -> Self {
        Self {
            pieces: Vec::new(),
            gap: Duration::ZERO,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The same bytes in pieces of at most this size.
    pub(crate) fn cut(self, size: usize, gap: Duration) -> Self {
        let size = size.max(1);
        let mut pieces = Vec::new();
        for mut piece in self.pieces {
            while piece.len() > size {
                pieces.push(piece.split_to(size));
            }
            pieces.push(piece);
        }
        Self { pieces, gap }
    }

    /// What comes before this byte and what comes after; the last byte is always
    /// after, or the cut would not be seen.
    pub(crate) fn split(self, at: u64) -> (Self, Self) {
        let gap = self.gap;
        let mut left = at.min(self.length().saturating_sub(1));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for mut piece in self.pieces {
            let here = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= here as u64;
            let first = piece.split_to(here);
            for (part, side) in [(first, &mut before), (piece, &mut after)] {
                if !part.is_empty() {
                    side.push(part);
                }
            }
        }
        let pieces = |pieces| Self { pieces, gap };
        (pieces(before), pieces(after))
    }
}

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

pub(crate) fn grpc_status(code: u32) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(code),
    )])
}

/// Headers as an object: name to value, several values joined by a comma.
pub(crate) fn headers_json(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (name.to_string(), json!(values.join(", ")))
        })
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            // Writing into a `String` does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Whether these are length-prefixed messages and nothing else.
fn is_whole_messages(mut body: &[u8]) -> bool {
    while let Some(([_compressed, a, b, c, d], rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        match usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(length..))
        {
            Some(rest) => body = rest,
            None => return false,
        }
    }
    body.is_empty()
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// The longest body whose text is in the echo.
const ECHO_TEXT_LIMIT: usize = 16 * 1024;
const EVENTS_LIMIT: u32 = 10_000;
const GRPC_INTERNAL: u32 = 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_split_at_any_byte_but_keep_the_last_for_later() {
        let pieces = Pieces {
            pieces: vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")],
            gap: Duration::ZERO,
        };
        for (at, before, after) in [
            (0, "", "abcde"),
            (2, "ab", "cde"),
            (3, "abc", "de"),
            (4, "abcd", "e"),
            (9, "abcd", "e"),
        ] {
            let (first, second) = pieces.clone().split(at);
            assert_eq!(first.pieces.concat(), before.as_bytes(), "{at}");
            assert_eq!(second.pieces.concat(), after.as_bytes(), "{at}");
        }
        assert_eq!(Pieces::none().split(3).0.length(), 0);
    }

    #[test]
    fn messages_end_where_the_body_ends() {
        for (body, whole) in [
            (&b""[..], true),
            (b"\0\0\0\0\0", true),
            (b"\0\0\0\0\x02ab\0\0\0\0\x01c", true),
            (b"\0\0\0\0\x02a", false),
            (b"\0\0\0", false),
            (b"\0\xff\xff\xff\xffabc", false),
        ] {
            assert_eq!(is_whole_messages(body), whole, "{body:?}");
        }
    }
}
