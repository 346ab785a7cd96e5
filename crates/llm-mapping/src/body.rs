use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

use crate::stream::ChatStream;

pin_project! {
    /// The body of a request on its way to the provider: the caller's own where it is no chat, or what was made of it.
    pub struct RequestBody<B> {
        // The caller's own; `None` where it was read.
        #[pin]
        inner: Option<B>,
        mapped: std::vec::IntoIter<Bytes>,
    }
}

pin_project! {
    /// The body of a response: the provider's own, what was made of it, or a stream that is being mapped.
    pub struct ResponseBody<B> {
        // `None` where it is a stream.
        #[pin]
        inner: Option<AnswerBody<B>>,
        // Boxed, so that the bodies of all other responses are not larger for it.
        stream: Option<Pin<Box<ChatStream<B>>>>,
    }
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) fn untouched(body: B) -> Self {
        Self {
            inner: Some(body),
            mapped: Vec::new().into_iter(),
        }
    }

    /// Whether the caller's own was read.
    pub(crate) const fn is_read(&self) -> bool {
        self.inner.is_none()
    }

    pub(crate) fn mapped(chunks: Vec<Bytes>) -> Self {
        Self {
            inner: None,
            mapped: chunks.into_iter(),
        }
    }

    /// The same once more, where it is what was made here. Nothing is copied.
    pub(crate) fn again(&self) -> Option<Self> {
        let mapped = self.mapped.clone();
        self.inner.is_none().then_some(Self {
            inner: None,
            mapped,
        })
    }
}

impl<B: Body> RequestBody<B> {
    /// The whole of what is sent, where that is known before it is sent.
    #[cfg(feature = "sigv4")]
    pub(crate) fn known(&self) -> Option<&[Bytes]> {
        match &self.inner {
            Some(inner) => inner.is_end_stream().then_some(&[]),
            None => Some(self.mapped.as_slice()),
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
            None => Poll::Ready(this.mapped.next().map(|chunk| Ok(Frame::data(chunk)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.mapped.as_slice().is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => {
                let left: usize = self.mapped.as_slice().iter().map(Bytes::len).sum();
                SizeHint::with_exact(left.try_into().unwrap_or(u64::MAX))
            }
        }
    }
}

// Not what it holds: it is what people say to each other.
impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_mapped", &self.is_read())
            .finish_non_exhaustive()
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn new(body: AnswerBody<B>) -> Self {
        Self {
            inner: Some(body),
            stream: None,
        }
    }

    pub(crate) const fn inner(body: B) -> Self {
        Self::new(AnswerBody::inner(body))
    }

    pub(crate) const fn answer(body: Bytes) -> Self {
        Self::new(AnswerBody::answer(body))
    }

    pub(crate) const fn stream(stream: Pin<Box<ChatStream<B>>>) -> Self {
        Self {
            inner: None,
            stream: Some(stream),
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
            (None, Some(stream)) => {
                let chunk = stream.as_mut().poll_chunk(cx);
                chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.inner, &self.stream) {
            (Some(inner), _) => inner.is_end_stream(),
            (None, Some(stream)) => stream.is_end(),
            (None, None) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::new(),
        }
    }
}

// Not what it holds, as above.
impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("is_stream", &self.stream.is_some())
            .finish_non_exhaustive()
    }
}

// For a body that ends at once: what `Response::default()` needs.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::new(AnswerBody::default())
    }
}
