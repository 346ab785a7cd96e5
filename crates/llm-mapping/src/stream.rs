use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_param_mapping::{EventParser, Piece};

use crate::messages_api::events::MessageEvents;
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::{ChatError, Chunks};

pin_project! {
    /// A provider's stream on its way to the caller, event by event.
    pub(crate) struct ChatStream<B> {
        // `None` once nothing more is wanted of it.
        #[pin]
        inner: Option<B>,
        parser: EventParser,
        mapper: Box<dyn EventMapper>,
        chunks: Chunks,
        progress: Progress,
        // Whether events came of which nothing is told.
        is_quiet: bool,
        // What ended it, until it is told.
        error: Option<ChatError>,
        // The key, which no error may repeat.
        secret: Option<String>,
        // What makes another API's events of the chunks, if the caller speaks another one.
        events: Option<Box<MessageEvents>>,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    More,
    /// The provider's stream is read to its end.
    Read,
    Ended,
}

/// So many chunks are taken in one poll while nothing comes of them. Then the task lets others run.
const MAX_CHUNKS: u32 = 64;
/// Where there is this much to send, it is sent before more is mapped.
const ENOUGH: usize = 64 * 1024;
/// What the caller gets while the provider is there and has nothing to tell, so that no idle timeout ends the stream: a comment.
const ALIVE: &[u8] = b":\n\n";

// === impl ChatStream ===

impl<B> ChatStream<B> {
    pub(crate) fn new(
        inner: B,
        parser: EventParser,
        mapper: Box<dyn EventMapper>,
        chunks: Chunks,
        secret: Option<String>,
        events: Option<Box<MessageEvents>>,
    ) -> Self {
        Self {
            inner: Some(inner),
            parser,
            mapper,
            chunks,
            progress: Progress::More,
            is_quiet: false,
            error: None,
            secret,
            events,
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.progress == Progress::Ended && self.chunks.is_empty() && self.error.is_none()
    }
}

impl<B: Body<Data = Bytes>> ChatStream<B> {
    /// Waits for the first chunk; an error that comes before it is returned, not told in the stream.
    pub(crate) fn poll_first(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ChatError>> {
        ready!(self.as_mut().poll_fill(cx, true));
        let this = self.project();
        Poll::Ready(match this.error.take() {
            Some(error) if this.chunks.is_empty() => Err(error),
            error => {
                *this.error = error;
                Ok(())
            }
        })
    }

    pub(crate) fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        for _ in 0..MAX_CHUNKS {
            ready!(self.as_mut().poll_fill(cx, false));
            let mut this = self.as_mut().project();
            *this.is_quiet = false;
            let error = this.error.take();
            let Some(events) = this.events else {
                if let Some(error) = error {
                    this.chunks.event(&error.to_json());
                }
                let bytes = this.chunks.take();
                let is_over = bytes.is_none() && *this.progress == Progress::Ended;
                return Poll::Ready(bytes.or((!is_over).then_some(Bytes::from_static(ALIVE))));
            };
            let chunks = this.chunks.take();
            let converted = chunks.map_or(Ok(()), |chunks| events.convert(chunks));
            if converted.is_err() {
                this.inner.set(None);
                *this.progress = Progress::Ended;
            }
            if let Some(error) = converted.err().or(error) {
                events.error(&error);
            }
            // Some chunks are no event.
            if *this.progress != Progress::Ended {
                events.ping_if_empty();
            }
            let bytes = events.take();
            if bytes.is_some() || *this.progress == Progress::Ended {
                return Poll::Ready(bytes);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Maps events until there is something to send, or the end; or until there were some, where it need not be something.
    fn poll_fill(self: Pin<&mut Self>, cx: &mut Context<'_>, something: bool) -> Poll<()> {
        let mut this = self.project();
        for _ in 0..MAX_CHUNKS {
            if *this.progress != Progress::Ended {
                let mut outcome =
                    map_events(this.parser, &mut **this.mapper, this.chunks, this.is_quiet);
                // All that was read is mapped and sent.
                if *this.progress == Progress::Read
                    && outcome == Ok(Flow::More)
                    && this.chunks.is_empty()
                {
                    outcome = this.mapper.end(this.chunks).map(|()| Flow::Done);
                }
                if outcome != Ok(Flow::More) {
                    this.inner.set(None);
                    *this.progress = Progress::Ended;
                    *this.error = outcome.err().map(|error| told(error, this.secret));
                }
            }
            let is_quiet = *this.is_quiet && !something;
            if *this.progress == Progress::Ended || !this.chunks.is_empty() || is_quiet {
                return Poll::Ready(());
            }
            let frame = match this.inner.as_mut().as_pin_mut() {
                Some(inner) => ready!(inner.poll_frame(cx)),
                None => None,
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        this.parser.push(chunk);
                    }
                }
                // It broke off: whatever is left of an event is none.
                Some(Err(_)) => {
                    this.inner.set(None);
                    *this.progress = Progress::Ended;
                    *this.error = Some(told(ChatError::incomplete_stream(), this.secret));
                }
                None => {
                    this.inner.set(None);
                    this.parser.finish();
                    *this.progress = Progress::Read;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B> fmt::Debug for ChatStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatStream")
            .field("parser", &self.parser)
            .field("chunks", &self.chunks)
            .field("progress", &self.progress)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Tells the log what ends a stream, and takes the key out of it.
fn told(mut error: ChatError, secret: &Option<String>) -> ChatError {
    if let Some(secret) = secret {
        error.clear_secret(secret);
    }
    let status = error.status().as_u16();
    tracing::debug!(
        code = error.error_code(),
        status,
        "the stream ends with an error"
    );
    error
}

/// Maps the events that are complete, until there is enough to send.
fn map_events(
    parser: &mut EventParser,
    mapper: &mut dyn EventMapper,
    chunks: &mut Chunks,
    is_quiet: &mut bool,
) -> Result<Flow, ChatError> {
    while chunks.len() < ENOUGH {
        let piece = parser.next_piece().map_err(|error| {
            ChatError::bad_reply(format!("the upstream's stream cannot be read: {error}"))
        })?;
        match piece {
            None => break,
            Some(Piece::Other(_)) => {}
            Some(Piece::Event(event)) => {
                *is_quiet = true;
                let data = event.data();
                let flow = mapper.event(&StreamEvent::new(&event, &data), chunks)?;
                if let Some(excess) = chunks.excess() {
                    let message = format!("the upstream's stream has {excess}");
                    return Err(ChatError::bad_reply(message));
                }
                if flow == Flow::Done {
                    return Ok(Flow::Done);
                }
            }
        }
    }
    Ok(Flow::More)
}
