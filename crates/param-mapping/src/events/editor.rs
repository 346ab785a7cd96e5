use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use portcullis_gateway_error::{ErrorKind, Problem};
use serde::de::IgnoredAny;

use super::{EventPlan, Kept};
use crate::emit::{Emitter, twice};
use crate::env::{Env, Frame, Head, Lookups};
use crate::head::HeadEdits;
use crate::json::{self, Invalid};
use crate::mapping::Plans;
use crate::message::{Emitted, emit};
use crate::out::Text;
use crate::plan::Side;
use crate::refusal::Refusal;
use crate::report::Notes;
use crate::scan::Stop;
use crate::vars::KeptVars;
use crate::{Edit, Editor, Event, EventBody, EventParser, Framing, Keys};

/// Applies the rules for streams to the events of one stream. Made by [`Mapping::editor`](crate::Mapping::editor).
///
/// An event that cannot be mapped becomes [`Edit::Fail`] with a problem document, which names the address in `param` and never a value.
#[must_use = "an editor does nothing until it is given events"]
pub struct StreamEditor {
    plans: Arc<Plans>,
    /// Of the response, where a rule asks for it.
    head: Option<Box<(StatusCode, HeaderMap)>>,
    kept: Vec<Kept>,
    /// The values of the state, of what was written for the request, and of what rules write for the event at hand.
    vars: Vec<OnceLock<String>>,
    has_begun: bool,
}

/// The data of an event, as rules see them.
enum Data {
    Json,
    /// `[DONE]`, or whatever else an event says that is not JSON; as a JSON string.
    Text(String),
    /// No rule asks for them.
    Unread,
}

// === impl StreamEditor ===

impl StreamEditor {
    /// An editor for the stream that is the body of this response.
    pub(crate) fn new(
        plans: Arc<Plans>,
        response: Option<&response::Parts>,
        given: &KeptVars,
    ) -> Self {
        let plan = plans.stream.as_ref();
        let slots = plan.map_or(0, |plan| plan.slots.len());
        let reads_head = plan.is_some_and(|plan| plan.reads_head);
        let head = response.filter(|_| reads_head);
        let mut vars: Vec<_> = std::iter::repeat_with(OnceLock::new).take(slots).collect();
        let given = given.0.iter().cloned();
        vars.extend(given.map(|value| value.map_or_else(OnceLock::new, OnceLock::from)));
        Self {
            head: head.map(|parts| Box::new((parts.status, parts.headers.clone()))),
            kept: std::iter::repeat_with(Kept::default).take(slots).collect(),
            vars,
            has_begun: false,
            plans,
        }
    }

    /// Edits the events of this body, within the limits of the mapping.
    pub(crate) fn body<B>(self, inner: B, framing: Framing) -> EventBody<B, Self> {
        let parser = match &self.plans.stream {
            Some(plan) => plan.parser(framing),
            None => EventParser::new(framing),
        };
        EventBody::new(inner, parser, self)
    }

    fn map(&mut self, plan: &EventPlan, event: &Event) -> Result<Edit, Refusal> {
        let program = &plan.program;
        let trie = &program.trie;
        let bytes = event.data();
        let look = |text| {
            Frame::at(0, text, trie).map_err(|stop| match stop {
                Stop::Twice(node) => twice(trie.address(node)),
                Stop::Invalid(invalid) => broken(invalid),
            })
        };

        let (data, text) = plan.read(event.framing(), &bytes)?;
        let document = match &data {
            Data::Text(quoted) => Text::constant(quoted),
            Data::Json | Data::Unread => Text::part(text, Some(0), 0..text.len()),
        };
        let frame = match &data {
            Data::Unread => None,
            Data::Json | Data::Text(_) => Some(look(&document)?),
        };
        let (lookups, notes) = (Lookups::default(), Notes::default());
        let name = event.name().and_then(|name| str::from_utf8(name).ok());
        let head = self.head.as_deref();
        let mut env = Env {
            head: Head {
                status: head.map(|(status, _)| *status),
                headers: head.map(|(_, headers)| headers),
                ..Head::default()
            },
            body: frame.as_ref(),
            lookups: Some(&lookups),
            // The head is sent, so there is nobody to tell but the log and the metrics.
            notes: Notes::are_told().then_some(&notes),
            event: name,
            ..Env::default()
        };
        self.vars.truncate(plan.given);
        self.vars.resize_with(program.vars.count, OnceLock::new);
        plan.keep(&mut self.kept, &mut self.vars, &env)?;
        env.vars = &self.vars;
        let mut edits = HeadEdits::default();
        let is_json = matches!(data, Data::Json);
        let outcomes = program.run(&env, |step| is_json || step.fits_text, &mut edits)?;

        let (name, is_renamed) = edits.event.map_or((None, false), |edit| edit.apply(name));
        let is_renamed = is_renamed && event.framing() == Framing::Sse;
        let emitter = Emitter {
            program,
            outcomes: &outcomes,
            env: &env,
        };
        let emitted = match data {
            Data::Json => emit(&emitter, frame.as_ref(), &bytes)?,
            Data::Text(_) | Data::Unread if emitter.is_removed() => Emitted::Gone,
            Data::Text(_) | Data::Unread => Emitted::Same,
        };
        notes.tell(Side::Stream);
        let renamed = |data| Edit::Replace(event.with_name(name.as_deref(), data));
        Ok(match emitted {
            Emitted::Gone => Edit::Drop,
            Emitted::Same if is_renamed => renamed(None),
            Emitted::Same => Edit::Keep,
            Emitted::Changed(mapped) => {
                let data = mapped.into_bytes();
                if is_renamed {
                    renamed(Some(&data))
                } else {
                    Edit::Replace(event.with_data(&data))
                }
            }
        })
    }
}

impl Editor for StreamEditor {
    fn edit(&mut self, event: &Event) -> Edit {
        self.has_begun = true;
        let plans = Arc::clone(&self.plans);
        let Some(plan) = &plans.stream else {
            return Edit::Keep;
        };
        match self.map(plan, event) {
            Ok(edit) => edit,
            Err(refusal) => Edit::Fail(refusal.at(Side::Stream).problem().into()),
        }
    }

    fn keys(&self) -> Option<&Keys> {
        let Some(plan) = &self.plans.stream else {
            return Some(&NO_KEYS);
        };
        let needs = plan.needs.as_ref()?;
        (self.has_begun || !needs.first_event).then_some(&needs.keys)
    }

    fn stream_error(&mut self, error: &(dyn Error + 'static)) -> Bytes {
        problem(error.to_string()).to_json().into()
    }
}

impl fmt::Debug for StreamEditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the headers nor what is kept: there are secrets in them.
        f.debug_struct("StreamEditor")
            .field("kept", &self.kept)
            .field("has_begun", &self.has_begun)
            .finish_non_exhaustive()
    }
}

// === impl EventPlan ===

impl EventPlan {
    /// How rules see the data of an event, and its text.
    fn read<'b>(&self, framing: Framing, bytes: &'b [u8]) -> Result<(Data, &'b str), Refusal> {
        if !self.reads_data {
            return Ok((Data::Unread, ""));
        }
        let text = str::from_utf8(bytes).map_err(|_| broken(Invalid::Utf8))?;
        let must_be_json = framing.is_json() || text.trim_start().starts_with('{');
        if must_be_json || serde_json::from_str::<IgnoredAny>(text).is_ok() {
            return Ok((Data::Json, text));
        }
        Ok((Data::Text(json::encode_string(text)), text))
    }

    /// Brings what is kept up to date by an event.
    fn keep(
        &self,
        kept: &mut [Kept],
        vars: &mut [OnceLock<String>],
        env: &Env<'_>,
    ) -> Result<(), Refusal> {
        let limit = self.max_state_bytes;
        let len = |value: &OnceLock<String>| value.get().map_or(0, String::len);
        let all = vars.iter().take(self.slots.len()).map(len).sum();
        let mut free = limit.saturating_sub(all);
        for ((slot, kept), value) in self.slots.iter().zip(kept).zip(vars) {
            // What it has may be replaced, or added to.
            free += len(value);
            if !slot.update(kept, value, env, free)? || len(value) > free {
                let detail = format!("the state of the stream is larger than {limit} bytes");
                return Err(Refusal::bad(&slot.param, detail));
            }
            free -= len(value);
        }
        Ok(())
    }
}

fn problem(detail: String) -> Problem {
    let mut problem = Problem::new(Side::Stream.status());
    problem.detail = Some(detail);
    let kind = ErrorKind::HttpProtocolError.token();
    let members = &mut problem.extensions;
    members.insert("error".to_owned(), kind.into());
    problem
}

fn broken(invalid: Invalid) -> Refusal {
    Refusal::bad(&"data:", invalid.told("the data of an event"))
}

static NO_KEYS: Keys = Keys::new();
