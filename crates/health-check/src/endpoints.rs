use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_gateway_error::AnswerBody;
use tower_service::Service;

use crate::Health;

mod layer;
mod report;

pub use self::layer::{EndpointsFuture, EndpointsLayer, WithEndpoints};
use self::report::{Line, Report, Verdict};

/// What the own service says of itself at `/livez` and `/readyz`, in the manner of Kubernetes. Clones share it.
///
/// `/livez` says that the process runs, and depends on nothing else: an upstream that is down is no reason to restart who calls it. `/readyz` says whether it should
/// get traffic: every required check is up, and it is not draining. Both take `?verbose`; `/readyz` takes `?exclude=NAME`, repeatable, and `/readyz/NAME` asks for
/// one check.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    checks: Arc<Vec<Check>>,
    draining: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
struct Check {
    name: Arc<str>,
    health: Health,
    /// Whether the service is not ready while this is down, or only degraded.
    required: bool,
}

// === impl Endpoints ===

impl Endpoints {
    /// Endpoints without checks: ready until they drain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check without which the service is not ready. A name that is there is replaced.
    #[must_use]
    pub fn required(self, name: impl Into<Arc<str>>, health: Health) -> Self {
        self.with(Check {
            name: name.into(),
            health,
            required: true,
        })
    }

    /// Adds a check without which the service is ready, but degraded. A name that is there is replaced.
    #[must_use]
    pub fn degraded(self, name: impl Into<Arc<str>>, health: Health) -> Self {
        self.with(Check {
            name: name.into(),
            health,
            required: false,
        })
    }

    fn with(mut self, check: Check) -> Self {
        let checks = Arc::make_mut(&mut self.checks);
        checks.retain(|other| other.name != check.name);
        checks.push(check);
        self
    }

    /// Turns readiness off for good: the service is about to end.
    pub fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            tracing::warn!("draining: not ready any more");
        }
    }

    /// Says whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says whether `/readyz` answers 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining()
            && self
                .checks
                .iter()
                .all(|check| !check.required || check.health.is_up())
    }

    /// Answers a request for one of the endpoints; `None` where it is for another path.
    #[must_use]
    pub fn respond<B>(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Response<AnswerBody<B>>> {
        let report = match uri.path() {
            "/livez" => Report::new("livez", Vec::new()),
            "/readyz" => self.readiness(uri.query().unwrap_or_default()),
            path => {
                let name = percent_encoding::percent_decode_str(path.strip_prefix("/readyz/")?);
                let name = name.decode_utf8_lossy();
                let Some(check) = self.checks.iter().find(|check| *check.name == *name) else {
                    return Some(plain(StatusCode::NOT_FOUND, "no such check\n"));
                };
                Report::new("readyz", vec![check.line()])
            }
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }

        let status = match report.verdict() {
            Verdict::Fail => StatusCode::SERVICE_UNAVAILABLE,
            Verdict::Pass | Verdict::Warn => StatusCode::OK,
        };
        let json = headers.get_all(header::ACCEPT).iter().any(|accept| {
            accept
                .to_str()
                .is_ok_and(|accept| accept.contains("application/health+json"))
        });
        let verbose =
            status != StatusCode::OK || parameters(uri).any(|(name, _)| name == "verbose");
        let (content_type, text) = match (json, verbose) {
            (true, _) => ("application/health+json", report.to_json()),
            (false, true) => (PLAIN, report.to_text()),
            (false, false) => (PLAIN, "ok\n".to_owned()),
        };
        let length = HeaderValue::from(text.len());
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(text)
        };
        let mut response = answer(status, content_type, body);
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        Some(response)
    }

    fn readiness(&self, query: &str) -> Report {
        let excluded: Vec<_> = pairs(query)
            .filter(|(name, _)| name == "exclude")
            .map(|(_, value)| value)
            .collect();
        let mut lines: Vec<_> = self
            .checks
            .iter()
            .filter(|check| !excluded.iter().any(|name| **name == *check.name))
            .map(Check::line)
            .collect();
        if !excluded.iter().any(|name| name == "shutdown") {
            let verdict = if self.is_draining() {
                Verdict::Fail
            } else {
                Verdict::Pass
            };
            lines.push(Line {
                name: "shutdown".into(),
                verdict,
                reason: "draining".into(),
                since: None,
            });
        }
        Report::new("readyz", lines)
    }
}

/// Answers for the endpoints, and 404 for every other path.
impl<B> Service<Request<B>> for Endpoints {
    type Response = Response<AnswerBody<B>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.respond(request.method(), request.uri(), request.headers());
        ready(Ok(response.unwrap_or_else(|| {
            plain(StatusCode::NOT_FOUND, "not found\n")
        })))
    }
}

// === impl Check ===

impl Check {
    fn line(&self) -> Line {
        let status = self.health.status();
        let verdict = match (self.health.is_up(), self.required) {
            (true, _) => Verdict::Pass,
            (false, true) => Verdict::Fail,
            (false, false) => Verdict::Warn,
        };
        // The kind alone: the details may hold addresses, and this goes to whoever asks.
        let reason = status.reason.map_or_else(
            || "no result yet".into(),
            |reason| reason.failure().error_type().to_owned(),
        );
        Line {
            name: self.name.to_string(),
            verdict,
            reason,
            since: Some(status.since.elapsed()),
        }
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn plain<B>(status: StatusCode, text: &'static str) -> Response<AnswerBody<B>> {
    answer(status, PLAIN, Bytes::from_static(text.as_bytes()))
}

fn answer<B>(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<AnswerBody<B>> {
    let mut response = Response::new(AnswerBody::answer(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn parameters(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    pairs(uri.query().unwrap_or_default())
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned()
    };
    query.split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

#[cfg(test)]
mod tests;
