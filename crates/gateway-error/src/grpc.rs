use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The status codes of gRPC ([statuscodes.md](https://github.com/grpc/grpc/blob/master/doc/statuscodes.md)).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum GrpcCode {
    /// Not an error.
    Ok = 0,
    /// The caller cancelled the call.
    Cancelled = 1,
    /// An error that no other code names.
    Unknown = 2,
    /// The caller sent an argument that is not valid.
    InvalidArgument = 3,
    /// The deadline passed before the call was complete.
    DeadlineExceeded = 4,
    /// Something that was asked for does not exist.
    NotFound = 5,
    /// Something that the caller wanted to create exists.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota or another resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// The call was aborted, often by a conflict.
    Aborted = 10,
    /// The call went past the valid range.
    OutOfRange = 11,
    /// The method is not implemented.
    Unimplemented = 12,
    /// An invariant of the system is broken.
    Internal = 13,
    /// The service is not available now.
    Unavailable = 14,
    /// Data is lost or damaged.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

// === impl GrpcCode ===

impl GrpcCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// Reads `grpc-status` from headers (of a trailers-only answer) or from trailers.
    ///
    /// A number that gRPC does not know, and a value that is no number, is [`Unknown`](Self::Unknown), as the gRPC specification asks.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get("grpc-status")?;
        let code = value.to_str().ok().and_then(|text| text.parse().ok());

        Some(code.map_or(Self::Unknown, Self::from_number))
    }

    /// Returns the code of this number; [`Unknown`](Self::Unknown) where gRPC knows none.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        let code = usize::try_from(number).ok();
        code.and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::Unknown)
    }

    /// Maps an HTTP status to the code that a gRPC client sees when an answer carries no `grpc-status`
    /// ([http-grpc-status-mapping.md](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)).
    #[must_use]
    pub const fn from_http_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 431 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// Returns the name as the specification writes it: `DEADLINE_EXCEEDED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// Returns the code as the value of `grpc-status`.
    #[must_use]
    pub fn header_value(self) -> HeaderValue {
        HeaderValue::from(self as u16)
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Says whether these are the headers of a gRPC message: `content-type: application/grpc`, alone or followed by `+` or `;`.
///
/// gRPC-Web (`application/grpc-web`) is another protocol, whose status travels in the body; it is not gRPC here.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";

    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let Some((start, rest)) = value.as_bytes().split_at_checked(GRPC.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Percent-encodes a text for `grpc-message`: what is not printable ASCII, and `%`, becomes `%XX`.
pub(crate) fn encode_message(message: &str) -> String {
    use fmt::Write;

    message
        .bytes()
        .fold(String::with_capacity(message.len()), |mut encoded, byte| {
            match byte {
                b'%' | ..=0x1f | 0x7f.. => {
                    let _ = write!(encoded, "%{byte:02X}");
                }
                byte => encoded.push(char::from(byte)),
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_status_is_read_from_headers() {
        for (value, expected) in [
            ("0", GrpcCode::Ok),
            ("14", GrpcCode::Unavailable),
            ("17", GrpcCode::Unknown),
            ("-1", GrpcCode::Unknown),
            ("fourteen", GrpcCode::Unknown),
        ] {
            let headers =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), value.parse().unwrap())]);

            assert_eq!(
                GrpcCode::from_headers(&headers),
                Some(expected),
                "grpc-status: {value}"
            );
        }
        assert_eq!(GrpcCode::from_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn content_type_decides_what_is_grpc() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("app", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);

            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode_message("100% für\n"), "100%25 f%C3%BCr%0A");
    }
}
