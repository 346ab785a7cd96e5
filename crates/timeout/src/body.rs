use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::policy::Strike;
use crate::{Phase, TimeoutError};

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A request body that fails when its caller gives nothing for too long.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        watch: Watch,
    }
}

pin_project! {
    /// A response body that fails when the inner service gives nothing for too long, or has not ended in time; or an answer of ours.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: AnswerBody<B>,
        watch: Watch,
    }
}

/// The clock of one body. It runs only while a frame is asked for and not there.
#[derive(Debug)]
struct Watch {
    phase: Phase,
    idle: Option<Duration>,
    started: Instant,
    end: Option<Strike>,
    /// When the running wait began and what ends it; `None` while nobody waits.
    wait: Option<(Instant, Strike)>,
    /// Made when the body was pending for the first time, then moved. In a box, because the usual clients take only bodies that are `Unpin`.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The body has failed: there is nothing after that.
    failed: bool,
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) fn new(inner: B, idle: Option<Duration>) -> Self {
        Self {
            inner,
            watch: Watch::new(Phase::RequestIdle, idle, Instant::now(), None),
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

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        this.watch.poll_frame(this.inner, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.watch.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn new(
        body: B,
        started: Instant,
        end: Option<Strike>,
        idle: Option<Duration>,
    ) -> Self {
        let watch = Watch::new(Phase::ResponseIdle, idle, started, end);
        Self {
            inner: AnswerBody::inner(body),
            watch,
        }
    }

    pub(crate) fn answer(inner: AnswerBody<B>) -> Self {
        Self {
            inner,
            watch: Watch::new(Phase::ResponseIdle, None, Instant::now(), None),
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        this.watch.poll_frame(this.inner, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.watch.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Watch ===

impl Watch {
    const fn new(
        phase: Phase,
        idle: Option<Duration>,
        started: Instant,
        end: Option<Strike>,
    ) -> Self {
        Self {
            phase,
            idle,
            started,
            end,
            wait: None,
            sleep: None,
            failed: false,
        }
    }

    fn poll_frame<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        if self.failed {
            return Poll::Ready(None);
        }
        // The frame first: one that is there when the limit strikes still counts.
        if let Poll::Ready(frame) = body.poll_frame(cx) {
            self.wait = None;
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    self.failed = true;
                    error.into()
                })
            }));
        }
        let Some((since, strike)) = self.wait.or_else(|| self.begin_wait()) else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(strike.at)));
        ready!(sleep.as_mut().poll(cx));

        self.failed = true;
        let since = if strike.phase == Phase::Total {
            self.started
        } else {
            since
        };
        let error = TimeoutError::strike(strike.phase, strike.limit, since.elapsed());
        Poll::Ready(Some(Err(error.into_body_error())))
    }

    /// Begins to wait for a frame; `None` where nothing limits how long.
    fn begin_wait(&mut self) -> Option<(Instant, Strike)> {
        if self.idle.is_none() && self.end.is_none() {
            return None;
        }
        let now = Instant::now();
        let idle = self.idle.map(|limit| Strike::after(now, self.phase, limit));
        let strike = Strike::earliest(self.end, idle)?;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(strike.at);
        }
        self.wait = Some((now, strike));
        self.wait
    }
}
