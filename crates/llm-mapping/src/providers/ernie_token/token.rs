//! How a token is asked for, and what an answer says of one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};

use super::Settings;
use crate::failed::described;
use crate::provider::Failed;
use crate::providers::ernie::{error_of, oauth_error_of};
use crate::uri::segment;
use crate::{ChatError, Json, RequestBody};

/// An access token. It is never shown.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Token(Arc<str>);

/// How long a token lasts where that is not told.
const DEFAULT_LIFE: Duration = Duration::from_secs(60 * 60);

// === impl Token ===

impl Token {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads the answer to a request for one: with how long it lasts, or why there is none.
    pub(super) fn read(
        status: StatusCode,
        body: &[u8],
        settings: &Settings,
    ) -> Result<(Self, Duration), ChatError> {
        let json = Json::parse(body, "it").ok();
        if let Some(json) = json
            && status.is_success()
            && let Some(token) = json.text("access_token")
            && !token.is_empty()
        {
            let life = json.get("expires_in").and_then(Json::as_u64);
            let life = life.map_or(DEFAULT_LIFE, Duration::from_secs);
            return Ok((Self(token.decode().into()), life));
        }
        let known = json.and_then(|json| error_of(json).or_else(|| oauth_error_of(json)));
        let mut error = known.unwrap_or_else(|| {
            if status.is_client_error() || status.is_server_error() {
                let text = String::from_utf8_lossy(body);
                let headers = http::HeaderMap::new();
                return described(&Failed::new(status, &headers, json, &text));
            }
            ChatError::bad_reply("the server of access tokens answered without one")
        });
        error.clear_secret(settings.access_key.expose());
        error.clear_secret(settings.secret_key.expose());
        Err(error)
    }

    /// Adds it to the query.
    pub(super) fn add_to(&self, uri: &Uri) -> Result<Uri, ChatError> {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}access_token={}", segment(&self.0));
        with_path(uri, &path)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The request for a token, for a chat that goes to this place.
pub(super) fn request<B>(
    chat: &Uri,
    settings: &Settings,
) -> Result<Request<RequestBody<B>>, ChatError> {
    let query = format!(
        "/oauth/2.0/token?grant_type=client_credentials&client_id={}&client_secret={}",
        segment(settings.access_key.expose()),
        segment(settings.secret_key.expose()),
    );
    let uri = match &settings.base {
        None => with_path(chat, &query)?,
        Some(base) => {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(base.scheme.clone());
            parts.authority = Some(base.authority.clone());
            parts.path_and_query = Some(path(&format!("{}{query}", base.prefix))?);
            Uri::from_parts(parts).map_err(|_| no_target())?
        }
    };
    let mut request = Request::new(RequestBody::mapped(Vec::<Bytes>::new()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_LENGTH, 0.into());
    for (name, value) in [
        (header::ACCEPT, "application/json"),
        (header::ACCEPT_ENCODING, "identity"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(request)
}

fn with_path(uri: &Uri, to: &str) -> Result<Uri, ChatError> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path(to)?);
    Uri::from_parts(parts).map_err(|_| no_target())
}

fn path(path: &str) -> Result<PathAndQuery, ChatError> {
    path.parse().map_err(|_| no_target())
}

/// Not with the path: there are secrets in it.
fn no_target() -> ChatError {
    ChatError::new(
        StatusCode::BAD_REQUEST,
        "the request has no target that an access token can stand in",
    )
}
