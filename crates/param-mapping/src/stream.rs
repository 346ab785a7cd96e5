//! Streams of events: cut into events, looked at, changed, and passed on.

mod array;
#[cfg(feature = "aws")]
mod aws;
mod body;
mod editor;
mod event;
mod framing;
mod keys;
mod lines;
mod output;
mod parser;
mod sse;
mod unpack;

pub use body::EventBody;
pub use editor::{Edit, Editor};
pub use event::{Event, Fields, SseEvent};
pub use framing::{AtEof, DEFAULT_MAX_EVENT_BYTES, Framing, FramingError};
pub use keys::Keys;
pub use parser::{EventParser, Piece};
