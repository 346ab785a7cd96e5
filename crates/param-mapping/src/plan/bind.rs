//! Addresses that are read, bound to a plan.

use portcullis_gateway_error::InvalidConfig;

use super::Side;
use super::compile::Scope;
use crate::address::path::Segment;
use crate::address::{Place, Root};
use crate::condition::Condition;
use crate::read::{Read, ReadKind, Secret};
use crate::trie::Trie;
use crate::when::When;
use crate::{Address, Cookies, PathTemplate, Rule};

// === impl Scope ===

impl Scope<'_> {
    /// Binds an address that is read.
    pub(crate) fn read(&mut self, address: &Address) -> Result<Read, InvalidConfig> {
        let side = self.settings.side;
        let kind = match &address.0 {
            Place::Pointer(root, tokens) => {
                let trie = self.trie(*root)?;
                let node = trie.at(tokens);
                trie.change(node, |node| node.is_read = true);
                self.reach.body = true;
                ReadKind::Node(*root, node)
            }
            Place::Path(root, segments) => {
                let start: Vec<_> = segments.iter().map_while(Segment::token).collect();
                let path: Vec<_> = segments.iter().skip(start.len()).cloned().collect();
                let trie = self.trie(*root)?;
                let node = trie.at(&start);
                let last_of_twins = trie.last_of_twins;
                trie.change(node, |node| node.is_read = true);
                self.reach.body = true;
                ReadKind::Walk {
                    root: *root,
                    node,
                    is_single: path.iter().all(Segment::is_single),
                    path,
                    last_of_twins,
                }
            }
            Place::Header(name) => {
                // Who maps a stream must know whether to keep the head for it.
                self.reach.other |= side == Side::Stream;
                ReadKind::Header(name.clone())
            }
            Place::Cookie(_) if side != Side::Request => {
                return Err(InvalidConfig::whole(format!(
                    "`{address}` is no part of a response, `header:set-cookie` is"
                )));
            }
            Place::Query(_) | Place::Method | Place::Segment(_) | Place::WholePath
                if side != Side::Request =>
            {
                return Err(InvalidConfig::whole(format!(
                    "`{address}` is no part of a response"
                )));
            }
            Place::Status if side == Side::Request => {
                return Err(InvalidConfig::whole("`status` is no part of a request"));
            }
            Place::Query(name) => {
                self.reach.other = true;
                ReadKind::Query(name.clone())
            }
            Place::Method => {
                self.reach.other = true;
                ReadKind::Method
            }
            Place::Status => {
                self.reach.other = true;
                ReadKind::Status
            }
            Place::Cookie(name) => {
                self.reach.other = true;
                if let Err(invalid) = Cookies::new("").set(name, "") {
                    return Err(InvalidConfig::whole(invalid.to_string()));
                }
                ReadKind::Cookie(name.clone())
            }
            Place::WholePath => {
                self.reach.other = true;
                ReadKind::Path
            }
            Place::Segment(name) => {
                self.reach.other = true;
                ReadKind::Segment(Box::new(self.part_of_path(name)?), name.clone())
            }
            Place::SecretEnv(name) => ReadKind::Secret(Secret::from_env(name)?),
            Place::SecretFile(path) => ReadKind::Secret(Secret::from_file(path)?),
            Place::Form(_) if side == Side::Stream => {
                return Err(InvalidConfig::whole(format!(
                    "`{address}` is no part of a stream"
                )));
            }
            Place::Form(_) if self.root() == Root::Item => {
                return Err(InvalidConfig::whole(format!(
                    "`{address}` is no part of a body with elements"
                )));
            }
            Place::Form(name) => {
                self.reach.form = true;
                ReadKind::Form(name.clone())
            }
            Place::Var(name) => {
                let slot = self.slot(name)?;
                self.reach.other = true;
                self.reach.var = true;
                self.reads_given |= slot < self.settings.given.len();
                self.reads_vars.push(slot);
                ReadKind::Var(slot)
            }
            Place::Event if side == Side::Stream => ReadKind::Event,
            Place::Event => {
                return Err(InvalidConfig::whole(
                    "`event` has a meaning only in the rules of `stream`",
                ));
            }
        };
        Ok(Read {
            address: address.clone(),
            kind,
        })
    }

    /// The number of the variable with this name.
    pub(crate) fn slot(&self, name: &str) -> Result<usize, InvalidConfig> {
        let mut names = self.settings.given.iter().chain(self.settings.vars);
        let slot = names.position(|known| known == name);
        slot.ok_or_else(|| {
            InvalidConfig::whole(match self.settings.side {
                Side::Request | Side::Response => format!("no rule writes `var:{name}`"),
                Side::Stream => format!("neither `state` nor a rule writes `var:{name}`"),
            })
        })
    }

    /// The form of the path, in which a part has this name.
    fn part_of_path(&mut self, name: &str) -> Result<PathTemplate, InvalidConfig> {
        let template = self.settings.route.template().ok_or_else(|| {
            InvalidConfig::whole("parts of the path have no names: give the mapping a route")
        })?;
        let template = template.map_err(|invalid| InvalidConfig::whole(invalid.to_string()))?;
        if !template.names().any(|known| known == name) {
            return Err(InvalidConfig::whole(format!(
                "the route of the mapping names no part `{{{name}}}`"
            )));
        }
        self.template = Some(template.clone());
        Ok(template)
    }

    pub(crate) fn when(&mut self, rule: &Rule) -> Result<Option<Condition>, InvalidConfig> {
        let before = std::mem::take(&mut self.reach);
        let when = rule.when.as_ref().map(|when| self.condition(when));
        self.reach = before.with_when(self.reach);
        when.transpose().map_err(|mistake| mistake.within("when"))
    }

    pub(crate) fn condition(&mut self, when: &When) -> Result<Condition, InvalidConfig> {
        Ok(match when {
            When::All(all) => Condition::All(self.conditions("all", all)?),
            When::Any(any) => Condition::Any(self.conditions("any", any)?),
            When::Not(when) => {
                let inner = self.condition(when);
                let inner = inner.map_err(|mistake| mistake.within("not"))?;
                Condition::Not(Box::new(inner))
            }
            When::At(address, is) => {
                let within = |mistake: InvalidConfig| mistake.within(address.to_string());
                let read = self.read(address).map_err(within)?;
                Condition::At(read, is.compile().map_err(within)?)
            }
        })
    }

    fn conditions(
        &mut self,
        name: &'static str,
        list: &[When],
    ) -> Result<Vec<Condition>, InvalidConfig> {
        let conditions = list.iter().enumerate().map(|(index, when)| {
            self.condition(when)
                .map_err(|mistake| mistake.within_index(index).within(name))
        });
        conditions.collect()
    }

    pub(super) fn trie(&mut self, root: Root) -> Result<&mut Trie, InvalidConfig> {
        let is_stream = self.settings.side == Side::Stream;
        match (root, &mut self.item) {
            (Root::Body, _) if is_stream => Err(InvalidConfig::whole(
                "a stream has no `body:`, each of its events has `data:`",
            )),
            (Root::Data, _) if !is_stream => Err(InvalidConfig::whole(
                "`data:` has a meaning only in the rules of `stream`",
            )),
            (Root::Body | Root::Data, _) => Ok(self.body),
            (Root::Item, Some(trie)) => Ok(trie),
            (Root::Item, None) => Err(InvalidConfig::whole(
                "`item:` has a meaning only inside `for_each`",
            )),
        }
    }
}
