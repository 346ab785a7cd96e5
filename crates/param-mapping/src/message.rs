//! What the rules do to one message, head and body.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri, response};
use http_body::Body;
use portcullis_gateway_error::is_grpc;

use crate::emit::{Emitter, twice};
use crate::env::{Env, Frame, Head, Lookups};
use crate::head::{HeadEdits, HeaderEdits};
use crate::json::Invalid;
use crate::out::{Out, Text};
use crate::plan::{Program, Side, Step, Task, Unmapped};
use crate::refusal::Refusal;
use crate::report::Notes;
use crate::run::Outcome;
use crate::scan::Stop;
use crate::trie::Mode;
use crate::{Address, Mapped};

/// How much of a message is mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// A gRPC call: its messages are not ours to read.
    Headers,
    /// All but the body, which no rule touches or none can read.
    Head,
    Whole,
}

/// What must be done with a body before the message can be mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Work {
    /// Nothing: it passes as it is.
    Pass(Extent),
    /// It is empty, and may be given content.
    Empty,
    Collect,
}

/// The rules of one side, and how long a body they read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) side: Side,
    pub(crate) program: Program,
    pub(crate) max_body_bytes: usize,
    pub(crate) touches_body: bool,
}

/// What becomes of a message.
struct Changes {
    body: Option<Mapped>,
    uri: Option<Uri>,
    headers: HeaderEdits,
    status: Option<StatusCode>,
    notes: Notes,
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(side: Side, program: Program, max_body_bytes: usize) -> Self {
        Self {
            touches_body: program.touches_body(),
            side,
            program,
            max_body_bytes,
        }
    }

    /// Whether there is nothing to do, whatever comes.
    pub(crate) fn is_empty(&self) -> bool {
        self.program.steps.is_empty() && !self.touches_body
    }

    /// Decides what must be done with the body of a request.
    pub(crate) fn work(&self, parts: &Parts, body: &impl Body) -> Result<Work, Refusal> {
        self.decide(head_of_request(parts), &parts.headers, body)
    }

    /// Decides what must be done with the body of a response.
    pub(crate) fn response_work(
        &self,
        parts: &response::Parts,
        body: &impl Body,
    ) -> Result<Work, Refusal> {
        let work = self.decide(head_of_response(parts), &parts.headers, body);
        work.map_err(|refusal| refusal.at(self.side))
    }

    fn decide(
        &self,
        head: Head<'_>,
        headers: &HeaderMap,
        body: &impl Body,
    ) -> Result<Work, Refusal> {
        if is_grpc(headers) {
            return Ok(Work::Pass(Extent::Headers));
        }
        if !self.touches_body {
            return Ok(Work::Pass(Extent::Head));
        }
        if body.is_end_stream() {
            return Ok(Work::Empty);
        }
        let env = Env {
            head,
            ..Env::default()
        };
        if !is_readable(headers) {
            return match self.needs_body(&env)? {
                Some(address) => Err(Refusal::not_json(&address)),
                None => Ok(Work::Pass(Extent::Head)),
            };
        }
        // What can be known before the body is read.
        for step in &self.program.steps {
            if let Some(read) = step.asks_head()
                && !read.is_there(&env)?
            {
                return Err(Refusal::missing(&read.address));
            }
        }
        let limit = u64::try_from(self.max_body_bytes).unwrap_or(u64::MAX);
        if body.size_hint().lower() > limit {
            return Err(Refusal::too_large(self.max_body_bytes));
        }
        Ok(Work::Collect)
    }

    /// Maps the head of a request in place and returns the body where it changed. `body` is empty unless the extent is the whole.
    pub(crate) fn map(
        &self,
        parts: &mut Parts,
        extent: Extent,
        body: &Bytes,
    ) -> Result<Option<Mapped>, Refusal> {
        let head = head_of_request(parts);
        let changes = self.changes(
            head,
            Some(&parts.uri),
            extent,
            body,
            has_content(&parts.method),
        )?;
        if let Some(uri) = changes.uri {
            parts.uri = uri;
        }
        if let Some(mapped) = &changes.body {
            describe_body(&mut parts.headers, mapped.len(), body.is_empty());
        }
        changes.headers.apply(&mut parts.headers);
        changes.notes.leave(&mut parts.extensions);
        Ok(changes.body)
    }

    /// The same for a response.
    pub(crate) fn map_response(
        &self,
        parts: &mut response::Parts,
        extent: Extent,
        body: &Bytes,
    ) -> Result<Option<Mapped>, Refusal> {
        let head = head_of_response(parts);
        let changes = self.changes(head, None, extent, body, true);
        let changes = changes.map_err(|refusal| refusal.at(self.side))?;
        if let Some(status) = changes.status {
            parts.status = status;
        }
        if let Some(mapped) = &changes.body {
            describe_body(&mut parts.headers, mapped.len(), body.is_empty());
            parts.headers.remove(header::ACCEPT_RANGES);
        }
        changes.headers.apply(&mut parts.headers);
        changes.notes.leave(&mut parts.extensions);
        Ok(changes.body)
    }

    /// Maps a document that comes without a head.
    pub(crate) fn apply(&self, document: &Bytes) -> Result<Mapped, Refusal> {
        let changes = self.changes(Head::default(), None, Extent::Whole, document, true)?;
        Ok(changes
            .body
            .unwrap_or_else(|| Mapped::unchanged(document.clone())))
    }

    fn changes(
        &self,
        head: Head<'_>,
        uri: Option<&Uri>,
        extent: Extent,
        body: &Bytes,
        has_content: bool,
    ) -> Result<Changes, Refusal> {
        let program = &self.program;
        let is_read = extent == Extent::Whole && self.touches_body;
        let text = if is_read {
            str::from_utf8(body).map_err(|_| Invalid::Utf8)?
        } else {
            ""
        };
        let document = Text {
            text: text.into(),
            origin: Some(0),
        };
        let frame = if text.is_empty() {
            None
        } else {
            let frame = Frame::at(0, &document, &program.trie);
            Some(frame.map_err(|stop| match stop {
                Stop::Twice(node) => twice(program.trie.address(node)),
                Stop::Invalid(invalid) => invalid.into(),
            })?)
        };
        let (lookups, notes) = (Lookups::default(), Notes::default());
        let env = Env {
            head,
            body: frame.as_ref(),
            item: None,
            lookups: Some(&lookups),
            // A document that comes without a head has nobody to tell but the log.
            notes: (head.headers.is_some() || Notes::are_told()).then_some(&notes),
        };
        let mut edits = HeadEdits::default();
        let outcomes = program.run(&env, |step| extent.covers(step), &mut edits)?;

        let brings_value = || {
            let mut steps = program.steps.iter().zip(&outcomes);
            steps.any(|(step, outcome)| {
                matches!(outcome, Outcome::Value(_)) && matches!(step.task, Task::First(_))
            })
        };
        let mapped = if !is_read || (body.is_empty() && !has_content && !brings_value()) {
            None
        } else {
            let emitter = Emitter {
                program,
                outcomes: &outcomes,
                env: &env,
            };
            emit(&emitter, frame.as_ref(), text, body)?
        };
        edits.headers.check(head.headers)?;
        let uri = uri.map(|uri| edits.uri(uri, program.template.as_ref()));
        let uri = uri.transpose()?.flatten();
        edits.note(&env);
        notes.tell(self.side);
        Ok(Changes {
            body: mapped,
            uri,
            status: edits.status,
            headers: edits.headers,
            notes,
        })
    }

    /// The first address of a rule that must read or write the body, whatever the body is.
    fn needs_body(&self, env: &Env<'_>) -> Result<Option<Address>, Refusal> {
        let program = &self.program;
        if program.unmapped == Unmapped::Reject || program.starts_empty {
            return Ok(Some(Address::body()));
        }
        for step in &program.steps {
            if let Some(address) = step.needs_body(env)? {
                return Ok(Some(address.clone()));
            }
        }
        Ok(None)
    }
}

/// The body with its rules applied; `None` where that changes nothing.
fn emit(
    emitter: &Emitter<'_>,
    frame: Option<&Frame<'_>>,
    text: &str,
    body: &Bytes,
) -> Result<Option<Mapped>, Refusal> {
    let base = frame.filter(|_| !emitter.program.starts_empty);
    let mut out = Out::new(text.len());
    // The space around the document stays as well.
    let root = frame
        .and_then(|frame| frame.entry(0))
        .map(|entry| entry.value.clone());
    let root = root.unwrap_or_default();
    out.push_part(text, Some(0), 0..root.start);
    if !emitter.emit(0, base, &mut out)? {
        if !emitter.program.starts_empty || frame.is_none() {
            return Ok(None);
        }
        out.push("{}");
    }
    out.push_part(text, Some(0), root.end..text.len());
    Ok((!out.is_all_of(text)).then(|| out.finish(body)))
}

fn head_of_request(parts: &Parts) -> Head<'_> {
    Head {
        method: Some(&parts.method),
        path: Some(parts.uri.path()),
        query: parts.uri.query(),
        headers: Some(&parts.headers),
        status: None,
    }
}

fn head_of_response(parts: &response::Parts) -> Head<'_> {
    Head {
        headers: Some(&parts.headers),
        status: Some(parts.status),
        ..Head::default()
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

const DIGESTS: [&str; 5] = [
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
];

// === impl Step ===

impl Step {
    /// What must be there, and not in the body.
    fn asks_head(&self) -> Option<&crate::read::Read> {
        if self.reach.body_in_when || self.when.is_some() || !self.fallback.is_empty() {
            return None;
        }
        match &self.task {
            Task::Require(reads) => reads.iter().find(|read| !read.address.is_json()),
            Task::First(reads) if self.required && reads.len() == 1 => {
                reads.first().filter(|read| !read.address.is_json())
            }
            _ => None,
        }
    }

    /// An address for which a message without a readable body must be refused.
    fn needs_body(&self, env: &Env<'_>) -> Result<Option<&Address>, Refusal> {
        if !self.reach.body || self.reach.body_in_when {
            return Ok(None);
        }
        if let Some(when) = &self.when
            && !when.holds(env)?
        {
            return Ok(None);
        }
        let target = self.to.iter().find(|target| target.is_json());
        let adds = matches!(
            self.mode,
            Mode::Set | Mode::Append | Mode::Prepend | Mode::Merge
        );
        Ok(match &self.task {
            Task::Require(reads) => {
                let mut reads = reads.iter().map(|read| &read.address);
                reads.find(|address| address.is_json())
            }
            Task::Test(read, _) => Some(&read.address).filter(|address| address.is_json()),
            Task::First(reads) if self.reach.body_in_source => {
                let first = reads.iter().find(|read| read.address.is_json());
                first.filter(|_| self.required).map(|read| &read.address)
            }
            Task::First(reads) => {
                let mut is_there = false;
                for read in reads {
                    is_there |= read.is_there(env)?;
                }
                target.filter(|_| adds && is_there)
            }
            Task::Constant(_) => target.filter(|_| adds),
            #[cfg(feature = "generate")]
            Task::Generate(_) => target.filter(|_| adds),
            Task::Template(_) | Task::Path(..) | Task::Sum(_) => {
                target.filter(|_| adds && !self.reach.body_in_source)
            }
            Task::Nothing | Task::Each(..) => None,
        })
    }
}

// === impl Extent ===

impl Extent {
    const fn covers(self, step: &Step) -> bool {
        match self {
            Self::Headers => !step.reach.body && !step.reach.other,
            Self::Head => !step.reach.body,
            Self::Whole => true,
        }
    }
}

#[cfg(test)]
mod tests;
