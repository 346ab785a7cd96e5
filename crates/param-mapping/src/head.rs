//! What becomes of the headers and the query.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::Address;
use crate::address::Place;
use crate::plan::Output;
use crate::query;
use crate::refusal::Refusal;

/// Collected first and applied at the end: removals, then writes, then defaults, whatever the order of the rules.
#[derive(Debug, Default)]
pub(crate) struct HeadEdits<'a> {
    removed_headers: Vec<&'a HeaderName>,
    headers: Vec<Write<&'a HeaderName, HeaderValue>>,
    removed_queries: Vec<&'a str>,
    queries: Vec<Write<&'a str, Cow<'a, str>>>,
}

#[derive(Debug)]
struct Write<N, V> {
    name: N,
    values: Vec<V>,
    is_default: bool,
}

// === impl HeadEdits ===

impl<'a> HeadEdits<'a> {
    pub(crate) fn remove(&mut self, address: Option<&'a Address>) {
        match address.map(|address| &address.0) {
            Some(Place::Header(name)) => self.removed_headers.push(name),
            Some(Place::Query(name)) => self.removed_queries.push(name),
            Some(Place::Body(_)) | None => {}
        }
    }

    /// Takes what is for the head. The body is written elsewhere.
    pub(crate) fn write(&mut self, output: Output<'a>, is_default: bool) {
        match output {
            Output::Header(name, values) => self.headers.push(Write {
                name,
                values,
                is_default,
            }),
            Output::Query(name, values) => self.queries.push(Write {
                name,
                values,
                is_default,
            }),
            Output::Body(_) => {}
        }
    }

    pub(crate) fn apply_to_query(&mut self, uri: &mut Uri) -> Result<(), Refusal> {
        let original = uri.query().unwrap_or_default();
        self.queries.sort_by_key(|write| write.is_default);
        let writes = self.queries.iter().filter(|write| !write.is_default);
        let mut gone = self.removed_queries.clone();
        gone.extend(writes.map(|write| write.name));
        let mut query = query::without(original, &gone);
        for write in &self.queries {
            let is_there = || query::values(&query, write.name).next().is_some();
            if write.is_default && is_there() {
                continue;
            }
            for value in &write.values {
                query::push(&mut query, write.name, value);
            }
        }
        if query == original {
            return Ok(());
        }

        *uri = with_query(uri, &query).ok_or_else(|| {
            let detail = "the query cannot be written to this target";
            Refusal::bad(&"query:", detail.to_owned())
        })?;
        Ok(())
    }

    pub(crate) fn apply_to_headers(mut self, headers: &mut HeaderMap) {
        self.headers.sort_by_key(|write| write.is_default);
        for name in self.removed_headers {
            headers.remove(name);
        }
        for write in self.headers {
            if write.is_default && headers.contains_key(write.name) {
                continue;
            }
            headers.remove(write.name);
            for value in write.values {
                headers.append(write.name.clone(), value);
            }
        }
    }
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
