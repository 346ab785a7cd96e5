use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::editor::{Edit, Editor};
use super::event::Event;
use super::framing::Framing;
use super::output::Output;
use super::parser::{EventParser, Kind, Span};
use super::unpack::Unpack;
#[cfg(feature = "codings")]
use crate::coding::Decoder;

pin_project! {
    /// A body whose events are edited on their way.
    ///
    /// The events of one chunk that are not changed leave together, as a part of that chunk. An event leaves as soon as it
    /// is complete: the inner body is polled again only where there is nothing to give. Trailers pass.
    ///
    /// Where an event cannot be mapped, or the stream cannot be divided into events, an error event is written, the inner body is dropped
    /// and the stream ends in order, without trailers. An error of the inner body passes as it is.
    ///
    /// # Cancel safety
    /// It starts nothing and keeps no timer: dropping it drops the inner body, and no more.
    ///
    /// ```
    /// # use http_body_util::{BodyExt, Full};
    /// # use portcullis_param_mapping::{Edit, Event, EventBody, EventParser, Framing};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let hello = |event: &Event| match &event.data()[..] {
    ///     b"hello" => Edit::Replace(event.with_data(b"good morning")),
    ///     _ => Edit::Keep,
    /// };
    /// let inner = Full::from("id: 1\ndata: hello\n\n: a comment\n\n");
    /// let body = EventBody::new(inner, EventParser::new(Framing::Sse), hello);
    ///
    /// let bytes = body.collect().await.unwrap().to_bytes();
    /// assert_eq!(bytes, "id: 1\ndata: good morning\n\n: a comment\n\n");
    /// # }
    /// ```
    #[must_use = "bodies do nothing unless polled"]
    #[derive(Debug)]
    pub struct EventBody<B, E> {
        // `None` once it has ended or is not needed any more.
        #[pin]
        inner: Option<B>,
        editor: E,
        unpack: Unpack,
        parser: EventParser,
        output: Output,
        trailers: Option<HeaderMap>,
        // Nothing comes any more but what waits in the output, and the trailers.
        is_done: bool,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    More,
    Ended,
    Failed,
}

/// So many chunks are taken in one poll while nothing comes of them. Then the task lets others run.
const MAX_CHUNKS: u32 = 64;

// === impl EventBody ===

impl<B, E: Editor> EventBody<B, E> {
    /// Edits the events of this body.
    ///
    /// The parser must be at the beginning of a stream.
    pub fn new(inner: B, parser: EventParser, editor: E) -> Self {
        Self {
            inner: Some(inner),
            editor,
            output: Output::new(parser.framing()),
            unpack: Unpack::default(),
            parser,
            trailers: None,
            is_done: false,
        }
    }

    /// Decodes the inner body first, which has codings. None by default.
    ///
    /// What is edited leaves without a coding, so `content-encoding` must be taken off the head. Data that cannot be decoded, and a limit
    /// of the decoder, end the stream like an event that cannot be mapped.
    #[cfg(feature = "codings")]
    pub fn decoder(mut self, decoder: Decoder) -> Self {
        self.unpack = Unpack::new(decoder);
        self
    }
}

impl<B, E> Body for EventBody<B, E>
where
    B: Body<Data = Bytes>,
    E: Editor,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        for _ in 0..MAX_CHUNKS {
            if !*this.is_done && !this.output.is_enough() {
                let progress = edit(this.parser, this.editor, this.output);
                *this.is_done = progress != Progress::More;
                if progress == Progress::Failed {
                    *this.trailers = None;
                }
            }
            if *this.is_done {
                this.inner.set(None);
            }
            if let Some(bytes) = this.output.take() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            // Not once the stream has ended: its error stays.
            if !*this.is_done {
                match this.unpack.unpack(this.parser) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        fail(&*error, this.parser, this.editor, this.output);
                        *this.trailers = None;
                        *this.is_done = true;
                        continue;
                    }
                }
            }
            let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
                let trailers = this.trailers.take().map(Frame::trailers);
                return Poll::Ready(trailers.map(Ok));
            };
            match ready!(inner.as_mut().poll_frame(cx)) {
                None => this.unpack.finish(this.parser),
                Some(Err(error)) => {
                    this.inner.set(None);
                    this.output.clear();
                    *this.is_done = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        this.unpack.push(chunk, this.parser);
                        if inner.is_end_stream() {
                            this.unpack.finish(this.parser);
                        }
                    }
                    Err(frame) => {
                        *this.trailers = frame.into_trailers().ok();
                        this.unpack.finish(this.parser);
                    }
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.is_done && self.output.len() == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.output.len().try_into().unwrap_or(u64::MAX);
        if self.is_done {
            return SizeHint::with_exact(waiting);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(waiting);
        hint
    }
}

/// Edits what the parser has, until there is enough to send.
fn edit(parser: &mut EventParser, editor: &mut impl Editor, output: &mut Output) -> Progress {
    while !output.is_enough() {
        if let Some(keys) = editor.keys()
            && let Some(range) = parser.pass(keys)
        {
            output.keep_range(range, parser);
            continue;
        }
        let failure = match parser.advance() {
            Ok(Some(span)) => edit_piece(span, parser, editor, output),
            Ok(None) => {
                let is_finished = parser.is_finished();
                if is_finished && parser.framing() != Framing::JsonArray {
                    output.put_events(&editor.end(), parser);
                }
                output.settle(parser, false);
                parser.release();
                return if is_finished {
                    Progress::Ended
                } else {
                    Progress::More
                };
            }
            Err(error) => {
                fail(&error, parser, editor, output);
                return Progress::Failed;
            }
        };
        if let Some(text) = failure {
            end_with(&text, parser, output);
            return Progress::Failed;
        }
    }
    output.settle(parser, false);
    Progress::More
}

/// Returns the text of the event that ends the stream, where the editor fails.
fn edit_piece(
    span: Span,
    parser: &EventParser,
    editor: &mut impl Editor,
    output: &mut Output,
) -> Option<Bytes> {
    let lead = match span.kind {
        Kind::Event => 0,
        Kind::Element { lead } => lead,
        Kind::Filler | Kind::Tail => {
            output.keep(span, parser);
            return None;
        }
        Kind::Close => {
            output.put_events(&editor.end(), parser);
            output.keep(span, parser);
            return None;
        }
    };
    let raw = parser.look(&span.raw);
    if editor.keys().is_some_and(|keys| !keys.occur_in(raw)) {
        output.keep(span, parser);
        return None;
    }
    let event = Event::new(parser.framing(), parser.bytes(span.raw.clone()), lead);
    match editor.edit(&event) {
        Edit::Keep => output.keep(span, parser),
        Edit::Drop => output.leave_out(),
        Edit::Replace(bytes) => output.put_events(&[bytes], parser),
        Edit::Many(events) => output.put_events(&events, parser),
        Edit::Fail(text) => return Some(text),
    }
    None
}

/// Ends a stream that cannot be read.
fn fail(
    error: &(dyn Error + 'static),
    parser: &mut EventParser,
    editor: &mut impl Editor,
    output: &mut Output,
) {
    tracing::debug!(reason = %error, "the stream cannot be read");
    let text = editor.stream_error(error);
    end_with(&text, parser, output);
}

fn end_with(text: &Bytes, parser: &mut EventParser, output: &mut Output) {
    output.put_failure(text, parser);
    output.settle(parser, false);
    parser.stop();
}

#[cfg(test)]
mod tests;
