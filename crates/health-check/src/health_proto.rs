//! The messages of [`grpc.health.v1`](https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto), by hand: there are three, of one field each.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Takes messages out of the bytes of a stream: each has a byte for its compression and four for its length before it.
#[derive(Debug)]
pub(crate) struct Messages {
    buffer: BytesMut,
    limit: usize,
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// It is compressed, which was not agreed on.
    Compressed,
    /// It is longer than the limit.
    TooLong,
    /// It is no message of its type.
    Message,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
pub(crate) const LIST: &str = "/grpc.health.v1.Health/List";

const PREFIX: usize = 5;

// === impl ServingStatus ===

impl ServingStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }

    /// A `HealthCheckResponse`.
    pub(crate) fn encode(self) -> Bytes {
        framed(&self.message())
    }

    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut status = Self::Unknown;
        fields(message, |number, value| {
            if let (1, Value::Number(value)) = (number, value) {
                status = match value {
                    1 => Self::Serving,
                    2 => Self::NotServing,
                    3 => Self::ServiceUnknown,
                    // A number of a later version is not SERVING either.
                    _ => Self::Unknown,
                };
            }
            Ok(())
        })?;
        Ok(status)
    }

    fn message(self) -> Vec<u8> {
        match self {
            // What is zero is not written.
            Self::Unknown => Vec::new(),
            other => vec![VARINT | 1 << 3, other as u8],
        }
    }
}

// === impl Messages ===

impl Messages {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// Takes bytes in, up to a message and its prefix more than there are.
    pub(crate) fn push(&mut self, mut data: impl Buf) -> Result<(), Malformed> {
        if self.buffer.len() + data.remaining() > 2 * (self.limit + PREFIX) {
            return Err(Malformed::TooLong);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.buffer.put_slice(chunk);
            let taken = chunk.len();
            data.advance(taken);
        }
        Ok(())
    }

    /// Takes a message out. `None` until all of it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        let mut prefix = &*self.buffer;
        let (Ok(compressed), Ok(length)) = (prefix.try_get_u8(), prefix.try_get_u32()) else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Malformed::Compressed);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(Malformed::TooLong);
        }
        if prefix.remaining() < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// A `HealthCheckRequest`.
pub(crate) fn encode_request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        put_bytes(&mut message, 1, service.as_bytes());
    }
    framed(&message)
}

/// The service that a `HealthCheckRequest` asks for.
pub(crate) fn decode_request(message: &[u8]) -> Result<String, Malformed> {
    let mut service = "";
    fields(message, |number, value| {
        if let (1, Value::Bytes(bytes)) = (number, value) {
            service = std::str::from_utf8(bytes).map_err(|_| Malformed::Message)?;
        }
        Ok(())
    })?;
    Ok(service.to_owned())
}

/// A `HealthListResponse`.
pub(crate) fn encode_list(statuses: &[(&str, ServingStatus)]) -> Bytes {
    let mut message = Vec::new();
    for (service, status) in statuses {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, service.as_bytes());
        put_bytes(&mut entry, 2, &status.message());
        put_bytes(&mut message, 1, &entry);
    }
    framed(&message)
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

const VARINT: u8 = 0;
const FIXED64: u64 = 1;
const LENGTH: u8 = 2;
const FIXED32: u64 = 5;

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    let low = |number: usize| u8::try_from(number & 0x7f).unwrap_or_default();
    message.push(field << 3 | LENGTH);
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(low(length) | 0x80);
        length >>= 7;
    }
    message.push(low(length));
    message.extend_from_slice(bytes);
}

/// Reads the fields of a message, those that nobody knows too.
fn fields<'a>(
    mut message: &'a [u8],
    mut see: impl FnMut(u64, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)?),
            FIXED64 => skip(&mut message, 8)?,
            2 => {
                let length = varint(&mut message)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Message)?;
                Value::Bytes(take(&mut message, length)?)
            }
            FIXED32 => skip(&mut message, 4)?,
            _ => return Err(Malformed::Message),
        };
        let field = key >> 3;
        if field == 0 {
            return Err(Malformed::Message);
        }
        see(field, value)?;
    }
    Ok(())
}

fn varint(message: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = message.try_get_u8().map_err(|_| Malformed::Message)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Message)
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = message.split_at_checked(length).ok_or(Malformed::Message)?;
    *message = rest;
    Ok(taken)
}

fn skip<'a>(message: &mut &'a [u8], length: usize) -> Result<Value<'a>, Malformed> {
    take(message, length).map(|_| Value::Other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        assert_eq!(&encode_request("")[..], b"\0\0\0\0\0");
        assert_eq!(&encode_request("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(&ServingStatus::Unknown.encode()[..], b"\0\0\0\0\0");
        assert_eq!(
            &ServingStatus::Serving.encode()[..],
            b"\0\0\0\0\x02\x08\x01"
        );
        assert_eq!(
            &encode_list(&[("", ServingStatus::Serving)])[..],
            b"\0\0\0\0\x08\x0a\x06\x0a\0\x12\x02\x08\x01"
        );
    }

    #[test]
    fn fields_that_nobody_knows_are_passed_over() {
        let message = b"\x10\x96\x01\x1a\x02hi\x21\0\0\0\0\0\0\0\0\x2d\0\0\0\0\x0a\x01x";
        assert_eq!(decode_request(message), Ok("x".to_owned()));
        assert_eq!(
            ServingStatus::decode(b"\x10\x01\x08\x02"),
            Ok(ServingStatus::NotServing)
        );
        assert_eq!(
            ServingStatus::decode(b"\x08\x63"),
            Ok(ServingStatus::Unknown)
        );
        for malformed in [
            &b"\x0a\x05x"[..],
            b"\x0a",
            b"\x0a\x01\xff",
            b"\x0b",
            b"\x00\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(
                decode_request(malformed),
                Err(Malformed::Message),
                "{malformed:?}"
            );
        }
    }

    #[test]
    fn a_message_is_bounded_and_never_compressed() {
        for (bytes, expected) in [
            (&b"\x01\0\0\0\0"[..], Malformed::Compressed),
            (b"\0\0\0\0\x09", Malformed::TooLong),
            (&[0; 27], Malformed::TooLong),
        ] {
            let mut messages = Messages::new(8);
            let result = messages.push(bytes).and_then(|()| messages.next());
            assert_eq!(result, Err(expected), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = decode_request(&bytes);
            let _ = ServingStatus::decode(&bytes);
            let mut messages = Messages::new(16);
            if messages.push(&*bytes).is_ok() {
                while let Ok(Some(_)) = messages.next() {}
            }
        }

        #[test]
        fn what_was_written_is_read_however_it_is_cut(service in ".{0,300}", cut in 1_usize..40) {
            let bytes = encode_request(&service);
            let mut messages = Messages::new(2048);
            let mut read = None;
            for piece in bytes.chunks(cut) {
                prop_assert!(read.is_none());
                messages.push(piece).unwrap();
                read = messages.next().unwrap();
            }
            prop_assert_eq!(decode_request(&read.unwrap()), Ok(service));
            prop_assert!(messages.is_empty());
        }
    }
}
