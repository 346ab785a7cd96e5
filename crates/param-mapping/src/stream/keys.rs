use memchr::memchr;
use memchr::memmem::{self, Finder};

/// What an editor looks for: an event that holds none of it passes without being read.
///
/// Members of JSON objects are found however JSON spells them: an event with an escape that may stand for a character
/// of a name is read as well. With no key at all, no event is read.
///
/// ```
/// # use portcullis_param_mapping::Keys;
/// let keys = Keys::new().member("usage").text("[DONE]");
/// assert!(keys.occur_in(br#"data: {"usage":{}}"#));
/// assert!(keys.occur_in(br#"data: {"us\u0061ge":{}}"#));
/// assert!(!keys.occur_in(br#"data: {"text":"the usage of a \n"}"#));
/// ```
#[must_use = "keys do nothing until an editor names them"]
#[derive(Clone, Debug, Default)]
pub struct Keys {
    needles: Vec<Finder<'static>>,
    escapes: Escapes,
}

/// Where each key occurs next, so that a chunk is searched once for each.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    next: Vec<usize>,
}

/// The escapes that may stand for a character of a member's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Escapes {
    /// There are no members.
    #[default]
    None,
    /// `\u0020` to `\u007f`.
    Ascii,
    /// Any `\u`.
    Unicode,
    /// Any backslash: a quote, a backslash or a slash is in the name, or a control character.
    Any,
}

// === impl Keys ===

impl Keys {
    /// No key: no event is read.
    pub const fn new() -> Self {
        Self {
            needles: Vec::new(),
            escapes: Escapes::None,
        }
    }

    /// Adds the name of a member of a JSON object, at any depth. A string with this text is taken for one too.
    pub fn member(mut self, name: &str) -> Self {
        let is_plain = |c: char| !matches!(c, '"' | '\\' | '/') && !c.is_control();
        let escapes = if !name.chars().all(is_plain) {
            Escapes::Any
        } else if !name.is_ascii() {
            Escapes::Unicode
        } else {
            Escapes::Ascii
        };
        self.escapes = self.escapes.max(escapes);
        self.text(format!("\"{name}\""))
    }

    /// Adds bytes that are looked for as they are: an event name, `[DONE]`.
    pub fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.needles.push(Finder::new(text.as_ref()).into_owned());
        self
    }

    /// Whether any key occurs in these bytes.
    #[must_use]
    pub fn occur_in(&self, bytes: &[u8]) -> bool {
        let mut needles = self.needles.iter();
        needles.any(|needle| needle.find(bytes).is_some()) || self.escapes.find(bytes).is_some()
    }
}

impl<N: AsRef<str>> FromIterator<N> for Keys {
    /// The keys of these members.
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let names = names.into_iter();
        names.fold(Self::new(), |keys, name| keys.member(name.as_ref()))
    }
}

// === impl Hits ===

impl Hits {
    /// Forgets all: the bytes are others.
    pub(crate) fn clear(&mut self) {
        self.next.clear();
    }

    /// Where the first key occurs, not before `at`; `usize::MAX` where none does.
    pub(crate) fn first(&mut self, keys: &Keys, bytes: &[u8], at: usize) -> usize {
        // One more than the needles, for the escapes. 0 stands for what is not known as well.
        self.next.resize(keys.needles.len() + 1, 0);
        let rest = bytes.get(at..).unwrap_or_default();
        let is_known = |next: usize| next >= at && next != 0;
        let mut first = usize::MAX;
        for (index, next) in self.next.iter_mut().enumerate() {
            if !is_known(*next) {
                let found = match keys.needles.get(index) {
                    Some(needle) => needle.find(rest),
                    None => keys.escapes.find(rest),
                };
                *next = found.map_or(usize::MAX, |found| at + found);
            }
            first = first.min(*next);
        }
        first
    }
}

// === impl Escapes ===

impl Escapes {
    fn find(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Any => memchr(b'\\', bytes),
            Self::Unicode => memmem::find(bytes, b"\\u"),
            Self::Ascii => memmem::find_iter(bytes, b"\\u00")
                .find(|at| matches!(bytes.get(at + 4), Some(b'2'..=b'7'))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_found_however_they_are_spelled() {
        for (name, json, expected) in [
            ("ab", r#"{"ab":1}"#, true),
            ("ab", r#"{"a\u0062":1}"#, true),
            ("ab", r#"{"abc":1}"#, false),
            ("ab", r#"{"c":"ab \n \u00e9 \u2019"}"#, false),
            ("\u{e4}", r#"{"\u00e4":1}"#, true),
            ("\u{e4}", "{\"\u{e4}\":1}", true),
            ("\u{e4}", r#"{"a":"\n"}"#, false),
            ("a/b", r#"{"a\/b":1}"#, true),
            ("a\"", r#"{"a\"":1}"#, true),
            ("", r#"{"":1}"#, true),
        ] {
            let keys = Keys::new().member(name);
            assert_eq!(keys.occur_in(json.as_bytes()), expected, "{name} {json}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_found() {
        assert!(!Keys::new().occur_in(br#"{"a\u0062":1}"#));
    }

    proptest! {
        #[test]
        fn hits_are_those_of_a_fresh_search(
            text in "([ab\"\\\\]|\\\\u0061){0,60}",
            steps in proptest::collection::vec(0_usize..9, 0..20),
        ) {
            let keys = Keys::new().member("a").text("ba");
            let (mut hits, mut at) = (Hits::default(), 0);
            for step in steps {
                at = (at + step).min(text.len());
                let mut fresh = Hits::default();
                let expected = fresh.first(&keys, text.as_bytes(), at);
                prop_assert_eq!(hits.first(&keys, text.as_bytes(), at), expected);
                prop_assert_eq!(keys.occur_in(&text.as_bytes()[at..]), expected < usize::MAX);
            }
        }
    }
}
