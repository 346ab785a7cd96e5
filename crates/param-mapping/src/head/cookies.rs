//! What becomes of the cookies of a request.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::{Edits, Write};
use crate::refusal::Refusal;
use crate::{Address, Cookies};

/// The text of a cookie that can be written, or why it cannot.
pub(crate) fn checked(address: &Address, name: &str, text: &[u8]) -> Result<String, Refusal> {
    let refused = |why: &str| Refusal::bad(address, format!("{address} cannot be written: {why}"));
    let text = str::from_utf8(text).map_err(|_| refused("it is not UTF-8"))?;
    match Cookies::new("").set(name, text) {
        Ok(_) => Ok(text.to_owned()),
        Err(invalid) => Err(refused(&invalid.to_string())),
    }
}

/// Refuses cookies that cannot be read, where some of them are changed.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.all(|line| str::from_utf8(line.as_bytes()).is_ok()) {
        return Ok(());
    }
    let detail = "a header line of cookies is not UTF-8".to_owned();
    Err(Refusal::bad(&"header:cookie", detail))
}

/// Whether the list of what is allowed leaves a cookie out.
pub(crate) fn leave_out(edits: &Edits<String, String>, headers: &HeaderMap) -> bool {
    let Edits {
        removed, allowed, ..
    } = edits;
    let is_left_out = |name: &str| !allowed.iter().chain(removed).any(|known| known == name);
    let lines = headers.get_all(COOKIE).iter();
    let mut lines = lines.filter_map(|line| str::from_utf8(line.as_bytes()).ok());
    !allowed.is_empty()
        && lines.any(|line| Cookies::new(line).iter().any(|(name, _)| is_left_out(name)))
}

/// Changes cookies. Several lines become one, as RFC 9113, section 8.2.3, says; where nothing changes, they stay.
pub(crate) fn apply(mut edits: Edits<String, String>, headers: &mut HeaderMap) {
    let lines = headers.get_all(COOKIE).iter();
    let lines: Vec<_> = lines
        .filter_map(|line| str::from_utf8(line.as_bytes()).ok())
        .collect();
    let original = lines.join("; ");
    let allowed = &edits.allowed;
    let mut header = Cookies::new(&original).retain(|name| {
        let is_allowed = allowed.is_empty() || allowed.iter().any(|allowed| allowed == name);
        is_allowed && !edits.removed.iter().any(|removed| removed == name)
    });
    edits.writes.sort_by_key(|write| write.mode.is_fill());
    for Write { name, values, mode } in edits.writes {
        if mode.is_fill() && Cookies::new(&header).get(&name).is_some() {
            continue;
        }
        for value in values {
            // It was checked when it was noted.
            if let Ok(changed) = Cookies::new(&header).set(&name, &value) {
                header = changed;
            }
        }
    }
    if header == original {
        return;
    }
    headers.remove(COOKIE);
    if !header.trim().is_empty()
        && let Ok(value) = HeaderValue::from_bytes(header.as_bytes())
    {
        headers.insert(COOKIE, value);
    }
}
