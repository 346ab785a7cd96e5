//! What the endpoints answer over HTTP.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use tokio::time::Instant;

use super::accept::Format;
use super::check::{Check, Seen};
use super::overview::reason;
use super::report::{Details, Line, Report, Verdict};
use super::{Endpoints, HealthPath, StatusMapping};

/// What a path asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    group: HealthPath,
    /// One check of the group, or those of a tag, or all.
    one: Option<String>,
}

const SHUTDOWN: &str = "shutdown";
const STARTUP: &str = "startup";

// === impl Asked ===

impl Asked {
    /// `None` where the path is none of the endpoints.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let path = uri.path().strip_prefix('/')?;
        let (first, one) = match path.split_once('/') {
            Some((first, one)) => (first, Some(one)),
            None => (path, None),
        };
        let group = HealthPath::ALL
            .into_iter()
            .find(|group| group.as_str() == first)?;
        let one = one.map(decode);
        Some(Self { group, one })
    }
}

// === impl Endpoints ===

impl Endpoints {
    pub(super) async fn respond(self, asked: Asked, head: Parts) -> Response<Bytes> {
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        let query = head.uri.query().unwrap_or_default();
        let may_see = self.may_see(&head);
        let Some(report) = self.report(&asked, query, may_see).await else {
            return without_body(
                &head.method,
                plain(StatusCode::NOT_FOUND, "no such check\n"),
            );
        };

        let status = match report.verdict() {
            Verdict::Fail => self.mapping_of(asked.group).status_of_down(),
            Verdict::Pass | Verdict::Warn => StatusCode::OK,
        };
        let verbose = status != StatusCode::OK || pairs(query).any(|(name, _)| name == "verbose");
        let format = Format::choose(&head.headers);
        let text = match (format, verbose) {
            (Format::Json, _) => report.to_json(&[
                ("serviceId", self.service_id.as_deref()),
                ("version", self.version.as_deref()),
            ]),
            (Format::Html, _) => report.to_html(),
            (Format::Text, true) => report.to_text(),
            (Format::Text, false) => "ok".to_owned(),
        };
        let mut response = answer(status, format.content_type(), Bytes::from(text));
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if let Some(cache) = self.cache_control(may_see) {
            headers.insert(header::CACHE_CONTROL, cache);
        }
        if format == Format::Html {
            let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
            headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
        }
        if asked.group != HealthPath::Live && self.is_draining() {
            // Envoy takes an endpoint out at once that says so.
            let failed = HeaderValue::from_static("true");
            headers.insert("x-envoy-immediate-health-check-fail", failed);
        }
        without_body(&head.method, response)
    }

    /// `None` where nobody may keep an answer.
    fn cache_control(&self, may_see: bool) -> Option<HeaderValue> {
        let seconds = self.cache_for.as_secs();
        let private = if may_see { "private, " } else { "" };
        let value = format!("{private}max-age={seconds}");
        (seconds > 0).then(|| value.parse().ok()).flatten()
    }

    /// `None` where there is no such check.
    async fn report(&self, asked: &Asked, query: &str, may_see: bool) -> Option<Report> {
        let Asked { group, one } = asked;
        let mut excluded: Vec<_> = pairs(query)
            .filter(|(name, _)| name == "exclude")
            .map(|(_, value)| (value, false))
            .collect();
        let mut is_excluded = |name: &str| {
            let mut found = false;
            for (_, matched) in excluded.iter_mut().filter(|(other, _)| other == name) {
                *matched = true;
                found = true;
            }
            found
        };
        let wanted = |name: &str| one.as_ref().is_none_or(|one| one == name);
        let own = self.own_lines(*group);
        let checks = || self.checks.iter().filter(|check| group.has(check));
        let names = checks().map(Check::name);
        let mut names = names.chain(own.iter().map(|line| &*line.name));
        // A name counts more than a tag.
        let tag = one.as_deref().filter(|one| !names.any(|name| name == *one));
        let has_tag = |check: &Check| check.tags.iter().any(|other| tag == Some(&**other));
        let is_tag = checks().any(has_tag);

        // What is left out is not asked.
        let mut lines = Vec::new();
        for check in checks().filter(|check| wanted(check.name()) || has_tag(check)) {
            let line = is_excluded(check.name()).then(|| excluded_line(check.name()));
            lines.push((check.name().to_owned(), line));
        }
        let own = own.into_iter().filter(|line| is_tag || wanted(&line.name));
        let own: Vec<_> = own
            .map(|line| {
                if is_excluded(&line.name) {
                    excluded_line(&line.name)
                } else {
                    line
                }
            })
            .collect();
        if one.is_some() && lines.is_empty() && own.is_empty() {
            return None;
        }

        let asked = |check: &Check| {
            lines
                .iter()
                .any(|(name, line)| name == check.name() && line.is_none())
        };
        let mut seen = self.look(asked).await.into_iter();
        let mapping = self.mapping_of(*group);
        // In the order of the checks, as `seen` is.
        let lines = lines.into_iter().filter_map(|(_, line)| match line {
            Some(line) => Some(line),
            None => seen
                .next()
                .map(|(check, seen)| checked(&check, seen, mapping, may_see)),
        });
        let lines = lines.chain(own).collect();
        let unmatched = excluded.into_iter().filter(|(_, matched)| !matched);
        let unmatched = unmatched
            .map(|(name, _)| name)
            .take(MAX_UNMATCHED)
            .collect();
        Some(Report::new(group.as_str(), lines, unmatched))
    }

    /// What the service says without a check.
    fn own_lines(&self, group: HealthPath) -> Vec<Line> {
        let phase = self.lifecycle.phase();
        let line = |name: &str, fails, reason: &str| Line {
            name: name.to_owned(),
            verdict: if fails { Verdict::Fail } else { Verdict::Pass },
            excluded: false,
            // No secret.
            details: Some(Details {
                reason: reason.to_owned(),
                ..Details::default()
            }),
        };
        let mut lines = Vec::new();
        if group != HealthPath::Live && phase.starting {
            lines.push(line(STARTUP, true, "starting"));
        }
        if matches!(group, HealthPath::Ready | HealthPath::Health) {
            lines.push(line(SHUTDOWN, phase.draining, "draining"));
        }
        lines
    }
}

fn excluded_line(name: &str) -> Line {
    Line {
        name: name.to_owned(),
        verdict: Verdict::Pass,
        excluded: true,
        details: None,
    }
}

fn checked(check: &Check, seen: Seen, mapping: StatusMapping, may_see: bool) -> Line {
    let verdict = mapping.verdict(check, &seen);
    let details = may_see.then(|| Details {
        reason: seen
            .reason
            .map_or_else(|| "no result yet".to_owned(), |error| reason(&error)),
        since: seen.since.map(|since| since.elapsed()),
        next_check: seen
            .next_check
            .map(|next| next.saturating_duration_since(Instant::now())),
        overdue: seen.overdue,
        endpoints: check.endpoints(),
    });
    Line {
        name: check.name().to_owned(),
        verdict,
        excluded: false,
        details,
    }
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let content_type = Format::Text.content_type();
    answer(status, content_type, Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

fn without_body(method: &Method, response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        return response.map(|_| Bytes::new());
    }
    response
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| decode(&text.replace('+', " "));
    query.split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8_lossy().into_owned()
}

/// How many names that no check has are said again to who sent them.
const MAX_UNMATCHED: usize = 16;
