//! One rule becomes one step, or several.

use portcullis_gateway_error::InvalidConfig;
use serde_json::Value;

use super::check::{changeable, misplaced};
use super::compile::{Placed, Scope};
use super::{Reach, Side, Step, Task};
use crate::address::{Place, Root};
use crate::constant::Constant;
use crate::pipe::Pipe;
use crate::rule::{OnError, Source, Verb};
use crate::trie::{Mode, Write};
use crate::{Address, Rule};

// === impl Scope ===

impl Scope<'_> {
    /// Compiles a rule, and marks in the documents what its step, the one with this index, does to them.
    pub(crate) fn step(&mut self, placed: &Placed, index: usize) -> Result<Step, InvalidConfig> {
        let rule = &placed.rule;
        let name = rule.verb.name();
        if let Some((field, why)) = misplaced(rule) {
            return Err(InvalidConfig::new(field, why));
        }
        if rule.at.is_empty() {
            return Err(InvalidConfig::new(name, "names nothing"));
        }
        let mut step = Step::nothing();
        step.when = self.when(rule)?;
        step.required = rule.required;
        step.on_error = rule.on_error;
        let targets: &[Address] = if rule.to.is_empty() {
            &rule.at
        } else {
            &rule.to
        };
        let targets_field = if rule.to.is_empty() { name } else { "to" };

        match rule.verb {
            Verb::Move | Verb::Copy => {
                step.task = Task::First(self.reads(name, &rule.at)?);
                step.mode = Mode::Set;
                check_move(rule)?;
                if rule.verb == Verb::Move {
                    self.remove(name, &rule.at, index, &mut step)?;
                }
            }
            Verb::Update => {
                step.task = Task::First(self.reads(name, &rule.at)?);
                step.mode = Mode::Replace;
                // Where nothing comes out of its transforms, nothing stays.
                for address in &rule.at {
                    if !address.is_json() {
                        step.removed.push(address.clone());
                    } else if let Ok(node) = self.target(address) {
                        let document = self.document();
                        document.change(node, |node| node.removed.push(index));
                    }
                }
            }
            Verb::ForEach => {
                step.task = self.each_to(placed, index)?;
                step.mode = Mode::Set;
            }
            Verb::Set
            | Verb::Replace
            | Verb::Add
            | Verb::Default
            | Verb::Append
            | Verb::Prepend
            | Verb::Merge => {
                step.mode = match rule.verb {
                    Verb::Replace => Mode::Replace,
                    Verb::Add => Mode::Add,
                    Verb::Default => Mode::Default,
                    Verb::Append => Mode::Append,
                    Verb::Prepend => Mode::Prepend,
                    Verb::Merge => Mode::Merge,
                    _ => Mode::Set,
                };
                step.task = self.source(rule)?;
            }
            Verb::Remove => {
                step.is_removal = true;
                self.remove(name, &rule.at, index, &mut step)?;
                return Ok(step);
            }
            Verb::Allow => {
                self.allow(&rule.at, index, &mut step)?;
                return Ok(step);
            }
            Verb::Require => {
                step.task = Task::Require(self.reads(name, &rule.at)?);
                (self.reach.body_in_source, self.reach.form_in_source) = step.task.reads();
                return Ok(step);
            }
            Verb::Test => {
                let within = |mistake: InvalidConfig| mistake.within(name);
                let read = rule
                    .at
                    .first()
                    .map(|address| self.read(address).map_err(within));
                let value = match &rule.source {
                    Some(Source::Value(value)) => value.clone(),
                    _ => return Err(InvalidConfig::whole("`test` needs `value`")),
                };
                if let Some(read) = read.transpose()? {
                    step.task = Task::Test(read, value);
                }
                (self.reach.body_in_source, self.reach.form_in_source) = step.task.reads();
                return Ok(step);
            }
        }
        (self.reach.body_in_source, self.reach.form_in_source) = step.task.reads();
        if matches!(step.task, Task::Path(..)) && !rule.with.is_empty() {
            return Err(InvalidConfig::new("with", "has no meaning beside `path`"));
        }
        for (at, transform) in rule.with.iter().enumerate() {
            let within = |mistake: InvalidConfig| {
                mistake
                    .within(transform.name())
                    .within_index(at)
                    .within("with")
            };
            step.pipes.push(self.pipe(transform).map_err(within)?);
        }
        if let Some(value) = &rule.fallback {
            let within = |mistake: InvalidConfig| mistake.within("default");
            check_fallback(value, &step.pipes).map_err(within)?;
            let constants = targets.iter().map(|target| Constant::new(target, value));
            step.fallback = constants.collect::<Result<_, _>>().map_err(within)?;
        }
        if rule.on_error == OnError::Default && rule.fallback.is_none() {
            return Err(InvalidConfig::new(
                "on_error",
                "`default` needs a `default`",
            ));
        }
        if targets.iter().any(Address::is_form) && targets.iter().any(Address::is_json) {
            let why = "a body is a form or JSON: write two rules";
            return Err(InvalidConfig::new(targets_field, why));
        }
        if targets.len() > 1 && targets.iter().any(Address::is_var) {
            let why = "a variable is written alone: write two rules";
            return Err(InvalidConfig::new(targets_field, why));
        }
        let list = targets.len() > 1;
        for (at, target) in targets.iter().enumerate() {
            self.write(target, index, &mut step).map_err(|mistake| {
                let mistake = if list {
                    mistake.within_index(at)
                } else {
                    mistake
                };
                mistake.within(targets_field)
            })?;
        }
        Ok(step)
    }

    fn remove(
        &mut self,
        field: &'static str,
        addresses: &[Address],
        index: usize,
        step: &mut Step,
    ) -> Result<(), InvalidConfig> {
        for address in addresses {
            let within = |mistake: InvalidConfig| mistake.within(field);
            if address.is_json() {
                if address.is_whole() && field == "remove" && self.root() == Root::Body {
                    return Err(within(InvalidConfig::whole(
                        "the whole body cannot be removed",
                    )));
                }
                let node = self.target(address).map_err(within)?;
                self.document()
                    .change(node, |node| node.removed.push(index));
            } else {
                self.changes_head(address).map_err(within)?;
                if matches!(
                    address.0,
                    Place::Status | Place::Segment(_) | Place::WholePath | Place::Var(_)
                ) {
                    let why = format!("`{address}` cannot be removed");
                    return Err(within(InvalidConfig::whole(why)));
                }
                step.removed.push(address.clone());
            }
        }
        Ok(())
    }

    fn allow(
        &mut self,
        addresses: &[Address],
        index: usize,
        step: &mut Step,
    ) -> Result<(), InvalidConfig> {
        let list = addresses.len() > 1;
        for (at, address) in addresses.iter().enumerate() {
            let within = |mistake: InvalidConfig| {
                let mistake = if list {
                    mistake.within_index(at)
                } else {
                    mistake
                };
                mistake.within("allow")
            };
            if let Place::Pointer(_, tokens) = &address.0 {
                let node = self.target(address).map_err(within)?;
                for depth in 0..tokens.len() {
                    let tokens = tokens.get(..depth).unwrap_or_default();
                    let above = self.document().at(tokens);
                    self.document().change(above, |node| node.only.push(index));
                }
                self.document().change(node, |node| node.kept.push(index));
            } else if address.is_json() {
                return Err(within(InvalidConfig::whole(format!(
                    "`{address}` is a path, and `allow` takes pointers"
                ))));
            } else {
                self.changes_head(address).map_err(within)?;
                if matches!(
                    address.0,
                    Place::Segment(_) | Place::WholePath | Place::Var(_) | Place::Event
                ) {
                    let why = format!("`{address}` stands alone");
                    return Err(within(InvalidConfig::whole(why)));
                }
                step.allowed.push(address.clone());
            }
        }
        Ok(())
    }

    /// Notes that a step writes there, in the document or in the head.
    fn write(
        &mut self,
        target: &Address,
        index: usize,
        step: &mut Step,
    ) -> Result<(), InvalidConfig> {
        if let Place::Var(name) = &target.0
            && self.root() != Root::Item
        {
            if !matches!(step.mode, Mode::Set | Mode::Add | Mode::Default) {
                let why = format!("`{target}` is `set`, or filled by `add` or `default`");
                return Err(InvalidConfig::whole(why));
            }
            if self.settings.given.contains(name) {
                let by = match self.settings.side {
                    Side::Request | Side::Response => "a rule for requests",
                    Side::Stream => "`state`, or by a rule for requests",
                };
                let why = format!("`{target}` is written by {by}");
                return Err(InvalidConfig::whole(why));
            }
            step.var = Some(self.slot(name)?);
            step.to.push(target.clone());
            self.reach.other = true;
            return Ok(());
        }
        if !target.is_json() {
            self.changes_head(target)?;
            let is_status = *target == Address(Place::Status);
            let is_always_there =
                is_status || matches!(target.0, Place::Segment(_) | Place::WholePath);
            if is_always_there && !matches!(step.mode, Mode::Set | Mode::Replace) {
                let why = format!("`{target}` is always there: `set` it");
                return Err(InvalidConfig::whole(why));
            }
            if *target == Address(Place::WholePath)
                && !matches!(step.task, Task::Constant(_) | Task::Path(..))
            {
                return Err(InvalidConfig::whole(
                    "`path` is written by `set` with `value` or `template`",
                ));
            }
            if matches!(target.0, Place::Cookie(_))
                && matches!(step.mode, Mode::Append | Mode::Prepend)
            {
                let why = format!("`{target}` is one cookie: `set` it");
                return Err(InvalidConfig::whole(why));
            }
            let is_event = *target == Address(Place::Event);
            if is_event && matches!(step.mode, Mode::Append | Mode::Prepend) {
                return Err(InvalidConfig::whole("`event` is one name: `set` it"));
            }
            if step.mode == Mode::Merge {
                return Err(InvalidConfig::whole(format!(
                    "`{target}` holds no object to merge with"
                )));
            }
            if step.mode == Mode::Replace {
                step.replaced = Some(self.read(target)?);
            }
            step.to.push(target.clone());
            return Ok(());
        }
        let mut target = target.clone();
        let mut mode = step.mode;
        if let Place::Pointer(_, tokens) = &mut target.0
            && tokens.last().is_some_and(|token| token == "-")
            && mode == Mode::Set
        {
            tokens.pop();
            mode = Mode::Append;
        }
        let node = self.target(&target)?;
        if mode == Mode::Replace {
            step.replaced = Some(self.read(&target)?);
        }
        self.document()
            .change(node, |node| node.writes.push(Write { step: index, mode }));
        step.to.push(target);
        Ok(())
    }

    /// Refuses what cannot be written in a head.
    fn changes_head(&mut self, address: &Address) -> Result<(), InvalidConfig> {
        if self.root() == Root::Item {
            return Err(InvalidConfig::whole(format!(
                "`{address}` cannot be written inside `for_each`, only `item:` can"
            )));
        }
        changeable(address)?;
        match &address.0 {
            Place::Method | Place::SecretEnv(_) | Place::SecretFile(_) => Err(
                InvalidConfig::whole(format!("`{address}` cannot be written")),
            ),
            Place::Header(_) | Place::Status if self.settings.side == Side::Stream => {
                Err(InvalidConfig::whole(format!(
                    "`{address}` is sent before the first event: write it by a rule of `response`"
                )))
            }
            // What cannot be read here cannot be written either.
            _ => self.read(address).map(|_| ()),
        }
    }
}

fn check_move(rule: &Rule) -> Result<(), InvalidConfig> {
    if rule.to.is_empty() {
        return Err(InvalidConfig::whole(format!("`{}` needs `to`", rule.verb)));
    }
    for from in &rule.at {
        for to in &rule.to {
            if from == to && rule.at.len() == 1 {
                return Err(InvalidConfig::new(
                    "to",
                    format!("`{to}` is where it comes from"),
                ));
            }
            if from.is_whole() && !to.is_json() {
                return Err(InvalidConfig::new(
                    "to",
                    format!("the whole body can only be moved into the body, not to `{to}`"),
                ));
            }
        }
        changeable(from).map_err(|mistake| mistake.within(rule.verb.name()))?;
    }
    Ok(())
}

/// A default that the rule itself would refuse or change is a mistake.
fn check_fallback(value: &Value, pipes: &[Pipe]) -> Result<(), InvalidConfig> {
    let text = value.to_string();
    // It does not go through them, so that it must be what comes out: what is checked after the last change.
    let is_check = |pipe: &&Pipe| matches!(pipe, Pipe::Validate(_) | Pipe::Clamp(_));
    for pipe in pipes.iter().rev().take_while(is_check) {
        let text = crate::out::Text::constant(&text);
        let is_right = match pipe {
            Pipe::Validate(validation) => validation
                .check(&text)
                .map_err(|misfit| misfit.refusal(&"it").detail),
            Pipe::Clamp(_) => match pipe.apply(text.clone(), &crate::env::Env::default()) {
                Ok(Some(clamped)) if clamped.text == text.text => Ok(()),
                _ => Err("it lies outside the limits of `clamp`".to_owned()),
            },
            _ => return Ok(()),
        };
        is_right.map_err(InvalidConfig::whole)?;
    }
    Ok(())
}

// === impl Step ===

impl Step {
    pub(crate) fn nothing() -> Self {
        Self {
            label: "".into(),
            when: None,
            task: Task::Nothing,
            pipes: Vec::new(),
            required: false,
            fallback: Vec::new(),
            mode: Mode::Set,
            to: Vec::new(),
            var: None,
            replaced: None,
            removed: Vec::new(),
            allowed: Vec::new(),
            is_removal: false,
            on_error: OnError::Reject,
            fits_text: false,
            reach: Reach {
                body: false,
                form: false,
                var: false,
                other: false,
                late_in_when: false,
                body_in_source: false,
                form_in_source: false,
            },
        }
    }
}

// === impl Side ===

impl Side {
    /// What cannot be done as the rules say is answered with this.
    pub(crate) const fn status(self) -> http::StatusCode {
        match self {
            Self::Request => http::StatusCode::BAD_REQUEST,
            Self::Response | Self::Stream => http::StatusCode::BAD_GATEWAY,
        }
    }
}
