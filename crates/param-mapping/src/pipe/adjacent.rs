//! Neighbours in an array that become one.

use crate::json;

/// One element that may take in those behind it.
struct Open<'a> {
    element: &'a str,
    by: &'a str,
    /// What is joined, without what encloses it; that is a quote or a bracket.
    joined: String,
    kind: u8,
    is_joined: bool,
}

/// Joins elements of an array that have an equal scalar at `by` and texts, or arrays, at `join`. Of the members of the later ones nothing else stays.
pub(crate) fn merge(array: &str, by: &str, join: &str, separator: &str) -> String {
    let separator = json::encode_string(separator);
    let separator = json::slice(&separator, 1..separator.len() - 1);
    let mut out = String::with_capacity(array.len());
    let mut open: Option<Open<'_>> = None;
    for item in json::items(array).into_iter().flatten() {
        let element = json::slice(array, item.value);
        let member = |name: &str| {
            json::find(element, &[name.to_owned()]).map(|range| json::slice(element, range))
        };
        let key = member(by).filter(|key| !key.starts_with(['{', '[']));
        let held = member(join).and_then(enclosed);
        let Some((by, (kind, inner))) = key.zip(held) else {
            close(open.take(), join, &mut out);
            push(element, &mut out);
            continue;
        };
        if let Some(last) = &mut open
            && last.kind == kind
            && last.by.starts_with('"') == by.starts_with('"')
            && json::decode_string(last.by) == json::decode_string(by)
        {
            if kind == b'"' {
                last.joined.push_str(separator);
            } else if !last.joined.is_empty() && !inner.is_empty() {
                last.joined.push(',');
            }
            last.joined.push_str(inner);
            last.is_joined = true;
            continue;
        }
        close(open.take(), join, &mut out);
        open = Some(Open {
            element,
            by,
            joined: inner.to_owned(),
            kind,
            is_joined: false,
        });
    }
    close(open, join, &mut out);
    if out.is_empty() {
        out.push('[');
    }
    out.push(']');
    out
}

/// What a string or an array holds, as text.
fn enclosed(text: &str) -> Option<(u8, &str)> {
    if let Some(rest) = text.strip_prefix('"') {
        return Some((b'"', rest.strip_suffix('"')?));
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((b'[', inner.trim_ascii()))
}

fn close(open: Option<Open<'_>>, join: &str, out: &mut String) {
    let Some(open) = open else {
        return;
    };
    let range = json::find(open.element, &[join.to_owned()]).filter(|_| open.is_joined);
    let Some(range) = range else {
        return push(open.element, out);
    };
    push(json::slice(open.element, 0..range.start), out);
    let (left, right) = if open.kind == b'"' {
        ('"', '"')
    } else {
        ('[', ']')
    };
    out.push(left);
    out.push_str(&open.joined);
    out.push(right);
    out.push_str(json::slice(open.element, range.end..open.element.len()));
}

fn push(element: &str, out: &mut String) {
    out.push(if out.is_empty() { '[' } else { ',' });
    out.push_str(element);
}
