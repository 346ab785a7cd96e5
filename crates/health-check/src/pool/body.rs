use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::ResponseBody;
use crate::pool::load::InFlight;

pin_project! {
    /// The response body of a [`Pool`](crate::Pool): the call counts as in flight until it has ended, or is dropped.
    #[derive(Debug)]
    pub struct PoolBody<B> {
        #[pin]
        inner: ResponseBody<B>,
        in_flight: Option<InFlight>,
    }
}

// === impl PoolBody ===

impl<B> PoolBody<B> {
    #[inline]
    pub(crate) const fn new(inner: ResponseBody<B>, in_flight: Option<InFlight>) -> Self {
        Self { inner, in_flight }
    }
}

impl<B: Body<Data = Bytes>> Body for PoolBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *this.in_flight = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
