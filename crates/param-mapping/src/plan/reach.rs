//! Which parts of a message a step needs.

use super::{Part, Step, Task};
use crate::read::{Read, ReadKind};
use crate::vars::VarPlan;

/// What a step is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reach {
    /// JSON, in the body.
    pub(crate) body: bool,
    /// A form, in the body.
    pub(crate) form: bool,
    pub(crate) var: bool,
    /// Something that is neither the body nor a header.
    pub(crate) other: bool,
    /// Its condition asks for what is known only once the body was read.
    pub(crate) late_in_when: bool,
    /// Its source is in the body.
    pub(crate) body_in_source: bool,
    pub(crate) form_in_source: bool,
}

// === impl Reach ===

impl Reach {
    /// Whether it is about the body.
    pub(crate) const fn is_in_body(self) -> bool {
        self.body || self.form
    }

    /// That of this and of what its condition asks for.
    pub(crate) const fn with_when(self, when: Self) -> Self {
        Self {
            body: self.body || when.body,
            form: self.form || when.form,
            var: self.var || when.var,
            other: self.other || when.other,
            late_in_when: when.is_in_body() || when.var,
            ..self
        }
    }
}

/// Lets what variables are made of count for the steps that read them: a value in the body is one on its way through a variable too.
pub(crate) fn through_variables(steps: &mut [Step], vars: &VarPlan) {
    let mut made_of = vec![Reach::default(); vars.count];
    for var in &vars.order {
        for index in &var.steps {
            let Some(step) = steps.get_mut(*index) else {
                continue;
            };
            step.widen(&made_of);
            let reach = step.reach;
            if let Some(made_of) = made_of.get_mut(var.slot) {
                made_of.body_in_source |= reach.body_in_source;
                made_of.form_in_source |= reach.form_in_source;
            }
        }
    }
    for step in steps {
        step.widen(&made_of);
    }
}

// === impl Step ===

impl Step {
    fn widen(&mut self, made_of: &[Reach]) {
        let Self { task, reach, .. } = self;
        let mut widen = |read: &Read| {
            if let ReadKind::Var(slot) = read.kind
                && let Some(made_of) = made_of.get(slot)
            {
                reach.body |= made_of.body_in_source;
                reach.form |= made_of.form_in_source;
                reach.body_in_source |= made_of.body_in_source;
                reach.form_in_source |= made_of.form_in_source;
            }
        };
        match task {
            Task::First(reads) | Task::Sum(reads) | Task::Path(_, reads) => {
                reads.iter().for_each(widen);
            }
            Task::Template(parts) => parts.iter().for_each(|part| match part {
                Part::Value(read) => widen(read),
                Part::Text(_) => {}
            }),
            Task::Each(read, _) => widen(read),
            _ => {}
        }
    }
}
