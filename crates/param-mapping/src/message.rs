//! What the rules do to one message, head and body.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{StatusCode, Uri, response};
use http_body::Body;
use portcullis_gateway_error::is_grpc;

use crate::content::{Content, Document, Documents, describe_body, has_content};
use crate::emit::{Emitter, twice};
use crate::env::{Env, Frame, Head, Lookups};
use crate::events::EventPlan;
use crate::fields::FieldEdits;
use crate::head::{HeadEdits, HeaderEdits};
use crate::json::Invalid;
use crate::out::{Out, Text, limit_of_output};
use crate::plan::{Program, Side, Step, Task, Unmapped};
use crate::refusal::Refusal;
use crate::report::Notes;
use crate::run::Outcome;
use crate::scan::Stop;
use crate::vars::KeptVars;
use crate::{Address, Form, Mapped, encoding};

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
    documents: Documents,
    /// Rules are about the body of the response to it.
    reads_response: bool,
    /// They read variables that are written here.
    keeps_vars: bool,
}

/// What becomes of a message.
struct Changes {
    body: Option<NewBody>,
    uri: Option<Uri>,
    headers: HeaderEdits,
    status: Option<StatusCode>,
    notes: Notes,
    vars: KeptVars,
}

/// A body that changed, and what it holds if that is another document than before.
struct NewBody {
    mapped: Mapped,
    document: Option<Document>,
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(side: Side, program: Program, max_body_bytes: usize) -> Self {
        Self {
            documents: Documents::of(&program),
            reads_response: false,
            keeps_vars: false,
            side,
            program,
            max_body_bytes,
        }
    }

    /// The plan for requests whose responses are mapped so.
    pub(crate) fn before(mut self, response: &Self, stream: Option<&EventPlan>) -> Self {
        self.reads_response = !response.documents.is_none() || stream.is_some();
        self.keeps_vars =
            response.program.vars.reads_given || stream.is_some_and(EventPlan::reads_given);
        self
    }

    /// Whether there is nothing to do, whatever comes.
    pub(crate) fn is_empty(&self) -> bool {
        self.program.steps.is_empty() && self.documents.is_none() && !self.reads_response
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
        if self.documents.is_none() {
            return Ok(Work::Pass(Extent::Head));
        }
        if body.is_end_stream() {
            return Ok(Work::Empty);
        }
        let env = Env {
            head,
            ..Env::default()
        };
        let content = self.documents.content(headers)?;
        for document in self.documents.missing(&content) {
            match (self.needs(document, &env)?, document) {
                (Some(address), Document::Json) => return Err(Refusal::not_json(&address)),
                (Some(address), Document::Form) => return Err(Refusal::not_a_form(&address)),
                (None, _) => {}
            }
        }
        if content == Content::Other {
            return Ok(Work::Pass(Extent::Head));
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

    /// Maps the head of a request in place and returns the body where it changed. `body` is empty unless the extent is the whole. Variables that
    /// the response needs are kept.
    pub(crate) fn map(
        &self,
        parts: &mut Parts,
        extent: Extent,
        body: &Bytes,
        kept: &mut KeptVars,
    ) -> Result<Option<Mapped>, Refusal> {
        let head = head_of_request(parts);
        let decoded = self.decoded(&parts.headers, extent, body)?;
        let body = decoded.as_ref().unwrap_or(body);
        let given = KeptVars::default();
        let changes = self.changes(head, Some(&parts.uri), extent, body, &given)?;
        *kept = changes.vars;
        if let Some(uri) = changes.uri {
            parts.uri = uri;
        }
        if let Some(new) = &changes.body {
            describe_body(&mut parts.headers, new.mapped.len(), new.document);
        }
        if self.reads_response && extent != Extent::Headers {
            encoding::narrow(&mut parts.headers);
            // A part of a document cannot be mapped, and would pass what the whole is not to hold.
            parts.headers.remove(header::RANGE);
            parts.headers.remove(header::IF_RANGE);
        }
        changes.headers.apply(&mut parts.headers);
        changes.notes.leave(&mut parts.extensions);
        Ok(changes.body.map(|new| new.mapped))
    }

    /// The same for a response.
    pub(crate) fn map_response(
        &self,
        parts: &mut response::Parts,
        extent: Extent,
        body: &Bytes,
        given: &KeptVars,
    ) -> Result<Option<Mapped>, Refusal> {
        let head = head_of_response(parts);
        let decoded = self.decoded(&parts.headers, extent, body);
        let changes = decoded.and_then(|decoded| {
            let body = decoded.as_ref().unwrap_or(body);
            self.changes(head, None, extent, body, given)
        });
        let changes = changes.map_err(|refusal| refusal.at(self.side))?;
        if let Some(status) = changes.status {
            parts.status = status;
        }
        if let Some(new) = &changes.body {
            describe_body(&mut parts.headers, new.mapped.len(), new.document);
            parts.headers.remove(header::ACCEPT_RANGES);
        }
        changes.headers.apply(&mut parts.headers);
        changes.notes.leave(&mut parts.extensions);
        Ok(changes.body.map(|new| new.mapped))
    }

    /// Maps a document that comes without a head.
    pub(crate) fn apply(&self, document: &Bytes) -> Result<Mapped, Refusal> {
        let given = KeptVars::default();
        let changes = self.changes(Head::default(), None, Extent::Whole, document, &given)?;
        Ok(match changes.body {
            Some(new) => new.mapped,
            None => Mapped::unchanged(document.clone()),
        })
    }

    fn decoded(
        &self,
        headers: &HeaderMap,
        extent: Extent,
        body: &Bytes,
    ) -> Result<Option<Bytes>, Refusal> {
        if extent != Extent::Whole {
            return Ok(None);
        }
        encoding::decoded(headers, body, self.max_body_bytes)
    }

    fn changes(
        &self,
        head: Head<'_>,
        uri: Option<&Uri>,
        extent: Extent,
        body: &Bytes,
        given: &KeptVars,
    ) -> Result<Changes, Refusal> {
        let program = &self.program;
        let content = match (extent, head.headers) {
            (Extent::Whole, _) if body.is_empty() => Content::Empty,
            (Extent::Whole, Some(headers)) => self.documents.content_read(headers)?,
            (Extent::Whole, None) if !self.documents.is_none() => Content::Json,
            _ => Content::Other,
        };
        let text = if content == Content::Json {
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
        let form = match &content {
            Content::Form(format) => Some(Form::parse(body.clone(), format)),
            _ => None,
        };
        let form = form.transpose().map_err(|error| Refusal::form(&error))?;
        let (lookups, notes) = (Lookups::default(), Notes::default());
        let vars = program.vars.values(given);
        let env = Env {
            head,
            body: frame.as_ref(),
            form: form.as_ref(),
            lookups: Some(&lookups),
            // A document that comes without a head has nobody to tell but the log.
            notes: (head.headers.is_some() || Notes::are_told()).then_some(&notes),
            vars: &vars,
            ..Env::default()
        };
        let mut edits = HeadEdits::default();
        let is_covered = |step: &Step| {
            extent.covers(step)
                && (extent != Extent::Whole || self.documents.covers(&content, step))
        };
        let outcomes = program.run(&env, is_covered, &mut edits)?;

        let new = self.new_body(&content, body, &env, &outcomes, edits.fields.as_deref_mut())?;
        edits.headers.check(head.headers)?;
        let uri = uri.map(|uri| edits.uri(uri, program.template.as_ref()));
        let uri = uri.transpose()?.flatten();
        edits.note(&env);
        notes.tell(self.side);
        Ok(Changes {
            body: new,
            uri,
            status: edits.status,
            vars: KeptVars(if self.keeps_vars {
                vars.iter().map(|var| var.get().cloned()).collect()
            } else {
                Vec::new()
            }),
            headers: edits.headers,
            notes,
        })
    }

    /// The body with its rules applied; `None` where that changes nothing.
    fn new_body(
        &self,
        content: &Content,
        body: &Bytes,
        env: &Env<'_>,
        outcomes: &[Outcome<'_>],
        fields: Option<&mut FieldEdits<'_>>,
    ) -> Result<Option<NewBody>, Refusal> {
        let program = &self.program;
        let json = || {
            let emitter = Emitter {
                program,
                outcomes,
                env,
            };
            emit(&emitter, env.body, body).map(|emitted| match emitted {
                Emitted::Changed(mapped) => Some(mapped),
                Emitted::Same | Emitted::Gone => None,
            })
        };
        let as_it_was = |mapped| NewBody {
            mapped,
            document: None,
        };
        let turned = |document| {
            move |mapped| NewBody {
                mapped,
                document: Some(document),
            }
        };
        let (mut fields, turns) = (fields, self.documents.turns(content));
        let written = fields.take_if(|fields| turns && fields.writes());
        match content {
            Content::Other => Ok(None),
            Content::Json => match written {
                // What turns a body into another one is all that is in it then.
                Some(fields) => Ok(Some(turned(Document::Form)(fields.new_form()?))),
                None => Ok(json()?.map(as_it_was)),
            },
            Content::Form(_) => {
                if turns && let Some(mapped) = json()? {
                    return Ok(Some(turned(Document::Json)(mapped)));
                }
                if program.starts_empty || program.unmapped != Unmapped::Pass {
                    // What is to be left out or refused in JSON does not pass as a form.
                    return Err(Refusal::not_json(&Address::body()));
                }
                match (written.or(fields), env.form) {
                    (Some(fields), Some(form)) => Ok(fields.apply(form, body)?.map(as_it_was)),
                    _ => Ok(None),
                }
            }
            Content::Empty => {
                let has_content = env.head.method.is_none_or(has_content);
                let mut steps = program.steps.iter().zip(outcomes);
                let brings_json = has_content
                    || steps.any(|(step, outcome)| {
                        matches!(outcome, Outcome::Value(_)) && matches!(step.task, Task::First(_))
                    });
                let new = if brings_json { json()? } else { None };
                let Some(fields) = written.filter(|fields| has_content || fields.brings) else {
                    return Ok(new.map(turned(Document::Json)));
                };
                if new.is_some() {
                    let detail = "both JSON and a form are written into an empty body";
                    return Err(Refusal::body(detail.to_owned()));
                }
                Ok(Some(turned(Document::Form)(fields.new_form()?)))
            }
        }
    }

    /// The first address of a rule that must read or write such a document, whatever the body is.
    fn needs(&self, document: Document, env: &Env<'_>) -> Result<Option<Address>, Refusal> {
        let program = &self.program;
        let needs_all = program.unmapped == Unmapped::Reject || program.starts_empty;
        if needs_all && document == Document::Json {
            return Ok(Some(Address::body()));
        }
        for step in &program.steps {
            if let Some(address) = step.needs(document, env)? {
                return Ok(Some(address.clone()));
            }
        }
        Ok(None)
    }
}

/// What becomes of a document.
pub(crate) enum Emitted {
    Same,
    Changed(Mapped),
    /// Nothing is left of it.
    Gone,
}

/// JSON with its rules applied.
pub(crate) fn emit(
    emitter: &Emitter<'_>,
    frame: Option<&Frame<'_>>,
    body: &Bytes,
) -> Result<Emitted, Refusal> {
    let text = frame.map_or("", |frame| frame.text);
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
            return Ok(Emitted::Gone);
        }
        out.push("{}");
    }
    out.push_part(text, Some(0), root.end..text.len());
    if out.len() > limit_of_output(text.len()) {
        return Err(Refusal::too_much(&Address::body()));
    }
    Ok(if out.is_all_of(text) {
        Emitted::Same
    } else {
        Emitted::Changed(out.finish(body))
    })
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

// === impl Extent ===

impl Extent {
    const fn covers(self, step: &Step) -> bool {
        match self {
            Self::Headers => !step.reach.is_in_body() && !step.reach.other,
            Self::Head => !step.reach.is_in_body(),
            Self::Whole => true,
        }
    }
}

#[cfg(test)]
mod tests;
