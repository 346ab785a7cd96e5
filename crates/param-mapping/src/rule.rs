use serde_json::Value;

use crate::Address;

/// One rule of a [`Mapping`](crate::Mapping): a verb and its addresses.
///
/// See the [crate docs](crate) for what each verb does.
#[must_use = "a rule does nothing until it is in a mapping"]
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(crate) verb: Verb,
    pub(crate) required: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    Move { from: Address, to: Address },
    Set { to: Address, value: Value },
    Default { to: Address, value: Value },
    Remove(Address),
    Require(Address),
}

// === impl Rule ===

impl Rule {
    /// Moves the value from one address to another, if there is one: `{move: from, to: to}`, or `{rename: from, to: to}`.
    pub const fn rename(from: Address, to: Address) -> Self {
        Self::new(Verb::Move { from, to })
    }

    /// Writes a constant, whatever is there: `{set: to, value: value}`.
    pub fn set(to: Address, value: impl Into<Value>) -> Self {
        Self::new(Verb::Set {
            to,
            value: value.into(),
        })
    }

    /// Writes a constant where nothing, or `null`, would be: `{default: to, value: value}`.
    pub fn default(to: Address, value: impl Into<Value>) -> Self {
        Self::new(Verb::Default {
            to,
            value: value.into(),
        })
    }

    /// Removes what is there: `{remove: address}`.
    pub const fn remove(address: Address) -> Self {
        Self::new(Verb::Remove(address))
    }

    /// Refuses a request in which nothing is there, and changes nothing: `{require: address}`. A `null` is something.
    pub const fn require(address: Address) -> Self {
        Self::new(Verb::Require(address))
    }

    /// Refuses a request in which there is nothing to move: `require: true` beside `move`. A `null` is something.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn new(verb: Verb) -> Self {
        Self {
            verb,
            required: false,
        }
    }
}

// === impl Verb ===

impl Verb {
    /// The field that names the verb.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Move { .. } => "move",
            Self::Set { .. } => "set",
            Self::Default { .. } => "default",
            Self::Remove(_) => "remove",
            Self::Require(_) => "require",
        }
    }
}
