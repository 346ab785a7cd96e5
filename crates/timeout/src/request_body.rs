use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::policy::after;
use crate::timer::Timer;
use crate::upload::{Upload, UploadEnd};
use crate::{Phase, TimeoutError, telemetry};

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A request body that fails when its caller gives nothing for too long.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        // None: nothing limits it, and nobody asks when it ends.
        watch: Option<Box<Watch>>,
        // There is nothing after a failure.
        failed: bool,
    }
}

/// The clock of the body. It runs only while a frame is asked for and not there.
#[derive(Debug)]
struct Watch {
    idle: Option<Duration>,
    /// When the running wait began; `None` while nobody waits.
    since: Option<Instant>,
    timer: Timer,
    upload: UploadEnd,
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    /// A body whose end is told to whoever watches it, and that may give nothing for so long.
    #[inline]
    pub(crate) fn new(inner: B, watched: Option<(Arc<Upload>, Option<Duration>)>) -> Self {
        let watch = watched.map(|(upload, idle)| {
            Box::new(Watch {
                idle,
                since: None,
                timer: Timer::new(),
                upload: UploadEnd::new(upload),
            })
        });
        Self {
            inner,
            watch,
            failed: false,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if *this.failed {
            return Poll::Ready(None);
        }
        let Some(watch) = this.watch else {
            return Poll::Ready(match ready!(this.inner.poll_frame(cx)) {
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(error)) => {
                    *this.failed = true;
                    Some(Err(error.into()))
                }
                None => None,
            });
        };
        // The frame first: one that is there when the limit strikes still counts.
        match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                watch.came();
                if frame.is_trailers() || this.inner.is_end_stream() {
                    // Who sees the end does not ask for more.
                    watch.upload.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                *this.failed = true;
                watch.upload.end();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                watch.upload.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let error = ready!(watch.poll(cx));
                *this.failed = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Watch ===

impl Watch {
    fn came(&mut self) {
        if self.since.take().is_some() {
            self.upload.wait(false);
        }
    }

    /// Waits for a frame.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        let since = *self.since.get_or_insert_with(|| {
            self.upload.wait(true);
            Instant::now()
        });
        let Some(limit) = self.idle else {
            return Poll::Pending;
        };
        ready!(self.timer.poll(after(since, limit), cx));
        let elapsed = telemetry::struck(Phase::RequestIdle, limit, since.elapsed());
        self.upload.strike(elapsed);
        self.upload.end();
        Poll::Ready(TimeoutError::new(elapsed).into_body_error())
    }
}
