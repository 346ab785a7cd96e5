//! What a rule makes by itself.

#[cfg(feature = "generate")]
pub(crate) mod make;

/// What [`Source::Generate`](crate::Source::Generate) makes. It needs the feature `generate`.
///
/// It is made anew for each message, so with a retry further out for each attempt too: what must stay the same is made above the retry.
/// Several targets of one rule get the same, but for those of `replace`; two rules get two.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Generate {
    /// A random UUID: `generate: uuid`. Version 4 of [RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.4).
    Uuid,
    /// A UUID that begins with the time, so that later ones sort behind: `generate: uuid_v7`. [RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7).
    UuidV7,
    /// The time: `generate: {now: unix}`.
    Now(Now),
    /// So many random bytes, from 1 to 64, as two lower case hexadecimal digits each: `generate: {random_hex: 16}`.
    RandomHex(u8),
}

/// How [`Generate::Now`] says the time.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Now {
    /// Whole seconds since 1970, a number: `1735689600`.
    Unix,
    /// Whole milliseconds since 1970, a number: `1735689600000`.
    UnixMillis,
    /// A text of whole seconds in UTC: `2025-01-01T00:00:00Z` ([RFC 3339](https://www.rfc-editor.org/rfc/rfc3339)).
    Rfc3339,
}
