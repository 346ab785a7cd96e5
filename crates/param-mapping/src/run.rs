//! What the steps of a program come to in one message: reads see the original, and nothing is changed before all is known to be right.

use std::fmt;
use std::sync::Arc;

use crate::constant::{Constant, Output};
use crate::emit::{Emitter, twice};
use crate::env::{Env, Frame, Item};
use crate::head::HeadEdits;
use crate::out::{MAX_MADE, Out, Text};
use crate::pipe::Pipe;
use crate::plan::{Part, Program, Step, Task};
use crate::read::{Found, Read, scalar};
use crate::refusal::Refusal;
use crate::report::{ChangeKind, Seen};
use crate::rule::OnError;
use crate::scan::Stop;
use crate::{Address, PathTemplate, json, number, vars};

/// What a step comes to.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// It is not applied.
    Idle,
    /// It is, and writes nothing into the document.
    Done,
    /// It writes this.
    Value(Text<'a>),
}

/// A value on its way to the targets.
enum Gained<'a> {
    Nothing,
    /// As each target takes it.
    Constants(&'a [Constant]),
    Found(Found<'a>, From<'a>),
}

/// Where a value is from, for whoever tells that it does not fit.
#[derive(Clone, Copy)]
enum From<'a> {
    Address(&'a Address),
    Words(&'static str),
}

// === impl Program ===

impl Program {
    /// Runs the steps that are covered. What they do to the head is noted.
    pub(crate) fn run<'a>(
        &'a self,
        env: &Env<'a>,
        is_covered: impl Fn(&Step) -> bool,
        edits: &mut HeadEdits<'a>,
    ) -> Result<Vec<Outcome<'a>>, Refusal> {
        if !self.vars.order.is_empty() {
            return self.run_with_vars(env, is_covered, edits);
        }
        let mut outcomes = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            outcomes.push(if is_covered(step) {
                step.run(env, edits)?
            } else {
                Outcome::Idle
            });
        }
        Ok(outcomes)
    }

    /// The same, where first of all the variables become known, each after those that it is made of.
    fn run_with_vars<'a>(
        &'a self,
        env: &Env<'a>,
        is_covered: impl Fn(&Step) -> bool,
        edits: &mut HeadEdits<'a>,
    ) -> Result<Vec<Outcome<'a>>, Refusal> {
        let mut outcomes: Vec<_> = self.steps.iter().map(|_| Outcome::Idle).collect();
        for var in &self.vars.order {
            let mut values = Vec::new();
            for index in &var.steps {
                let (Some(step), Some(outcome)) =
                    (self.steps.get(*index), outcomes.get_mut(*index))
                else {
                    continue;
                };
                if is_covered(step) {
                    *outcome = match step.run(env, edits)? {
                        Outcome::Value(text) => {
                            values.push((step.mode, text));
                            Outcome::Done
                        }
                        outcome => outcome,
                    };
                }
            }
            if let (Some(value), Some(cell)) = (vars::value(&values), env.vars.get(var.slot)) {
                // It is in the order once, so nothing was there.
                let _ = cell.set(value.text.clone().into_owned());
            }
        }
        for (step, outcome) in self.steps.iter().zip(&mut outcomes) {
            if step.var.is_none() && is_covered(step) {
                *outcome = step.run(env, edits)?;
            }
        }
        Ok(outcomes)
    }

    /// Maps an element, and says whether it is there then.
    pub(crate) fn map_item(
        &self,
        element: &Text<'_>,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<bool, Refusal> {
        let frame = Frame::at(0, element, &self.trie).map_err(|stop| match stop {
            Stop::Twice(node) => twice(self.trie.address(node)),
            Stop::Invalid(invalid) => invalid.into(),
        })?;
        let env = Env {
            item: env.item.map(|item| Item {
                frame: Some(&frame),
                ..item
            }),
            ..*env
        };
        if let Some(keep) = &self.keep
            && !keep.holds(&env)?
        {
            return Ok(false);
        }
        let outcomes = self.run(&env, |_| true, &mut HeadEdits::default())?;
        let emitter = Emitter {
            program: self,
            outcomes: &outcomes,
            env: &env,
        };
        emitter.emit(0, Some(&frame), out)
    }
}

// === impl Step ===

impl Step {
    fn run<'a>(&'a self, env: &Env<'a>, edits: &mut HeadEdits<'a>) -> Result<Outcome<'a>, Refusal> {
        if let Some(when) = &self.when
            && !when.holds(env)?
        {
            return Ok(Outcome::Idle);
        }
        if let Some(replaced) = &self.replaced
            && !replaced.is_there(env)?
        {
            // Nothing is required where there is nothing to replace.
            return Ok(Outcome::Idle);
        }
        let fallback = || Gained::Constants(&self.fallback);
        let mut outputs = Vec::new();
        let mut seen = Seen::default();
        let gained = self.gain(env, &mut seen);
        let written = gained.and_then(|gained| self.write(gained, &mut outputs));
        let text = match (written, self.on_error) {
            (Ok(text), _) => {
                self.note(seen, env);
                text
            }
            (Err(refusal), OnError::Reject) => return Err(refusal),
            (Err(refusal), OnError::Drop) => {
                outputs.clear();
                if let Some(notes) = env.notes {
                    notes.add(ChangeKind::Dropped, &self.label, Some(&refusal.detail));
                }
                // Whatever is at the target is what could not be mapped.
                None
            }
            (Err(refusal), on_error) => {
                tracing::debug!(
                    param = refusal.param,
                    reason = refusal.detail,
                    ?on_error,
                    "rule not applied"
                );
                outputs.clear();
                match on_error {
                    OnError::Default => self.write(fallback(), &mut outputs)?,
                    OnError::Keep | OnError::Drop | OnError::Reject => return Ok(Outcome::Idle),
                }
            }
        };
        if self.is_removal {
            for address in &self.removed {
                if env.holds(address) {
                    env.note(ChangeKind::Dropped, &self.label);
                }
            }
        }
        edits.remove(&self.removed);
        edits.allow(&self.allowed);
        for output in outputs {
            if matches!((&output, &self.task), (Output::Field(..), Task::First(_))) {
                edits.fields.get_or_insert_default().brings = true;
            }
            edits.write(output, self.mode)?;
        }
        Ok(text.map_or(Outcome::Done, Outcome::Value))
    }

    /// The value, or what stands for it.
    fn gain<'a>(&'a self, env: &Env<'a>, seen: &mut Seen) -> Result<Gained<'a>, Refusal> {
        let (found, from) = match &self.task {
            Task::Nothing => return Ok(Gained::Nothing),
            Task::Constant(constants) => return Ok(Gained::Constants(constants)),
            Task::Require(reads) => {
                for read in reads {
                    if !read.is_there(env)? {
                        return Err(Refusal::missing(&read.address));
                    }
                }
                return Ok(Gained::Nothing);
            }
            Task::Test(read, value) => {
                let values = read.nodes(env)?;
                if values.len() == 1 && values.iter().all(|text| json::equals(&text.text, value)) {
                    return Ok(Gained::Nothing);
                }
                let detail = format!("{} is not what it must be", read.address);
                return Err(Refusal::bad(&read.address, detail));
            }
            Task::First(reads) => {
                let mut found = None;
                for (position, read) in reads.iter().enumerate() {
                    if let Some(value) = read.find(env)? {
                        found = Some((value, From::Address(&read.address)));
                        seen.source = position;
                        break;
                    }
                }
                match found {
                    Some((found, from)) => (Some(found), from),
                    None => (None, From::Words("")),
                }
            }
            Task::Template(parts) => (template(parts, env)?, From::Words("the template")),
            #[cfg(feature = "generate")]
            Task::Generate(generator) => {
                let made = generator.make().map_err(|why| self.not_made(why))?;
                let from = From::Words("what is generated");
                (Some(Found::Json(Text::made(made))), from)
            }
            Task::Path(template, reads) => (path(template, reads, env)?, From::Words("the path")),
            Task::Sum(reads) => (sum(reads, env)?, From::Words("the sum")),
            Task::Each(read, each) => {
                let from = From::Address(&read.address);
                match read.find(env)? {
                    Some(Found::Json(text)) => {
                        let program = Program::empty();
                        let emitter = Emitter {
                            program: &program,
                            outcomes: &[],
                            env,
                        };
                        let mut out = Out::text();
                        emitter.each(each, &text, &mut out)?;
                        (Some(Found::Json(Text::made(out.into_text()))), from)
                    }
                    found => (found, from),
                }
            }
        };
        let is_null = |found: &Found<'_>| matches!(found, Found::Json(text) if text.text == "null");
        let Some(found) = found.filter(|found| self.fallback.is_empty() || !is_null(found)) else {
            if !self.fallback.is_empty() {
                return Ok(Gained::Constants(&self.fallback));
            }
            return match self.first() {
                Some(read) if self.required => Err(Refusal::missing(&read.address)),
                None if self.required => {
                    let to = self.to.first().map_or(String::new(), ToString::to_string);
                    Err(Refusal::bad(&to, format!("{from} for {to} has no value")))
                }
                _ => Ok(Gained::Nothing),
            };
        };
        let Some((first, _)) = self.pipes.split_first() else {
            return Ok(Gained::Found(found, from));
        };
        let mut text = match found {
            Found::Json(text) => text,
            found if first.takes_several() => {
                let texts = found.texts(&from)?;
                let texts: Vec<_> = texts.iter().map(|text| &*text.text).collect();
                Text::made(format!("[{}]", texts.join(",")))
            }
            found => found.into_json(&from)?,
        };
        for pipe in &self.pipes {
            let before = text.text.as_ptr();
            match pipe.apply(text, env) {
                Ok(Some(piped)) => {
                    text = piped;
                    // What passes is not written anew.
                    let is_other = text.text.as_ptr() != before;
                    seen.clamped |= is_other && matches!(pipe, Pipe::Clamp(_));
                    seen.coerced |= is_other && matches!(pipe, Pipe::Coerce(_));
                }
                Ok(None) => {
                    seen.dropped = matches!(pipe, Pipe::Map { .. } | Pipe::Custom(_));
                    return Ok(Gained::Nothing);
                }
                Err(misfit) => return Err(misfit.refusal(&from)),
            }
        }
        Ok(Gained::Found(Found::Json(text), from))
    }

    /// Says a value as each target takes it: as JSON, and for the head.
    fn write<'a>(
        &'a self,
        gained: Gained<'a>,
        outputs: &mut Vec<Output<'a>>,
    ) -> Result<Option<Text<'a>>, Refusal> {
        let mut json = None;
        match gained {
            Gained::Nothing => {}
            Gained::Constants(constants) => {
                for (constant, target) in constants.iter().zip(&self.to) {
                    match constant.output(target) {
                        Output::Body(text) => json = Some(text),
                        output => outputs.push(output),
                    }
                }
            }
            Gained::Found(found, from) => {
                for target in self.to.iter().filter(|target| !target.holds_json()) {
                    let mut output = found.clone().output(&from, target)?;
                    if let (Output::Header(_, values), From::Address(address)) = (&mut output, from)
                        && address.is_secret()
                    {
                        // Neither for logs nor for the tables of HPACK.
                        values
                            .iter_mut()
                            .for_each(|value| value.set_sensitive(true));
                    }
                    outputs.push(output);
                }
                if self.to.iter().any(Address::holds_json) {
                    json = Some(found.into_json(&from)?);
                }
            }
        }
        Ok(json)
    }

    /// Notes what the transforms did.
    fn note(&self, seen: Seen, env: &Env<'_>) {
        let kinds = [
            (seen.dropped, ChangeKind::Dropped),
            (seen.clamped, ChangeKind::Clamped),
            (seen.coerced, ChangeKind::Coerced),
        ];
        for (is_seen, kind) in kinds {
            if is_seen {
                env.note(kind, &self.source_label(seen.source));
            }
        }
    }

    /// How that is told which the value came from, where it is not the first of several.
    fn source_label(&self, source: usize) -> Arc<str> {
        match &self.task {
            Task::First(reads) if source > 0 => reads.get(source).map_or_else(
                || Arc::clone(&self.label),
                |read| read.address.to_string().into(),
            ),
            _ => Arc::clone(&self.label),
        }
    }

    #[cfg(feature = "generate")]
    fn not_made(&self, why: &'static str) -> Refusal {
        let to = self.to.first().map_or(String::new(), ToString::to_string);
        let detail = format!("{to} has no value: {why}");
        Refusal::bad(&to, detail)
    }

    pub(crate) fn first(&self) -> Option<&Read> {
        match &self.task {
            Task::First(reads) => reads.first(),
            Task::Each(read, _) => Some(read),
            _ => None,
        }
    }
}

fn template<'a>(parts: &'a [Part], env: &Env<'a>) -> Result<Option<Found<'a>>, Refusal> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Value(read) => {
                let Some(found) = read.find(env)? else {
                    return Ok(None);
                };
                let value = found.into_json(&read.address)?;
                text.push_str(&scalar(&value.text, &read.address, &"a template")?);
                if text.len() > MAX_MADE {
                    // Templates of templates grow fast.
                    return Err(Refusal::too_much(&read.address));
                }
            }
        }
    }
    Ok(Some(Found::Json(Text::made(json::encode_string(&text)))))
}

/// A path whose names are the places of what is read.
fn path<'a>(
    template: &PathTemplate,
    reads: &'a [Read],
    env: &Env<'a>,
) -> Result<Option<Found<'a>>, Refusal> {
    let mut texts = Vec::with_capacity(reads.len());
    for read in reads {
        let Some(found) = read.find(env)? else {
            return Ok(None);
        };
        let value = found.into_json(&read.address)?;
        texts.push(scalar(&value.text, &read.address, &"a path")?.into_owned());
    }
    let named = |name: &str| {
        let index: usize = name.parse().ok()?;
        texts.get(index).map(String::as_str)
    };
    match template.expand(named) {
        Ok(path) => Ok(Some(Found::Plain(vec![path.into_bytes().into()], None))),
        Err(error) => {
            let detail = format!("path cannot be written: {error}");
            Err(Refusal::bad(&"path", detail))
        }
    }
}

fn sum<'a>(reads: &'a [Read], env: &Env<'a>) -> Result<Option<Found<'a>>, Refusal> {
    let mut numbers = Vec::new();
    for read in reads {
        for text in read.nodes(env)? {
            let found = json::type_name(&text.text);
            if found != "a number" {
                let detail = format!("{} must be a number, is {found}", read.address);
                return Err(Refusal::bad(&read.address, detail));
            }
            numbers.push(text);
        }
    }
    if numbers.is_empty() {
        return Ok(None);
    }
    let numbers: Vec<_> = numbers.iter().map(|text| &*text.text).collect();
    let sum = number::sum(&numbers);
    let sum = sum.ok_or_else(|| Refusal::body("the sum is no finite number".to_owned()))?;
    Ok(Some(Found::Json(Text::made(sum))))
}

// === impl From ===

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Words(words) => f.write_str(words),
        }
    }
}
