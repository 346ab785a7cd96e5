use std::fmt;

use serde_json::Value;

use crate::{Address, Generate, Transform, When};

/// One rule of a [`Mapping`](crate::Mapping): a verb, its addresses, what becomes of the value on the way, and when.
///
/// See the [crate docs](crate) for what each verb does.
#[must_use = "a rule does nothing until it is in a mapping"]
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(crate) verb: Verb,
    /// What the verb names: sources of `move` and `copy`, targets of the others.
    pub(crate) at: Vec<Address>,
    pub(crate) to: Vec<Address>,
    pub(crate) source: Option<Source>,
    pub(crate) with: Vec<Transform>,
    /// What stands for a source that is missing or null.
    pub(crate) fallback: Option<Value>,
    pub(crate) required: bool,
    pub(crate) when: Option<When>,
    pub(crate) on_error: OnError,
    /// Of `for_each`.
    pub(crate) rules: Vec<Self>,
    pub(crate) keep: Option<When>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Move,
    Copy,
    Set,
    Replace,
    Add,
    Default,
    Append,
    Prepend,
    Merge,
    Update,
    Remove,
    Allow,
    Require,
    Test,
    ForEach,
}

/// Where a rule that writes has its value from.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A constant: `value: 7`.
    Value(Value),
    /// A text with `{address}` in it: `template: "Bearer {query:key}"`. A brace is written twice. Nothing where an address has no value.
    Template(String),
    /// The first of these that is there: `from: body:/a`, `from: [body:/a, body:/b]`.
    From(Vec<Address>),
    /// The sum of the numbers that are there: `sum: [body:/a, body:/b]`. Nothing where none is.
    Sum(Vec<Address>),
    /// What is made anew for each message: `generate: uuid`, `generate: {now: unix}`, `generate: {random_hex: 16}`.
    Generate(Generate),
}

/// What happens to a request or response where a rule cannot do what it says.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum OnError {
    /// It is refused: 400 for a request, 502 for a response. The default.
    #[default]
    Reject,
    /// The rule writes nothing, and what it would have moved is gone.
    Drop,
    /// The rule is passed over, as if its `when` had not held.
    Keep,
    /// The rule writes its `default`.
    Default,
}

// === impl Rule ===

impl Rule {
    /// Moves the value from one address to another, if there is one: `{move: from, to: to}`, or `{rename: from, to: to}`.
    pub fn rename(from: Address, to: Address) -> Self {
        Self::new(Verb::Move, from).to(to)
    }

    /// Writes the value of one address at another, if there is one: `{copy: from, to: to}`.
    pub fn copy(from: Address, to: Address) -> Self {
        Self::new(Verb::Copy, from).to(to)
    }

    /// Writes a constant, whatever is there: `{set: to, value: value}`.
    pub fn set(to: Address, value: impl Into<Value>) -> Self {
        Self::set_from(to, Source::Value(value.into()))
    }

    /// Writes what the source gives, whatever is there: `{set: to, template: ..}`.
    pub fn set_from(to: Address, source: Source) -> Self {
        Self::writing(Verb::Set, to, source)
    }

    /// Writes where something is: `{replace: to, value: value}`.
    pub fn replace(to: Address, source: Source) -> Self {
        Self::writing(Verb::Replace, to, source)
    }

    /// Writes where nothing would be: `{add: to, value: value}`.
    pub fn add(to: Address, source: Source) -> Self {
        Self::writing(Verb::Add, to, source)
    }

    /// Writes a constant where nothing, or `null`, would be: `{default: to, value: value}`.
    pub fn default(to: Address, value: impl Into<Value>) -> Self {
        Self::default_from(to, Source::Value(value.into()))
    }

    /// Writes what the source gives where nothing, or `null`, would be: `{default: to, from: ..}`.
    pub fn default_from(to: Address, source: Source) -> Self {
        Self::writing(Verb::Default, to, source)
    }

    /// Makes the value the last element of an array, or one more header line, query parameter or field of a form: `{append: to, value: value}`.
    ///
    /// A text that is there is an error: whether `a` and `b` are `ab` or two elements, a rule must say. `template: "{body:/a}b"` makes the one,
    /// `{update: body:/a, with: {wrap: if_scalar}}` beside the `append` the other.
    pub fn append(to: Address, source: Source) -> Self {
        Self::writing(Verb::Append, to, source)
    }

    /// Makes the value the first one: `{prepend: to, value: value}`.
    pub fn prepend(to: Address, source: Source) -> Self {
        Self::writing(Verb::Prepend, to, source)
    }

    /// Lays an object over what is there, as a merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)): `{merge: to, value: {..}}`.
    pub fn merge(to: Address, source: Source) -> Self {
        Self::writing(Verb::Merge, to, source)
    }

    /// Changes the value where it is, if it is there: `{update: address, with: ..}`.
    pub fn update(address: Address, with: Transform) -> Self {
        Self::new(Verb::Update, address).with(with)
    }

    /// Removes what is there: `{remove: address}`.
    pub fn remove(address: Address) -> Self {
        Self::new(Verb::Remove, address)
    }

    /// Removes all but these from each location that is named: `{allow: [..]}`.
    pub fn allow(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self::at(Verb::Allow, addresses.into_iter().collect())
    }

    /// Refuses a request in which nothing is there, and changes nothing: `{require: address}`. A `null` is something.
    pub fn require(address: Address) -> Self {
        Self::new(Verb::Require, address)
    }

    /// Refuses a request in which something else is there, and changes nothing: `{test: address, value: value}`.
    pub fn test(address: Address, value: impl Into<Value>) -> Self {
        Self::writing(Verb::Test, address, Source::Value(value.into()))
    }

    /// Applies rules to each element of an array, or member of an object: `{for_each: address, rules: [..]}`.
    pub fn for_each(address: Address, rules: impl IntoIterator<Item = Self>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
            ..Self::new(Verb::ForEach, address)
        }
    }

    /// Names one more address beside the first: a source that counts where those before it are missing, or one more target.
    pub fn and(mut self, address: Address) -> Self {
        self.at.push(address);
        self
    }

    /// Names one more address that is written: `to: [first, second]`.
    pub fn to(mut self, address: Address) -> Self {
        self.to.push(address);
        self
    }

    /// Sends the value through one more transform: `with: [first, second]`.
    pub fn with(mut self, transform: Transform) -> Self {
        self.with.push(transform);
        self
    }

    /// Replaces the value that stands for a source that is missing or null. It goes through no transform. Default: none.
    pub fn or(mut self, value: impl Into<Value>) -> Self {
        self.fallback = Some(value.into());
        self
    }

    /// Refuses a request in which there is no source: `require: true`. A `null` is something.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Applies the rule only where this holds: `when: {..}`. Default: always.
    pub fn when(mut self, when: When) -> Self {
        self.when = Some(when);
        self
    }

    /// Keeps only the elements for which this holds, in a `for_each`: `keep: {..}`. Default: all.
    pub fn keep(mut self, keep: When) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Replaces what happens where the rule cannot do what it says. Default: [`OnError::Reject`].
    pub const fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    fn new(verb: Verb, address: Address) -> Self {
        Self::at(verb, vec![address])
    }

    fn writing(verb: Verb, to: Address, source: Source) -> Self {
        Self {
            source: Some(source),
            ..Self::new(verb, to)
        }
    }

    pub(crate) const fn at(verb: Verb, at: Vec<Address>) -> Self {
        Self {
            verb,
            at,
            to: Vec::new(),
            source: None,
            with: Vec::new(),
            fallback: None,
            required: false,
            when: None,
            on_error: OnError::Reject,
            rules: Vec::new(),
            keep: None,
        }
    }
}

// === impl Verb ===

impl Verb {
    #[cfg(feature = "config")]
    pub(crate) const ALL: [Self; 15] = [
        Self::Move,
        Self::Copy,
        Self::Set,
        Self::Replace,
        Self::Add,
        Self::Default,
        Self::Append,
        Self::Prepend,
        Self::Merge,
        Self::Update,
        Self::Remove,
        Self::Allow,
        Self::Require,
        Self::Test,
        Self::ForEach,
    ];

    /// The field that names the verb.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Copy => "copy",
            Self::Set => "set",
            Self::Replace => "replace",
            Self::Add => "add",
            Self::Default => "default",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Merge => "merge",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Allow => "allow",
            Self::Require => "require",
            Self::Test => "test",
            Self::ForEach => "for_each",
        }
    }

    /// Whether it writes what a [`Source`] gives.
    pub(crate) const fn has_source(self) -> bool {
        matches!(
            self,
            Self::Set
                | Self::Replace
                | Self::Add
                | Self::Default
                | Self::Append
                | Self::Prepend
                | Self::Merge
                | Self::Test
        )
    }

    /// Whether it writes a value, which transforms may change before.
    pub(crate) const fn has_value(self) -> bool {
        matches!(self, Self::Move | Self::Copy | Self::Update)
            || (self.has_source() && !matches!(self, Self::Test))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
