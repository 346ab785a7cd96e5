use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr2;

use super::array::is_space;
#[cfg(feature = "aws")]
use super::aws;
use super::framing::Framing;

/// One event of a stream, complete, with the exact bytes that it came as.
///
/// Nothing of it is read before [`fields`](Self::fields) or [`data`](Self::data) is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
    /// How much of `raw` comes before the event: the comma of an array.
    lead: usize,
    framing: Framing,
}

/// What the fields of an event say.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The field `event`; `None` where it is missing or empty, which means `message`. Always `None` for JSON.
    pub name: Option<Bytes>,
    /// The data: for [`Framing::Sse`] the `data` lines joined by LF, else the JSON text. It may be no UTF-8.
    pub data: Bytes,
    /// The field `id`; an empty one takes the last id back. Always `None` but for [`Framing::Sse`].
    pub id: Option<Bytes>,
    /// The field `retry`. Always `None` but for [`Framing::Sse`].
    pub retry: Option<Duration>,
}

/// An event to write into an event stream.
///
/// ```
/// # use std::time::Duration;
/// # use portcullis_param_mapping::SseEvent;
/// let event = SseEvent::new("one\ntwo").name("greeting").id("7").retry(Duration::from_secs(1));
/// assert_eq!(event.encode(), "event: greeting\nid: 7\nretry: 1000\ndata: one\ndata: two\n\n");
/// ```
#[must_use = "an event does nothing until it is encoded"]
#[derive(Clone, Debug)]
pub struct SseEvent<'a> {
    data: &'a [u8],
    name: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<Duration>,
}

/// The lines of a text, each with its line end.
struct Lines<'a> {
    rest: &'a [u8],
}

struct Line<'a> {
    text: &'a [u8],
    end: &'a [u8],
}

// === impl Event ===

impl Event {
    pub(crate) const fn new(framing: Framing, raw: Bytes, lead: usize) -> Self {
        Self { raw, lead, framing }
    }

    /// How the stream that it came from is divided.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The exact bytes of the event, with its line ends; without the comma that parts it from the element before.
    #[must_use]
    pub fn raw(&self) -> Bytes {
        self.raw.slice(self.lead.min(self.raw.len())..)
    }

    /// All bytes that the stream has for this event: [`raw`](Self::raw), and before it the comma of an array.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// Reads all fields.
    ///
    /// The data is a part of the event's own bytes, and is copied only where several `data` lines are joined.
    #[must_use]
    pub fn fields(&self) -> Fields {
        if self.framing != Framing::Sse {
            return Fields {
                name: self.name().map(|name| self.raw.slice_ref(name)),
                data: self.data(),
                ..Fields::default()
            };
        }
        let mut fields = Fields::default();
        for line in lines(&self.raw) {
            match line.field() {
                (b"event", value) => {
                    fields.name = (!value.is_empty()).then(|| self.raw.slice_ref(value));
                }
                (b"id", value) if !value.contains(&0) => {
                    fields.id = Some(self.raw.slice_ref(value));
                }
                (b"retry", value) => fields.retry = milliseconds(value).or(fields.retry),
                _ => {}
            }
        }
        fields.data = self.data();
        fields
    }

    /// Reads the data only. See [`Fields::data`].
    #[must_use]
    pub fn data(&self) -> Bytes {
        match self.framing {
            Framing::JsonArray => self.raw(),
            #[cfg(feature = "aws")]
            Framing::AwsEventStream => self.raw.slice_ref(aws::payload(&self.raw)),
            Framing::JsonLines => self.raw.slice_ref(line_text(&self.raw)),
            Framing::Sse => {
                let mut data = data_lines(&self.raw);
                let first = data.next().unwrap_or_default();
                let Some(second) = data.next() else {
                    return self.raw.slice_ref(first);
                };
                let mut joined = BytesMut::with_capacity(self.raw.len());
                joined.put_slice(first);
                for value in std::iter::once(second).chain(data) {
                    joined.put_u8(b'\n');
                    joined.put_slice(value);
                }
                joined.freeze()
            }
        }
    }

    /// The bytes of the same event with other data; all its other lines, comments too, stay as they are.
    ///
    /// For [`Framing::Sse`] each line of the data becomes a `data` line, with the line end of the event, and an event
    /// that the end of the stream cut off gets its empty line. For [`Framing::JsonLines`] line ends within the data, which JSON
    /// has between tokens only, become spaces.
    #[must_use]
    pub fn with_data(&self, data: &[u8]) -> Bytes {
        match self.framing {
            Framing::JsonArray => Bytes::copy_from_slice(data),
            #[cfg(feature = "aws")]
            Framing::AwsEventStream => aws::with_payload(&self.raw, data),
            Framing::JsonLines => {
                let text = line_text(&self.raw);
                let end = self.raw.get(text.len()..).unwrap_or_default();
                let mut raw = BytesMut::with_capacity(data.len() + 2);
                put_line(&mut raw, data);
                raw.put_slice(if end.is_empty() { b"\n" } else { end });
                raw.freeze()
            }
            Framing::Sse => self.sse_with(None, Some(data)),
        }
    }

    /// Reads the name only. See [`Fields::name`].
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        match self.framing {
            Framing::Sse => {}
            Framing::JsonLines | Framing::JsonArray => return None,
            #[cfg(feature = "aws")]
            Framing::AwsEventStream => return aws::name(&self.raw),
        }
        let names = lines(&self.raw).filter_map(|line| match line.field() {
            (b"event", value) => Some(value),
            _ => None,
        });
        names.last().filter(|name| !name.is_empty())
    }

    /// Whether the message says that something went wrong: one whose header `:message-type` is `exception` or `error`. Its name is the
    /// exception's, or the code of the error. Always `false` but for [`Framing::AwsEventStream`].
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn is_exception(&self) -> bool {
        self.framing == Framing::AwsEventStream && aws::is_exception(&self.raw)
    }

    /// The bytes of the same event with another name, or none, and the same data or other. Only an event stream has names.
    pub(crate) fn with_name(&self, name: Option<&str>, data: Option<&[u8]>) -> Bytes {
        match (self.framing, data) {
            (Framing::Sse, data) => self.sse_with(Some(name), data),
            (_, Some(data)) => self.with_data(data),
            (_, None) => self.raw(),
        }
    }

    fn sse_with(&self, name: Option<Option<&str>>, data: Option<&[u8]>) -> Bytes {
        let first_end = lines(&self.raw).next().map_or(&[][..], |line| line.end);
        let end = if first_end.is_empty() {
            b"\n"
        } else {
            first_end
        };
        let added = data.map_or(0, <[u8]>::len) + name.flatten().map_or(0, str::len);
        let mut raw = BytesMut::with_capacity(self.raw.len() + added + 16);
        if let Some(Some(name)) = name {
            raw.put_slice(b"event: ");
            put_line(&mut raw, name.as_bytes());
            raw.put_slice(end);
        }
        let mut is_written = false;
        let mut is_terminated = false;
        for line in lines(&self.raw) {
            is_terminated = line.text.is_empty();
            if is_terminated {
                // Its own line end may lack a LF that is yet to come.
                raw.put_slice(end);
                continue;
            }
            match (line.field().0, data) {
                (b"event", _) if name.is_some() => {}
                (b"data", Some(_)) if is_written => {}
                (b"data", Some(data)) => {
                    is_written = true;
                    put_data(&mut raw, data, end);
                }
                _ => {
                    raw.put_slice(line.text);
                    raw.put_slice(if line.end.is_empty() { end } else { line.end });
                }
            }
        }
        if !is_terminated {
            raw.put_slice(end);
        }
        raw.freeze()
    }
}

// === impl SseEvent ===

impl<'a> SseEvent<'a> {
    /// An event with this data and no other field.
    pub fn new(data: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            data: data.as_ref(),
            name: None,
            id: None,
            retry: None,
        }
    }

    /// Sets the field `event`. None by default, which means `message`.
    pub const fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the field `id`. None by default.
    pub const fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the field `retry`, in whole milliseconds. None by default.
    pub const fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Writes the event, with the empty line at its end.
    ///
    /// Each line of the data becomes a line of the event. Line ends and NUL, which a name or an id cannot hold, become spaces.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut raw = BytesMut::with_capacity(self.data.len() + 64);
        for (field, value) in [("event: ", self.name), ("id: ", self.id)] {
            if let Some(value) = value {
                raw.put_slice(field.as_bytes());
                put_line(&mut raw, value.as_bytes());
                raw.put_u8(b'\n');
            }
        }
        if let Some(retry) = self.retry {
            raw.put_slice(format!("retry: {}\n", retry.as_millis()).as_bytes());
        }
        put_data(&mut raw, self.data, b"\n");
        raw.put_u8(b'\n');
        raw.freeze()
    }
}

// === impl Lines ===

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let at = memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at_checked(at)?;
        let (end, rest) = match rest {
            [b'\r', b'\n', ..] => rest.split_at_checked(2)?,
            [] => (rest, rest),
            _ => rest.split_at_checked(1)?,
        };
        self.rest = rest;
        Some(Line { text, end })
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    /// The name and the value of a field. A comment has no name.
    fn field(&self) -> (&'a [u8], &'a [u8]) {
        let Some(colon) = memchr::memchr(b':', self.text) else {
            return (self.text, &[]);
        };
        let name = self.text.get(..colon).unwrap_or_default();
        let value = self.text.get(colon + 1..).unwrap_or_default();
        (name, value.strip_prefix(b" ").unwrap_or(value))
    }
}

/// Whether a receiver would dispatch this event: it has a `data` line, be it empty.
pub(crate) fn has_data(raw: &[u8]) -> bool {
    data_lines(raw).next().is_some()
}

fn data_lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(raw).filter_map(|line| match line.field() {
        (b"data", value) => Some(value),
        _ => None,
    })
}

const fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text }
}

/// A line of JSON without its line end and the spaces before that.
fn line_text(raw: &[u8]) -> &[u8] {
    let mut text = raw;
    while let Some((last, rest)) = text.split_last() {
        if !is_space(*last) {
            break;
        }
        text = rest;
    }
    text
}

fn milliseconds(value: &[u8]) -> Option<Duration> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_millis(value))
}

fn put_data(raw: &mut BytesMut, data: &[u8], end: &[u8]) {
    let mut put = |text: &[u8]| {
        raw.put_slice(b"data: ");
        raw.put_slice(text);
        raw.put_slice(end);
    };
    // What ends with a line end has one more line, which is empty.
    let mut is_open = true;
    for line in lines(data) {
        put(line.text);
        is_open = !line.end.is_empty();
    }
    if is_open {
        put(b"");
    }
}

/// Writes a text as one line.
fn put_line(raw: &mut BytesMut, text: &[u8]) {
    raw.extend(text.iter().map(|byte| match byte {
        b'\n' | b'\r' | 0 => b' ',
        byte => *byte,
    }));
}

#[cfg(test)]
mod tests;
