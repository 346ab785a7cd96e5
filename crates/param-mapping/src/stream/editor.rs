use std::error::Error;

use bytes::Bytes;

use super::event::Event;
use super::keys::Keys;

/// Decides what becomes of each event of a stream.
///
/// A closure `FnMut(&Event) -> Edit` is one that reads every event.
pub trait Editor {
    /// Decides about the next event.
    ///
    /// It is called once for each event that a receiver would see, in order, and not for those without a key.
    fn edit(&mut self, event: &Event) -> Edit;

    /// What this editor looks for. An event that holds none of it passes without being read.
    ///
    /// `None`, the default, is to read every event. It may become `None` or stop being so at any time, as for one that must
    /// see the first event only; the keys themselves must stay the same.
    fn keys(&self) -> Option<&Keys> {
        None
    }

    /// Events to add at the end of the stream, framed like [`Edit::Replace`]. None by default.
    ///
    /// It is called once, at an orderly end: not after a failure, and not where an array is cut off.
    fn end(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// The text of the event that ends a stream which cannot be read: the error is a [`FramingError`](super::FramingError), or with the
    /// feature `codings` a `CodingError`.
    ///
    /// By default, a JSON object in the shape that clients of LLM APIs read, with the error's message.
    fn stream_error(&mut self, error: &(dyn Error + 'static)) -> Bytes {
        // Messages of ours have no character that JSON must escape.
        let text =
            format!(r#"{{"error":{{"message":"{error}","type":"bad_gateway","code":502}}}}"#);
        text.into()
    }
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It passes, byte for byte.
    Keep,
    /// It is left out.
    Drop,
    /// These bytes take its place: [`Event::with_data`], or [`SseEvent::encode`](super::SseEvent::encode) for an event
    /// stream, a line with its line end for lines of JSON, a JSON text for an array.
    Replace(Bytes),
    /// These events take its place, each framed like [`Replace`](Self::Replace). None is to drop it.
    Many(Vec<Bytes>),
    /// An event with this text takes its place, named `error` in an event stream, and the stream ends there.
    Fail(Bytes),
}

// === impl Editor ===

impl<F: FnMut(&Event) -> Edit> Editor for F {
    fn edit(&mut self, event: &Event) -> Edit {
        self(event)
    }
}
