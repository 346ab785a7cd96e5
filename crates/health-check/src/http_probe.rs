use std::ops::RangeInclusive;
use std::time::Duration;

use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use portcullis_gateway_error::{ErrorKind, Failure, classify_response};

use crate::read::{Read, read};
use crate::{Pattern, Probe, ProbeBody, ProbeClient, ProbeError};

/// A probe that sends one HTTP request over any tower client and looks at the status of the answer, and at its body where that is asked.
///
/// HTTPS, proxies and HTTP/2 are the client's. Redirects are not followed, unless the client does. An answer that means up and has the field `x-envoy-degraded`, whatever its
/// value, is an error of [`probe`](Probe::probe) that [`is_degraded`](ProbeError::is_degraded): up, and called last.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use portcullis_health_check::{HttpProbe, Pattern, Probe};
///
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// let probe = HttpProbe::new(client, "http://127.0.0.1:1/healthz".parse().unwrap())
///     .expected(200..=299)
///     .body(Pattern::contains("\"status\":\"pass\""));
/// assert!(probe.probe().await.is_err());
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone, Debug)]
pub struct HttpProbe<C> {
    client: C,
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    expected: Vec<RangeInclusive<u16>>,
    decisive: Vec<RangeInclusive<u16>>,
    expected_headers: Vec<(HeaderName, Pattern)>,
    body: Option<Pattern>,
    max_body: usize,
    timeout: Option<Duration>,
}

/// How much of an answer is read so that its connection can be used again.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// An upstream says by this field, whatever its value, that others are better called.
const DEGRADED: HeaderName = HeaderName::from_static("x-envoy-degraded");

/// An upstream that is being emptied says by this field that nobody need ask again.
const IMMEDIATE_FAIL: HeaderName = HeaderName::from_static("x-envoy-immediate-health-check-fail");

// === impl HttpProbe ===

impl<C> HttpProbe<C> {
    /// A `GET` of this URI over this client, expecting 200 to 399.
    pub fn new(client: C, uri: Uri) -> Self {
        Self {
            client,
            method: Method::GET,
            uri,
            headers: Vec::new(),
            expected: vec![200..=399],
            decisive: Vec::new(),
            expected_headers: Vec::new(),
            body: None,
            max_body: MAX_BODY_BYTES,
            timeout: None,
        }
    }

    /// The same, of another URI.
    #[cfg(feature = "config")]
    pub(crate) fn to(mut self, uri: Uri) -> Self {
        self.uri = uri;
        self
    }

    /// Replaces the method. Default: `GET`.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header field. Default: `user-agent: portcullis-health-check`; one of that name replaces it.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the `host` field, where the upstream serves another name than it is reached by. Default: that of the URI. HTTP/2 has it from the URI alone.
    pub fn host(self, host: HeaderValue) -> Self {
        self.header(header::HOST, host)
    }

    /// Replaces the statuses that mean up. Default: 200 to 399 (Kubernetes).
    pub fn expected(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expected.clear();
        self.expected.push(statuses);
        self
    }

    /// Adds statuses that mean up.
    pub fn also_expected(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expected.push(statuses);
        self
    }

    /// Adds statuses that turn the state down at once, without waiting for others. Default: none.
    ///
    /// Envoy takes every status so that is neither expected nor in its `retriable_statuses`. An answer with the field
    /// `x-envoy-immediate-health-check-fail` is one too, whatever its status.
    pub fn decisive(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.decisive.push(statuses);
        self
    }

    /// Adds a header field that an answer that means up must have, with such a value: `x-served-by: orders`, so that the address of an upstream that another service has taken
    /// over is down. Where the field is there several times, one of them is enough. Default: none. Source: Envoy's `service_name_matcher`, HAProxy's `http-check expect hdr`.
    pub fn expected_header(mut self, name: HeaderName, value: Pattern) -> Self {
        self.expected_headers.push((name, value));
        self
    }

    /// Sets what the body must have, within the first [`max_body`](Self::max_body) bytes. Default: anything.
    pub fn body(mut self, pattern: Pattern) -> Self {
        self.body = Some(pattern);
        self
    }

    /// Replaces how much of an answer is read, in bytes. Default: 64 KiB. The connection of one that is longer is not used again.
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets how long this probe may last, from the first byte of the request to the last of the answer. Default: what the monitor says.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    fn request(&self) -> Request<ProbeBody> {
        let mut request = Request::new(ProbeBody::default());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static("portcullis-health-check"));
        request
    }

    fn judge(&self, head: &Parts, read: &Read) -> Result<(), ProbeError> {
        let status = head.status;
        let within = |ranges: &[RangeInclusive<u16>]| {
            ranges.iter().any(|range| range.contains(&status.as_u16()))
        };
        let failed = |details: String| {
            let failure = classify_response(status, &head.headers).unwrap_or(Failure::answered(
                status,
                Some(ErrorKind::DestinationUnavailable),
            ));
            Err(ProbeError::new(failure, details))
        };
        if head.headers.contains_key(IMMEDIATE_FAIL) {
            return failed(format!("answered {status} with {IMMEDIATE_FAIL}"))
                .map_err(ProbeError::decisive);
        }
        if !within(&self.expected) {
            let failed = failed(format!("answered {status}"));
            return if within(&self.decisive) {
                failed.map_err(ProbeError::decisive)
            } else {
                failed
            };
        }
        let has = |(name, value): &&(HeaderName, Pattern)| {
            let mut found = head.headers.get_all(name).iter();
            found.any(|found| value.matches(found.as_bytes()))
        };
        if let Some((name, value)) = self.expected_headers.iter().find(|header| !has(header)) {
            return failed(format!("answered {status} without {name}: {value}"));
        }
        if read.failed {
            let details = format!("answered {status} with a body that broke off");
            return Err(ProbeError::new(ErrorKind::HttpResponseIncomplete, details));
        }
        match &self.body {
            Some(pattern) if !pattern.matches(&read.bytes) => failed(format!(
                "answered {status} with a body that is not {pattern} within {} bytes",
                read.bytes.len()
            )),
            _ => degraded(head),
        }
    }
}

/// What the head of an answer that means up says of whether it is degraded.
pub(crate) fn degraded(head: &Parts) -> Result<(), ProbeError> {
    if !head.headers.contains_key(DEGRADED) {
        return Ok(());
    }
    let details = format!("answered {} with {DEGRADED}", head.status);
    Err(ProbeError::new(Failure::answered(head.status, None), details).degraded())
}

impl<C: ProbeClient> Probe for HttpProbe<C> {
    async fn probe(&self) -> Result<(), ProbeError> {
        let response = self.client.ask(self.request()).await?;

        let (head, body) = response.into_parts();
        let read = read(body, self.max_body, self.body.is_some()).await;
        self.judge(&head, &read)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
