//! The scanner against `serde_json`, byte by byte.
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn check(bytes: &[u8]) -> Result<(), Invalid> {
    let text = str::from_utf8(bytes).map_err(|_| Invalid::Utf8)?;
    // Once past everything, and once into what a rule names.
    let mut trie = Trie::new("body:", true);
    let plain = scan(text, &trie, 0).map(|_| ());
    for tokens in [&["a"][..], &["0", "a"], &["a", "0", "b"], &["a", "a"]] {
        trie.at(&tokens
            .iter()
            .map(|token| (*token).to_owned())
            .collect::<Vec<_>>());
    }
    let named = scan(text, &trie, 0).map(|_| ());
    assert_eq!(plain, named, "{text}");
    plain.map_err(|stop| match stop {
        Stop::Invalid(invalid) => invalid,
        Stop::Twice(_) => unreachable!("the last one counts"),
    })
}

#[test]
fn only_valid_json_is_taken() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (text, expected) in [
        (&b"{}"[..], Ok(())),
        (b" [1e400, -0.0, 18446744073709551616] ", Ok(())),
        (br#""\ud83d\ude00 [{""#, Ok(())),
        (nested(128).as_bytes(), Ok(())),
        (nested(129).as_bytes(), Err(Invalid::Depth)),
        (nested(1_000_000).as_bytes(), Err(Invalid::Depth)),
        (br#"{"a\ud83d": 1}"#, Err(Invalid::Surrogate)),
        (br#""\ude00""#, Err(Invalid::Surrogate)),
        (br#""\ud83d\n\ude00""#, Err(Invalid::Surrogate)),
        (b"\"\xff\"", Err(Invalid::Utf8)),
        (b"", Err(Invalid::Syntax { line: 1, column: 0 })),
        (b"{\n01}", Err(Invalid::Syntax { line: 2, column: 1 })),
        (b"{} {}", Err(Invalid::Syntax { line: 1, column: 4 })),
        (b"\"a\nb\"", Err(Invalid::Syntax { line: 1, column: 2 })),
        (b"NaN", Err(Invalid::Syntax { line: 1, column: 1 })),
        (
            b"\xef\xbb\xbf{}",
            Err(Invalid::Syntax { line: 1, column: 1 }),
        ),
    ] {
        let name = String::from_utf8_lossy(text.get(..60).unwrap_or(text));
        assert_eq!(check(text).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn what_ends_a_string_is_found_wherever_it_stands() {
    for length in 0..200 {
        for end in [
            "\"",
            "\\n\"",
            "\n",
            "\u{1f}",
            "\\",
            "\u{7f}\"",
            "\u{e4}\"",
            "\u{1f600}\"",
        ] {
            let text = format!("\"{}{end}", "x".repeat(length));

            let ours = check(text.as_bytes()).is_ok();

            let theirs = serde_json::from_str::<Value>(&text).is_ok();
            assert_eq!(ours, theirs, "{text:?}");
        }
    }
}

#[test]
fn of_twins_the_last_one_is_found_or_none() {
    let text = r#"{"a":{"b":1},"x":0,"a":{"c":2}}"#;
    let mut trie = Trie::new("body:", false);
    let named = trie.at(&["a".to_owned()]);
    let inner = trie.at(&["a".to_owned(), "b".to_owned()]);

    assert_eq!(scan(text, &trie, 0).unwrap_err(), Stop::Twice(named));

    trie.last_of_twins = true;
    let entries = scan(text, &trie, 0).unwrap();
    assert_eq!(
        json::slice(text, entries[named].value.clone()),
        r#"{"c":2}"#
    );
    assert!(!entries[inner].is_there);
    let shadow = &entries[entries[0].child.unwrap()];
    assert!(shadow.is_shadowed);
    assert_eq!(json::slice(text, shadow.value.clone()), r#"{"b":1}"#);
    assert_eq!(shadow.next, Some(named));
}

/// What `serde_json` takes, or would if it had a number for each text of one.
fn is_json(text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(_) => true,
        Err(error) if error.to_string().contains("out of range") => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        }
        Err(_) => false,
    }
}

/// Text that is nearly JSON.
fn nearly() -> impl Strategy<Value = String> {
    r#"[\[{"]["\\{}\[\]:, aab0u1d8e.\-+nultrefs\n\t]{0,24}"#
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_serde_json_rejects_is_rejected_and_what_it_takes_is_taken(text in nearly()) {
        prop_assert_eq!(check(text.as_bytes()).is_ok(), is_json(&text), "{}", text);
    }

    #[test]
    fn a_valid_text_with_one_byte_changed_is_taken_as_serde_json_takes_it(
        numbers in proptest::collection::vec(any::<f64>(), 0..4),
        string in any::<String>(),
        at in any::<prop::sample::Index>(),
        byte in 0..0x80_u8,
    ) {
        let value = serde_json::json!({"a": [numbers, {"b": string}], string: null, "0": true});
        let mut bytes = value.to_string().into_bytes();
        prop_assert_eq!(check(&bytes), Ok(()));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap_or_default();
        prop_assert_eq!(check(text.as_bytes()).is_ok(), is_json(&text), "{}", text);
    }
}
