use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

use crate::judge::Watch;

pin_project! {
    /// The response body of a gate: the inner service's, or a refusal.
    ///
    /// Where traffic is looked at, one that breaks off counts against the endpoint; one that the caller drops does not.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: AnswerBody<B>,
        // Until its end, where that is looked at.
        watch: Option<Watch>,
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    #[inline]
    pub(crate) const fn inner(body: B, watch: Option<Watch>) -> Self {
        Self {
            inner: AnswerBody::inner(body),
            watch,
        }
    }

    pub(crate) const fn answer(inner: AnswerBody<B>) -> Self {
        Self { inner, watch: None }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if this.watch.is_some() {
            look(this.watch, frame.as_ref());
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

fn look<E>(watch: &mut Option<Watch>, frame: Option<&Result<Frame<Bytes>, E>>) {
    match frame {
        Some(Ok(frame)) => match frame.trailers_ref() {
            Some(trailers) => {
                if let Some(watch) = watch.take() {
                    watch.trailers(trailers);
                }
            }
            None => {
                if let Some(watch) = watch {
                    watch.data();
                }
            }
        },
        Some(Err(_)) => {
            if let Some(watch) = watch.take() {
                watch.broken();
            }
        }
        None => {
            if let Some(watch) = watch.take() {
                watch.end();
            }
        }
    }
}
