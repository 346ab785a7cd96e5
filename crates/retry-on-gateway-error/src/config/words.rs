//! Values with more than one form in data. What serde has for that, `untagged`, loses where a mistake is and which one.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// A list of words, or one text with commas between them.
struct List(Vec<String>);

struct ListVisitor;

/// An element of a list: a text, or a number, as what is between commas may look like one.
struct Word(String);

struct WordVisitor;

struct TextOrMap<F, G, M> {
    expecting: &'static str,
    text: F,
    map: G,
    fields: PhantomData<M>,
}

/// Reads `[a, b]`, `a,b` and `null`.
///
/// # Errors
/// When it is something else, or holds what is neither a word nor a number.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let list = Option::<List>::deserialize(deserializer)?;
    Ok(list.map(|List(words)| words))
}

/// Reads a text as `text` does, which says `None` where it has no meaning, or a map as `map` makes it of `M`.
pub(super) fn text_or_map<'de, D, M, T>(
    deserializer: D,
    expecting: &'static str,
    text: impl FnOnce(&str) -> Option<T>,
    map: impl FnOnce(M) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    M: Deserialize<'de>,
{
    deserializer.deserialize_any(TextOrMap {
        expecting,
        text,
        map,
        fields: PhantomData,
    })
}

// === impl List ===

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

// === impl ListVisitor ===

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or a text with commas")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List, E> {
        let words = text.split(',').map(|word| word.trim().to_owned());
        Ok(List(words.collect()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<List, E> {
        Ok(List(vec![number.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List, A::Error> {
        let mut words = Vec::new();
        while let Some(Word(word)) = elements.next_element()? {
            words.push(word);
        }
        Ok(List(words))
    }
}

// === impl Word ===

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

// === impl WordVisitor ===

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a number")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Word, E> {
        Ok(Word(word.trim().to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Word, E> {
        Ok(Word(number.to_string()))
    }
}

// === impl TextOrMap ===

impl<'de, F, G, M, T> Visitor<'de> for TextOrMap<F, G, M>
where
    F: FnOnce(&str) -> Option<T>,
    G: FnOnce(M) -> T,
    M: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let expected = self.expecting;
        let unknown = || E::invalid_value(Unexpected::Str(text), &expected);
        (self.text)(text).ok_or_else(unknown)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}
