//! The query of a URI, as pairs that keep their bytes.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Everything but the unreserved characters of RFC 3986, section 2.3: right in a form-encoded query and in a plain one.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The values with this decoded name, in order and still encoded.
pub(crate) fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    pairs(query).filter_map(move |(_, key, value)| is_named(key, name).then_some(value))
}

/// Keeps the pairs whose names are not among these, and where some are allowed only those; byte for byte, empty ones too.
pub(crate) fn without(query: &str, names: &[&str], allowed: &[&str]) -> String {
    let mut kept = String::with_capacity(query.len());
    let mut is_first = true;
    for (pair, key, _) in pairs(query) {
        let is_among = |names: &[&str]| names.iter().any(|name| is_named(key, name));
        if is_among(names) || (!allowed.is_empty() && !is_among(allowed)) {
            continue;
        }
        if !is_first {
            kept.push('&');
        }
        is_first = false;
        kept.push_str(pair);
    }
    kept
}

/// Adds a pair at the end; the value is encoded already.
pub(crate) fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&encode(name.as_bytes()));
    query.push('=');
    query.push_str(value);
}

/// Adds a pair in front of all; the value is encoded already.
pub(crate) fn push_in_front(query: &mut String, name: &str, value: &str) {
    let mut pair = String::with_capacity(query.len() + name.len() + value.len() + 2);
    push(&mut pair, name, value);
    if !query.is_empty() {
        pair.push('&');
        pair.push_str(query);
    }
    *query = pair;
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ENCODED).to_string()
}

/// The text that a value stands for; `None` where an escape is broken or it is not UTF-8.
pub(crate) fn decode(value: &str) -> Option<String> {
    let mut escapes = value.split('%');
    escapes.next();
    let is_hex = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(is_hex) {
        return None;
    }
    let text = value.replace('+', " ");
    percent_decode_str(&text)
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}

/// Each pair whole, its name and its value.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    query.split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (pair, key, value)
    })
}

fn is_named(key: &str, name: &str) -> bool {
    if !key.contains(['%', '+']) {
        return key == name;
    }
    percent_decode_str(&key.replace('+', " ")).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_decoded_and_values_kept_encoded() {
        for (query, name, expected) in [
            ("a=1&b=2&a=3", "a", &["1", "3"][..]),
            ("a", "a", &[""]),
            ("a=%zz", "a", &["%zz"]),
            ("a+b=1&a%20b=2&a%2Bb=3", "a b", &["1", "2"]),
            ("%C3%A4=1", "\u{e4}", &["1"]),
            ("a=b=c", "a", &["b=c"]),
            ("", "a", &[]),
            ("aa=1", "a", &[]),
        ] {
            assert_eq!(
                values(query, name).collect::<Vec<_>>(),
                expected,
                "{query} {name}"
            );
        }
    }

    #[test]
    fn other_pairs_keep_their_bytes() {
        for (query, expected) in [
            ("x=1&a=%7e&&b=+%20&x", "a=%7e&&b=+%20"),
            ("a&b=&c==", "a&b=&c=="),
            ("%78=1", ""),
            ("x", ""),
        ] {
            assert_eq!(without(query, &["x"], &[]), expected, "{query}");
        }
    }

    #[test]
    fn values_are_decoded_only_where_they_are_right() {
        for (value, expected) in [
            ("a+b%20c", Some("a b c")),
            ("%C3%A4", Some("\u{e4}")),
            ("%ff", None),
            ("100%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
        ] {
            assert_eq!(decode(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut query = String::new();

        push(&mut query, "a&b", &encode("1+1=2 \u{e4}".as_bytes()));
        push(&mut query, "c", "");

        assert_eq!(query, "a%26b=1%2B1%3D2%20%C3%A4&c=");
        let value = values(&query, "a&b").next().and_then(decode);
        assert_eq!(value.as_deref(), Some("1+1=2 \u{e4}"));
    }
}
