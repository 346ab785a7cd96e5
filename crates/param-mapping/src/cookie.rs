//! The `Cookie` header, after [RFC 6265, section 4.2](https://www.rfc-editor.org/rfc/rfc6265#section-4.2).

use std::error::Error;
use std::fmt;

/// The pairs of a `Cookie` header, as they came.
///
/// ```
/// # use portcullis_param_mapping::Cookies;
/// let cookies = Cookies::new("a=1; b=\"2\";c");
/// assert_eq!(cookies.get("b"), Some("\"2\""));
/// assert_eq!(cookies.set("a", "x")?, "a=x; b=\"2\";c");
/// assert_eq!(cookies.remove("b"), "a=1;c");
/// # Ok::<_, portcullis_param_mapping::InvalidCookie>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cookies<'a> {
    header: &'a str,
}

/// Says that a name or a value cannot be written into a `Cookie` header. It holds neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCookie {
    is_name: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change<'a> {
    Keep,
    Remove,
    Value(&'a str),
}

// === impl Cookies ===

impl<'a> Cookies<'a> {
    /// The cookies of this header. Several lines, as HTTP/2 allows, are first joined by `"; "`.
    #[must_use]
    pub const fn new(header: &'a str) -> Self {
        Self { header }
    }

    /// The value of the first cookie with this name, which is case-sensitive. Quotes are a part of it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The values of all cookies with this name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let pairs = self.iter();
        pairs.filter_map(move |(key, value)| (key == name).then_some(value))
    }

    /// All cookies, names and values. What has no `=` is a value without a name, as browsers read it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs()
            .map(named)
            .filter(|pair| !matches!(pair, ("", "")))
    }

    /// The header with this value for the first cookie with this name, and without others with it; without one, it is added at the end.
    ///
    /// # Errors
    /// Where the name is no token, or the value holds what a cookie cannot: spaces, quotes (but around it), commas,
    /// semicolons, backslashes, control characters, and all that is not ASCII.
    pub fn set(&self, name: &str, value: &str) -> Result<String, InvalidCookie> {
        if !is_token(name) {
            return Err(InvalidCookie { is_name: true });
        }
        if !is_value(value) {
            return Err(InvalidCookie { is_name: false });
        }
        let mut is_written = false;
        let mut header = self.rewrite(|key| {
            if key != name {
                Change::Keep
            } else if std::mem::replace(&mut is_written, true) {
                Change::Remove
            } else {
                Change::Value(value)
            }
        });
        if !is_written {
            if !header.trim().is_empty() {
                header.push_str("; ");
            }
            header.push_str(name);
            header.push('=');
            header.push_str(value);
        }
        Ok(header)
    }

    /// The header without the cookies that have this name; empty where no other was there, and then there is nothing to send.
    #[must_use]
    pub fn remove(&self, name: &str) -> String {
        // What is between two semicolons without a name stays.
        self.rewrite(|key| {
            if key == name && !key.is_empty() {
                Change::Remove
            } else {
                Change::Keep
            }
        })
    }

    /// The header with the cookies alone whose names are so; what has no name has an empty one.
    pub(crate) fn retain(&self, is_kept: impl Fn(&str) -> bool) -> String {
        self.rewrite(|key| {
            if is_kept(key) {
                Change::Keep
            } else {
                Change::Remove
            }
        })
    }

    /// Writes each pair as it is, with another value, or not at all.
    fn rewrite<'v>(&self, mut change: impl FnMut(&str) -> Change<'v>) -> String {
        let mut header = String::with_capacity(self.header.len() + 16);
        let (mut is_first, mut is_moved_up) = (true, false);
        for pair in self.pairs() {
            let (name, _) = named(pair);
            let changed = change(name);
            if changed == Change::Remove {
                is_moved_up |= is_first;
                continue;
            }
            if !std::mem::take(&mut is_first) {
                header.push(';');
            }
            // The space after a semicolon, where the semicolon is gone.
            let pair = if std::mem::take(&mut is_moved_up) {
                pair.trim_start()
            } else {
                pair
            };
            match (changed, pair.split_once('=')) {
                (Change::Value(value), Some((name, _))) => {
                    header.push_str(name);
                    header.push('=');
                    header.push_str(value);
                }
                _ => header.push_str(pair),
            }
        }
        header
    }

    fn pairs(&self) -> impl Iterator<Item = &'a str> {
        self.header.split(';')
    }
}

// === impl InvalidCookie ===

impl fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_name {
            "the name of a cookie must be a token"
        } else {
            "the value of a cookie cannot hold spaces, quotes, commas, semicolons, backslashes, controls or non-ASCII"
        })
    }
}

impl Error for InvalidCookie {}

/// A pair without the spaces around its name and value.
fn named(pair: &str) -> (&str, &str) {
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    (name.trim(), value.trim())
}

fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn is_value(value: &str) -> bool {
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let octets = quoted.unwrap_or(value).bytes();
    let is_octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    octets.into_iter().all(is_octet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_read_with_their_exact_names() {
        for (header, name, expected) in [
            ("a=1; b=2", "b", Some("2")),
            ("a=1;b=2", "b", Some("2")),
            (" a = 1 ;b=2", "a", Some("1")),
            ("a=1; a=2", "a", Some("1")),
            ("A=1", "a", None),
            ("ab=1", "a", None),
            ("a=b=c", "a", Some("b=c")),
            ("a=\"x y\"", "a", Some("\"x y\"")),
            ("a", "a", None),
            ("a=", "a", Some("")),
            ("", "a", None),
        ] {
            assert_eq!(Cookies::new(header).get(name), expected, "{header}");
        }
        let all: Vec<_> = Cookies::new("a=1; x;; b=2").iter().collect();
        assert_eq!(all, [("a", "1"), ("", "x"), ("b", "2")]);
    }

    #[test]
    fn one_cookie_changes_and_the_others_keep_their_bytes() {
        for (header, set, removed) in [
            ("a=1; b=2", "a=x; b=2", "b=2"),
            ("b=2; a=1;c=%20", "b=2; a=x;c=%20", "b=2;c=%20"),
            ("a=1; b=2; a=3", "a=x; b=2", "b=2"),
            ("b=2", "b=2; a=x", "b=2"),
            ("", "a=x", ""),
            ("a=1", "a=x", ""),
            (" b ; ; c=\"", " b ; ; c=\"; a=x", " b ; ; c=\""),
        ] {
            let cookies = Cookies::new(header);
            assert_eq!(cookies.set("a", "x").as_deref(), Ok(set), "{header}");
            assert_eq!(cookies.remove("a"), removed, "{header}");
        }
    }

    #[test]
    fn what_could_be_another_cookie_is_refused() {
        for (name, value) in [
            ("a", "1; b=2"),
            ("a", "1\r\nX: y"),
            ("a", "x y"),
            ("a", "\u{e4}"),
            ("a", "\""),
            ("a", "\"a\"b\""),
            ("a", "a,b"),
            ("a", "a\\"),
        ] {
            let error = Cookies::new("").set(name, value).unwrap_err();
            assert!(
                error.to_string().starts_with("the value of a cookie"),
                "{value}"
            );
        }
        for name in ["", "a b", "a=", "a;", "\u{e4}", "a\n"] {
            let error = Cookies::new("").set(name, "1").unwrap_err();
            assert_eq!(error.to_string(), "the name of a cookie must be a token");
        }
        assert!(Cookies::new("").set("a", "\"1\"").is_ok());
    }

    proptest! {
        #[test]
        fn a_cookie_that_was_set_is_read_and_others_stay(header in "[a-c=; \"]{0,30}", value in "[!-~]{0,5}") {
            let before = Cookies::new(&header);
            let Ok(set) = before.set("a", &value) else { return Ok(()) };
            let after = Cookies::new(&set);
            let others = |cookies: Cookies<'_>| {
                let others = cookies.iter().filter(|(name, _)| *name != "a");
                others.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
            };

            prop_assert_eq!(after.get("a"), Some(value.as_str()));
            prop_assert_eq!(others(after), others(before));
            let removed = before.remove("a");
            prop_assert_eq!(Cookies::new(&removed).get("a"), None);
            prop_assert_eq!(others(Cookies::new(&removed)), others(before));
            if before.get("a").is_none() {
                prop_assert_eq!(removed, header.clone());
            }
        }
    }
}
