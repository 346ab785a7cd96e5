//! JSON as it stands in a text: checked once as a whole, then looked at in place. Nothing is decoded that nobody asks for.

use std::borrow::Cow;
use std::fmt;

use portcullis_param_mapping::{
    JsonItems, Jump, Jumps, json_items_by, json_type_name, read_json, read_json_jumps,
};

pub(crate) mod writer;

/// A value in a JSON text that was checked.
///
/// ```
/// use portcullis_llm_mapping::Json;
///
/// let reply = Json::parse(br#" {"id": "a", "usage": {"total": 1.0}, "error": null} "#, "the reply")?;
/// assert_eq!(reply.get("usage").map(Json::raw), Some(r#"{"total": 1.0}"#));
/// assert!(reply.get("error").is_none());
/// # Ok::<_, String>(())
/// ```
#[derive(Clone, Copy)]
pub struct Json<'a> {
    text: &'a str,
    /// Where it ends, if it is an object or an array, and where those in it do. Empty where that is not known.
    jumps: &'a [Jump],
}

/// A long text that was checked, with the ends of all that is in it.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    text: &'t str,
    jumps: Jumps,
}

/// A string in a JSON text: what stands between its quotes, with its escapes.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Text<'a>(&'a str);

/// The members of an object, or the elements of an array.
#[derive(Clone, Debug)]
struct Items<'a> {
    text: &'a str,
    items: Option<JsonItems<'a>>,
}

// === impl Document ===

impl<'t> Document<'t> {
    pub(crate) fn parse(bytes: &'t [u8], what: &str) -> Result<Self, String> {
        let mut jumps = Jumps::new();
        let text = read_json_jumps(bytes, what, &mut jumps)?;
        Ok(Self { text, jumps })
    }

    pub(crate) fn root(&self) -> Json<'_> {
        Json {
            text: self.text,
            jumps: self.jumps.list(),
        }
    }
}

// === impl Json ===

impl<'a> Json<'a> {
    /// Checks a text and takes it as a value. What the text is, as in `the reply`, is for the words of the error.
    ///
    /// # Errors
    /// When it is not UTF-8, not JSON (with its line and column), or nested deeper than 128 levels.
    pub fn parse(bytes: &'a [u8], what: &str) -> Result<Self, String> {
        let text = read_json(bytes, what)?;
        Ok(Self { text, jumps: &[] })
    }

    /// Takes a text that is JSON already.
    pub(crate) const fn of_checked(text: &'a str) -> Self {
        Self { text, jumps: &[] }
    }

    /// Returns the text of the value, as it came.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.text
    }

    /// Returns what it is, in words: `an object`.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        json_type_name(self.text)
    }

    /// Says whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.text == "null"
    }

    /// Says whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// Says whether it is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.text.starts_with('[')
    }

    /// Returns the boolean that it is.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Returns the number that it is, where that is a whole one from 0 to 2^64 - 1.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.text.parse().ok()
    }

    /// Returns the number that it is, as near as a float comes.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        match self.text.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => self.text.parse().ok(),
            _ => None,
        }
    }

    /// Returns the string that it is.
    #[must_use]
    pub fn as_text(self) -> Option<Text<'a>> {
        unquoted(self.text).map(Text)
    }

    /// Returns the members of an object, in order, as they came; nothing for another value.
    pub fn members(self) -> impl Iterator<Item = (Text<'a>, Self)> {
        Items::of(self, self.is_object())
            .map(|(key, value)| (Text(unquoted(key).unwrap_or_default()), value))
    }

    /// Returns the elements of an array, in order; nothing for another value.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        Items::of(self, self.is_array()).map(|(_, value)| value)
    }

    /// Returns the member of this name; of several the last one. One that is `null` is none.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        let [found] = self.pick([name]);
        found
    }

    /// Returns the members of these names, all in one walk. One that is `null` is none.
    #[must_use]
    pub fn pick<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        for (key, value) in self.members() {
            if let Some(place) = key.position(&names).and_then(|at| found.get_mut(at)) {
                *place = (!value.is_null()).then_some(value);
            }
        }
        found
    }

    /// Returns a name that several members have.
    pub(crate) fn given_twice(self) -> Option<Cow<'a, str>> {
        let mut names = Vec::with_capacity(16);
        names.extend(self.members().map(|(key, _)| key.decode()));
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        let twice = pairs.find(|(one, other)| one == other);
        twice.map(|(name, _)| name.clone())
    }

    /// Returns the string that the member of this name is.
    #[must_use]
    pub fn text(self, name: &str) -> Option<Text<'a>> {
        self.get(name)?.as_text()
    }
}

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Json<'_> {}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it is what people say to each other.
        write!(f, "Json({}, {} bytes)", self.type_name(), self.text.len())
    }
}

// === impl Text ===

impl<'a> Text<'a> {
    /// Returns it as it stands in JSON between the quotes, with its escapes.
    #[must_use]
    pub const fn escaped(self) -> &'a str {
        self.0
    }

    /// Takes a text as it stands between the quotes of a string in JSON that was checked.
    pub(crate) const fn of_escaped(escaped: &'a str) -> Self {
        Self(escaped)
    }

    /// Returns the text; a copy only where there are escapes in it.
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if self.0.contains('\\') {
            return unescape(self.0).into();
        }
        Cow::Borrowed(self.0)
    }

    /// Says whether it is this text.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        let escaped = self.escaped();
        escaped == text || (escaped.contains('\\') && self.decode() == text)
    }

    /// Returns where in a list of texts it is.
    pub(crate) fn position(self, texts: &[&str]) -> Option<usize> {
        if self.0.contains('\\') {
            let text = self.decode();
            return texts.iter().position(|other| *other == text);
        }
        texts.iter().position(|other| *other == self.0)
    }

    /// Says whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.escaped().is_empty()
    }

    /// Says whether it is empty, or white space alone.
    #[must_use]
    pub fn is_blank(self) -> bool {
        // An escape can be white space too; the first other character ends the search.
        let is_space = |part: &str| part.trim_start().is_empty();
        let escaped = self.escaped();
        is_space(escaped) || (escaped.trim_start().starts_with('\\') && is_space(&self.decode()))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

// === impl Items ===

impl<'a> Items<'a> {
    fn of(value: Json<'a>, is_kind: bool) -> Self {
        Self {
            text: value.text,
            // The first is that of the value itself.
            items: json_items_by(value.text, value.jumps.get(1..).unwrap_or_default())
                .filter(|_| is_kind),
        }
    }
}

impl<'a> Iterator for Items<'a> {
    /// The key, empty in an array, and the value.
    type Item = (&'a str, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        // If the value is an object or an array, its own are the next ones.
        let jumps = items.jumps();
        let item = items.next()?;
        let key = self.text.get(item.key)?;
        let text = self.text.get(item.value)?;
        Some((key, Json { text, jumps }))
    }
}

/// The text that stands with escapes in JSON that was checked.
fn unescape(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, behind)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut letters = behind.chars();
        let letter = match letters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let (letter, behind) = code_point(letters.as_str());
                text.push(letter);
                rest = behind;
                continue;
            }
            // A quote, a slash or a backslash.
            Some(letter) => letter,
            None => break,
        };
        text.push(letter);
        rest = letters.as_str();
    }
    text.push_str(rest);
    text
}

/// The character of one `\u`, or of the two that are a pair, and what stands behind.
fn code_point(text: &str) -> (char, &str) {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let first = unit(text).unwrap_or(0xfffd);
    let behind = text.get(4..).unwrap_or_default();
    if let Some(letter) = char::from_u32(first) {
        return (letter, behind);
    }
    let second = behind.strip_prefix("\\u").and_then(unit).unwrap_or(0xdc00);
    let pair = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    let letter = char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER);
    (letter, behind.get(6..).unwrap_or_default())
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// A value without the white space between its tokens.
pub(crate) fn compact(value: Json<'_>) -> Cow<'_, str> {
    let text = value.raw();
    if !value.is_object() && !value.is_array() {
        return Cow::Borrowed(text);
    }
    let mut compact = String::new();
    // What is not copied yet begins here.
    let mut start = 0;
    let mut is_string = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_string = !is_string,
            b' ' | b'\t' | b'\n' | b'\r' if !is_string => {
                compact.push_str(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if start == 0 {
        return Cow::Borrowed(text);
    }
    compact.push_str(text.get(start..).unwrap_or_default());
    Cow::Owned(compact)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_found_in_one_walk_and_null_is_none() {
        let json = Json::parse(br#"{"a":1,"b":null,"\u0063":"x\ny","a":2}"#, "it").unwrap();

        let [a, b, c, d] = json.pick(["a", "b", "c", "d"]);

        assert_eq!(a.and_then(Json::as_u64), Some(2));
        assert_eq!((b, d), (None, None));
        assert_eq!(c.and_then(Json::as_text).unwrap().decode(), "x\ny");
        assert_eq!(json.elements().count(), 0);
    }

    #[test]
    fn only_what_is_blank_is_blank() {
        for (raw, is_blank) in [
            ("", true),
            (r" \n\u0020", true),
            (r" \n x", false),
            ("x ", false),
            (r#"\""#, false),
        ] {
            assert_eq!(Text(raw).is_blank(), is_blank, "{raw}");
        }
    }

    fn nested() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::json!(1)),
            "[\\[\\]{}\"]{0,3}".prop_map(Into::into)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::hash_map("[a-c]", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn escapes_mean_what_serde_says(text in any::<String>(), plain in any::<bool>()) {
            let escaped = if plain {
                serde_json::to_string(&text).unwrap()
            } else {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
                format!("\"{}\\/\\b\\f\"", units.collect::<String>())
            };
            let expected: String = serde_json::from_str(&escaped).unwrap();
            let json = Json::parse(escaped.as_bytes(), "it").unwrap();

            prop_assert_eq!(json.as_text().unwrap().decode(), expected);
        }

        #[test]
        fn a_document_is_walked_as_a_text_is(value in nested()) {
            fn same(one: Json<'_>, other: Json<'_>) {
                assert_eq!(one, other);
                let members = one.members().zip(other.members());
                for ((key, one), (other_key, other)) in members {
                    assert_eq!(key, other_key);
                    same(one, other);
                }
                assert_eq!(one.members().count(), other.members().count());
                one.elements().zip(other.elements()).for_each(|(one, other)| same(one, other));
                assert_eq!(one.elements().count(), other.elements().count());
            }

            let text = value.to_string();
            let document = Document::parse(text.as_bytes(), "it").unwrap();

            same(document.root(), Json::parse(text.as_bytes(), "it").unwrap());
        }

        #[test]
        fn compact_json_is_what_serde_writes(value in proptest::collection::vec((r#"[a-z"\\ \n]{0,6}"#, 0..9_i32), 0..5)) {
            let value = serde_json::json!({"list": value, "text": " a { b "});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let json = Json::parse(pretty.as_bytes(), "it").unwrap();

            prop_assert_eq!(compact(json), value.to_string());
        }
    }
}
