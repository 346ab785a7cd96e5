use http::{HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;

/// What stands where a secret was.
const REDACTED: &str = "REDACTED";

/// Parts of the names of headers and query parameters that hold secrets.
const SECRET: &[&str] = &[
    "credential",
    "key",
    "passwd",
    "password",
    "secret",
    "signature",
    "token",
];

/// Headers and query parameters that hold secrets, by their whole name.
const SECRETS: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "sig",
];

/// The value of a header as text, or what stands for it.
pub(super) fn redact_header(name: &HeaderName, value: &HeaderValue) -> String {
    if value.is_sensitive() || is_secret(name.as_str()) {
        return REDACTED.to_owned();
    }
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    // The one header of a request that holds the URI of another.
    if *name == header::REFERER {
        redact_uri(&text)
    } else {
        text
    }
}

/// The URI without the secrets in its userinfo and its query.
pub(crate) fn redact_uri(uri: &str) -> String {
    let (rest, query) = match uri.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (uri, None),
    };
    let mut redacted = match rest.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest
                .find('/')
                .map_or((rest, ""), |slash| rest.split_at(slash));
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{path}"),
                None => format!("{scheme}://{rest}"),
            }
        }
        None => rest.to_owned(),
    };
    if let Some(query) = query {
        let parameters: Vec<_> = query.split('&').map(redact_parameter).collect();
        redacted.push('?');
        redacted.push_str(&parameters.join("&"));
    }
    redacted
}

fn redact_parameter(parameter: &str) -> String {
    // A value can hold parameters in turn, so whatever stands before any equals sign counts as name.
    let decoded = percent_decode_str(parameter).decode_utf8_lossy();
    match decoded.rsplit_once('=') {
        Some((names, _)) if is_secret(names) => match parameter.split_once('=') {
            Some((name, _)) if !name.contains('%') => format!("{name}={REDACTED}"),
            _ => REDACTED.to_owned(),
        },
        _ => parameter.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.contains(&name.as_str()) || SECRET.iter().any(|part| name.contains(part))
}
