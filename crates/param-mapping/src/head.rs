//! What becomes of the headers, the cookies, the path, the query and the status.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::address::Place;
use crate::constant::Output;
use crate::env::Env;
use crate::fields::FieldEdits;
use crate::plan::check::is_of_connection;
use crate::refusal::Refusal;
use crate::report::ChangeKind;
use crate::trie::Mode;
use crate::{Address, PathTemplate, query};

mod cookies;
mod path;

use self::path::PathEdits;

/// With the fields of a form; collected first and applied at the end: removals, then writes, then what fills gaps, whatever the order of the rules.
#[derive(Debug, Default)]
pub(crate) struct HeadEdits<'a> {
    pub(crate) headers: HeaderEdits,
    pub(crate) status: Option<StatusCode>,
    query: Edits<&'a str, Cow<'a, str>>,
    // Few rules are about these, so most messages pay nothing for them.
    path: Option<Box<PathEdits<'a>>>,
    pub(crate) event: Option<Box<NameEdit>>,
    pub(crate) fields: Option<Box<FieldEdits<'a>>>,
}

/// Those of the headers, which need nothing of the message any more.
#[derive(Debug, Default)]
pub(crate) struct HeaderEdits {
    lines: Edits<HeaderName, HeaderValue>,
    cookies: Option<Box<Edits<String, String>>>,
}

/// What is done to the parameters of one location, by their names.
#[derive(Debug)]
pub(crate) struct Edits<N, V> {
    pub(crate) removed: Vec<N>,
    /// Where there are some, all others are removed.
    pub(crate) allowed: Vec<N>,
    pub(crate) writes: Vec<Write<N, V>>,
}

/// What becomes of the name of an event.
#[derive(Debug, Default)]
pub(crate) struct NameEdit {
    is_removed: bool,
    written: Option<String>,
    /// What stands where it has none.
    filled: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Write<N, V> {
    pub(crate) name: N,
    pub(crate) values: Vec<V>,
    pub(crate) mode: Mode,
}

// === impl HeadEdits ===

impl<'a> HeadEdits<'a> {
    pub(crate) fn remove(&mut self, addresses: &'a [Address]) {
        for address in addresses {
            match &address.0 {
                Place::Header(name) => self.headers.lines.removed.push(name.clone()),
                Place::Query(name) => self.query.removed.push(name),
                Place::Cookie(name) => {
                    let cookies = self.headers.cookies.get_or_insert_default();
                    cookies.removed.push(name.clone());
                }
                Place::Segment(_) => self.path.get_or_insert_default().remove(address),
                Place::Event => self.event.get_or_insert_default().is_removed = true,
                Place::Form(name) => {
                    let fields = self.fields.get_or_insert_default();
                    fields.edits.removed.push(name);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn allow(&mut self, addresses: &'a [Address]) {
        for address in addresses {
            match &address.0 {
                Place::Header(name) => self.headers.lines.allowed.push(name.clone()),
                Place::Query(name) => self.query.allowed.push(name),
                Place::Cookie(name) => {
                    let cookies = self.headers.cookies.get_or_insert_default();
                    cookies.allowed.push(name.clone());
                }
                Place::Form(name) => {
                    let fields = self.fields.get_or_insert_default();
                    fields.edits.allowed.push(name);
                }
                _ => {}
            }
        }
    }

    /// Takes what is for the head, and the fields of a form. JSON is written elsewhere.
    pub(crate) fn write(&mut self, output: Output<'a>, mode: Mode) -> Result<(), Refusal> {
        match output {
            Output::Header(name, values) => self.headers.lines.writes.push(Write {
                name: name.clone(),
                values,
                mode,
            }),
            Output::Query(name, values) => self.query.writes.push(Write { name, values, mode }),
            Output::Status(text) => {
                let status = text.text.trim_matches('"').parse().ok();
                let status = status.filter(|status| (200..600).contains(status));
                let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                let wrong = || Refusal::bad(&"status", "status must be from 200 to 599".to_owned());
                self.status = Some(status.ok_or_else(wrong)?);
            }
            Output::Plain(address, text) => match &address.0 {
                Place::Cookie(name) => {
                    let values = vec![cookies::checked(address, name, &text)?];
                    let cookies = self.headers.cookies.get_or_insert_default();
                    cookies.writes.push(Write {
                        name: name.clone(),
                        values,
                        mode,
                    });
                }
                Place::Event => self.event.get_or_insert_default().write(&text, mode),
                _ => self.path.get_or_insert_default().write(address, text),
            },
            Output::Field(name, values) => {
                let fields = self.fields.get_or_insert_default();
                fields.edits.writes.push(Write { name, values, mode });
            }
            Output::Body(_) => {}
        }
        Ok(())
    }

    /// Notes what lists of what is allowed leave out.
    pub(crate) fn note(&self, env: &Env<'_>) {
        let Edits {
            removed, allowed, ..
        } = &self.query;
        if let Some(query) = env.head.query
            && !allowed.is_empty()
            && query::without(query, removed, allowed) != query::without(query, removed, &[])
        {
            env.note(ChangeKind::Dropped, &"query:".into());
        }
        if let (Some(fields), Some(form)) = (&self.fields, env.form)
            && fields.leave_out(form)
        {
            env.note(ChangeKind::Dropped, &"form:".into());
        }
        let HeaderEdits { lines, cookies } = &self.headers;
        let Some(headers) = env.head.headers else {
            return;
        };
        let is_left_out = |name| !lines.removed.contains(name) && lines.leaves_out(name);
        if !lines.allowed.is_empty() && headers.keys().any(is_left_out) {
            env.note(ChangeKind::Dropped, &"header:".into());
        }
        if let Some(cookies) = cookies
            && cookies::leave_out(cookies, headers)
        {
            env.note(ChangeKind::Dropped, &"cookie:".into());
        }
    }

    /// The URI with its path and query changed; `None` where it stays.
    pub(crate) fn uri(
        &mut self,
        uri: &Uri,
        template: Option<&PathTemplate>,
    ) -> Result<Option<Uri>, Refusal> {
        let path = match &self.path {
            Some(path) => path.apply(uri.path(), template)?,
            None => None,
        };
        let query = if self.query.is_empty() {
            None
        } else {
            let original = uri.query().unwrap_or_default();
            Some(self.query(original)).filter(|query| query != original)
        };
        if path.is_none() && query.is_none() {
            return Ok(None);
        }
        let changed = with_target(uri, path.as_deref(), query.as_deref());
        changed.map(Some).ok_or_else(|| {
            let (param, what) = match path {
                Some(_) => ("path", "path"),
                None => ("query:", "query"),
            };
            let detail = format!("the {what} cannot be written to this target");
            Refusal::bad(&param, detail)
        })
    }

    fn query(&mut self, original: &str) -> String {
        let Edits {
            removed,
            allowed,
            writes,
        } = &mut self.query;
        writes.sort_by_key(|write| write.mode.is_fill());
        let replaces = |write: &&Write<_, _>| matches!(write.mode, Mode::Set | Mode::Replace);
        let mut gone = removed.clone();
        gone.extend(writes.iter().filter(replaces).map(|write| write.name));
        let mut query = query::without(original, &gone, allowed);
        for (index, write) in writes.iter().enumerate() {
            let is_there = || query::values(&query, write.name).next().is_some();
            if write.mode.is_fill() && is_there() {
                continue;
            }
            // Of two rules for one parameter the later one counts.
            let mut later = writes.iter().skip(index + 1).filter(replaces);
            if replaces(&write) && later.any(|later| later.name == write.name) {
                continue;
            }
            if write.mode == Mode::Prepend {
                // The last one first, so that they stand in their order.
                for value in write.values.iter().rev() {
                    query::push_in_front(&mut query, write.name, value);
                }
            } else {
                for value in &write.values {
                    query::push(&mut query, write.name, value);
                }
            }
        }
        query
    }
}

// === impl NameEdit ===

impl NameEdit {
    fn write(&mut self, name: &[u8], mode: Mode) {
        let name = String::from_utf8_lossy(name).into_owned();
        if mode.is_fill() {
            self.filled = Some(name);
        } else {
            self.written = Some(name);
        }
    }

    /// The name that stands in the place of this one, and whether it is another.
    pub(crate) fn apply(self, name: Option<&str>) -> (Option<String>, bool) {
        let kept = name.filter(|_| !self.is_removed).map(str::to_owned);
        // An empty one is none.
        let after = self.written.or(kept).or(self.filled);
        let after = after.filter(|name| !name.is_empty());
        let is_changed = after.as_deref() != name;
        (after, is_changed)
    }
}

// === impl HeaderEdits ===

impl HeaderEdits {
    /// Refuses headers to which these cannot be applied.
    pub(crate) fn check(&self, headers: Option<&HeaderMap>) -> Result<(), Refusal> {
        match headers {
            Some(headers) if self.cookies.is_some() => cookies::check(headers),
            _ => Ok(()),
        }
    }

    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        let Self { lines, cookies } = self;
        lines.apply(headers);
        // A header is the outer place of its cookies.
        if let Some(cookies) = cookies {
            cookies::apply(*cookies, headers);
        }
    }
}

// === impl Edits ===

impl<N, V> Edits<N, V> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.allowed.is_empty() && self.writes.is_empty()
    }
}

impl Edits<HeaderName, HeaderValue> {
    fn leaves_out(&self, name: &HeaderName) -> bool {
        !self.allowed.contains(name) && !is_needed(name)
    }

    fn apply(mut self, headers: &mut HeaderMap) {
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

// Not derived: that would ask for defaults of the names and values.
impl<N, V> Default for Edits<N, V> {
    fn default() -> Self {
        Self {
            removed: Vec::new(),
            allowed: Vec::new(),
            writes: Vec::new(),
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

/// `None` where the target has no path (`*`, an authority), or they are too long for one.
fn with_target(uri: &Uri, path: Option<&str>, query: Option<&str>) -> Option<Uri> {
    let path = path.unwrap_or(uri.path());
    let query = query.or(uri.query()).unwrap_or_default();
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
