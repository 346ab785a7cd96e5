use std::fmt;
use std::time::Duration;

use http::response::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};

use crate::{Failure, ProxyStatus, RetryOutcome};

mod advice;
mod curl;
mod redact;

use self::redact::redact_header;
pub(crate) use self::redact::redact_uri;

/// What a person who looks for the cause of a failed exchange wants on one screen.
///
/// As `Display` it is that screen; [`emit`](Self::emit) writes it as one event. Neither shows a secret: see [`curl`](Self::curl).
///
/// ```
/// use http::Request;
/// use portcullis_gateway_error::{Diagnosis, ErrorKind, Failure, RequestFacts};
///
/// let request = Request::get("http://orders.internal/v1?id=7&api_key=hunter2").body(())?;
/// let facts = RequestFacts::of(&request);
/// let failure = Failure::new(ErrorKind::ConnectionRefused);
///
/// assert_eq!(
///     Diagnosis::new(&facts, failure).error("tcp connect error").to_string(),
///     "GET http://orders.internal/v1?id=7&api_key=REDACTED\n\
///      failed:  connection_refused: the connection was refused\n\
///      error:   tcp connect error\n\
///      hop:     this one, on the way to orders.internal\n\
///      request: not_sent\n\
///      check:   whether the upstream is running and listens on this address and port; a deploy or a maintenance looks like this\n\
///      repeat:  curl -i -g --path-as-is 'http://orders.internal/v1?id=7&api_key=REDACTED'\n"
/// );
/// # Ok::<_, http::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The request's method.
    pub method: Method,
    /// Where the request went, without secrets.
    pub uri: String,
    /// What went wrong.
    pub failure: Failure,
    /// The text of the error with its sources, where there was one.
    pub error: Option<String>,
    /// The hop that failed.
    pub hop: FailedHop,
    /// The status of the answer, where there was one.
    pub status: Option<StatusCode>,
    /// The headers of the answer that tell something, as `name: value`, without secrets.
    pub headers: Vec<(HeaderName, String)>,
    /// The attempts that were made.
    pub attempts: Option<RetryOutcome>,
    /// How long the exchange took.
    pub elapsed: Option<Duration>,
    /// What to check next.
    pub advice: &'static str,
    /// A `curl` command that repeats the request. What is secret in it is replaced by `REDACTED`: the headers `authorization`, `proxy-authorization`,
    /// `cookie` and those marked as sensitive, every header and query parameter whose name contains `key`, `token`, `secret`, `password`, `signature` or
    /// `credential`, and the userinfo of the URI. A body is not kept; where there was one it is read from `body.bin`.
    pub curl: String,
}

/// Which hop of the chain failed, as far as can be told.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FailedHop {
    /// This one, on the way to the named next hop.
    Ours(String),
    /// An intermediary that said so itself in `Proxy-Status`.
    Reported(String),
    /// The intermediary nearest to the origin that left its name in `Via`, or what stands behind it.
    Via(String),
    /// The software that answered, by the name in `Server`.
    Server(String),
    /// Whoever answered, without a name.
    Unknown,
}

/// What must be kept of a request to diagnose it later: method, URI and headers. Taking them copies all three.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

// === impl Diagnosis ===

impl Diagnosis {
    /// A diagnosis of a failure that had no answer, or whose answer is not at hand.
    #[must_use]
    pub fn new(request: &RequestFacts, failure: Failure) -> Self {
        Self {
            method: request.method.clone(),
            uri: redact_uri(&request.whole_uri()),
            failure,
            error: None,
            hop: if failure.is_local() {
                FailedHop::Ours(request.next_hop().to_owned())
            } else {
                FailedHop::Unknown
            },
            status: failure.status(),
            headers: Vec::new(),
            attempts: None,
            elapsed: None,
            advice: advice::next(failure),
            curl: curl::command(request),
        }
    }

    /// Adds the text of the error. It is for the log, not for the caller.
    #[must_use]
    pub fn error(mut self, text: impl Into<String>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// Adds what the answer says: its status, its telling headers, which hop failed, and the attempts in its extensions.
    #[must_use]
    pub fn response(mut self, head: &Parts) -> Self {
        self.status = Some(head.status);
        self.headers = telling(&head.headers);
        if !self.failure.is_local() {
            self.hop = FailedHop::from_headers(&head.headers);
        }
        if let Some(attempts) = head.extensions.get::<RetryOutcome>() {
            self.attempts = Some(attempts.clone());
        }
        self
    }

    /// Adds the attempts.
    #[must_use]
    pub fn attempts(mut self, attempts: RetryOutcome) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Adds how long the exchange took.
    #[must_use]
    pub const fn elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = Some(elapsed);
        self
    }

    /// Returns the number of the last attempt; 1 where nobody counted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let last = self.attempts.as_ref().and_then(RetryOutcome::last);
        last.map_or(1, |record| record.number.get())
    }

    /// Writes it as one event at level `WARN` whose fields are named as in OpenTelemetry, where it has names.
    pub fn emit(&self) {
        tracing::warn!(
            error.r#type = self.failure.error_type(),
            http.request.method = self.method.as_str(),
            url.full = self.uri,
            http.response.status_code = self.status.map(|status| status.as_u16()),
            http.request.resend_count = self.attempt().saturating_sub(1),
            delivery = self.failure.delivery().as_str(),
            elapsed_ms = self.elapsed.map(|elapsed| elapsed.as_secs_f64() * 1000.0),
            hop = %self.hop,
            attempts = self.attempts.as_ref().map(tracing::field::display),
            headers = (!self.headers.is_empty()).then(|| joined(&self.headers)),
            error = self.error,
            check = self.advice,
            curl = self.curl,
            "exchange failed",
        );
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.uri)?;
        write!(f, "failed:  ")?;
        match self.failure.kind() {
            Some(kind) => writeln!(f, "{kind}: {}", self.failure)?,
            None => writeln!(f, "{}", self.failure)?,
        }
        if let Some(status) = self.status {
            writeln!(f, "status:  {status}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "error:   {error}")?;
        }
        writeln!(f, "hop:     {}", self.hop)?;
        writeln!(f, "request: {}", self.failure.delivery())?;
        if let Some(attempts) = &self.attempts {
            writeln!(f, "attempt: {} ({attempts})", self.attempt())?;
        }
        if let Some(elapsed) = self.elapsed {
            writeln!(f, "elapsed: {:.3}s", elapsed.as_secs_f64())?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "header:  {name}: {value}")?;
        }
        writeln!(f, "check:   {}", self.advice)?;
        writeln!(f, "repeat:  {}", self.curl)
    }
}

// === impl FailedHop ===

impl FailedHop {
    /// Reads from the headers of an answer which hop failed: `Proxy-Status` says it, `Via` and `Server` hint at it.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let reported = ProxyStatus::from_headers(headers);
        if let Some(hop) = reported.as_ref().and_then(ProxyStatus::failed_hop) {
            return Self::Reported(hop.to_string());
        }
        // In a response each intermediary adds itself at the end, so the first is the nearest to the origin (RFC 9110, section 7.6.3).
        let via = first(headers, &http::header::VIA)
            .and_then(|via| via.split(',').next())
            .and_then(|entry| entry.split_whitespace().nth(1));
        if let Some(name) = via {
            return Self::Via(name.to_owned());
        }
        match first(headers, &http::header::SERVER) {
            Some(name) => Self::Server(name.to_owned()),
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for FailedHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(next) if next.is_empty() => f.write_str("this one"),
            Self::Ours(next) => write!(f, "this one, on the way to {next}"),
            Self::Reported(name) => write!(f, "{name}, says proxy-status"),
            Self::Via(name) => write!(f, "at or behind {name}, says via"),
            Self::Server(name) => write!(f, "one that calls itself {name}, says server"),
            Self::Unknown => f.write_str("one that gave no name"),
        }
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    /// Copies what a diagnosis needs of this request.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::from_parts(request.method(), request.uri(), request.headers())
    }

    /// Copies what a diagnosis needs of a request with this method, URI and headers.
    #[must_use]
    pub fn from_parts(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        Self {
            method: method.clone(),
            uri: uri.clone(),
            headers: headers.clone(),
        }
    }

    /// Host and port, without userinfo: of the URI, else of `Host`.
    fn next_hop(&self) -> &str {
        let authority = match self.uri.authority() {
            Some(authority) => authority.as_str(),
            None => first(&self.headers, &http::header::HOST).unwrap_or_default(),
        };
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// The URI with scheme and authority, which a request that a server received has not in its URI.
    fn whole_uri(&self) -> String {
        if self.uri.authority().is_some() || self.next_hop().is_empty() {
            self.uri.to_string()
        } else {
            format!("http://{}{}", self.next_hop(), self.uri)
        }
    }
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn telling(headers: &HeaderMap) -> Vec<(HeaderName, String)> {
    let telling = |name: &HeaderName| {
        let name = name.as_str();
        TELLING.contains(&name) || name.starts_with("x-amzn-")
    };
    let value = |name: &HeaderName, value| {
        let mut text: String = redact_header(name, value);
        if let Some((end, _)) = text.char_indices().nth(VALUE_LIMIT) {
            text.truncate(end);
            text.push_str("...");
        }
        (name.clone(), text)
    };
    headers
        .iter()
        .filter(|(name, _)| telling(name))
        .take(HEADER_LIMIT)
        .map(|(name, bytes)| value(name, bytes))
        .collect()
}

fn joined(headers: &[(HeaderName, String)]) -> String {
    let lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join("; ")
}

/// Headers that tell who answered and what to ask them.
const TELLING: &[&str] = &[
    "cf-ray",
    "proxy-status",
    "retry-after",
    "server",
    "server-timing",
    "via",
    "x-cache",
    "x-request-id",
];

/// The longest value that is shown, in characters, and how many headers are.
const VALUE_LIMIT: usize = 256;
const HEADER_LIMIT: usize = 32;

#[cfg(test)]
mod tests;
