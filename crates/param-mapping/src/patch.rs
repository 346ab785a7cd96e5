//! Changes to JSON text as a whole: merge patches, and elements at the ends of arrays.

use std::collections::HashMap;

use crate::json;

/// Lays a patch over a text, as RFC 7396 says. Members that the patch does not name keep their bytes.
pub(crate) fn merge(text: Option<&str>, patch: &str, depth: usize) -> String {
    let Some(changes) = json::items(patch).filter(|_| patch.starts_with('{') && depth > 0) else {
        return patch.to_owned();
    };
    let base = text.filter(|text| text.starts_with('{')).unwrap_or("{}");
    let changes: Vec<_> = changes
        .map(|item| (json::slice(patch, item.key), json::slice(patch, item.value)))
        .collect();
    // Of two changes to one member the last one counts, as it would for a parser.
    let last: HashMap<_, _> = changes
        .iter()
        .enumerate()
        .map(|(index, (key, _))| (json::decode_string(key), index))
        .collect();
    let mut is_done = vec![false; changes.len()];
    let mut merged = String::with_capacity(base.len() + patch.len());
    let mut write = |key: &str, value: &str| {
        merged.push(if merged.is_empty() { '{' } else { ',' });
        merged.push_str(key);
        merged.push(':');
        merged.push_str(value);
    };
    for item in json::items(base).into_iter().flatten() {
        let key = json::slice(base, item.key);
        let value = json::slice(base, item.value);
        let change = last.get(&json::decode_string(key));
        let Some((index, (_, change))) =
            change.and_then(|index| Some((*index, changes.get(*index)?)))
        else {
            write(key, value);
            continue;
        };
        let was_done = is_done
            .get_mut(index)
            .is_some_and(|done| std::mem::replace(done, true));
        if *change != "null" && !was_done {
            write(key, &merge(Some(value), change, depth - 1));
        }
    }
    for (index, (key, change)) in changes.iter().enumerate() {
        let is_last = last.get(&json::decode_string(key)) == Some(&index);
        if is_last && *change != "null" && is_done.get(index) == Some(&false) {
            write(key, &merge(None, change, depth - 1));
        }
    }
    if merged.is_empty() {
        merged.push('{');
    }
    merged.push('}');
    merged
}

/// Puts a value at an end of an array, or makes one; `None` where there is something else.
pub(crate) fn insert(text: Option<&str>, value: &str, in_front: bool) -> Option<String> {
    let inner = text.unwrap_or("[]").strip_prefix('[')?.strip_suffix(']')?;
    Some(if inner.trim_ascii().is_empty() {
        format!("[{value}]")
    } else if in_front {
        format!("[{value},{inner}]")
    } else {
        format!("[{inner},{value}]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7396_hold() {
        for (text, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(Some(text), patch, 9), expected, "{text} {patch}");
        }
    }
}
