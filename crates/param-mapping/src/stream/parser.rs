use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::array::ArrayScanner;
#[cfg(feature = "aws")]
use super::aws::AwsScanner;
use super::event::{Event, has_data};
use super::framing::{AtEof, DEFAULT_MAX_EVENT_BYTES, Framing, FramingError};
use super::keys::{Hits, Keys};
use super::lines::{self, LineScanner};
use super::sse::{self, SseScanner};

/// Divides a stream into events, whatever chunks it comes in.
///
/// An event is given as soon as its last byte is there. One that lies within a chunk is a part of that chunk; only one
/// that lies across chunks is copied. The bytes of all pieces ([`Event::bytes`]), one after another, are the stream, but for what
/// [`AtEof::Discard`] leaves out; and how the stream was cut into chunks makes no difference to the events.
///
/// A byte order mark at the beginning, comments, and events of an event stream that have no data are not given as events, since no
/// receiver would see them. They are [`Piece::Other`].
///
/// ```
/// # use portcullis_param_mapping::{EventParser, Framing, Piece};
/// let mut parser = EventParser::new(Framing::Sse);
/// parser.push("data: {\"a\":1}\n\ndata".into());
/// let Some(Piece::Event(event)) = parser.next_piece()? else { panic!("it is complete") };
/// assert_eq!(event.data(), r#"{"a":1}"#);
/// assert_eq!(event.raw(), "data: {\"a\":1}\n\n");
/// assert_eq!(parser.next_piece()?, None);
/// # Ok::<_, portcullis_param_mapping::FramingError>(())
/// ```
pub struct EventParser {
    framing: Framing,
    scanner: Scanner,
    chunk: Bytes,
    /// Where in the chunk the bytes begin that were not scanned.
    at: usize,
    /// The beginning of a piece, from the chunks before.
    carry: BytesMut,
    max_event_bytes: usize,
    at_eof: AtEof,
    is_finished: bool,
    error: Option<FramingError>,
    hits: Hits,
    /// Up to here in the chunk no event ends that could be passed at once.
    no_end_before: usize,
}

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An event.
    Event(Event),
    /// Bytes between events: comments, empty lines, the brackets of an array.
    Other(Bytes),
}

#[derive(Clone, Debug)]
enum Scanner {
    Sse(SseScanner),
    Lines(LineScanner),
    Array(ArrayScanner),
    #[cfg(feature = "aws")]
    Aws(AwsScanner),
}

/// Where a piece ends, counted from the first byte that was given to the scanner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    len: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Event,
    /// An element of an array, after so many bytes that part it from what is before.
    Element {
        lead: usize,
    },
    /// Bytes that are no event.
    Filler,
    /// The LF that completes the line end of the piece before.
    Tail,
    /// The end of an array.
    Close,
}

/// A piece without a count of references of its own, where that can be.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) raw: Raw,
    /// The end of the stream came before the end of the event.
    pub(crate) is_cut: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// A part of the chunk.
    Chunk(Range<usize>),
    Own(Bytes),
}

// === impl EventParser ===

impl EventParser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            scanner: match framing {
                Framing::Sse => Scanner::Sse(SseScanner::new()),
                Framing::JsonLines => Scanner::Lines(LineScanner::new()),
                Framing::JsonArray => Scanner::Array(ArrayScanner::new()),
                #[cfg(feature = "aws")]
                Framing::AwsEventStream => Scanner::Aws(AwsScanner::new()),
            },
            chunk: Bytes::new(),
            at: 0,
            carry: BytesMut::new(),
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            at_eof: AtEof::Flush,
            is_finished: false,
            error: None,
            hits: Hits::default(),
            no_end_before: 0,
        }
    }

    /// Replaces the limit: no event is longer, and no more is kept. [`DEFAULT_MAX_EVENT_BYTES`] by default.
    #[must_use]
    pub const fn max_event_bytes(mut self, max_event_bytes: usize) -> Self {
        self.max_event_bytes = max_event_bytes;
        self
    }

    /// Replaces what becomes of an event that the end of the stream cuts off. [`AtEof::Flush`] by default.
    #[must_use]
    pub const fn at_eof(mut self, at_eof: AtEof) -> Self {
        self.at_eof = at_eof;
        self
    }

    /// Takes the next chunk.
    ///
    /// Call [`next_piece`](Self::next_piece) until it has no more before: what it has not given yet is copied otherwise. After an error,
    /// nothing is taken.
    pub fn push(&mut self, chunk: Bytes) {
        if self.error.is_some() {
            return;
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(rest.len() + chunk.len());
            joined.extend_from_slice(rest);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
        self.at = 0;
        self.hits.clear();
        self.no_end_before = 0;
    }

    /// Says that no chunk follows: what is left is given as [`at_eof`](Self::at_eof) says.
    pub const fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Gives the next piece that is complete; `None` until there is another chunk.
    ///
    /// # Errors
    /// Where an event is longer than the limit, or an array is none. The error stays.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, FramingError> {
        let step = self.advance();
        let Some(span) = step.inspect_err(|_| self.release())? else {
            self.release();
            return Ok(None);
        };
        let raw = self.bytes(span.raw);
        Ok(Some(match span.kind {
            Kind::Event => Piece::Event(Event::new(self.framing, raw, 0)),
            Kind::Element { lead } => Piece::Event(Event::new(self.framing, raw, lead)),
            Kind::Filler | Kind::Tail | Kind::Close => Piece::Other(raw),
        }))
    }

    /// Passes whatever comes before the first event that holds a key, at once and without looking at each event; `None`
    /// where nothing does. It is a part of the chunk.
    ///
    /// What is passed so may be comments and events without data too.
    pub(crate) fn pass(&mut self, keys: &Keys) -> Option<Range<usize>> {
        let last_end = match &self.scanner {
            Scanner::Sse(scanner) if scanner.is_idle() => sse::last_end,
            Scanner::Lines(scanner) if scanner.is_idle() => lines::last_end,
            _ => return None,
        };
        let rest = self.chunk.get(self.at..)?;
        if rest.is_empty() || rest.len() > self.max_event_bytes || self.at < self.no_end_before {
            return None;
        }
        let first = self.hits.first(keys, &self.chunk, self.at);
        let first = first.min(self.chunk.len());
        let start = self.at;
        match last_end(self.chunk.get(start..first)?) {
            0 => {
                self.no_end_before = first;
                None
            }
            len => {
                self.at += len;
                Some(start..self.at)
            }
        }
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// The chunk that [`Raw::Chunk`] is a part of.
    pub(crate) const fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Lets all go that was not given yet.
    pub(crate) fn stop(&mut self) {
        self.carry = BytesMut::new();
        self.at = self.chunk.len();
        self.release();
    }

    /// Lets the chunk go, of which nothing is left.
    pub(crate) fn release(&mut self) {
        if self.at >= self.chunk.len() {
            self.chunk = Bytes::new();
            self.at = 0;
        }
    }

    pub(crate) fn bytes(&self, raw: Raw) -> Bytes {
        match raw {
            Raw::Chunk(range) => self.chunk.slice(range),
            Raw::Own(bytes) => bytes,
        }
    }

    /// The same without a count of references.
    pub(crate) fn look<'a>(&'a self, raw: &'a Raw) -> &'a [u8] {
        match raw {
            Raw::Chunk(range) => self.chunk.get(range.clone()).unwrap_or_default(),
            Raw::Own(bytes) => bytes,
        }
    }

    pub(crate) fn advance(&mut self) -> Result<Option<Span>, FramingError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let span = self.scan();
        if let Err(error) = &span {
            self.error = Some(error.clone());
            self.carry = BytesMut::new();
            self.at = self.chunk.len();
        }
        span
    }

    fn scan(&mut self) -> Result<Option<Span>, FramingError> {
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        if !rest.is_empty() {
            let scanned = match &mut self.scanner {
                Scanner::Sse(scanner) => Ok(scanner.scan(rest)),
                Scanner::Lines(scanner) => Ok(scanner.scan(rest)),
                Scanner::Array(scanner) => scanner.scan(rest),
                #[cfg(feature = "aws")]
                Scanner::Aws(scanner) => scanner.scan(rest),
            };
            let end = scanned.map_err(|fault| {
                // Had it been cut there, the limit would have been seen first.
                if fault.at > self.max_event_bytes.saturating_sub(self.carry.len()) {
                    FramingError::too_large(self.max_event_bytes)
                } else {
                    FramingError::malformed(self.framing, fault.expected)
                }
            })?;
            let len = end.map_or(rest.len(), |end| end.len);
            // The LF of the last CRLF may come as a tail, and must then not count more than here.
            let is_crlf = rest
                .get(..len)
                .is_some_and(|piece| piece.ends_with(b"\r\n"));
            let may_be_tail = is_crlf && end.is_some() && self.framing == Framing::Sse;
            let counted = len - usize::from(may_be_tail);
            if counted > self.max_event_bytes.saturating_sub(self.carry.len()) {
                return Err(FramingError::too_large(self.max_event_bytes));
            }
            let range = self.at..self.at + len;
            self.at = range.end;
            if let Some(end) = end
                && self.carry.is_empty()
            {
                return Ok(Some(self.span(end.kind, Raw::Chunk(range), false)));
            }
            let scanned = rest.get(..len).unwrap_or_default();
            self.carry.extend_from_slice(scanned);
            if let Some(end) = end {
                let raw = self.carry.split().freeze();
                return Ok(Some(self.span(end.kind, Raw::Own(raw), false)));
            }
        }
        if self.is_finished && self.at_eof == AtEof::Flush {
            let missing = match &self.scanner {
                Scanner::Array(scanner) if scanner.is_open() => Some("`]`"),
                #[cfg(feature = "aws")]
                Scanner::Aws(_) if !self.carry.is_empty() => Some("the rest of a message"),
                _ => None,
            };
            if let Some(expected) = missing {
                return Err(FramingError::malformed(self.framing, expected));
            }
        }
        if !self.is_finished || self.carry.is_empty() {
            return Ok(None);
        }
        let (is_event, kind) = match &self.scanner {
            Scanner::Sse(scanner) => (scanner.is_in_event(), Kind::Event),
            Scanner::Lines(scanner) => (scanner.is_in_event(), Kind::Event),
            Scanner::Array(_) => (true, Kind::Filler),
            #[cfg(feature = "aws")]
            Scanner::Aws(_) => (true, Kind::Filler),
        };
        let raw = std::mem::take(&mut self.carry).freeze();
        Ok(match (is_event, self.at_eof) {
            (true, AtEof::Discard) => None,
            (true, AtEof::Flush) => Some(self.span(kind, Raw::Own(raw), true)),
            (false, _) => Some(self.span(Kind::Filler, Raw::Own(raw), true)),
        })
    }

    fn span(&self, mut kind: Kind, raw: Raw, is_cut: bool) -> Span {
        if self.framing == Framing::Sse && kind == Kind::Event && !has_data(self.look(&raw)) {
            kind = Kind::Filler;
        }
        Span { kind, raw, is_cut }
    }
}

impl fmt::Debug for EventParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what was read: there may be secrets in it.
        f.debug_struct("EventParser")
            .field("framing", &self.framing)
            .field("at_eof", &self.at_eof)
            .field("waiting", &self.carry.len())
            .field("is_finished", &self.is_finished)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

// === impl End ===

impl End {
    pub(crate) const fn new(len: usize, kind: Kind) -> Self {
        Self { len, kind }
    }
}

#[cfg(test)]
mod tests;
