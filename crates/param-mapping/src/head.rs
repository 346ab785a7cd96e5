//! What becomes of the headers, the query and the status.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::Address;
use crate::address::Place;
use crate::constant::Output;
use crate::env::Env;
use crate::plan::check::is_of_connection;
use crate::query;
use crate::refusal::Refusal;
use crate::report::ChangeKind;
use crate::trie::Mode;

/// Collected first and applied at the end: removals, then writes, then what fills gaps, whatever the order of the rules.
#[derive(Debug, Default)]
pub(crate) struct HeadEdits<'a> {
    pub(crate) headers: HeaderEdits,
    pub(crate) status: Option<StatusCode>,
    removed: Vec<&'a str>,
    allowed: Vec<&'a str>,
    writes: Vec<Write<&'a str, Cow<'a, str>>>,
}

/// Those of the headers, which need nothing of the message any more.
#[derive(Debug, Default)]
pub(crate) struct HeaderEdits {
    removed: Vec<HeaderName>,
    allowed: Vec<HeaderName>,
    writes: Vec<Write<HeaderName, HeaderValue>>,
}

#[derive(Debug)]
struct Write<N, V> {
    name: N,
    values: Vec<V>,
    mode: Mode,
}

// === impl HeadEdits ===

impl<'a> HeadEdits<'a> {
    pub(crate) fn remove(&mut self, addresses: &'a [Address]) {
        for address in addresses {
            match &address.0 {
                Place::Header(name) => self.headers.removed.push(name.clone()),
                Place::Query(name) => self.removed.push(name),
                _ => {}
            }
        }
    }

    pub(crate) fn allow(&mut self, addresses: &'a [Address]) {
        for address in addresses {
            match &address.0 {
                Place::Header(name) => self.headers.allowed.push(name.clone()),
                Place::Query(name) => self.allowed.push(name),
                _ => {}
            }
        }
    }

    /// Takes what is for the head. The body is written elsewhere.
    pub(crate) fn write(&mut self, output: Output<'a>, mode: Mode) -> Result<(), Refusal> {
        match output {
            Output::Header(name, values) => self.headers.writes.push(Write {
                name: name.clone(),
                values,
                mode,
            }),
            Output::Query(name, values) => self.writes.push(Write { name, values, mode }),
            Output::Status(text) => {
                let status = text.text.trim_matches('"').parse().ok();
                let status = status.filter(|status| (200..600).contains(status));
                let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                let wrong = || Refusal::bad(&"status", "status must be from 200 to 599".to_owned());
                self.status = Some(status.ok_or_else(wrong)?);
            }
            Output::Body(_) => {}
        }
        Ok(())
    }

    /// Notes what lists of what is allowed leave out.
    pub(crate) fn note(&self, env: &Env<'_>) {
        if let Some(query) = env.head.query
            && !self.allowed.is_empty()
        {
            let removed = query::without(query, &self.removed, &[]);
            if query::without(query, &self.removed, &self.allowed) != removed {
                env.note(ChangeKind::Dropped, &"query:".into());
            }
        }
        if let Some(headers) = env.head.headers
            && !self.headers.allowed.is_empty()
            && headers
                .keys()
                .any(|name| !self.headers.removed.contains(name) && self.headers.leaves_out(name))
        {
            env.note(ChangeKind::Dropped, &"header:".into());
        }
    }

    /// The URI with its query changed; `None` where it stays.
    pub(crate) fn uri(&mut self, uri: &Uri) -> Result<Option<Uri>, Refusal> {
        if self.removed.is_empty() && self.allowed.is_empty() && self.writes.is_empty() {
            return Ok(None);
        }
        let original = uri.query().unwrap_or_default();
        self.writes.sort_by_key(|write| write.mode.is_fill());
        let replaces = |write: &&Write<_, _>| matches!(write.mode, Mode::Set | Mode::Replace);
        let writes = self.writes.iter().filter(replaces);
        let mut gone = self.removed.clone();
        gone.extend(writes.map(|write| write.name));
        let mut query = query::without(original, &gone, &self.allowed);
        for (index, write) in self.writes.iter().enumerate() {
            let is_there = || query::values(&query, write.name).next().is_some();
            if write.mode.is_fill() && is_there() {
                continue;
            }
            // Of two rules for one parameter the later one counts.
            let mut later = self.writes.iter().skip(index + 1).filter(replaces);
            if replaces(&write) && later.any(|later| later.name == write.name) {
                continue;
            }
            for value in &write.values {
                if write.mode == Mode::Prepend {
                    query::push_in_front(&mut query, write.name, value);
                } else {
                    query::push(&mut query, write.name, value);
                }
            }
        }
        if query == original {
            return Ok(None);
        }
        let changed = with_query(uri, &query);
        changed.map(Some).ok_or_else(|| {
            let detail = "the query cannot be written to this target";
            Refusal::bad(&"query:", detail.to_owned())
        })
    }
}

// === impl HeaderEdits ===

impl HeaderEdits {
    fn leaves_out(&self, name: &HeaderName) -> bool {
        !self.allowed.contains(name) && !is_needed(name)
    }

    pub(crate) fn apply(mut self, headers: &mut HeaderMap) {
        if !self.allowed.is_empty() {
            let names: Vec<_> = headers.keys().cloned().collect();
            for name in names {
                if self.leaves_out(&name) {
                    headers.remove(name);
                }
            }
        }
        self.writes.sort_by_key(|write| write.mode.is_fill());
        for name in self.removed {
            headers.remove(name);
        }
        for Write { name, values, mode } in self.writes {
            match mode {
                Mode::Add | Mode::Default if headers.contains_key(&name) => continue,
                Mode::Set | Mode::Replace => {
                    headers.remove(&name);
                }
                Mode::Prepend => {
                    let later: Vec<_> = headers.get_all(&name).iter().cloned().collect();
                    headers.remove(&name);
                    for value in values.into_iter().chain(later) {
                        headers.append(name.clone(), value);
                    }
                    continue;
                }
                Mode::Add | Mode::Default | Mode::Append | Mode::Merge => {}
            }
            for value in values {
                headers.append(name.clone(), value);
            }
        }
    }
}

/// What a message cannot be read without, whatever rules allow.
fn is_needed(name: &HeaderName) -> bool {
    let framing = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
    ];
    framing.contains(name) || is_of_connection(name)
}

/// `None` where the target has no query (`*`, an authority), or it is too long for one.
fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let path = uri.path();
    let text = if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query.as_ref()?;
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}
