use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use portcullis_gateway_error::GrpcCode;
use tokio::time::Instant;

use crate::Elapsed;
use crate::response_body::{ResponseBody, Watch};
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
        // Why the inner service was not called.
        refused: Option<Box<Elapsed>>,
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    #[inline]
    pub(crate) const fn new(inner: F, wait: Wait) -> Self {
        Self {
            inner: Some(inner),
            wait: Some(wait),
            refused: None,
        }
    }

    pub(crate) const fn unlimited(inner: F) -> Self {
        Self {
            inner: Some(inner),
            wait: None,
            refused: None,
        }
    }

    pub(crate) fn refused(wait: Wait, elapsed: Elapsed) -> Self {
        Self {
            inner: None,
            wait: Some(wait),
            refused: Some(Box::new(elapsed)),
        }
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The answer first: one that is there when the limit strikes still counts.
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Pending,
        };
        let Some(wait) = this.wait else {
            return polled.map_ok(unlimited);
        };
        let refused = this.refused.take();
        let called = refused.is_none();
        let elapsed = match (polled, refused) {
            (Poll::Ready(result), _) => match wait.request_struck() {
                // What came of it that the request body was cut is not for the caller.
                Some(elapsed) if is_failure(&result) => elapsed,
                _ => match wait.cancelled_late(&result) {
                    Some(elapsed) => elapsed,
                    None => return Poll::Ready(result.map(|response| wait.guard(response))),
                },
            },
            (Poll::Pending, Some(refused)) => *refused,
            (Poll::Pending, None) => ready!(wait.poll(cx)),
        };
        // Ended before it is answered for, so that layers further out see what it left behind.
        this.inner.set(None);
        Poll::Ready(Ok(wait.answer(elapsed, called)))
    }
}

fn unlimited<B>(response: Response<B>) -> Response<ResponseBody<B>> {
    response.map(|body| ResponseBody::new(body, Watch::new(Instant::now())))
}

/// Says whether it can be what came of a cut request: an error, a status that says that the request or the server is broken. One that says no for another reason
/// (401, 413) was decided before the cut.
fn is_failure<B, E>(result: &Result<Response<B>, E>) -> bool {
    result.as_ref().map_or(true, |response| {
        let status = response.status();
        let grpc = GrpcCode::from_headers(response.headers());
        status.is_server_error()
            || [StatusCode::BAD_REQUEST, StatusCode::REQUEST_TIMEOUT].contains(&status)
            || grpc.is_some_and(|code| {
                use GrpcCode::{
                    Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown,
                };
                let broken = [
                    Aborted,
                    Cancelled,
                    DataLoss,
                    DeadlineExceeded,
                    Internal,
                    Unavailable,
                    Unknown,
                ];
                broken.contains(&code)
            })
    })
}
