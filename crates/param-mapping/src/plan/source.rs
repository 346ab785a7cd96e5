//! Where a step has its value from.

use portcullis_gateway_error::InvalidConfig;

use super::compile::{Placed, Scope};
use super::{Part, Task};
use crate::address::Place;
use crate::constant::Constant;
#[cfg(feature = "generate")]
use crate::generate::make::Generator;
use crate::rule::Source;
use crate::trie::Each;
use crate::{Address, InvalidPathTemplate, Rule};

// === impl Scope ===

impl Scope<'_> {
    pub(super) fn reads(
        &mut self,
        field: &'static str,
        addresses: &[Address],
    ) -> Result<Vec<crate::read::Read>, InvalidConfig> {
        let list = addresses.len() > 1;
        let reads = addresses.iter().enumerate().map(|(at, address)| {
            self.read(address).map_err(|mistake| {
                let mistake = if list {
                    mistake.within_index(at)
                } else {
                    mistake
                };
                mistake.within(field)
            })
        });
        reads.collect()
    }

    pub(super) fn source(&mut self, rule: &Rule) -> Result<Task, InvalidConfig> {
        Ok(match &rule.source {
            None => {
                return Err(InvalidConfig::whole(format!(
                    "`{}` needs `value`",
                    rule.verb
                )));
            }
            Some(Source::Value(value)) => {
                let constants = rule.at.iter().map(|target| Constant::new(target, value));
                let constants = constants.collect::<Result<_, _>>();
                Task::Constant(constants.map_err(|mistake| mistake.within("value"))?)
            }
            Some(Source::From(addresses)) => Task::First(self.reads("from", addresses)?),
            Some(Source::Sum(addresses)) => Task::Sum(self.reads("sum", addresses)?),
            #[cfg(feature = "generate")]
            Some(Source::Generate(what)) => {
                let generator = Generator::new(*what, self.settings.sources);
                Task::Generate(generator.map_err(|mistake| mistake.within("generate"))?)
            }
            #[cfg(not(feature = "generate"))]
            Some(Source::Generate(_)) => {
                return Err(InvalidConfig::new(
                    "generate",
                    "needs the feature `generate`",
                ));
            }
            Some(Source::Template(text)) if *rule.at == [Address(Place::WholePath)] => {
                let path = self.path_template(text);
                path.map_err(|mistake| mistake.within("template"))?
            }
            Some(Source::Template(text)) => {
                let parts = self.template(text);
                Task::Template(parts.map_err(|mistake| mistake.within("template"))?)
            }
        })
    }

    fn template(&mut self, text: &str) -> Result<Vec<Part>, InvalidConfig> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at_checked(at).unwrap_or((rest, ""));
            plain.push_str(before);
            if let Some(behind) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = behind;
            } else if let Some(behind) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = behind;
            } else if let Some(behind) = brace.strip_prefix('{') {
                let Some((address, behind)) = behind.split_once('}') else {
                    return Err(InvalidConfig::whole(
                        "a `{` is not closed: write `{{` for a brace",
                    ));
                };
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Value(self.read(&address.parse()?)?));
                rest = behind;
            } else {
                return Err(InvalidConfig::whole(
                    "a `}` is not opened: write `}}` for a brace",
                ));
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(parts)
    }

    /// A path whose parts are filled: what stands for an address is written as one part, or as one with the text around it.
    fn path_template(&mut self, text: &str) -> Result<Task, InvalidConfig> {
        let mut path = String::new();
        let mut reads = Vec::new();
        for part in self.template(text)? {
            match part {
                Part::Text(text) if text.contains(['{', '}']) => {
                    return Err(InvalidConfig::whole("no path has braces"));
                }
                Part::Text(text) => path.push_str(&text),
                Part::Value(read) => {
                    path.push_str(&format!("{{{}}}", reads.len()));
                    reads.push(read);
                }
            }
        }
        let template = path.parse();
        let template = template
            .map_err(|invalid: InvalidPathTemplate| InvalidConfig::whole(invalid.to_string()))?;
        Ok(Task::Path(template, reads))
    }

    /// A `for_each` that writes elsewhere.
    pub(super) fn each_to(&mut self, placed: &Placed, index: usize) -> Result<Task, InvalidConfig> {
        let rule = &placed.rule;
        let [address] = &*rule.at else {
            return Err(InvalidConfig::new("for_each", "names one array"));
        };
        let read = self
            .read(address)
            .map_err(|mistake| mistake.within("for_each"))?;
        if !address.is_json() {
            return Err(InvalidConfig::new(
                "for_each",
                format!("`{address}` is no place in a document"),
            ));
        }
        let program = self.items(placed.inner(), rule.keep.as_ref())?;
        let each = Each {
            step: index,
            program,
        };
        Ok(Task::Each(read, Box::new(each)))
    }
}

// === impl Task ===

impl Task {
    /// Whether its source is JSON, and whether it is a form.
    pub(super) fn reads(&self) -> (bool, bool) {
        let any = |reads: &[crate::read::Read]| {
            let mut addresses = reads.iter().map(|read| &read.address);
            (
                addresses.clone().any(Address::is_json),
                addresses.any(Address::is_form),
            )
        };
        match self {
            Self::First(reads) | Self::Sum(reads) | Self::Require(reads) | Self::Path(_, reads) => {
                any(reads)
            }
            Self::Template(parts) => parts.iter().fold((false, false), |all, part| match part {
                Part::Value(read) => {
                    let (json, form) = any(std::slice::from_ref(read));
                    (all.0 || json, all.1 || form)
                }
                Part::Text(_) => all,
            }),
            Self::Each(..) => (true, false),
            Self::Test(read, _) => any(std::slice::from_ref(read)),
            Self::Nothing | Self::Constant(_) => (false, false),
            #[cfg(feature = "generate")]
            Self::Generate(_) => (false, false),
        }
    }
}
