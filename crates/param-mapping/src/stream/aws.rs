//! Messages of `application/vnd.amazon.eventstream`: lengths, headers, a payload, and checksums over them.

use bytes::{BufMut, Bytes, BytesMut};
use crc32fast::Hasher;

use super::array::Malformed;
use super::parser::{End, Kind};

/// Reads on where the last chunk ended, and checks each byte once.
#[derive(Clone, Debug)]
pub(crate) struct AwsScanner {
    prelude: [u8; PRELUDE],
    /// How much of the message was seen, and how long it is.
    seen: usize,
    total: usize,
    checksum: Hasher,
    /// What was seen of the checksum at the end.
    given: u32,
}

/// The two lengths and their checksum.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// The type of a header whose value is a text.
const STRING: u8 = 7;

// === impl AwsScanner ===

impl AwsScanner {
    pub(crate) fn new() -> Self {
        Self {
            prelude: [0; PRELUDE],
            seen: 0,
            total: 0,
            checksum: Hasher::new(),
            given: 0,
        }
    }

    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<End>, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(place) = self.prelude.get_mut(self.seen) {
                *place = byte;
                at += 1;
                self.seen += 1;
                if self.seen == PRELUDE {
                    self.begin()
                        .map_err(|expected| Malformed { at, expected })?;
                }
                continue;
            }
            let body = self.total.saturating_sub(CHECKSUM + self.seen);
            if body > 0 {
                let rest = bytes.get(at..).unwrap_or_default();
                let part = rest.get(..body).unwrap_or(rest);
                self.checksum.update(part);
                self.seen += part.len();
                at += part.len();
                continue;
            }
            self.given = self.given << 8 | u32::from(byte);
            at += 1;
            self.seen += 1;
            if self.seen == self.total {
                let is_right = self.checksum.clone().finalize() == self.given;
                *self = Self::new();
                return if is_right {
                    Ok(Some(End::new(at, Kind::Event)))
                } else {
                    let expected = "the checksum of the message";
                    Err(Malformed { at, expected })
                };
            }
        }
        Ok(None)
    }

    /// Reads the lengths, which are complete.
    fn begin(&mut self) -> Result<(), &'static str> {
        let total = number(&self.prelude, 0);
        let headers = number(&self.prelude, 4);
        let lengths = self.prelude.get(..8).unwrap_or_default();
        if crc32fast::hash(lengths) != number(&self.prelude, 8) {
            return Err("the checksum of the lengths");
        }
        self.total = size(total);
        if self.total.saturating_sub(PRELUDE + CHECKSUM) < size(headers) || total < 16 {
            return Err("a message as long as its headers");
        }
        self.checksum.update(&self.prelude);
        Ok(())
    }
}

/// The payload of a message that was checked.
pub(crate) fn payload(raw: &[u8]) -> &[u8] {
    let start = PRELUDE + size(number(raw, 4));
    raw.get(start..raw.len().saturating_sub(CHECKSUM))
        .unwrap_or_default()
}

/// The type of an event, or of an exception; the code of an error that the protocol does not know.
pub(crate) fn name(raw: &[u8]) -> Option<&[u8]> {
    let names = [&b":event-type"[..], b":exception-type", b":error-code"];
    names.into_iter().find_map(|name| header(raw, name))
}

/// Whether a message says that something went wrong.
pub(crate) fn is_exception(raw: &[u8]) -> bool {
    matches!(header(raw, b":message-type"), Some(b"exception" | b"error"))
}

/// The same message with another payload.
pub(crate) fn with_payload(raw: &[u8], payload: &[u8]) -> Bytes {
    message(headers(raw), payload)
}

/// A message that says what went wrong.
pub(crate) fn exception(payload: &[u8]) -> Bytes {
    let mut headers = BytesMut::new();
    for (name, value) in [
        (":message-type", "exception"),
        (":exception-type", "error"),
        (":content-type", "application/json"),
    ] {
        headers.put_u8(u8::try_from(name.len()).unwrap_or_default());
        headers.put_slice(name.as_bytes());
        headers.put_u8(STRING);
        headers.put_u16(u16::try_from(value.len()).unwrap_or_default());
        headers.put_slice(value.as_bytes());
    }
    message(&headers, payload)
}

fn message(headers: &[u8], payload: &[u8]) -> Bytes {
    let total = PRELUDE + headers.len() + payload.len() + CHECKSUM;
    let mut raw = BytesMut::with_capacity(total);
    // Neither comes near the limit of the type: both are what an event within its limit became.
    raw.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    raw.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
    raw.put_u32(crc32fast::hash(&raw));
    raw.put_slice(headers);
    raw.put_slice(payload);
    raw.put_u32(crc32fast::hash(&raw));
    raw.freeze()
}

fn headers(raw: &[u8]) -> &[u8] {
    let end = PRELUDE + size(number(raw, 4));
    raw.get(PRELUDE..end).unwrap_or_default()
}

/// The value of a header that is a text.
fn header<'a>(raw: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = headers(raw);
    loop {
        let (length, behind) = rest.split_first()?;
        let (name, behind) = behind.split_at_checked(usize::from(*length))?;
        let (kind, behind) = behind.split_first()?;
        let (length, behind) = match kind {
            0 | 1 => (0, behind),
            2 => (1, behind),
            3 => (2, behind),
            4 => (4, behind),
            5 | 8 => (8, behind),
            9 => (16, behind),
            _ => {
                let (length, behind) = behind.split_at_checked(2)?;
                let length = length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, behind)
            }
        };
        let (value, behind) = behind.split_at_checked(length)?;
        if *kind == STRING && name == wanted {
            return Some(value);
        }
        rest = behind;
    }
}

/// Four bytes, the highest first; 0 where there are none.
fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).unwrap_or_default();
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Event, EventParser, Framing, Piece};

    fn event(name: &str, payload: &[u8]) -> Bytes {
        let mut headers = BytesMut::new();
        headers.put_slice(b"\x04flag\x00\x02id\x090123456789abcdef\x0b:event-type\x07\0");
        headers.put_u8(u8::try_from(name.len()).unwrap());
        headers.put_slice(name.as_bytes());
        message(&headers, payload)
    }

    fn events(stream: &[u8], size: usize) -> Result<Vec<Event>, String> {
        let mut parser = EventParser::new(Framing::AwsEventStream).max_event_bytes(1000);
        let mut events = Vec::new();
        for chunk in stream.chunks(size) {
            parser.push(Bytes::copy_from_slice(chunk));
            loop {
                match parser.next_piece() {
                    Ok(Some(Piece::Event(event))) => events.push(event),
                    Ok(Some(Piece::Other(_))) => panic!("there is nothing between messages"),
                    Ok(None) => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        Ok(events)
    }

    #[test]
    fn an_empty_message_is_as_the_specification_has_it() {
        let expected = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";

        assert_eq!(message(b"", b""), &expected[..]);
    }

    #[test]
    fn exceptions_are_told_from_events() {
        for (kind, header, name, is_exception) in [
            ("event", ":event-type", "chunk", false),
            ("exception", ":exception-type", "throttlingException", true),
            ("error", ":error-code", "InternalError", true),
        ] {
            let mut headers = BytesMut::new();
            for (name, value) in [(":message-type", kind), (header, name)] {
                headers.put_u8(u8::try_from(name.len()).unwrap());
                headers.put_slice(name.as_bytes());
                headers.put_u8(STRING);
                headers.put_u16(u16::try_from(value.len()).unwrap());
                headers.put_slice(value.as_bytes());
            }
            let events = events(&message(&headers, b"{}"), 1000).unwrap();

            assert_eq!(events[0].name(), Some(name.as_bytes()), "{kind}");
            assert_eq!(events[0].is_exception(), is_exception, "{kind}");
        }
        let events = events(&exception(b"{}"), 1000).unwrap();
        assert!(events[0].is_exception());
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let stream = [event("delta", b"{\"a\":1}"), event("stop", b"")].concat();
        for size in 1..stream.len() + 1 {
            let events = events(&stream, size).unwrap();

            let seen = events
                .iter()
                .map(|event| (event.name().unwrap(), event.data()));
            let seen: Vec<_> = seen.collect();
            let expected: [(&[u8], Bytes); 2] = [
                (b"delta", Bytes::from_static(b"{\"a\":1}")),
                (b"stop", Bytes::new()),
            ];
            assert_eq!(seen, expected, "{size}");
            assert_eq!(events[0].with_data(b"{\"a\":1}"), events[0].raw());
        }
    }

    #[test]
    fn every_wrong_bit_is_seen() {
        let right = event("delta", b"{}");
        for at in 0..right.len() * 8 {
            let mut wrong = right.to_vec();
            wrong[at / 8] ^= 1 << (at % 8);

            for size in [1, 7, wrong.len()] {
                let error = events(&wrong, size).unwrap_err();
                assert!(error.contains("expected the checksum of the"), "{error}");
            }
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for (total, headers) in [(15_u32, 0_u32), (16, 1), (0, u32::MAX)] {
            let mut raw = BytesMut::new();
            raw.put_u32(total);
            raw.put_u32(headers);
            raw.put_u32(crc32fast::hash(&raw));

            let error = events(&raw, 12).unwrap_err();
            assert!(
                error.contains("a message as long as its headers"),
                "{error}"
            );
        }
    }
}
