use super::{Dialect, error_event, error_in};
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::{ChatError, Chunks};

/// Lets a stream of OpenAI's pass as it is, but for errors and an end that comes too early.
#[derive(Debug)]
pub(super) struct Pass;

// === impl Pass ===

impl EventMapper for Pass {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let data = event.data();
        let is_done = data == b"[DONE]";
        if event.is_named("error") {
            return Err(error_event(event, Dialect::OpenAi)?);
        }
        // Nothing but an error has this word as a name or a value, so all other events need not be read.
        if !is_done
            && memchr::memmem::find(data, b"\"error\"").is_some()
            && let Some(error) = error_in(event.json()?, Dialect::OpenAi)
        {
            return Err(error);
        }
        let raw = event.event().raw();
        let ends_with = |ends: &[&[u8]]| ends.iter().any(|end| raw.ends_with(end));
        if ends_with(&[b"\n\n", b"\n\r\n", b"\r\r"]) {
            chunks.raw(&raw);
        } else if is_done || ends_with(&[b"\n\r"]) || event.json().is_ok() {
            chunks.event(data);
        } else {
            // The end of the stream cut it.
            return Err(ChatError::incomplete_stream());
        }
        Ok(if is_done { Flow::Done } else { Flow::More })
    }
}
