//! From rules to a plan: everything that can be wrong with them is found here.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, header};
use portcullis_gateway_error::InvalidConfig;
use serde_json::Value;

use crate::address::Place;
use crate::rule::Verb;
use crate::tree::Node;
use crate::{Address, Rule, json, query};

/// Rules that were checked, in the shape in which requests are mapped.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// What the rules do to the body, by place; `None` where none of them touches it.
    pub(crate) body: Option<Node>,
    pub(crate) max_body_bytes: usize,
}

#[derive(Debug)]
pub(crate) enum Step {
    Move {
        from: Address,
        to: Address,
        required: bool,
    },
    Set {
        to: Address,
        value: Constant,
    },
    Default {
        to: Address,
        value: Constant,
    },
    Remove(Address),
    Require(Address),
}

/// A value as its target takes it, made once.
#[derive(Debug)]
pub(crate) enum Constant {
    Json(String),
    /// Percent-encoded.
    Query(String),
    Header(HeaderValue),
}

/// What a rule writes in one request, as its target takes it.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    /// JSON.
    Body(Cow<'a, str>),
    /// Percent-encoded.
    Query(&'a str, Vec<Cow<'a, str>>),
    Header(&'a HeaderName, Vec<HeaderValue>),
}

// === impl Plan ===

impl Plan {
    pub(crate) fn compile(rules: Vec<Rule>, max_body_bytes: usize) -> Result<Self, InvalidConfig> {
        let mut steps = Vec::with_capacity(rules.len());
        for (index, rule) in rules.into_iter().enumerate() {
            let in_rules = |mistake: InvalidConfig| mistake.within_index(index).within("rules");
            let step = Step::compile(rule).map_err(in_rules)?;
            check_among(&steps, &step).map_err(in_rules)?;
            steps.push(step);
        }

        let mut root = Node::default();
        for (index, step) in steps.iter().enumerate() {
            step.plant(index, &mut root);
        }
        let body = steps.iter().any(Step::touches_body).then_some(root);
        Ok(Self {
            steps,
            body,
            max_body_bytes,
        })
    }
}

/// Refuses a second writer of one place, and a place below a scalar that a rule sets.
fn check_among(earlier: &[Step], step: &Step) -> Result<(), InvalidConfig> {
    let Some((target, is_default)) = step.target() else {
        return Ok(());
    };
    for (index, other) in earlier.iter().enumerate() {
        let Some((place, other_is_default)) = other.target() else {
            continue;
        };
        let message = if place == target && is_default == other_is_default {
            format!("`{target}` is written by rules[{index}] too")
        } else if other.sets_scalar() && place.contains(target) {
            format!("`{target}` lies below the scalar that rules[{index}] sets")
        } else if step.sets_scalar() && target.contains(place) {
            format!("`{place}`, which rules[{index}] writes, lies below this scalar")
        } else {
            continue;
        };
        return Err(InvalidConfig::new(step.target_field(), message));
    }
    Ok(())
}

// === impl Step ===

impl Step {
    fn compile(rule: Rule) -> Result<Self, InvalidConfig> {
        let Rule { verb, required } = rule;
        let name = verb.name();
        if required && !matches!(verb, Verb::Move { .. }) {
            return Err(InvalidConfig::new(
                "require",
                format!("has no meaning beside `{name}`"),
            ));
        }
        Ok(match verb {
            Verb::Move { from, to } => {
                changeable(&from).map_err(|mistake| mistake.within(name))?;
                changeable(&to).map_err(|mistake| mistake.within("to"))?;
                if from == to {
                    return Err(InvalidConfig::new(
                        "to",
                        format!("`{to}` is where it comes from"),
                    ));
                }
                if from.is_whole_body() && !to.is_body() {
                    return Err(InvalidConfig::new(
                        "to",
                        format!("the whole body can only be moved into the body, not to `{to}`"),
                    ));
                }
                Self::Move { from, to, required }
            }
            Verb::Set { to, value } => {
                changeable(&to).map_err(|mistake| mistake.within(name))?;
                let value = Constant::new(&to, &value)?;
                Self::Set { to, value }
            }
            Verb::Default { to, value } => {
                changeable(&to).map_err(|mistake| mistake.within(name))?;
                let value = Constant::new(&to, &value)?;
                Self::Default { to, value }
            }
            Verb::Remove(address) => {
                changeable(&address).map_err(|mistake| mistake.within(name))?;
                if address.is_whole_body() {
                    return Err(InvalidConfig::new(name, "the whole body cannot be removed"));
                }
                Self::Remove(address)
            }
            Verb::Require(address) => Self::Require(address),
        })
    }

    /// Where it writes, and whether only as a default.
    pub(crate) const fn target(&self) -> Option<(&Address, bool)> {
        match self {
            Self::Move { to, .. } | Self::Set { to, .. } => Some((to, false)),
            Self::Default { to, .. } => Some((to, true)),
            Self::Remove(_) | Self::Require(_) => None,
        }
    }

    /// What it reads, and whether that must be there.
    pub(crate) const fn source(&self) -> Option<(&Address, bool)> {
        match self {
            Self::Move { from, required, .. } => Some((from, *required)),
            Self::Require(address) => Some((address, true)),
            Self::Set { .. } | Self::Default { .. } | Self::Remove(_) => None,
        }
    }

    /// What it takes away.
    pub(crate) const fn removed(&self) -> Option<&Address> {
        match self {
            Self::Move { from, .. } => Some(from),
            Self::Remove(address) => Some(address),
            Self::Set { .. } | Self::Default { .. } | Self::Require(_) => None,
        }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        let target = self.target().map(|(address, _)| address);
        let source = self.source().map(|(address, _)| address);
        target.into_iter().chain(source).chain(self.removed())
    }

    pub(crate) fn touches_body(&self) -> bool {
        self.addresses().any(Address::is_body)
    }

    const fn target_field(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Default { .. } => "default",
            Self::Move { .. } | Self::Remove(_) | Self::Require(_) => "to",
        }
    }

    fn sets_scalar(&self) -> bool {
        match self {
            Self::Set {
                value: Constant::Json(text),
                ..
            } => !text.starts_with(['{', '[']),
            _ => false,
        }
    }

    /// Marks in the tree what this step, the one with this index, does to the body.
    fn plant(&self, index: usize, root: &mut Node) {
        let tokens = |address| match address {
            Some(&Address(Place::Body(ref tokens))) => Some(tokens),
            _ => None,
        };
        if let Some(tokens) = tokens(self.source().map(|(address, _)| address)) {
            root.at(tokens).reads.push(index);
        }
        if let Some(tokens) = tokens(self.removed()) {
            root.at(tokens).removed = true;
        }
        if let Some((address, is_default)) = self.target()
            && let Some(tokens) = tokens(Some(address))
        {
            let node = root.at(tokens);
            if is_default {
                node.default = Some(index);
            } else {
                // At most one of those that share a place is no default: `check_among`.
                node.write = Some(index);
            }
        }
    }
}

// === impl Constant ===

impl Constant {
    fn new(target: &Address, value: &Value) -> Result<Self, InvalidConfig> {
        let text = match (&target.0, value) {
            (Place::Body(_), _) => return Ok(Self::Json(value.to_string())),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Number(_) | Value::Bool(_)) => value.to_string(),
            (_, Value::Null | Value::Array(_) | Value::Object(_)) => {
                let found = json::type_name(&value.to_string());
                return Err(InvalidConfig::new(
                    "value",
                    format!("must be a string, a number or a boolean for `{target}`, is {found}"),
                ));
            }
        };
        if !target.is_header() {
            return Ok(Self::Query(query::encode(text.as_bytes())));
        }
        let value = HeaderValue::try_from(text).map_err(|_| {
            InvalidConfig::new("value", "holds a character that no header can hold")
        })?;
        Ok(Self::Header(value))
    }

    /// What it writes to the target that it was made for.
    pub(crate) fn output<'a>(&'a self, target: &'a Address) -> Output<'a> {
        match (self, &target.0) {
            (Self::Header(value), Place::Header(name)) => Output::Header(name, vec![value.clone()]),
            (Self::Query(text), Place::Query(name)) => Output::Query(name, vec![text.into()]),
            (Self::Json(text), _) => Output::Body(text.into()),
            (Self::Header(_) | Self::Query(_), _) => {
                unreachable!("a constant is made for its target alone")
            }
        }
    }
}

/// Refuses the headers that the connection and the framing own.
fn changeable(address: &Address) -> Result<(), InvalidConfig> {
    let Place::Header(name) = &address.0 else {
        return Ok(());
    };
    if HOP_BY_HOP.contains(name) || name == "keep-alive" || name == "proxy-connection" {
        return Err(InvalidConfig::whole(format!(
            "`{name}` belongs to the connection, not to the request"
        )));
    }
    if name == header::CONTENT_LENGTH {
        return Err(InvalidConfig::whole(
            "`content-length` follows from the body",
        ));
    }
    Ok(())
}

const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
