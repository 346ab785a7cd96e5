use std::fmt;
use std::ops::{BitOr, BitOrAssign, Sub};
use std::str::FromStr;

use http::StatusCode;
use portcullis_gateway_error::{Delivery, ErrorKind, Failure, GrpcCode};

/// What is retried: a set of classes, by the names that Envoy has for them, joined with `|`.
///
/// ```
/// use portcullis_retry_on_gateway_error::RetryOn;
///
/// let set = RetryOn::GATEWAY_ERROR | RetryOn::TOO_EARLY;
/// assert_eq!("gateway-error,too-early".parse(), Ok(set));
/// assert_eq!(set.to_string(), "gateway-error,too-early");
/// assert!(RetryOn::default().contains(RetryOn::CONNECT_FAILURE));
/// ```
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RetryOn(u32);

/// A word that names no class.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownRetryOn(String);

/// What a class is told by: one failed attempt, as far as a class looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    /// What the classifier said, if it calls this a failure.
    pub(crate) failure: Option<&'a Failure>,
    /// The status of the answer, if there is one that came from the upstream.
    pub(crate) status: Option<StatusCode>,
    /// The gRPC status, of the answer or as its HTTP status maps to it.
    pub(crate) grpc: Option<GrpcCode>,
    /// Whether a 429 says when to come back.
    pub(crate) hint: bool,
    /// Whether the request said that it came in early data, so that only its caller can repeat it (RFC 8470, section 5.2).
    pub(crate) early_data: bool,
    /// Whether the status is one of `retriable_status_codes`.
    pub(crate) listed_status: bool,
    /// Whether a header of the answer is one of `retriable_headers`.
    pub(crate) listed_header: bool,
}

// === impl RetryOn ===

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $word:literal;)*) => {
        impl RetryOn {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every class with its word.
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$name)),*];
        }
    };
}

classes! {
    /// `gateway-error`: an answer 502, 503 or 504, and what would be answered so: the connection was not made or got lost, or no answer came in time (Envoy, where a reset
    /// counts too, as it results in a 503).
    GATEWAY_ERROR = 0, "gateway-error";
    /// `5xx`: an answer 500 to 599, and everything that `gateway-error` has for a missing answer (Envoy).
    SERVER_ERROR = 1, "5xx";
    /// `connect-failure`: the name did not resolve, or the connection was refused, not routed, or not opened in time (Envoy).
    CONNECT_FAILURE = 2, "connect-failure";
    /// `refused-stream`: the upstream said that it has not processed the request: `REFUSED_STREAM`, or `GOAWAY` with a lower last stream id (Envoy; RFC 9113, section 8.7).
    REFUSED_STREAM = 3, "refused-stream";
    /// `reset`: the exchange ended without an answer, whatever the reason (Envoy).
    RESET = 4, "reset";
    /// `reset-before-request`: the connection was gone before anything of the request was sent (Envoy).
    RESET_BEFORE_REQUEST = 5, "reset-before-request";
    /// `retriable-4xx`: an answer 409 (Envoy).
    RETRIABLE_4XX = 6, "retriable-4xx";
    /// `retriable-status-codes`: an answer with one of the listed statuses (Envoy).
    RETRIABLE_STATUS_CODES = 7, "retriable-status-codes";
    /// `retriable-headers`: an answer with one of the listed headers (Envoy).
    RETRIABLE_HEADERS = 8, "retriable-headers";
    /// `rate-limited`: an answer 429 that says when to come back.
    RATE_LIMITED = 9, "rate-limited";
    /// `too-early`: an answer 425, to a request that did not come to us in early data (RFC 8470, section 5.2). It was not processed, so any method is safe.
    TOO_EARLY = 10, "too-early";
    /// `request-timeout`: an answer 408 (RFC 9110, section 15.5.9).
    REQUEST_TIMEOUT = 11, "request-timeout";
    /// `misdirected`: an answer 421. Another connection may do better; it was not processed, so any method is safe (RFC 9110, section 15.5.20).
    MISDIRECTED = 12, "misdirected";
    /// `cancelled`: a gRPC answer CANCELLED (Envoy's `retry_grpc_on`).
    GRPC_CANCELLED = 16, "cancelled";
    /// `deadline-exceeded`: a gRPC answer DEADLINE_EXCEEDED.
    GRPC_DEADLINE_EXCEEDED = 17, "deadline-exceeded";
    /// `internal`: a gRPC answer INTERNAL.
    GRPC_INTERNAL = 18, "internal";
    /// `resource-exhausted`: a gRPC answer RESOURCE_EXHAUSTED.
    GRPC_RESOURCE_EXHAUSTED = 19, "resource-exhausted";
    /// `unavailable`: a gRPC answer UNAVAILABLE, also by an answer 429, 502, 503 or 504 that is no gRPC.
    GRPC_UNAVAILABLE = 20, "unavailable";
}

impl RetryOn {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Says whether all classes of the other set are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Joins two sets; the same as `|`, in a `const`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads words as Envoy does in its headers: those that are not known are passed over.
    pub(crate) fn known_words(text: &str) -> Self {
        words(text).filter_map(word).fold(Self::NONE, BitOr::bitor)
    }

    /// The class that this failed attempt is in; the most telling one where it is in several.
    pub(crate) fn matching(self, sight: &Sight<'_>) -> Option<Self> {
        Self::WORDS
            .iter()
            .map(|(_, class)| *class)
            .find(|class| self.contains(*class) && class.has(sight))
    }

    /// Whether the failed attempt is in this one class.
    fn has(self, sight: &Sight<'_>) -> bool {
        let lost = || sight.failure.is_some_and(is_lost);
        let status = |code| sight.status == Some(code);
        match self {
            Self::GATEWAY_ERROR => lost() || sight.status.is_some_and(is_gateway_error),
            Self::SERVER_ERROR => lost() || sight.status.is_some_and(|code| code.is_server_error()),
            Self::CONNECT_FAILURE => sight.failure.is_some_and(Failure::is_connect_failure),
            Self::REFUSED_STREAM => sight.failure.is_some_and(Failure::is_refused),
            Self::RESET => lost(),
            Self::RESET_BEFORE_REQUEST => sight.failure.is_some_and(never_left),
            Self::RETRIABLE_4XX => status(StatusCode::CONFLICT),
            Self::RETRIABLE_STATUS_CODES => sight.listed_status,
            Self::RETRIABLE_HEADERS => sight.listed_header,
            Self::RATE_LIMITED => status(StatusCode::TOO_MANY_REQUESTS) && sight.hint,
            Self::TOO_EARLY => status(StatusCode::TOO_EARLY) && !sight.early_data,
            Self::REQUEST_TIMEOUT => status(StatusCode::REQUEST_TIMEOUT),
            Self::MISDIRECTED => status(StatusCode::MISDIRECTED_REQUEST),
            Self::GRPC_CANCELLED => sight.grpc == Some(GrpcCode::Cancelled),
            Self::GRPC_DEADLINE_EXCEEDED => sight.grpc == Some(GrpcCode::DeadlineExceeded),
            Self::GRPC_INTERNAL => sight.grpc == Some(GrpcCode::Internal),
            Self::GRPC_RESOURCE_EXHAUSTED => sight.grpc == Some(GrpcCode::ResourceExhausted),
            Self::GRPC_UNAVAILABLE => sight.grpc == Some(GrpcCode::Unavailable),
            _ => false,
        }
    }
}

/// `gateway-error`, `connect-failure`, `refused-stream`, `reset-before-request` and gRPC `unavailable`.
impl Default for RetryOn {
    fn default() -> Self {
        Self::GATEWAY_ERROR
            | Self::CONNECT_FAILURE
            | Self::REFUSED_STREAM
            | Self::RESET_BEFORE_REQUEST
            | Self::GRPC_UNAVAILABLE
    }
}

impl BitOr for RetryOn {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for RetryOn {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// The classes of the first set that are not in the second.
impl Sub for RetryOn {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Words between commas, as in Envoy's `retry_on`.
impl FromStr for RetryOn {
    type Err = UnknownRetryOn;

    fn from_str(text: &str) -> Result<Self, UnknownRetryOn> {
        words(text).try_fold(Self::NONE, |set, text| {
            let class = word(text).ok_or_else(|| UnknownRetryOn(text.to_owned()))?;
            Ok(set | class)
        })
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::WORDS
            .iter()
            .filter(|(_, class)| self.contains(*class));
        for (index, (word, _)) in words.enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetryOn({self})")
    }
}

// === impl Sight ===

impl<'a> Sight<'a> {
    /// Only a failure, nothing else known.
    pub(crate) const fn of(failure: &'a Failure) -> Self {
        Self {
            failure: Some(failure),
            status: None,
            grpc: None,
            hint: false,
            early_data: false,
            listed_status: false,
            listed_header: false,
        }
    }
}

// === impl UnknownRetryOn ===

impl fmt::Display for UnknownRetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no class of failures", self.0)
    }
}

impl std::error::Error for UnknownRetryOn {}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn word(text: &str) -> Option<RetryOn> {
    let known = RetryOn::WORDS.iter().find(|(word, _)| *word == text);
    known.map(|(_, class)| *class)
}

const fn is_gateway_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// The connection was gone before anything was written to it.
pub(crate) fn never_left(failure: &Failure) -> bool {
    failure.is_local()
        && !failure.is_refused()
        && failure.delivery() == Delivery::NotSent
        && failure.kind() == Some(ErrorKind::ConnectionTerminated)
}

/// There is no answer, and another attempt may bring one. What was refused by us, is configured wrongly or will be as wrong the next time is not in it:
/// a closed gate, a full limit, a bad certificate, a bad request.
fn is_lost(failure: &Failure) -> bool {
    failure.is_local()
        && (failure.is_connect_failure()
            || matches!(
                failure.kind(),
                Some(
                    ErrorKind::ConnectionTerminated
                        | ErrorKind::ConnectionReadTimeout
                        | ErrorKind::ConnectionWriteTimeout
                        | ErrorKind::TlsProtocolError
                        | ErrorKind::TlsAlertReceived
                        | ErrorKind::HttpResponseIncomplete
                        | ErrorKind::HttpResponseTimeout
                        | ErrorKind::HttpProtocolError
                        | ErrorKind::ConnectionTimeout
                )
            ))
}

#[cfg(test)]
mod tests;
