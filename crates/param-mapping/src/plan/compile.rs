//! From rules to a program. What can be wrong with them is found here.

use std::collections::HashMap;

use portcullis_gateway_error::InvalidConfig;

use super::check::Writers;
use super::reach::through_variables;
use super::{Base, DuplicateKeys, Program, Reach, Side, Step, Unmapped};
use crate::address::path::Segment;
use crate::address::{Place, Root};
use crate::condition::Condition;
#[cfg(feature = "generate")]
use crate::generate::make::Sources;
use crate::pipe::Function;
use crate::rule::Verb;
use crate::trie::{Each, Trie};
use crate::vars::{VarPlan, VarStep};
use crate::when::When;
use crate::{Address, PathTemplate, Route, Rule};

/// What the rules of one side have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'s> {
    pub(crate) side: Side,
    pub(crate) base: Base,
    pub(crate) unmapped: Unmapped,
    pub(crate) duplicate_keys: DuplicateKeys,
    pub(crate) functions: &'s HashMap<String, Function>,
    #[cfg(feature = "generate")]
    pub(crate) sources: &'s Sources,
    pub(crate) route: &'s Route,
    /// The variables that the rules of the other side write before, or that the state of a stream is.
    pub(crate) given: &'s [String],
    /// Those that these rules write.
    pub(crate) vars: &'s [String],
}

/// Where rules stand: the documents that they can name, and what one rule was seen to need.
pub(crate) struct Scope<'s> {
    pub(crate) settings: Settings<'s>,
    pub(super) body: &'s mut Trie,
    /// Of the element at hand, inside `for_each`.
    pub(super) item: Option<&'s mut Trie>,
    pub(crate) reach: Reach,
    needs_length: bool,
    /// The form of the path, once a rule named a part of it.
    pub(super) template: Option<PathTemplate>,
    /// The variables that rules were seen to read.
    pub(super) reads_vars: Vec<usize>,
    pub(super) reads_given: bool,
    var_steps: Vec<VarStep>,
}

/// A rule with the way to it, for whoever tells of a mistake.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) rule: Rule,
    /// The indexes of the rules around it, and its own: `rules[0].rules[1]`.
    pub(crate) path: Vec<usize>,
    /// Of the elements that it is about only these count: it was made of a rule that names a path.
    pub(crate) among: Option<Segment>,
    /// It is about such elements.
    pub(crate) selected: Option<Segment>,
}

/// Rules for the elements at one place, which are applied together.
struct Pending {
    node: usize,
    rules: Vec<Placed>,
    keep: Vec<When>,
    /// The step that says whether they are applied.
    step: usize,
    is_conditional: bool,
    path: Vec<usize>,
}

/// Compiles the rules of one side.
pub(crate) fn program(rules: Vec<Rule>, settings: Settings<'_>) -> Result<Program, InvalidConfig> {
    program_after(rules, settings, |_| Ok(())).map(|(program, ())| program)
}

/// The same, after something else was bound to the documents that the rules are about: the state of a stream, which does not read itself.
pub(crate) fn program_after<T>(
    rules: Vec<Rule>,
    settings: Settings<'_>,
    bind: impl FnOnce(&mut Scope<'_>) -> Result<T, InvalidConfig>,
) -> Result<(Program, T), InvalidConfig> {
    let name = match settings.side {
        Side::Request | Side::Response => "body:",
        Side::Stream => "data:",
    };
    let mut trie = Trie::new(name, settings.duplicate_keys == DuplicateKeys::Last);
    let rules = rules.into_iter().enumerate();
    let rules = rules.map(|(index, rule)| Placed::new(rule, vec![index]));
    let mut scope = Scope {
        settings: Settings {
            given: &[],
            vars: &[],
            ..settings
        },
        body: &mut trie,
        item: None,
        reach: Reach::default(),
        needs_length: false,
        template: None,
        reads_vars: Vec::new(),
        reads_given: false,
        var_steps: Vec::new(),
    };
    let bound = bind(&mut scope)?;
    scope.settings = settings;
    let mut steps = scope.rules(rules.collect())?;
    let template = scope.template;
    let names: Vec<_> = settings.given.iter().chain(settings.vars).collect();
    let vars = VarPlan::new(&names, scope.var_steps, scope.reads_given)?;
    through_variables(&mut steps, &vars);
    let program = Program {
        steps,
        keep: None,
        template,
        vars,
        trie,
        unmapped: settings.unmapped,
        starts_empty: settings.base == Base::Empty,
        needs_length: false,
    };
    Ok((program, bound))
}

// === impl Placed ===

impl Placed {
    pub(crate) const fn new(rule: Rule, path: Vec<usize>) -> Self {
        Self {
            rule,
            path,
            among: None,
            selected: None,
        }
    }

    fn locate(&self, mistake: InvalidConfig) -> InvalidConfig {
        let path = self.path.iter().rev();
        path.fold(mistake, |mistake, index| {
            mistake.within_index(*index).within("rules")
        })
    }

    /// The rules inside a `for_each`.
    pub(crate) fn inner(&self) -> Vec<Self> {
        let rules = self.rule.rules.iter().enumerate();
        let inner = rules.map(|(index, rule)| {
            let mut path = self.path.clone();
            // What was made of a rule is where that is.
            if self.among.is_none() {
                path.push(index);
            }
            Self {
                selected: self.among.clone(),
                ..Self::new(rule.clone(), path)
            }
        });
        inner.collect()
    }
}

// === impl Scope ===

impl Scope<'_> {
    /// Compiles rules that stand side by side.
    fn rules(&mut self, rules: Vec<Placed>) -> Result<Vec<Step>, InvalidConfig> {
        let mut steps = Vec::with_capacity(rules.len());
        let mut writers = Writers::default();
        let mut pending: Vec<Pending> = Vec::new();
        for placed in rules.into_iter().flat_map(Placed::apart) {
            let locate = |mistake| placed.locate(mistake);
            self.reach = Reach::default();
            let reads_before = self.reads_vars.len();
            let rule = &placed.rule;
            let mut step = if rule.verb == Verb::ForEach && rule.to.is_empty() {
                self.each_in_place(&placed, steps.len(), &mut pending)
            } else {
                self.step(&placed, steps.len())
            }
            .map_err(locate)?;
            writers.add(&placed).map_err(locate)?;
            if let Some(segment) = &placed.selected {
                self.needs_length |= matches!(segment, Segment::Index(_) | Segment::Slice(_));
                let selected = Condition::Selected(segment.clone());
                step.when = Some(match step.when.take() {
                    None => selected,
                    Some(when) => Condition::All(vec![selected, when]),
                });
            }
            step.reach = self.reach;
            let source = step.first().map(|read| &read.address);
            if let Some(address) = source.or(placed.rule.at.first()) {
                step.label = address.to_string().into();
            }
            if let Some(slot) = step.var {
                self.var_steps.push(VarStep {
                    slot,
                    step: steps.len(),
                    reads: self.reads_vars.split_off(reads_before),
                    rule: placed.path.first().copied().unwrap_or_default(),
                });
            }
            steps.push(step);
        }
        for pending in pending {
            let keep = (!pending.keep.is_empty()).then_some(When::All(pending.keep));
            let program = self.items(pending.rules, keep.as_ref())?;
            let step = pending.step;
            if let Some(step) = steps.get_mut(step) {
                step.reach.body = true;
                step.reach.other |= self.reach.other;
            }
            self.document().change(pending.node, |node| {
                node.each = Some(Each { step, program });
            });
        }
        Ok(steps)
    }

    /// The rules of a `for_each` that maps an array where it is.
    fn each_in_place(
        &mut self,
        placed: &Placed,
        index: usize,
        pending: &mut Vec<Pending>,
    ) -> Result<Step, InvalidConfig> {
        let rule = &placed.rule;
        let [address] = &*rule.at else {
            return Err(InvalidConfig::new("for_each", "names one array"));
        };
        let within = |mistake: InvalidConfig| mistake.within(placed.verb_name());
        let node = self.target(address).map_err(within)?;
        let mut step = Step::nothing();
        step.when = self.when(rule)?;
        let is_conditional = rule.when.is_some();
        let (rules, keep) = (placed.inner(), rule.keep.clone());
        match pending.iter_mut().find(|pending| pending.node == node) {
            Some(other) if other.is_conditional || is_conditional => {
                let path = other.path.iter().map(|index| format!("rules[{index}]"));
                let path = path.collect::<Vec<_>>().join(".");
                return Err(within(InvalidConfig::whole(format!(
                    "`{address}` is mapped by {path} too: put `when` into the rules inside"
                ))));
            }
            Some(other) => {
                other.rules.extend(rules);
                other.keep.extend(keep);
            }
            None => pending.push(Pending {
                node,
                rules,
                keep: keep.into_iter().collect(),
                step: index,
                is_conditional,
                path: placed.path.clone(),
            }),
        }
        Ok(step)
    }

    /// A program for elements.
    pub(crate) fn items(
        &mut self,
        rules: Vec<Placed>,
        keep: Option<&When>,
    ) -> Result<Program, InvalidConfig> {
        let mut trie = Trie::new("item:", self.body.last_of_twins);
        let mut scope = Scope {
            settings: self.settings,
            body: &mut *self.body,
            item: Some(&mut trie),
            reach: Reach::default(),
            needs_length: false,
            template: None,
            reads_vars: Vec::new(),
            reads_given: false,
            var_steps: Vec::new(),
        };
        let keep = keep.map(|keep| scope.condition(keep)).transpose();
        let keep = keep.map_err(|mistake| mistake.within("keep"))?;
        let keep_asks_other = scope.reach.other;
        let steps = scope.rules(rules)?;
        let needs_length = scope.needs_length;
        let other = keep_asks_other || steps.iter().any(|step| step.reach.other);
        let (reads_vars, reads_given) = (scope.reads_vars, scope.reads_given);
        self.reads_vars.extend(reads_vars);
        self.reads_given |= reads_given;
        self.reach.body = true;
        self.reach.other |= other;
        Ok(Program {
            steps,
            keep,
            trie,
            unmapped: Unmapped::Pass,
            starts_empty: false,
            needs_length,
            template: None,
            vars: VarPlan::default(),
        })
    }

    /// The trie of the document that rules here write to.
    pub(crate) fn document(&mut self) -> &mut Trie {
        match &mut self.item {
            Some(trie) => trie,
            None => self.body,
        }
    }

    pub(crate) const fn root(&self) -> Root {
        match (&self.item, self.settings.side) {
            (Some(_), _) => Root::Item,
            (None, Side::Request | Side::Response) => Root::Body,
            (None, Side::Stream) => Root::Data,
        }
    }

    /// The node of an address in the document that rules here write to.
    pub(crate) fn target(&mut self, address: &Address) -> Result<usize, InvalidConfig> {
        self.reach.body = true;
        let here = self.root();
        match &address.0 {
            Place::Pointer(root, tokens) => {
                let trie = self.trie(*root)?;
                if *root == here {
                    return Ok(trie.at(tokens));
                }
                Err(InvalidConfig::whole(format!(
                    "`{address}` cannot be written inside `for_each`, only `item:` can"
                )))
            }
            Place::Path(..) => Err(InvalidConfig::whole(format!(
                "`{address}` is a path, and a pointer is written: only `remove`, `update` and `for_each` take paths"
            ))),
            _ => Err(InvalidConfig::whole(format!(
                "`{address}` is no place in a document"
            ))),
        }
    }
}
