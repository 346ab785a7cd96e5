use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_gateway_error::{GrpcCode, is_grpc};

use crate::Elapsed;

/// What must be known of a body so that it can end well when a limit strikes.
#[derive(Debug)]
pub(crate) enum Framing {
    /// It ends with an error.
    Plain,
    Grpc(Messages),
    Events(Events),
}

/// Where a body of gRPC stands: in the prefix of a message, in a message, or between two.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Bytes of the prefix that were seen, less than five: a flag, and the length with the high byte first.
    prefix: u8,
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
}

/// The last four bytes of a stream of events.
#[derive(Debug)]
pub(crate) struct Events(u32);

/// What a response is, for those who limit it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    Plain,
    Grpc,
    Events,
    /// What follows the head is another protocol.
    Tunnel,
}

// === impl Framing ===

impl Framing {
    pub(crate) fn new(content: Content, error_event: bool) -> Self {
        match content {
            Content::Grpc => Self::Grpc(Messages::default()),
            Content::Events if error_event => Self::Events(Events(BLANK)),
            Content::Plain | Content::Events | Content::Tunnel => Self::Plain,
        }
    }

    /// Takes note of data that passes.
    pub(crate) fn passed(&mut self, data: &impl Buf) {
        match self {
            Self::Plain => {}
            // Data of several pieces is followed in its first one only, which `Bytes` never is.
            Self::Grpc(messages) => messages.passed(data.chunk()),
            Self::Events(events) => events.passed(data.chunk()),
        }
    }

    /// The trailers for a body of gRPC in which no message is cut.
    pub(crate) fn trailers(&self, elapsed: Elapsed) -> Option<HeaderMap> {
        let Self::Grpc(messages) = self else {
            return None;
        };
        if messages.prefix != 0 || messages.left != 0 {
            return None;
        }
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert("grpc-status", GrpcCode::DeadlineExceeded.header_value());
        let message = format!(
            "timed out {} (limit {} ms)",
            elapsed.phase().words(),
            elapsed.limit().as_millis()
        );
        if let Ok(message) = HeaderValue::try_from(message) {
            trailers.insert("grpc-message", message);
        }
        Some(trailers)
    }

    /// The last event for a stream in which no event is cut.
    pub(crate) fn error_event(&self, elapsed: Elapsed) -> Option<Bytes> {
        let Self::Events(events) = self else {
            return None;
        };
        if !events.are_whole() {
            return None;
        }
        let text = format!(
            "event: error\ndata: {{\"error\":\"{}\",\"phase\":\"{}\",\"limit_ms\":{}}}\n\n",
            elapsed.phase().kind().token(),
            elapsed.phase().as_str(),
            elapsed.limit().as_millis()
        );
        Some(text.into())
    }
}

// === impl Messages ===

impl Messages {
    fn passed(&mut self, mut data: &[u8]) {
        while let Some((first, rest)) = data.split_first() {
            if self.left > 0 {
                let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let taken = self.left.min(len);
                self.left -= taken;
                data = data.get(taken as usize..).unwrap_or_default();
                continue;
            }
            if self.prefix > 0 {
                self.length = self.length << 8 | u32::from(*first);
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                self.left = self.length;
                (self.prefix, self.length) = (0, 0);
            }
            data = rest;
        }
    }
}

// === impl Events ===

impl Events {
    fn passed(&mut self, data: &[u8]) {
        let start = data.len().saturating_sub(4);
        for byte in data.get(start..).unwrap_or_default() {
            self.0 = self.0 << 8 | u32::from(*byte);
        }
    }

    /// An empty line ends an event, and lines end with LF, CR or both.
    fn are_whole(&self) -> bool {
        let lines = self.0 & 0xffff;
        lines == 0x0a0a || lines == 0x0d0d || self.0 == 0x0d0a_0d0a
    }
}

// === impl Content ===

impl Content {
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, connect: bool) -> Self {
        if status == StatusCode::SWITCHING_PROTOCOLS || (connect && status.is_success()) {
            return Self::Tunnel;
        }
        if is_grpc(headers) {
            return Self::Grpc;
        }
        let content_type = headers.get(header::CONTENT_TYPE);
        let essence = content_type.and_then(|value| value.as_bytes().split(|b| *b == b';').next());
        let events = essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        });
        if events { Self::Events } else { Self::Plain }
    }

    /// Says whether it may go on for ever.
    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::Events | Self::Tunnel)
    }
}

/// Says whether the bytes of a body are not those of its content type: plain text has no place among them.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    encodings.iter().any(|encoding| {
        !encoding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"identity")
    })
}

const PREFIX: u8 = 5;
/// What a stream of events stands after when it begins.
const BLANK: u32 = 0x0a0a_0a0a;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Phase;

    fn elapsed() -> Elapsed {
        let limit = Duration::from_millis(250);
        Elapsed::new(Phase::ResponseIdle, limit, limit)
    }

    fn after(content: Content, chunks: &[&'static [u8]]) -> Framing {
        let mut framing = Framing::new(content, true);
        for chunk in chunks {
            framing.passed(&Bytes::from_static(chunk));
        }
        framing
    }

    #[test]
    fn trailers_follow_whole_messages_only() {
        let rows: [(&[&'static [u8]], bool); 10] = [
            (&[], true),
            (&[b"\0\0\0\0\x02ab"], true),
            (&[b"\0\0\0\0\0"], true),
            (&[b"\0\0\0", b"\0\x02a", b"b"], true),
            (&[b"\0\0\0\0\x01a\x01\0\0\0\x01b"], true),
            (&[b"\0"], false),
            (&[b"\0\0\0\0"], false),
            (&[b"\0\0\0\0\x02a"], false),
            (&[b"\0\0\0\0\x01a\0"], false),
            (&[b"\0\xff\xff\xff\xff", b"a"], false),
        ];
        for (chunks, whole) in rows {
            let trailers = after(Content::Grpc, chunks).trailers(elapsed());

            assert_eq!(trailers.is_some(), whole, "{chunks:?}");
            if let Some(trailers) = trailers {
                assert_eq!(trailers["grpc-status"], "4");
                assert_eq!(
                    trailers["grpc-message"],
                    "timed out waiting for the next frame of the response (limit 250 ms)"
                );
            }
        }
        assert!(after(Content::Plain, &[]).trailers(elapsed()).is_none());
    }

    #[test]
    fn an_error_event_follows_whole_events_only() {
        let rows: [(&[&'static [u8]], bool); 10] = [
            (&[], true),
            (&[b"data: a\n\n"], true),
            (&[b"data: a\r\n\r\n"], true),
            (&[b"data: a\r\r"], true),
            (&[b"data: a", b"\n", b"\n"], true),
            (&[b": ping\n\n"], true),
            (&[b"data: a\n"], false),
            (&[b"data: a\r\n"], false),
            (&[b"data: a"], false),
            (&[b"data: a\n\n", b"d"], false),
        ];
        for (chunks, whole) in rows {
            let event = after(Content::Events, chunks).error_event(elapsed());

            assert_eq!(event.is_some(), whole, "{chunks:?}");
            if let Some(event) = event {
                assert_eq!(
                    event,
                    "event: error\ndata: {\"error\":\"connection_read_timeout\",\"phase\":\"response_idle\",\"limit_ms\":250}\n\n"
                );
            }
        }
        assert!(
            Framing::new(Content::Events, false)
                .error_event(elapsed())
                .is_none()
        );
    }

    #[test]
    fn content_is_known_by_status_and_type() {
        for (status, content_type, connect, expected) in [
            (200, "text/event-stream", false, Content::Events),
            (
                200,
                "Text/Event-Stream ; charset=utf-8",
                false,
                Content::Events,
            ),
            (200, "text/event-streams", false, Content::Plain),
            (200, "application/grpc+proto", false, Content::Grpc),
            (101, "text/plain", false, Content::Tunnel),
            (200, "text/plain", true, Content::Tunnel),
            (502, "text/plain", true, Content::Plain),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let headers =
                HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);

            let content = Content::of(status, &headers, connect);

            assert_eq!(content, expected, "{status} {content_type}");
            let stream = matches!(expected, Content::Events | Content::Tunnel);
            assert_eq!(content.is_stream(), stream, "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_followed_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5),
            cuts in proptest::collection::vec(1_usize..7, 1..40),
        ) {
            let mut wire = Vec::new();
            let mut ends = vec![0];
            for message in &messages {
                wire.push(0);
                wire.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
                wire.extend_from_slice(message);
                ends.push(wire.len());
            }

            let mut framing = Framing::new(Content::Grpc, false);
            let mut at = 0;
            for cut in cuts.into_iter().cycle() {
                prop_assert_eq!(framing.trailers(elapsed()).is_some(), ends.contains(&at), "at {}", at);
                if at == wire.len() {
                    break;
                }
                let end = (at + cut).min(wire.len());
                framing.passed(&&wire[at..end]);
                at = end;
            }
        }
    }
}
