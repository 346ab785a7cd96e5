//! JSON with a line for each member and element, so that lines can be compared.

/// The same text, so numbers and escapes too, with other space between its parts.
pub(crate) fn indented(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                while let Some(character) = characters.next() {
                    out.push(character);
                    match character {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                while characters
                    .next_if(|next| next.is_ascii_whitespace())
                    .is_some()
                {}
                out.push(character);
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_space_between_parts_changes() {
        let json = r#" {"a" :[1e400, { }],"b,{\"":"\u00e4 :" , "c":[ ]}"#;

        let expected = r#"{
  "a": [
    1e400,
    {}
  ],
  "b,{\"": "\u00e4 :",
  "c": []
}
"#;
        assert_eq!(indented(json.as_bytes()), expected);
    }
}
