use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response that is either the inner service's or an [`Answer`](crate::Answer) of ours.
    #[derive(Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        inner: Option<B>,
        // What is left to send of our answer; empty where the body is the inner service's.
        answer: Bytes,
    }
}

// === impl AnswerBody ===

impl<B> AnswerBody<B> {
    /// Wraps the body of the inner service, which passes as it is.
    pub const fn inner(body: B) -> Self {
        Self {
            inner: Some(body),
            answer: Bytes::new(),
        }
    }

    /// A body of ours.
    pub const fn answer(bytes: Bytes) -> Self {
        Self {
            inner: None,
            answer: bytes,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx),
            None if this.answer.is_empty() => Poll::Ready(None),
            None => Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.answer))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .map_or(self.answer.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let answer = || SizeHint::with_exact(self.answer.len().try_into().unwrap_or(u64::MAX));
        self.inner.as_ref().map_or_else(answer, Body::size_hint)
    }
}

// Only for a body that ends at once: what `Response::default()` needs.
impl<B> Default for AnswerBody<B> {
    fn default() -> Self {
        Self::answer(Bytes::new())
    }
}
