use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

pin_project! {
    /// The body of a request on its way to the inner service: the caller's own, streaming, or what the mapping made of it.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        // The caller's own; `None` where it was read.
        #[pin]
        inner: Option<B>,
        // What is left to send of what was read.
        mapped: Bytes,
        trailers: Option<HeaderMap>,
    }
}

pin_project! {
    /// The body of a response: the inner service's, or the answer to a request that was refused.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: AnswerBody<B>,
    }
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) const fn untouched(body: B) -> Self {
        Self {
            inner: Some(body),
            mapped: Bytes::new(),
            trailers: None,
        }
    }

    pub(crate) const fn mapped(mapped: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            inner: None,
            mapped,
            trailers,
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
        if let Some(inner) = this.inner.as_pin_mut() {
            return inner.poll_frame(cx);
        }
        if !this.mapped.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.mapped)))));
        }
        Poll::Ready(
            this.trailers
                .take()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        )
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.mapped.is_empty() && self.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(self.mapped.len().try_into().unwrap_or(u64::MAX)),
        }
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn new(inner: AnswerBody<B>) -> Self {
        Self { inner }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// For a body that ends at once: what `Response::default()` needs.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::new(AnswerBody::default())
    }
}
