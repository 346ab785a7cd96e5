//! What bodies hold, and which rules are about it.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::encoding::is_readable;
use crate::plan::{Program, Step, Unmapped};
use crate::refusal::Refusal;
use crate::{Address, FormFormat};

/// What a body can hold that rules name places in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Document {
    Json,
    Form,
}

/// What a body holds.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Content {
    Empty,
    Json,
    Form(FormFormat),
    /// Nothing that rules are about.
    Other,
}

/// Which documents rules are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Documents {
    json: bool,
    form: bool,
    /// A rule reads the one and writes the other.
    form_to_json: bool,
    json_to_form: bool,
}

// === impl Document ===

impl Document {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }

    pub(crate) const fn holds(self, address: &Address) -> bool {
        match self {
            Self::Json => address.is_json(),
            Self::Form => address.is_form(),
        }
    }
}

// === impl Documents ===

impl Documents {
    pub(crate) fn of(program: &Program) -> Self {
        let steps = || program.steps.iter();
        let needs_json = program.starts_empty || program.unmapped != Unmapped::Pass;
        let turns = |to: Document| {
            steps().any(|step| {
                let reads_other = match to {
                    Document::Json => step.reach.form,
                    Document::Form => step.reach.body,
                };
                reads_other && step.to.iter().any(|target| to.holds(target))
            })
        };
        Self {
            json: needs_json || steps().any(|step| step.reach.body),
            form: steps().any(|step| step.reach.form),
            form_to_json: turns(Document::Json),
            json_to_form: turns(Document::Form),
        }
    }

    pub(crate) const fn is_none(self) -> bool {
        !self.json && !self.form
    }

    /// What a body that is there holds, as far as rules are about it.
    pub(crate) fn content(self, headers: &HeaderMap) -> Result<Content, Refusal> {
        if !is_readable(headers) {
            return Ok(Content::Other);
        }
        let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
        let kind = kinds.next().map(HeaderValue::as_bytes).unwrap_or_default();
        if kinds.next().is_some() {
            // Whoever reads the other one would see what rules have not seen.
            let detail = "content-type is given more than once".to_owned();
            return Err(Refusal::bad(&"header:content-type", detail));
        }
        if self.json && is_json(kind) {
            return Ok(Content::Json);
        }
        if !self.form {
            return Ok(Content::Other);
        }
        let format = FormFormat::of_content_type(&String::from_utf8_lossy(kind));
        Ok(match format.map_err(|error| Refusal::form(&error))? {
            Some(format) => Content::Form(format),
            None => Content::Other,
        })
    }

    /// What a body holds that was read because rules are about it.
    pub(crate) fn content_read(self, headers: &HeaderMap) -> Result<Content, Refusal> {
        match (self.json, self.form) {
            (_, true) => self.content(headers),
            (true, false) => Ok(Content::Json),
            (false, false) => Ok(Content::Other),
        }
    }

    /// Whether a step is about what such a body holds, or about no body.
    pub(crate) fn covers(self, content: &Content, step: &Step) -> bool {
        let (here, there) = match content {
            Content::Empty => return true,
            Content::Other => return !step.reach.body && !step.reach.form,
            Content::Json => (step.reach.body, step.reach.form),
            Content::Form(_) => (step.reach.form, step.reach.body),
        };
        here || !there || self.turns(content)
    }

    /// Whether rules can make of such a body one that holds the other document.
    pub(crate) const fn turns(self, content: &Content) -> bool {
        match content {
            Content::Empty => true,
            Content::Json => self.json_to_form,
            Content::Form(_) => self.form_to_json,
            Content::Other => false,
        }
    }

    /// The documents that rules are about, and that there is none of in such a body.
    pub(crate) fn missing(self, content: &Content) -> impl Iterator<Item = Document> {
        let turns = self.turns(content);
        let json = self.json && !turns && *content != Content::Json;
        let form = self.form && !turns && !matches!(content, Content::Form(_));
        let documents = [(json, Document::Json), (form, Document::Form)];
        documents
            .into_iter()
            .filter_map(|(is_missing, document)| is_missing.then_some(document))
    }
}

/// `application/json` or any type with the suffix `+json`.
fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    let suffix = kind.len().saturating_sub(5);
    let suffix = kind.get(suffix..).unwrap_or_default();
    kind.eq_ignore_ascii_case(b"application/json") || suffix.eq_ignore_ascii_case(b"+json")
}

/// Whether a request with this method is expected to have content, so that a constant may give it some.
pub(crate) fn has_content(method: &Method) -> bool {
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

/// Makes the headers tell the truth about a changed body, which may hold another document now.
pub(crate) fn describe_body(headers: &mut HeaderMap, length: usize, new: Option<Document>) {
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONTENT_ENCODING);
    for name in DIGESTS {
        headers.remove(name);
    }
    if let Some(new) = new {
        let kind = HeaderValue::from_static(new.content_type());
        headers.insert(header::CONTENT_TYPE, kind);
    }
}

pub(crate) const DIGESTS: [&str; 5] = [
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
];
