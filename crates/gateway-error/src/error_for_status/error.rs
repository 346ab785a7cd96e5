use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::classify::classify_head;
use crate::{ErrorKind, Failure, Problem, RetryAfter, RetryOutcome};

/// An answer that is an error by its status: what [`ErrorForStatusLayer`](crate::ErrorForStatusLayer) gives.
///
/// Its text holds the status and the kind; the body and the headers, which can hold what is not for a log, are behind getters.
#[derive(Clone, Debug)]
pub struct StatusError {
    head: Box<Parts>,
    failure: Option<Failure>,
    body: Bytes,
    whole: bool,
}

/// The error of [`ErrorForStatus`](crate::ErrorForStatus): an answer that is one, or an error of the inner service.
#[derive(Clone, Debug)]
pub enum StatusOr<E> {
    /// There was an answer, and its status is an error.
    Status(StatusError),
    /// The inner service failed.
    Inner(E),
}

// === impl StatusError ===

impl StatusError {
    pub(super) fn new(head: Box<Parts>, body: Bytes, whole: bool) -> Self {
        Self {
            failure: classify_head(&head),
            head,
            body,
            whole,
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the classification, where the answer is a gateway error.
    #[must_use]
    pub const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Returns the kind, where the answer is a gateway error and says which.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.failure.and_then(|failure| failure.kind())
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns the first bytes of the body, as many as the layer keeps.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Says whether the body is whole: it was not over the limit, and did not break off.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Reads the body as a problem document, where the answer says that it is one and it is whole.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let content_type = self.head.headers.get(http::header::CONTENT_TYPE)?;
        let essence = content_type.to_str().ok()?.split(';').next()?.trim();
        if !self.whole || !essence.eq_ignore_ascii_case(Problem::CONTENT_TYPE) {
            return None;
        }
        Problem::from_slice(&self.body).ok()
    }

    /// Returns how long the upstream asks to wait, see [`RetryAfter::from_headers`].
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        RetryAfter::from_headers(&self.head.headers, now)
    }

    /// Returns the attempts that a layer further in made.
    #[must_use]
    pub fn attempts(&self) -> Option<&RetryOutcome> {
        self.head.extensions.get()
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the upstream answered {}", self.head.status)?;
        match self.kind() {
            Some(kind) => write!(f, " ({kind})"),
            None => Ok(()),
        }
    }
}

impl Error for StatusError {}

// === impl StatusOr ===

impl<E: fmt::Display> fmt::Display for StatusOr<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(error) => error.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for StatusOr<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Status(error) => Some(error),
            Self::Inner(error) => Some(error),
        }
    }
}
