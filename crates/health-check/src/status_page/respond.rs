//! What the page answers over HTTP.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri};

use super::body::Answer;
use super::live::Live;
use super::{StatusPage, html, json};
use crate::endpoints::choose;

/// The forms of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Html,
    Json,
    Events,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    Page,
    Events,
}

// === impl StatusPage ===

impl StatusPage {
    /// `None` where the path is another.
    pub(super) fn route(&self, uri: &Uri) -> Option<Route> {
        match uri.path().strip_prefix(&*self.path)? {
            "" | "/" => Some(Route::Page),
            "/events" => Some(Route::Events),
            _ => None,
        }
    }

    pub(super) fn respond(&self, route: Route, head: &Parts) -> Response<Answer> {
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        let format = match route {
            Route::Page => Format::choose(head),
            Route::Events => Format::Events,
        };
        let response = match format {
            _ if !self.endpoints.may_see(head) => {
                plain(StatusCode::FORBIDDEN, "details are withheld\n")
            }
            Format::Html => {
                let text = html::page(&self.look());
                answer("text/html; charset=utf-8", OWN_ONLY, text)
            }
            Format::Json => answer("application/json", NOTHING, json::page(&self.look())),
            Format::Events => self.live(&head.method),
        };
        if head.method == Method::HEAD {
            return response.map(|_| Answer::whole(Bytes::new()));
        }
        response
    }

    fn live(&self, method: &Method) -> Response<Answer> {
        let answer = if self.endpoints.has_ended() {
            None
        } else if method == Method::HEAD {
            // It takes no place from anybody.
            let is_free = !self.feed.is_full(self.listeners);
            is_free.then(|| Answer::whole(Bytes::new()))
        } else {
            let place = self.feed.enter(self.listeners);
            place.map(|place| Answer::Live(Box::new(Live::new(self.clone(), place))))
        };
        let Some(answer) = answer else {
            tracing::debug!(
                most = self.listeners,
                "status page: one who looks is refused"
            );
            let text = "too many look, or it ends\n";
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
            let again = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, again);
            return response;
        };
        let mut response = Response::new(answer);
        let headers = response.headers_mut();
        headers.extend(own_headers("text/event-stream", NOTHING));
        // nginx would keep events until it has enough of them.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

// === impl Format ===

impl Format {
    /// Chooses by `accept`; HTML where nothing fits.
    fn choose(head: &Parts) -> Self {
        let ranges = [
            ("text/html", Self::Html),
            ("text/*", Self::Html),
            ("*/*", Self::Html),
            ("application/json", Self::Json),
            ("application/*", Self::Json),
            ("text/event-stream", Self::Events),
        ];
        choose(&head.headers, &ranges, Self::Html)
    }
}

/// An answer that is no page.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = answer("text/plain; charset=utf-8", NOTHING, text.to_owned());
    *response.status_mut() = status;
    response
}

fn answer(content_type: &'static str, policy: &'static str, text: String) -> Response<Answer> {
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Answer::whole(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.extend(own_headers(content_type, policy));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

/// What every answer says: that nobody keeps it, shows it in a frame, or tells others where it was.
fn own_headers(
    content_type: &'static str,
    policy: &'static str,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    headers
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// The policy of the page. The hashes are those of what stands on it; a test counts them again.
const OWN_ONLY: &str = "default-src 'none'; style-src 'sha256-nqr6hTG7kVgCnj6QSZdQLtTdOQQ2a+b3Ooi+MBDU4jo='; script-src 'sha256-NiJbtZ0rwoQu4TwdqSpbHbxHhw56lxgTHuihG8dhhQc='; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// That of every other answer.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
