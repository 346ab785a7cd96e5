//! Rules for the events of a stream, checked and compiled.

use portcullis_gateway_error::InvalidConfig;

use crate::address::Place;
use crate::plan::compile::{Settings, program_after};
use crate::plan::{Program, Task};
use crate::{
    Address, AtEof, DEFAULT_MAX_EVENT_BYTES, EventParser, Framing, Rule, Rules, Unmapped, vars,
};

mod editor;
mod keys;
mod source;
mod state;

pub use self::editor::StreamEditor;
use self::keys::Needs;
pub(crate) use self::source::StreamSource;
pub(crate) use self::state::Kept;
use self::state::Slot;
pub use self::state::State;

/// What a [`Mapping`](crate::Mapping) does to the events of responses that are streams.
///
/// See the [crate docs](crate) for an example.
#[must_use = "rules do nothing until they are in a mapping"]
#[derive(Clone, Debug)]
pub struct StreamRules {
    pub(crate) rules: Rules,
    state: Vec<(String, State)>,
    framing: Option<Framing>,
    at_eof: AtEof,
    max_event_bytes: usize,
    max_state_bytes: usize,
}

/// The same, compiled.
#[derive(Debug)]
pub(crate) struct EventPlan {
    program: Program,
    /// What events must hold for any rule to do something; `None` where that can be any event.
    needs: Option<Needs>,
    slots: Vec<Slot>,
    /// How many variables are known before an event: the state, and those that were written for the request.
    given: usize,
    /// Something asks for the head of the response, or for the data of an event.
    reads_head: bool,
    reads_data: bool,
    framing: Option<Framing>,
    at_eof: AtEof,
    max_event_bytes: usize,
    max_state_bytes: usize,
}

/// How many bytes the state of one stream may have where none of the settings says it: 1 MiB.
pub const DEFAULT_MAX_STATE_BYTES: usize = 1024 * 1024;

// === impl StreamRules ===

impl StreamRules {
    /// No rules.
    pub const fn new() -> Self {
        Self {
            rules: Rules::new(),
            state: Vec::new(),
            framing: None,
            at_eof: AtEof::Flush,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            max_state_bytes: DEFAULT_MAX_STATE_BYTES,
        }
    }

    /// Adds a rule for each event.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules = self.rules.rule(rule);
        self
    }

    /// Keeps something from event to event, which rules read as `var:name`.
    pub fn state(mut self, name: impl Into<String>, state: State) -> Self {
        self.state.push((name.into(), state));
        self
    }

    /// Says what successful responses are whose content type is that of no stream: one JSON array of events, for example, which has
    /// the content type of any JSON. Default: no streams.
    pub const fn framing(mut self, framing: Framing) -> Self {
        self.framing = Some(framing);
        self
    }

    /// Replaces what becomes of an event that the end of the stream cuts off. Default: it counts as complete.
    pub const fn at_eof(mut self, at_eof: AtEof) -> Self {
        self.at_eof = at_eof;
        self
    }

    /// Replaces the limit for one event, in bytes. Default: [`DEFAULT_MAX_EVENT_BYTES`]. A longer one ends the stream with an error event.
    pub const fn max_event_bytes(mut self, limit: usize) -> Self {
        self.max_event_bytes = limit;
        self
    }

    /// Replaces the limit for all that is kept of one stream, in bytes of JSON. Default: [`DEFAULT_MAX_STATE_BYTES`]. More ends the
    /// stream with an error event.
    pub const fn max_state_bytes(mut self, limit: usize) -> Self {
        self.max_state_bytes = limit;
        self
    }
}

impl Default for StreamRules {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Rules> for StreamRules {
    fn from(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::new()
        }
    }
}

// === impl EventPlan ===

impl EventPlan {
    /// Checks the rules and compiles them.
    pub(crate) fn new(stream: StreamRules, settings: Settings<'_>) -> Result<Self, InvalidConfig> {
        for (field, limit) in [
            ("max_event_bytes", stream.max_event_bytes),
            ("max_state_bytes", stream.max_state_bytes),
        ] {
            if limit == 0 {
                return Err(InvalidConfig::new(field, "must be at least 1, is 0"));
            }
        }
        let names: Vec<_> = stream.state.iter().map(|(name, _)| name.clone()).collect();
        for (index, name) in names.iter().enumerate() {
            let is_second = names.iter().take(index).any(|other| other == name);
            let mistake = if is_second {
                format!("`{name}` is there twice")
            } else if settings.given.contains(name) {
                format!("`{name}` is a variable that rules for requests write")
            } else if !is_name(name) {
                format!("no address can name `{name}`")
            } else {
                continue;
            };
            return Err(InvalidConfig::new("state", mistake));
        }
        let needs = keys::of(&stream);
        let mut given = names;
        given.extend_from_slice(settings.given);
        let mut written = vars::written(&stream.rules.rules);
        written.retain(|name| !given.contains(name));
        let settings = Settings {
            given: &given,
            vars: &written,
            ..settings
        };
        let (mut program, (slots, reach)) = program_after(stream.rules.rules, settings, |scope| {
            let slots = stream.state.iter().map(|(name, state)| {
                let slot = Slot::new(name, state, scope);
                slot.map_err(|mistake| mistake.within(name.clone()).within("state"))
            });
            let slots = slots.collect::<Result<Vec<_>, _>>()?;
            Ok((slots, scope.reach))
        })?;
        mark_text(&mut program);
        let reads_head = reach.other || program.steps.iter().any(|step| step.reach.other);
        let reads_data = reach.body
            || program.starts_empty
            || program.unmapped != Unmapped::Pass
            || program.steps.iter().any(|step| step.reach.body);
        Ok(Self {
            program,
            needs,
            slots,
            given: given.len(),
            reads_head,
            reads_data,
            framing: stream.framing,
            at_eof: stream.at_eof,
            max_event_bytes: stream.max_event_bytes,
            max_state_bytes: stream.max_state_bytes,
        })
    }

    /// Whether a rule reads a variable that is known before an event.
    pub(crate) const fn reads_given(&self) -> bool {
        self.program.vars.reads_given
    }

    pub(crate) fn parser(&self, framing: Framing) -> EventParser {
        EventParser::new(framing)
            .max_event_bytes(self.max_event_bytes)
            .at_eof(self.at_eof)
    }
}

/// Whether rules can read it.
fn is_name(name: &str) -> bool {
    let address = format!("var:{name}").parse::<Address>();
    address.is_ok_and(|address| matches!(address.0, Place::Var(found) if found == name))
}

/// Marks the steps that are applied to data which are a text: those that neither ask for something there nor change a part of it.
fn mark_text(program: &mut Program) {
    let mut changing: Vec<usize> = Vec::new();
    for (index, node) in program.trie.nodes.iter().enumerate() {
        // An event without data is none: to remove all of them needs no JSON.
        let removed = node.removed.iter().filter(|_| index > 0);
        changing.extend(removed.chain(&node.only).chain(&node.kept));
        changing.extend(node.writes.iter().map(|write| write.step));
        changing.extend(node.each.iter().map(|each| each.step));
    }
    for (index, step) in program.steps.iter_mut().enumerate() {
        let is_check = matches!(step.task, Task::Require(_) | Task::Test(..));
        let asks = step.reach.body_in_source && (step.required || is_check);
        step.fits_text = !asks && !changing.contains(&index);
    }
}
