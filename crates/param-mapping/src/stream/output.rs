//! What a stream becomes: frames that are parts of the chunks where nothing changed.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

#[cfg(feature = "aws")]
use super::aws;
use super::event::SseEvent;
use super::framing::Framing;
use super::parser::{EventParser, Kind, Raw, Span};

pub(crate) struct Output {
    framing: Framing,
    frames: VecDeque<Bytes>,
    /// Small pieces, one after another, that follow the frames.
    small: BytesMut,
    /// What is kept of the parser's chunk and follows the small pieces.
    run: Range<usize>,
    /// Whether the piece before was kept: its line end then is.
    is_kept: bool,
    /// The end of the stream cut the last piece off.
    is_cut: bool,
    /// In an array: the bracket was written, an element was, the other bracket was.
    is_open: bool,
    has_element: bool,
    is_closed: bool,
}

/// A kept part that is shorter is copied where there is something to copy it to.
const SMALL: usize = 1024;
/// Where there is this much to send, it is sent before more is edited: so many small bytes, so many frames.
const ENOUGH: usize = 64 * 1024;
const MANY: usize = 16;

// === impl Output ===

impl Output {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            frames: VecDeque::new(),
            small: BytesMut::new(),
            run: 0..0,
            is_kept: true,
            is_cut: false,
            is_open: false,
            has_element: false,
            is_closed: false,
        }
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(frame);
        }
        (!self.small.is_empty()).then(|| self.small.split().freeze())
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.frames.len() >= MANY || self.small.len() >= ENOUGH
    }

    /// How many bytes wait to be taken.
    pub(crate) fn len(&self) -> usize {
        let frames = self.frames.iter().map(Bytes::len);
        frames.sum::<usize>() + self.small.len()
    }

    /// Lets all go that waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.framing);
    }

    /// Keeps a part of the chunk, whole events of it.
    pub(crate) fn keep_range(&mut self, range: Range<usize>, parser: &EventParser) {
        if self.run.end != range.start {
            self.settle(parser, true);
        }
        if self.run.is_empty() {
            self.run = range;
        } else {
            self.run.end = range.end;
        }
        self.is_kept = true;
    }

    /// Keeps a piece as it is.
    pub(crate) fn keep(&mut self, span: Span, parser: &EventParser) {
        self.is_cut |= span.is_cut;
        match span.kind {
            Kind::Tail if !self.is_kept => return,
            Kind::Element { lead } => {
                if !self.has_element {
                    let raw = parser.look(&span.raw);
                    // The comma belongs to an element that was left out.
                    if let Some(comma) = memchr(b',', raw.get(..lead).unwrap_or_default()) {
                        let raw = raw.get(comma + 1..).unwrap_or_default();
                        self.put(raw, parser);
                        self.has_element = true;
                        return;
                    }
                }
                self.has_element = true;
            }
            Kind::Filler => self.is_open = true,
            Kind::Close => self.is_closed = true,
            Kind::Event | Kind::Tail => {}
        }
        match span.raw {
            Raw::Chunk(range) => self.keep_range(range, parser),
            Raw::Own(bytes) => {
                self.settle(parser, false);
                self.push(bytes);
                self.is_kept = true;
            }
        }
    }

    /// Leaves a piece out.
    pub(crate) const fn leave_out(&mut self) {
        self.is_kept = false;
    }

    /// Writes events in the place of a piece that is left out, or at the end.
    pub(crate) fn put_events(&mut self, events: &[Bytes], parser: &EventParser) {
        self.is_kept = false;
        for event in events {
            if std::mem::take(&mut self.is_cut) {
                let ends: &[u8] = match self.framing {
                    Framing::Sse => b"\n\n",
                    Framing::JsonLines => b"\n",
                    Framing::JsonArray => b"",
                    #[cfg(feature = "aws")]
                    Framing::AwsEventStream => b"",
                };
                self.put(ends, parser);
            }
            if self.framing == Framing::JsonArray && self.has_element {
                self.put(b",", parser);
            }
            self.has_element = true;
            self.put(event, parser);
        }
    }

    /// Writes the event that ends a stream which failed, and what the framing needs after it.
    pub(crate) fn put_failure(&mut self, text: &Bytes, parser: &EventParser) {
        if self.is_closed {
            return;
        }
        match self.framing {
            Framing::Sse => {
                let event = SseEvent::new(text).name("error").encode();
                self.put_events(&[event], parser);
            }
            Framing::JsonLines => {
                self.put_events(std::slice::from_ref(text), parser);
                self.put(b"\n", parser);
            }
            #[cfg(feature = "aws")]
            Framing::AwsEventStream => self.put_events(&[aws::exception(text)], parser),
            Framing::JsonArray => {
                if !self.is_open {
                    self.put(b"[", parser);
                }
                self.put_events(std::slice::from_ref(text), parser);
                self.put(b"]", parser);
                self.is_closed = true;
            }
        }
    }

    /// Takes what is kept out of the chunk, before the chunk goes or something else is written.
    pub(crate) fn settle(&mut self, parser: &EventParser, is_followed: bool) {
        let run = std::mem::replace(&mut self.run, 0..0);
        let Some(kept) = parser.chunk().get(run.clone()) else {
            return;
        };
        if kept.is_empty() {
            return;
        }
        if kept.len() < SMALL && (is_followed || !self.small.is_empty()) {
            self.small.extend_from_slice(kept);
        } else {
            let kept = parser.chunk().slice(run);
            self.push(kept);
        }
    }

    fn put(&mut self, bytes: &[u8], parser: &EventParser) {
        self.settle(parser, true);
        self.small.extend_from_slice(bytes);
    }

    fn push(&mut self, frame: Bytes) {
        if !self.small.is_empty() {
            self.frames.push_back(self.small.split().freeze());
        }
        self.frames.push_back(frame);
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is written: there may be secrets in it.
        f.debug_struct("Output")
            .field("framing", &self.framing)
            .field("frames", &self.frames.len())
            .field("small", &self.small.len())
            .finish_non_exhaustive()
    }
}
