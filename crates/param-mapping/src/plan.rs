//! Rules that were checked, in the shape in which messages are mapped.

use std::sync::Arc;

use serde_json::Value;

use crate::condition::Condition;
use crate::constant::Constant;
#[cfg(feature = "generate")]
use crate::generate::make::Generator;
use crate::pipe::Pipe;
use crate::read::Read;
use crate::rule::OnError;
use crate::trie::{Each, Mode, Trie};
use crate::vars::VarPlan;
use crate::{Address, PathTemplate};

mod apart;
mod bind;
pub(crate) mod check;
pub(crate) mod compile;
mod needs;
mod reach;
mod source;
mod step;

pub(crate) use self::reach::Reach;

/// What rules do to one document, and beside it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// For which elements it is there. The others are left out, and no step sees them.
    pub(crate) keep: Option<Condition>,
    pub(crate) trie: Trie,
    pub(crate) unmapped: Unmapped,
    /// The output starts with nothing, so that only what is written is there.
    pub(crate) starts_empty: bool,
    /// A rule says `path` from the end of an array.
    pub(crate) needs_length: bool,
    /// The form of the path, where a rule names a part of it.
    pub(crate) template: Option<PathTemplate>,
    pub(crate) vars: VarPlan,
}

/// One rule, or one of several that stand for it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The address that tells it from others: of its source, or else of its target.
    pub(crate) label: Arc<str>,
    pub(crate) when: Option<Condition>,
    pub(crate) task: Task,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) required: bool,
    /// What stands for a source that is missing, as each target takes it.
    pub(crate) fallback: Vec<Constant>,
    pub(crate) mode: Mode,
    pub(crate) to: Vec<Address>,
    /// The variable that it writes, and then nothing else.
    pub(crate) var: Option<usize>,
    /// What tells whether there is something to replace.
    pub(crate) replaced: Option<Read>,
    /// In the head.
    pub(crate) removed: Vec<Address>,
    pub(crate) allowed: Vec<Address>,
    /// What it takes away is lost.
    pub(crate) is_removal: bool,
    pub(crate) on_error: OnError,
    pub(crate) reach: Reach,
    /// It is applied to events of a stream whose data are not JSON, too.
    pub(crate) fits_text: bool,
}

/// Where a step has its value from, or what it asks.
#[derive(Debug)]
pub(crate) enum Task {
    Nothing,
    /// As each target takes it.
    Constant(Vec<Constant>),
    First(Vec<Read>),
    Template(Vec<Part>),
    /// A path, with what stands for its names.
    Path(PathTemplate, Vec<Read>),
    Sum(Vec<Read>),
    #[cfg(feature = "generate")]
    Generate(Generator),
    /// The elements of an array, mapped.
    Each(Read, Box<Each>),
    Require(Vec<Read>),
    Test(Read, Value),
}

/// A part of a template.
#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Value(Read),
}

/// What becomes of members of the body that no rule names.
///
/// Below a place that a rule names as a whole all is named.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Unmapped {
    /// They pass. The default.
    #[default]
    Pass,
    /// They are left out.
    Drop,
    /// The message is refused.
    Reject,
}

/// What a body is before rules write to it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Base {
    /// What came in. The default.
    #[default]
    Copy,
    /// Nothing: what no rule writes is not there.
    Empty,
}

/// What happens where a member that a rule names is given twice.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum DuplicateKeys {
    /// The message is refused. The default: whoever looked at it before may have seen the other value.
    #[default]
    Reject,
    /// The last one counts, and the others are left out.
    Last,
}

/// Whose rules they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Request,
    Response,
    /// An event of a response that is a stream.
    Stream,
}

// === impl Side ===

impl Side {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Stream => "stream",
        }
    }
}

// === impl Program ===

impl Program {
    pub(crate) fn empty() -> Self {
        Self {
            steps: Vec::new(),
            keep: None,
            trie: Trie::new("body:", false),
            unmapped: Unmapped::Pass,
            starts_empty: false,
            needs_length: false,
            template: None,
            vars: VarPlan::default(),
        }
    }
}
