//! What a plan does to one request: reads see the original, writes go to the output, and nothing is changed before all is known to be right.

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http_body::Body;
use portcullis_gateway_error::is_grpc;

use crate::found::Found;
use crate::head::HeadEdits;
use crate::plan::{Output, Plan, Step};
use crate::refusal::Refusal;
use crate::tree::{Values, View};
use crate::{Address, json};

/// How much of a request is mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// A gRPC call: its messages are not ours to read.
    Headers,
    /// All but the body, which no rule touches or none can read.
    Head,
    Whole,
}

/// What must be done with a body before the request can be mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Work {
    /// Nothing: it passes as it is.
    Pass(Scope),
    /// It is empty, and may be given content.
    Empty,
    Collect,
}

// === impl Plan ===

impl Plan {
    /// Decides what must be done with the body.
    pub(crate) fn work(&self, parts: &Parts, body: &impl Body) -> Result<Work, Refusal> {
        if is_grpc(&parts.headers) {
            return Ok(Work::Pass(Scope::Headers));
        }
        if self.body.is_none() {
            return Ok(Work::Pass(Scope::Head));
        }
        if body.is_end_stream() {
            return Ok(Work::Empty);
        }
        if !is_readable(&parts.headers) {
            return match self.needs_body(parts) {
                Some(address) => Err(Refusal::not_json(address)),
                None => Ok(Work::Pass(Scope::Head)),
            };
        }
        // What can be known before the body is read.
        for step in &self.steps {
            if let Some((address, true)) = step.source()
                && !address.is_body()
                && !Found::is_in_head(address, parts)
            {
                return Err(Refusal::missing(address));
            }
        }
        let limit = u64::try_from(self.max_body_bytes).unwrap_or(u64::MAX);
        if body.size_hint().lower() > limit {
            return Err(Refusal::too_large(self.max_body_bytes));
        }
        Ok(Work::Collect)
    }

    /// Maps the head in place and returns the body where it changed. `body` is empty unless the scope is the whole.
    pub(crate) fn map(
        &self,
        parts: &mut Parts,
        scope: Scope,
        body: &Bytes,
    ) -> Result<Option<String>, Refusal> {
        let root = self.body.as_ref().filter(|_| scope == Scope::Whole);
        let text = match root {
            Some(_) if !body.is_empty() => json::check(body)?,
            _ => "",
        };
        let document = text.trim_matches(SPACE);
        let view = match root {
            Some(root) if !document.is_empty() => Some(root.look(document)?),
            _ => None,
        };
        let mut in_body = vec![None; self.steps.len()];
        if let (Some(root), Some(view)) = (root, &view) {
            root.gather(view, &mut in_body);
        }

        let uri = parts.uri.clone();
        let mut edits = HeadEdits::default();
        let mut values = vec![None; self.steps.len()];
        let mut brings_value = false;
        for (index, step) in self.steps.iter().enumerate() {
            if !scope.covers(step) {
                continue;
            }
            let found = match step.source() {
                None => None,
                Some((address, required)) => {
                    let in_body = in_body.get(index).copied().flatten();
                    let found = Found::at(address, in_body, uri.query(), &parts.headers);
                    if required && found.is_none() {
                        return Err(Refusal::missing(address));
                    }
                    found
                }
            };
            edits.remove(step.removed());
            let output = match (step, found) {
                (Step::Move { from, to, .. }, Some(found)) => Some(found.output(from, to)?),
                (Step::Set { to, value } | Step::Default { to, value }, _) => {
                    Some(value.output(to))
                }
                _ => None,
            };
            match output {
                Some(Output::Body(text)) => {
                    brings_value |= matches!(step, Step::Move { .. });
                    if let Some(value) = values.get_mut(index) {
                        *value = Some(text);
                    }
                }
                Some(output) => edits.write(output, matches!(step, Step::Default { .. })),
                None => {}
            }
        }

        let mapped = if body.is_empty() && !brings_value && !has_content(&parts.method) {
            None
        } else {
            self.write_body(text, document, view.as_ref(), scope, &values)?
        };
        // Nothing below refuses but for a query that no URI can hold, and a refused request is dropped whole.
        edits.apply_to_query(&mut parts.uri)?;
        if let Some(mapped) = &mapped {
            describe_body(&mut parts.headers, mapped.len(), body.is_empty());
        }
        edits.apply_to_headers(&mut parts.headers);
        Ok(mapped)
    }

    /// The body with its rules applied; `None` where that changes nothing.
    fn write_body(
        &self,
        text: &str,
        document: &str,
        view: Option<&View<'_>>,
        scope: Scope,
        values: &Values<'_>,
    ) -> Result<Option<String>, Refusal> {
        let Some(root) = self.body.as_ref().filter(|_| scope == Scope::Whole) else {
            return Ok(None);
        };
        // The space around the document stays as well.
        let start = text.len() - text.trim_start_matches(SPACE).len();
        let mut out = String::with_capacity(text.len() + 64);
        out.push_str(json::slice(text, 0..start));
        if !root.emit(view, values, &mut out)? {
            return Ok(None);
        }
        out.push_str(json::slice(text, start + document.len()..text.len()));
        Ok((out != text).then_some(out))
    }

    /// The first address of a rule that must read or write the body, whatever the body is.
    fn needs_body(&self, parts: &Parts) -> Option<&Address> {
        self.steps.iter().find_map(|step| match step {
            Step::Require(address) if address.is_body() => Some(address),
            Step::Move {
                from,
                required: true,
                ..
            } if from.is_body() => Some(from),
            Step::Move { from, to, .. } if to.is_body() && Found::is_in_head(from, parts) => {
                Some(to)
            }
            Step::Set { to, .. } if to.is_body() => Some(to),
            _ => None,
        })
    }
}

/// `application/json` or any type with the suffix `+json`, and no content coding.
fn is_readable(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let is_plain = match text(header::CONTENT_ENCODING) {
        None => true,
        Some(coding) => coding.trim_ascii().eq_ignore_ascii_case(b"identity"),
    };
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii().to_ascii_lowercase();
    is_plain && (kind == b"application/json" || kind.ends_with(b"+json"))
}

/// Whether a request with this method is expected to have content, so that a constant may give it some.
fn has_content(method: &Method) -> bool {
    ![
        Method::CONNECT,
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
    ]
    .contains(method)
}

/// Makes the headers tell the truth about a changed body.
fn describe_body(headers: &mut HeaderMap, length: usize, is_new: bool) {
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.remove(header::TRANSFER_ENCODING);
    for name in DIGESTS {
        headers.remove(name);
    }
    if is_new {
        headers.remove(header::CONTENT_ENCODING);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
}

/// The space that JSON allows.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

const DIGESTS: [&str; 5] = [
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
];

// === impl Scope ===

impl Scope {
    fn covers(self, step: &Step) -> bool {
        match self {
            Self::Headers => step.addresses().all(Address::is_header),
            Self::Head => !step.touches_body(),
            Self::Whole => true,
        }
    }
}

#[cfg(test)]
mod tests;
