use serde_json::{Number, Value};

use crate::Address;

/// What becomes of a value between its source and its target.
///
/// In YAML a word where nothing must be said (`with: trim`), else a word with what must be said (`with: {split: ","}`), and a list of them
/// in order. A value that a transform does not fit is an error of the rule: see [`OnError`](crate::OnError). A value that is missing goes
/// through none.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Transform {
    /// Makes it a value of this kind, where that is exact: `coerce: integer` takes `7`, `"7"` and `7.0`, and not `7.5`.
    Coerce(Kind),
    /// Brings a number between two limits: `clamp: {min: 0, max: 1}`, `clamp: {exclusive_min: 0, replace_with: 0.01, max: 1}`.
    Clamp(Limits),
    /// Fails unless the value is as told: `validate: {type: string, max_length: 64}`.
    Validate(Check),
    /// Replaces a scalar by what a table says: `map: {table: {stop: end_turn}, otherwise: pass}`.
    Map(Table),
    /// Multiplies a number, then adds to it: `scale: {by: 2, plus: -1}`.
    Scale(Line),
    /// Turns `true` into `false` and `false` into `true`.
    Negate,
    /// Cuts a text into an array of texts: `split: ","`.
    Split(String),
    /// Makes one text of an array of scalars, or of several header lines or query parameters: `join: ", "`.
    Join(String),
    /// Takes the white space around a text away.
    Trim,
    /// Makes a text lower case.
    Lower,
    /// Makes a text upper case.
    Upper,
    /// Replaces each match of a pattern in a text: `regex_replace: {pattern: "^v(\\d+)", by: "$1"}`. Linear in time.
    RegexReplace(Replacement),
    /// Makes an array of it: `wrap: always`, or `wrap: if_scalar` where it is none yet.
    Wrap(Wrap),
    /// Takes the only element out of an array; any other value passes. Fails for an array of none or several.
    Unwrap,
    /// Takes what is at this pointer inside it; nothing where that is missing: `get: /function/name`.
    Get(String),
    /// Adds up an array of numbers.
    Sum,
    /// Finds the element that holds this value as its key, and takes a value of it: `lookup: {in: "body:$.a[*]", key: /id, get: /name}`.
    Lookup(Lookup),
    /// Joins elements that stand beside each other and have the same key: `merge_adjacent: {by: /role, join: /content}`.
    MergeAdjacent(MergeAdjacent),
    /// Makes `{"mime": .., "data": ..}` of a base64 data URI (`data_uri: split`), or the reverse (`data_uri: build`).
    DataUri(DataUri),
    /// Makes a fingerprint of a text, or of the JSON text of anything else, in hexadecimal: `hash: sha256`. It needs the feature `generate`.
    ///
    /// Whoever can guess the value can find it by its hash: for the names of people use `hmac`.
    Hash(Digest),
    /// Makes one that only who has the key can make, by HMAC-SHA-256 ([RFC 2104]): `hmac: {key: "secret:env:NAME"}`. It needs the feature
    /// `generate`.
    ///
    /// [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
    Hmac(Hmac),
    /// Calls a function of [`MappingBuilder::function`](crate::MappingBuilder::function) by its name: `custom: name`.
    Custom(String),
}

/// The kinds that a value can be made.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Kind {
    /// A string: of a string, number or boolean.
    String,
    /// A number without a fraction: of such a number or its text.
    Integer,
    /// A number: of one or its text.
    Number,
    /// A boolean: of one, or `"true"` and `"false"`.
    Boolean,
    /// What a string holds as JSON text.
    Json,
    /// The JSON text of any value, as a string.
    Text,
    /// An array: of one; else an array of the value, and of all header lines or query parameters.
    Array,
}

/// The ways of [`Transform::Hash`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Digest {
    /// SHA-256, 64 digits.
    Sha256,
}

/// What [`Transform::Hmac`] is made with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct Hmac {
    /// A `secret:` that is not empty.
    pub key: Address,
}

/// What [`Transform::Clamp`] keeps to.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(default, deny_unknown_fields))]
pub struct Limits {
    /// The smallest number; it stands for what is less. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub min: Option<Number>,
    /// The largest number; it stands for what is more. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub max: Option<Number>,
    /// What the number must be more than, instead of `min`. Beside it `replace_with`. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub exclusive_min: Option<Number>,
    /// What the number must be less than, instead of `max`. Beside it `replace_with`. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub exclusive_max: Option<Number>,
    /// What stands for a number that `exclusive_min` or `exclusive_max` shuts out, because none is next to them. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub replace_with: Option<Number>,
}

/// What [`Transform::Validate`] asks of a value.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(default, deny_unknown_fields))]
pub struct Check {
    /// The type of the value. Default: any.
    #[cfg_attr(
        feature = "config",
        serde(rename = "type", skip_serializing_if = "Option::is_none")
    )]
    pub kind: Option<Type>,
    /// The smallest number. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub min: Option<Number>,
    /// The largest number. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub max: Option<Number>,
    /// The only values. Default: all.
    #[cfg_attr(
        feature = "config",
        serde(rename = "enum", skip_serializing_if = "Option::is_none")
    )]
    pub one_of: Option<Vec<Value>>,
    /// A pattern that a text must match. Default: none.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub pattern: Option<String>,
    /// How many characters a text may have. Default: any number.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub max_length: Option<usize>,
    /// How many elements an array, or members an object, may have. Default: any number.
    #[cfg_attr(feature = "config", serde(skip_serializing_if = "Option::is_none"))]
    pub max_items: Option<usize>,
}

/// The types of JSON, and the numbers without a fraction.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Type {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number without a fraction: `1`, `1.0`, `1e3`.
    Integer,
    /// Any number.
    Number,
    /// A text.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// What [`Transform::Map`] replaces by what.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct Table {
    /// By the text of a string, number, boolean or `null`.
    pub table: std::collections::BTreeMap<String, Value>,
    /// What becomes of any other value. Default: it is an error.
    #[cfg_attr(feature = "config", serde(default))]
    pub otherwise: Otherwise,
}

/// What becomes of a value that is not in a [`Table`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Otherwise {
    /// It is an error of the rule. The default.
    #[default]
    Reject,
    /// It passes as it is.
    Pass,
    /// There is nothing to write.
    Drop,
    /// This is written: `otherwise: {value: other}`.
    Value(Value),
}

/// What [`Transform::Scale`] does: `value * by + plus`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct Line {
    /// The factor. Default: 1.
    #[cfg_attr(feature = "config", serde(default = "one"))]
    pub by: Number,
    /// What is added. Default: 0.
    #[cfg_attr(feature = "config", serde(default = "zero"))]
    pub plus: Number,
}

/// What [`Transform::RegexReplace`] replaces by what.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct Replacement {
    /// A pattern of the crate `regex`.
    pub pattern: String,
    /// The text, in which `$1` is the first group.
    pub by: String,
}

/// Which values [`Transform::Wrap`] wraps.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Wrap {
    /// All, arrays too. The default.
    #[default]
    Always,
    /// All that are no arrays.
    IfScalar,
}

/// Where [`Transform::Lookup`] looks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct Lookup {
    /// The elements; an array stands for its elements.
    #[cfg_attr(feature = "config", serde(rename = "in"))]
    pub among: Address,
    /// A pointer to what must be equal to the value.
    pub key: String,
    /// A pointer to what is taken.
    pub get: String,
}

/// What [`Transform::MergeAdjacent`] joins.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(deny_unknown_fields))]
pub struct MergeAdjacent {
    /// The member that must be equal, by its name.
    pub by: String,
    /// The member that is joined, by its name: texts and texts, or arrays and arrays. Others stay apart.
    pub join: String,
    /// What stands between two texts. Default: nothing.
    #[cfg_attr(feature = "config", serde(default))]
    pub separator: String,
}

/// The two ways of [`Transform::DataUri`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum DataUri {
    /// `data:image/png;base64,AA==` becomes `{"mime": "image/png", "data": "AA=="}`.
    Split,
    /// The reverse.
    Build,
}

// === impl Transform ===

impl Transform {
    /// Brings a number between two limits: `clamp: {min: min, max: max}`.
    pub fn clamp(min: impl Into<Option<Number>>, max: impl Into<Option<Number>>) -> Self {
        Self::Clamp(Limits {
            min: min.into(),
            max: max.into(),
            ..Limits::default()
        })
    }

    /// Makes a fingerprint with a key: `hmac: {key: key}`.
    #[must_use]
    pub const fn hmac(key: Address) -> Self {
        Self::Hmac(Hmac { key })
    }

    /// Replaces a scalar by what the table says: `map: {table: table, otherwise: otherwise}`.
    pub fn map<K: Into<String>, V: Into<Value>>(
        table: impl IntoIterator<Item = (K, V)>,
        otherwise: Otherwise,
    ) -> Self {
        let table = table.into_iter();
        Self::Map(Table {
            table: table
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            otherwise,
        })
    }

    /// Multiplies a number, then adds to it: `scale: {by: by, plus: plus}`.
    pub fn scale(by: impl Into<Number>, plus: impl Into<Number>) -> Self {
        Self::Scale(Line {
            by: by.into(),
            plus: plus.into(),
        })
    }

    /// Replaces each match of a pattern: `regex_replace: {pattern: pattern, by: by}`.
    pub fn regex_replace(pattern: impl Into<String>, by: impl Into<String>) -> Self {
        Self::RegexReplace(Replacement {
            pattern: pattern.into(),
            by: by.into(),
        })
    }

    /// Finds an element by a key: `lookup: {in: among, key: key, get: get}`.
    pub fn lookup(among: Address, key: impl Into<String>, get: impl Into<String>) -> Self {
        Self::Lookup(Lookup {
            among,
            key: key.into(),
            get: get.into(),
        })
    }

    /// Joins neighbours: `merge_adjacent: {by: by, join: join, separator: separator}`.
    pub fn merge_adjacent(
        by: impl Into<String>,
        join: impl Into<String>,
        separator: impl Into<String>,
    ) -> Self {
        Self::MergeAdjacent(MergeAdjacent {
            by: by.into(),
            join: join.into(),
            separator: separator.into(),
        })
    }

    /// The field that names it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Coerce(_) => "coerce",
            Self::Clamp(_) => "clamp",
            Self::Validate(_) => "validate",
            Self::Map(_) => "map",
            Self::Scale(_) => "scale",
            Self::Negate => "negate",
            Self::Split(_) => "split",
            Self::Join(_) => "join",
            Self::Trim => "trim",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::RegexReplace(_) => "regex_replace",
            Self::Wrap(_) => "wrap",
            Self::Unwrap => "unwrap",
            Self::Get(_) => "get",
            Self::Sum => "sum",
            Self::Lookup(_) => "lookup",
            Self::MergeAdjacent(_) => "merge_adjacent",
            Self::DataUri(_) => "data_uri",
            Self::Hash(_) => "hash",
            Self::Hmac(_) => "hmac",
            Self::Custom(_) => "custom",
        }
    }
}

#[cfg(feature = "config")]
fn one() -> Number {
    1.into()
}

#[cfg(feature = "config")]
fn zero() -> Number {
    0.into()
}
