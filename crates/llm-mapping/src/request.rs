//! From the caller's request to the provider's.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use portcullis_gateway_error::classify_error;
use portcullis_param_mapping::Report;

use crate::answer::is_coded;
use crate::collect::Unread;
use crate::exchange::Asked;
use crate::future::Turn;
use crate::json::Document;
use crate::provider::Authorization;
use crate::{Caller, Chat, ChatError, Outgoing};

/// A request that can be sent.
pub(crate) struct Prepared {
    pub(crate) parts: Parts,
    pub(crate) body: Vec<Bytes>,
}

/// The model to ask for in place of the one in the request, in the extensions of the request: what a layer further out, which
/// chose the provider, has to say.
///
/// ```
/// # use http::Request;
/// use portcullis_llm_mapping::ChatModel;
///
/// let mut request = Request::post("/v1/chat/completions").body(())?;
/// request.extensions_mut().insert(ChatModel::new("claude-sonnet-4-5"));
/// # Ok::<_, http::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChatModel(Arc<str>);

// === impl ChatModel ===

impl ChatModel {
    /// This model.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>) -> Self {
        Self(model.into())
    }

    /// Returns the name of the model.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the provider's request.
pub(crate) fn prepare(
    mut parts: Parts,
    body: &Bytes,
    turn: &mut Turn,
) -> Result<Prepared, ChatError> {
    let settings = Arc::clone(&turn.settings);
    let provider = &*settings.provider;
    if is_coded(&parts.headers) {
        let message = "the body must come without a content coding";
        return Err(ChatError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let mut report = Report::default();
    let body = &turn.caller.chat(body, &mut report)?;
    let document = Document::parse(body, "the body")
        .map_err(|reason| ChatError::new(StatusCode::BAD_REQUEST, reason))?;
    let json = document.root();
    let mut chat = if provider.is_native() {
        Chat::parse_head(json)?
    } else {
        Chat::parse(json)?
    };
    let model = settings.model.clone();
    let model = model.or_else(|| parts.extensions.get::<ChatModel>().cloned());
    if let Some(model) = &model {
        chat.model = model.as_str().to_owned().into();
    }
    let length = chat.model.len();
    if !(1..=MAX_MODEL).contains(&length) {
        let message = format!("`model` must have 1 to {MAX_MODEL} bytes, has {length}");
        return Err(ChatError::invalid("model", message));
    }

    let mut out = Outgoing::new(
        Arc::clone(&settings.provider),
        body,
        Arc::clone(&settings.tables),
    );
    let is_same = provider.is_native() && settings.tables.changes_nothing() && model.is_none();
    out.param("model").string(&chat.model);
    provider.request(&chat, &mut out)?;
    let asked = Asked {
        model: chat.model.clone().into_owned(),
        is_stream: chat.is_stream,
        includes_usage: chat.includes_usage,
        tells_reasoning: settings.tells_reasoning,
    };
    let sent = if is_same {
        out.pass(body.clone())
    } else {
        let params = out.take_params(&chat)?;
        let mapped = settings.tables.map(&mut parts, &params)?;
        out.finish(&mapped.map_or(params, portcullis_param_mapping::Mapped::into_bytes))?
    };
    // What the rules did, besides what the policies did.
    let by_rules = parts.extensions.remove::<Report>();
    let body = sent.body;
    turn.asked = Some(asked);
    turn.report = report;
    for change in sent
        .report
        .changes()
        .chain(by_rules.iter().flat_map(Report::changes))
    {
        // The model may go elsewhere than into the body.
        if change.param() != "body:/model" {
            turn.report.add(change.kind(), change.param());
        }
    }

    turn.secret = authorize(&mut parts.headers, provider.authorization(), turn)?;
    let length: usize = body.iter().map(Bytes::len).sum();
    describe(&mut parts.headers, length, provider.is_native());
    for (name, value) in sent.headers {
        parts.headers.insert(name, value);
    }
    parts.uri = target(std::mem::take(&mut parts.uri), sent.path, &settings)?;
    if settings.base.is_some() {
        // The client writes that of the new authority; the others are for the one that was asked, and for nobody else.
        for name in [header::HOST, header::COOKIE, header::PROXY_AUTHORIZATION] {
            parts.headers.remove(name);
        }
    }
    Ok(Prepared { parts, body })
}

/// The error for a body that did not come whole. What ended it knows best how that is answered: 408 for a caller that stalls.
pub(crate) fn unreadable(error: Unread, limit: usize) -> ChatError {
    match error {
        Unread::TooLarge => {
            let message = format!("the body is larger than {limit} bytes");
            ChatError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        Unread::Broken(error) => {
            let status = classify_error(&*error).answer_status();
            let message = "the body ended before it was complete";
            ChatError::new(status.unwrap_or(StatusCode::BAD_REQUEST), message)
        }
    }
}

/// Tells the provider who calls. Returns what no error may repeat.
fn authorize(
    headers: &mut HeaderMap,
    authorization: Authorization,
    turn: &Turn,
) -> Result<Option<String>, ChatError> {
    if turn.caller == Caller::Anthropic {
        headers.remove("anthropic-version");
        headers.remove("anthropic-beta");
        // A key is a key, wherever its caller's API has it.
        if let Some(key) = headers.remove("x-api-key")
            && !headers.contains_key(header::AUTHORIZATION)
            && let Ok(key) = key.to_str()
        {
            headers.insert(header::AUTHORIZATION, secret(&format!("Bearer {key}"))?);
        }
    }
    let own = turn.settings.api_key.as_ref().map(crate::ApiKey::expose);
    let callers = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .map(str::to_owned);
    let key = own.map(str::to_owned).or(callers);
    match authorization {
        Authorization::Bearer => {
            if let Some(own) = own {
                headers.insert(header::AUTHORIZATION, secret(&format!("Bearer {own}"))?);
            }
        }
        Authorization::Header(name) => {
            headers.remove(header::AUTHORIZATION);
            if let Some(key) = &key {
                headers.insert(name, secret(key)?);
            }
        }
        Authorization::Beside(name) => {
            if let Some(own) = own {
                headers.insert(name, secret(own)?);
            }
        }
        Authorization::None => {
            headers.remove(header::AUTHORIZATION);
        }
    }
    Ok(key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn secret(text: &str) -> Result<HeaderValue, ChatError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let message = "the key cannot stand in a header";
        ChatError::new(StatusCode::UNAUTHORIZED, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Makes the headers right for the new body.
fn describe(headers: &mut HeaderMap, length: usize, is_native: bool) {
    for name in [
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "transfer-encoding",
        "trailer",
        // The body is here already.
        "expect",
    ] {
        headers.remove(name);
    }
    if !is_native {
        headers.remove("openai-organization");
        headers.remove("openai-project");
    }
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    // The answer is read here.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
}

fn target(uri: Uri, path: String, settings: &crate::layer::Settings) -> Result<Uri, ChatError> {
    let wrong = || ChatError::invalid("model", "`model` makes no path that can be asked for");
    if leads_elsewhere(&path) {
        return Err(wrong());
    }
    let wrong = |_| wrong();
    let mut parts = uri.into_parts();
    let path = match &settings.base {
        Some(base) => {
            parts.scheme = Some(base.scheme.clone());
            parts.authority = Some(base.authority.clone());
            format!("{}{path}", base.prefix)
        }
        None => path,
    };
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(wrong)?);
    let wrong = |_| ChatError::new(StatusCode::BAD_REQUEST, "the request has no right target");
    Uri::from_parts(parts).map_err(wrong)
}

/// Whether a step of a path is one that whoever follows it takes out, with another one, as
/// [RFC 3986, section 5.2.4](https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4) says: a model of that name would lead anywhere.
fn leads_elsewhere(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|step| {
        let is_short = step.len() <= "%2e%2e".len();
        is_short && matches!(&*step.to_ascii_lowercase().replace("%2e", "."), "." | "..")
    })
}

/// The longest name of a model: that of a resource of Amazon's.
const MAX_MODEL: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_of_a_path_leads_back() {
        for (path, expected) in [
            ("/v1/chat/completions", false),
            ("/model/../invoke", true),
            ("/model/%2E./invoke", true),
            ("/model/./invoke", true),
            ("/chat/..", true),
            ("/chat/..?access_token=x", true),
            ("/chat/...", false),
            ("/models/..:generateContent", false),
            ("/chat/a?b=/../", false),
        ] {
            assert_eq!(leads_elsewhere(path), expected, "{path}");
        }
    }
}
