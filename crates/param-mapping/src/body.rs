use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

use crate::mapped::ChunkQueue;
use crate::{EventBody, Mapped, StreamEditor};

pin_project! {
    /// The body of a request on its way to the inner service: the caller's own, streaming, or what the mapping made of it.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        // The caller's own; `None` where it was read.
        #[pin]
        inner: Option<B>,
        read: Read,
    }
}

pin_project! {
    /// The body of a response: the inner service's, what the mapping made of it, or the answer to a message that was refused.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        // `None` where it was read, or is a stream.
        #[pin]
        inner: Option<AnswerBody<B>>,
        read: Read,
        // Boxed, so that the bodies of all other responses are not larger for it.
        stream: Option<Pin<Box<EventBody<B, StreamEditor>>>>,
    }
}

/// What is left to send of a body that was read.
#[derive(Debug, Default)]
struct Read {
    chunks: ChunkQueue,
    trailers: Option<HeaderMap>,
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) const fn untouched(body: B) -> Self {
        Self {
            inner: Some(body),
            read: Read::nothing(),
        }
    }

    pub(crate) fn mapped(mapped: Mapped, trailers: Option<HeaderMap>) -> Self {
        Self {
            inner: None,
            read: Read::new(mapped, trailers),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx),
            None => Poll::Ready(this.read.next().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.read.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => self.read.size_hint(),
        }
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn new(inner: AnswerBody<B>) -> Self {
        Self {
            inner: Some(inner),
            read: Read::nothing(),
            stream: None,
        }
    }

    pub(crate) const fn inner(body: B) -> Self {
        Self::new(AnswerBody::inner(body))
    }

    pub(crate) fn mapped(mapped: Mapped, trailers: Option<HeaderMap>) -> Self {
        Self {
            inner: None,
            read: Read::new(mapped, trailers),
            stream: None,
        }
    }

    pub(crate) fn stream(stream: EventBody<B, StreamEditor>) -> Self {
        Self {
            inner: None,
            read: Read::nothing(),
            stream: Some(Box::pin(stream)),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.stream) {
            (Some(inner), _) => inner.poll_frame(cx),
            (None, Some(stream)) => stream.as_mut().poll_frame(cx),
            (None, None) => Poll::Ready(this.read.next().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.inner, &self.stream) {
            (Some(inner), _) => inner.is_end_stream(),
            (None, Some(stream)) => stream.is_end_stream(),
            (None, None) => self.read.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.stream) {
            (Some(inner), _) => inner.size_hint(),
            (None, Some(stream)) => stream.size_hint(),
            (None, None) => self.read.size_hint(),
        }
    }
}

// For a body that ends at once: what `Response::default()` needs.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::new(AnswerBody::default())
    }
}

// === impl Read ===

impl Read {
    const fn nothing() -> Self {
        Self {
            chunks: ChunkQueue::Empty,
            trailers: None,
        }
    }

    fn new(mapped: Mapped, trailers: Option<HeaderMap>) -> Self {
        Self {
            chunks: mapped.into_queue(),
            trailers,
        }
    }

    fn next(&mut self) -> Option<Frame<Bytes>> {
        match self.chunks.pop() {
            Some(chunk) => Some(Frame::data(chunk)),
            None => self.trailers.take().map(Frame::trailers),
        }
    }

    fn is_at_end(&self) -> bool {
        self.chunks.len() == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.chunks.len().try_into().unwrap_or(u64::MAX))
    }
}
