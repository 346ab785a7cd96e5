use serde_json::{Number, Value};

use crate::{Address, Type};

/// When a rule is applied, or an element kept.
///
/// In YAML an object: each member is an address with what must hold there, or `all`, `any` or `not`; all members must hold.
/// ```yaml
/// when: {body:/model: {glob: "claude-*"}, not: {body:/stream: true}}
/// ```
/// Where an address leads to several values, one that fits is enough.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// All of them hold: `all: [{..}, {..}]`.
    All(Vec<Self>),
    /// One of them holds, or more: `any: [{..}, {..}]`.
    Any(Vec<Self>),
    /// It does not hold: `not: {..}`.
    Not(Box<Self>),
    /// What is at the address is so: `body:/a: {gt: 7}`.
    At(Address, Is),
}

/// What may hold for what is at an address. Where nothing is, only `missing`, `exists: false` and `ne` hold.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Is {
    /// Something is there, if need be `null`: `exists: true`.
    Exists,
    /// Nothing is there: `missing: true`, or `exists: false`.
    Missing,
    /// It is `null`, or with `false` there and something else.
    Null(bool),
    /// It is equal: `eq: value`, or the value alone. Numbers are equal as numbers; a query parameter or header has the text of a scalar.
    Eq(Value),
    /// It is not equal, or missing.
    Ne(Value),
    /// It is equal to one of these.
    In(Vec<Value>),
    /// It is a larger number.
    Gt(Number),
    /// It is as large a number, or larger.
    Gte(Number),
    /// It is a smaller number.
    Lt(Number),
    /// It is as small a number, or smaller.
    Lte(Number),
    /// It is a text in which the pattern is found. Linear in time.
    Matches(String),
    /// It is a text that looks so: `*` is any text, `?` any character.
    Glob(String),
    /// It has this type.
    Type(Type),
}

// === impl When ===

impl When {
    /// What is at the address is so.
    #[must_use]
    pub const fn at(address: Address, is: Is) -> Self {
        Self::At(address, is)
    }

    /// It does not hold.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}
