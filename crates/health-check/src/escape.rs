/// Makes text what HTML shows as that text, in an element as well as in a quoted attribute.
///
/// Characters that control something become U+FFFD: they show nothing, and line ends would end a line of an event stream.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Makes text one line of an event stream.
#[cfg(feature = "status-page")]
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_ends_an_element_an_attribute_or_a_line(text in any::<String>()) {
            let escaped = escape(&text);

            prop_assert!(!escaped.contains(['<', '>', '"', '\'']) && !escaped.contains(char::is_control), "{escaped:?}");
            let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
            let back = back.iter().fold(escaped, |text, (from, to)| text.replace(from, to));
            prop_assert_eq!(back, text.replace(char::is_control, "\u{fffd}"));
        }
    }
}
