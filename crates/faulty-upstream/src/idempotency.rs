//! The `Idempotency-Key` of draft-ietf-httpapi-idempotency-key-header: a key seen before gets the stored answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;

use crate::answer::Answer;
use crate::shelf::{Shelf, ShelfLimits};

/// The keys, and the answers to their first requests.
#[derive(Debug)]
pub(crate) struct Keys {
    shelf: Mutex<Shelf<Stored>>,
}

#[derive(Debug)]
struct Stored {
    payload: String,
    /// None: still being processed.
    answer: Option<Answer>,
}

/// What a key means for a request.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is new: the work is to be done.
    Fresh,
    /// Its work is being done.
    Running,
    /// Its work was done, for another payload.
    Mismatch,
    /// Its work was done, and this was the answer.
    Stored(Box<Answer>),
}

// === impl Keys ===

impl Keys {
    pub(crate) fn admit(&self, key: &str, payload: &str) -> Admission {
        let mut shelf = self.lock();
        match shelf.get(key) {
            None => {
                shelf.insert(
                    key,
                    Stored {
                        payload: payload.to_owned(),
                        answer: None,
                    },
                );
                Admission::Fresh
            }
            Some(stored) if stored.payload != payload => Admission::Mismatch,
            Some(stored) => stored.answer.clone().map_or(Admission::Running, |answer| {
                Admission::Stored(Box::new(answer))
            }),
        }
    }

    /// Keeps the answer; the key is not running any more.
    pub(crate) fn store(&self, key: &str, answer: &Answer) {
        let mut shelf = self.lock();
        if let Some(stored) = shelf.get_mut(key) {
            stored.answer = Some(answer.clone());
            shelf.charge(key, answer.cost());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<Stored>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Keys {
    fn default() -> Self {
        let limits = ShelfLimits {
            entries: 10_000,
            bytes: 64 * 1024 * 1024,
        };
        Self {
            shelf: Mutex::new(Shelf::new(limits)),
        }
    }
}

/// The key of a request: a structured-field string, or a bare text, which clients send as often. An empty one is none.
pub(crate) fn key(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("idempotency-key")?.to_str().ok()?.trim();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = match inner {
        None => text.to_owned(),
        Some(inner) => {
            let mut key = String::with_capacity(inner.len());
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                key.extend(if character == '\\' {
                    characters.next()
                } else {
                    Some(character)
                });
            }
            key
        }
    };
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_or_a_bare_text() {
        for (text, expected) in [
            ("\"8e03\"", Some("8e03")),
            ("8e03", Some("8e03")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            ("\"", Some("\"")),
            ("\"\"", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([("idempotency-key".parse().unwrap(), text.parse().unwrap())]);

            assert_eq!(key(&headers).as_deref(), expected, "{text}");
        }
        assert_eq!(key(&HeaderMap::new()), None);
    }
}
