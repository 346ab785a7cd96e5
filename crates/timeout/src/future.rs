use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::response_body::ResponseBody;
use crate::wait::Wait;

pin_project! {
    /// The future of [`Timeout`](crate::Timeout). Dropping it drops the inner call.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // None: the inner service was not called, or its call has ended.
        #[pin]
        inner: Option<F>,
        // None: nothing limits this exchange.
        wait: Option<Wait>,
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    #[inline]
    pub(crate) const fn new(inner: F, wait: Option<Wait>) -> Self {
        let inner = Some(inner);
        Self { inner, wait }
    }

    #[inline]
    pub(crate) const fn refused(wait: Option<Wait>) -> Self {
        Self { inner: None, wait }
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The answer first: one that is there when the limit strikes still counts.
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Pending,
        };
        let Some(wait) = this.wait else {
            return polled.map_ok(|response| response.map(ResponseBody::unlimited));
        };
        let elapsed = match polled {
            Poll::Ready(result) => {
                let replaced = if wait.may_replace() {
                    let head = result
                        .as_ref()
                        .ok()
                        .map(|response| (response.status(), response.headers()));
                    wait.replaces(head)
                } else {
                    None
                };
                match replaced {
                    Some(elapsed) => elapsed,
                    None => return Poll::Ready(result.map(|response| wait.guard(response))),
                }
            }
            Poll::Pending => ready!(wait.poll(cx)),
        };
        let called = this.inner.is_some();
        // Ended before it is answered for, so that layers further out see what it left behind.
        this.inner.set(None);
        Poll::Ready(Ok(wait.answer(elapsed, called)))
    }
}
