use std::fmt;
use std::io::Write as _;

use bytes::Bytes;
use portcullis_param_mapping::plain_json;

use super::{Json, Text};

/// Writes one JSON text. Commas and quotes are its business; long values that are part of the source are not copied.
///
/// It writes what it is told to: keys in objects alone, and each that is begun must be ended.
///
/// ```
/// use portcullis_llm_mapping::JsonWriter;
///
/// let mut out = JsonWriter::new();
/// out.begin_object();
/// out.key("model").string("a \"b\"");
/// out.key("stop").begin_array();
/// out.string("x").raw("1.0");
/// out.end_array();
/// out.end_object();
/// assert_eq!(out.into_bytes(), r#"{"model":"a \"b\"","stop":["x",1.0]}"#);
/// ```
#[derive(Default)]
pub struct JsonWriter {
    /// What long values are parts of.
    source: Bytes,
    chunks: Vec<Bytes>,
    /// What follows the chunks.
    tail: Vec<u8>,
    /// The next item needs a comma before it.
    needs_comma: bool,
    /// How many objects and arrays are open.
    depth: usize,
    /// The names of the members of the outermost object.
    names: Vec<&'static str>,
}

/// From here on a part of the source is taken as it is; shorter ones are copied.
const LONG: usize = 4096;

// === impl JsonWriter ===

impl JsonWriter {
    /// A writer that has written nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for a text that is mostly parts of another one.
    #[must_use]
    pub fn with_source(source: &Bytes) -> Self {
        Self {
            source: source.clone(),
            tail: Vec::with_capacity(source.len().min(LONG) + 128),
            ..Self::default()
        }
    }

    /// Begins an object.
    pub fn begin_object(&mut self) -> &mut Self {
        self.begin(b'{')
    }

    /// Ends an object.
    pub fn end_object(&mut self) -> &mut Self {
        self.end(b'}')
    }

    /// Begins an array.
    pub fn begin_array(&mut self) -> &mut Self {
        self.begin(b'[')
    }

    /// Ends an array.
    pub fn end_array(&mut self) -> &mut Self {
        self.end(b']')
    }

    /// Writes the name of a member, whose value comes next. It stands in the program, and has nothing in it that must be escaped.
    pub fn key(&mut self, name: &'static str) -> &mut Self {
        debug_assert_eq!(plain_json(name.as_bytes()), name.len(), "{name}");
        if self.depth == 1 {
            self.names.push(name);
        }
        self.comma();
        self.tail.reserve(name.len() + 3);
        self.tail.push(b'"');
        self.tail.extend_from_slice(name.as_bytes());
        self.tail.extend_from_slice(b"\":");
        self.needs_comma = false;
        self
    }

    /// Writes the name of a member as it came.
    pub fn same_key(&mut self, name: Text<'_>) -> &mut Self {
        self.text(name);
        self.tail.push(b':');
        self.needs_comma = false;
        self
    }

    /// Writes a text as a string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.comma();
        self.tail.push(b'"');
        escape(text, &mut self.tail);
        self.tail.push(b'"');
        self
    }

    /// Writes several texts, escaped as they are in JSON, as one string.
    pub fn joined(&mut self, parts: &[Text<'_>], separator: &str) -> &mut Self {
        self.comma();
        self.tail.push(b'"');
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                escape(separator, &mut self.tail);
            }
            self.copy(part.escaped());
        }
        self.tail.push(b'"');
        self
    }

    /// Writes as a string what is escaped as it must be there.
    pub(crate) fn escaped(&mut self, text: &str) -> &mut Self {
        self.comma();
        self.tail.push(b'"');
        self.copy(text);
        self.tail.push(b'"');
        self
    }

    /// Writes a value as it came.
    pub fn json(&mut self, value: Json<'_>) -> &mut Self {
        self.raw(value.raw())
    }

    /// Writes a string as it came.
    pub fn text(&mut self, text: Text<'_>) -> &mut Self {
        self.escaped(text.escaped())
    }

    /// Writes a text that is JSON.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.comma();
        self.copy(json);
        self
    }

    /// Writes a whole number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.comma();
        // A vector takes all that is written to it.
        let _ = write!(self.tail, "{number}");
        self
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// Returns how many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    /// Says whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all that was written, in one piece.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.chunks.is_empty() {
            return self.tail.into();
        }
        let mut whole = Vec::with_capacity(self.len());
        for chunk in &self.chunks {
            whole.extend_from_slice(chunk);
        }
        whole.extend_from_slice(&self.tail);
        whole.into()
    }

    /// The names of the members of the outermost object, those that came from elsewhere excepted.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(crate) fn into_chunks(mut self) -> Vec<Bytes> {
        self.flush();
        self.chunks
    }

    fn begin(&mut self, bracket: u8) -> &mut Self {
        self.comma();
        self.tail.push(bracket);
        self.needs_comma = false;
        self.depth += 1;
        self
    }

    fn end(&mut self, bracket: u8) -> &mut Self {
        self.tail.push(bracket);
        self.needs_comma = true;
        self.depth = self.depth.saturating_sub(1);
        self
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.needs_comma, true) {
            self.tail.push(b',');
        }
    }

    fn copy(&mut self, text: &str) {
        if text.len() >= LONG
            && let Some(part) = part_of(&self.source, text)
        {
            self.flush();
            self.chunks.push(part);
            return;
        }
        self.tail.extend_from_slice(text.as_bytes());
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).into());
        }
    }
}

impl fmt::Debug for JsonWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonWriter({} bytes)", self.len())
    }
}

/// The text as a part of the source, if its bytes are those of the source.
fn part_of(source: &Bytes, text: &str) -> Option<Bytes> {
    let start = (text.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
    let end = start.checked_add(text.len())?;
    (end <= source.len()).then(|| source.slice(start..end))
}

/// Writes a text as it must be between the quotes of a string.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(plain_json(rest).min(rest.len()));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else {
            return;
        };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_parts_of_the_source_are_not_copied() {
        let source = Bytes::from(format!("\"{}\"", "x".repeat(LONG)));
        let json = Json::parse(&source, "it").unwrap();
        let mut out = JsonWriter::with_source(&source);

        out.begin_array().json(json).number(u64::MAX).end_array();

        let expected = format!("[{},18446744073709551615]", json.raw());
        let chunks = out.into_chunks();
        assert_eq!(chunks.concat(), expected.as_bytes());
        assert_eq!(chunks.get(1).unwrap().as_ptr(), source.as_ptr());
    }

    #[test]
    fn a_text_that_is_elsewhere_is_copied() {
        let long = format!("\"{}\"", "y".repeat(LONG));
        let mut out = JsonWriter::with_source(&Bytes::from_static(b"{}"));

        out.raw(&long);

        assert_eq!(out.into_bytes(), long);
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_reads_it(text in ".{0,20}", number in any::<u64>()) {
            let mut out = JsonWriter::new();
            out.begin_array().string(&text).number(number).end_array();

            let back: (String, u64) = serde_json::from_slice(&out.into_bytes()).unwrap();

            prop_assert_eq!(back, (text, number));
        }
    }
}
