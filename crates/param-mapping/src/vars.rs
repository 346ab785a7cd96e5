//! Variables: values that rules write for other rules, and that are no part of a message.

use std::fmt;
use std::sync::OnceLock;

use portcullis_gateway_error::InvalidConfig;

use crate::address::Place;
use crate::out::Text;
use crate::rule::Verb;
use crate::trie::Mode;
use crate::{Address, Rule};

/// Which variables there are on one side, and in which order they are known.
#[derive(Debug, Default)]
pub(crate) struct VarPlan {
    /// How many there are. The first ones were written on the side of requests, where these are the rules for responses.
    pub(crate) count: usize,
    /// A rule reads one that the other side wrote.
    pub(crate) reads_given: bool,
    pub(crate) order: Vec<Var>,
}

/// A variable and the steps that write it.
#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) slot: usize,
    pub(crate) steps: Vec<usize>,
}

/// A step that writes a variable.
#[derive(Debug)]
pub(crate) struct VarStep {
    pub(crate) slot: usize,
    pub(crate) step: usize,
    /// The variables that must be known before.
    pub(crate) reads: Vec<usize>,
    /// The index of its rule.
    pub(crate) rule: usize,
}

/// The values in one message, as JSON.
pub(crate) type VarValues = [OnceLock<String>];

/// What was written for requests, kept for the response.
#[derive(Clone, Default)]
pub(crate) struct KeptVars(pub(crate) Vec<Option<String>>);

// === impl VarPlan ===

impl VarPlan {
    /// Puts variables in an order in which each is known before it is read.
    pub(crate) fn new(
        names: &[&String],
        mut steps: Vec<VarStep>,
        reads_given: bool,
    ) -> Result<Self, InvalidConfig> {
        let mut order = Vec::new();
        while let Some(first) = steps.first() {
            let is_known = |slot: usize| steps.iter().all(|step| step.slot != slot);
            let is_next = |slot: usize| {
                let mut own = steps.iter().filter(|step| step.slot == slot);
                own.all(|step| step.reads.iter().all(|read| is_known(*read)))
            };
            let next = steps.iter().map(|step| step.slot);
            let Some(slot) = next.into_iter().find(|slot| is_next(*slot)) else {
                let name = names.get(first.slot).map_or("", |name| name);
                let mistake =
                    InvalidConfig::whole(format!("`var:{name}` needs itself, or one that does"));
                return Err(mistake.within_index(first.rule).within("rules"));
            };
            let own = steps.iter().filter(|step| step.slot == slot);
            let own = own.map(|step| step.step).collect();
            order.push(Var { slot, steps: own });
            steps.retain(|step| step.slot != slot);
        }
        Ok(Self {
            count: names.len(),
            reads_given,
            order,
        })
    }

    /// The values at the beginning.
    pub(crate) fn values(&self, given: &KeptVars) -> Vec<OnceLock<String>> {
        let given = |slot| given.0.get(slot).cloned().flatten();
        let cell = |slot| given(slot).map_or_else(OnceLock::new, OnceLock::from);
        (0..self.count).map(cell).collect()
    }
}

/// The names of the variables that these rules write.
pub(crate) fn written(rules: &[Rule]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in rules {
        let targets = match rule.verb {
            Verb::Move | Verb::Copy | Verb::ForEach => &rule.to,
            Verb::Set | Verb::Add | Verb::Default => &rule.at,
            _ => continue,
        };
        for Address(place) in targets {
            if let Place::Var(name) = place
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
    }
    names
}

/// What a variable comes to: the last value that is set, or else, or where that is `null`, what fills the gap.
pub(crate) fn value<'v, 'a>(writes: &'v [(Mode, Text<'a>)]) -> Option<&'v Text<'a>> {
    let last = |is_so: &dyn Fn(Mode) -> bool| {
        let found = writes.iter().rev().find(|(mode, _)| is_so(*mode));
        found.map(|(_, text)| text)
    };
    let set = last(&|mode| !mode.is_fill());
    let (is_missing, is_null) = (set.is_none(), set.is_some_and(|text| text.text == "null"));
    let filled = last(&|mode| {
        (mode == Mode::Default && (is_missing || is_null)) || (mode == Mode::Add && is_missing)
    });
    filled.or(set)
}

// === impl KeptVars ===

impl fmt::Debug for KeptVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: there may be secrets in them.
        write!(f, "KeptVars({})", self.0.len())
    }
}
