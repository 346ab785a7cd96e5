use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::{AnswerBody, GrpcCode};
use tokio::time::Instant;

use crate::ending::Framing;
use crate::timer::{TICK, Timer};
use crate::upload::Upload;
use crate::{Elapsed, Phase, TimeoutError, telemetry};

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A response body that fails when the inner service gives nothing for too long, or has not ended in time; or an answer of ours.
    ///
    /// For gRPC it ends with trailers instead of an error where no message is cut, and a stream of events can end with a last event.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
        watch: Watch,
    }
}

pin_project! {
    #[project = ContentProj]
    #[derive(Debug)]
    enum Content<B> {
        Inner {
            #[pin]
            body: B,
        },
        // What we say ourselves; `None` once there is nothing left.
        Ours {
            rest: Option<Box<Ours>>,
        },
    }
}

#[derive(Debug)]
enum Ours {
    Answer(AnswerBody<Nothing>),
    Event(Bytes),
    Trailers(HeaderMap),
}

/// The body that an answer of ours has not got.
#[derive(Debug)]
pub(crate) enum Nothing {}

/// The clock of the body. It runs only while a frame is asked for and not there.
///
/// Times are nanoseconds from the call, [`NEVER`] for none: there is one of these for each exchange that waits.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The call, or what was waited for first where nothing counts from there.
    pub(crate) started: Option<Instant>,
    /// When the body must be over, and by which limit.
    pub(crate) end: u64,
    pub(crate) end_phase: Phase,
    /// When the phase of `end` began.
    pub(crate) end_from: u64,
    pub(crate) idle: u64,
    /// What is left until the first frame, from the head on, and how much the head took of it.
    pub(crate) first: u64,
    pub(crate) first_spent: u64,
    /// The request body that `first` waits for, where it went on after the head.
    pub(crate) upload: Option<Arc<Upload>>,
    /// When the running wait began.
    pub(crate) since: u64,
    pub(crate) timer: Timer,
    pub(crate) framing: Framing,
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    #[inline]
    pub(crate) const fn new(body: B, watch: Watch) -> Self {
        Self {
            content: Content::Inner { body },
            watch,
        }
    }

    #[inline]
    pub(crate) const fn unlimited(body: B) -> Self {
        Self::new(body, Watch::new())
    }

    pub(crate) fn answer(body: AnswerBody<Nothing>) -> Self {
        let rest = Some(Box::new(Ours::Answer(body)));
        Self {
            content: Content::Ours { rest },
            watch: Watch::new(),
        }
    }
}

impl<B: Body> ResponseBody<B> {
    /// Ends the inner body, and with it what it holds; what comes first of what is left to say.
    fn cut(
        mut content: Pin<&mut Content<B>>,
        watch: &Watch,
        elapsed: Elapsed,
    ) -> Result<Frame<Bytes>, BoxError> {
        let has_end = match content.as_mut().project() {
            ContentProj::Inner { body } => body.size_hint().upper().is_some(),
            ContentProj::Ours { .. } => true,
        };
        let mut rest = watch.framing.trailers(elapsed).map(Ours::Trailers);
        if rest.is_none() && !has_end {
            rest = watch.framing.error_event(elapsed).map(Ours::Event);
        }
        let mut rest = rest.map(Box::new);
        let next = Ours::next(&mut rest);
        content.set(Content::Ours { rest });
        next.ok_or_else(|| TimeoutError::new(elapsed).into_body_error())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let body = match this.content.as_mut().project() {
            ContentProj::Inner { body } => body,
            ContentProj::Ours { rest } => return Poll::Ready(Ours::next(rest).map(Ok)),
        };
        // The frame first: one that is there when the limit strikes still counts.
        Poll::Ready(match body.poll_frame(cx) {
            // Only what it holds is moved: a frame is as large as trailers.
            Poll::Ready(Some(Ok(frame))) => Some(Ok(match frame.into_data() {
                Ok(data) => {
                    this.watch.passed(Some(&data));
                    Frame::data(data)
                }
                Err(frame) => {
                    let code = frame.trailers_ref().and_then(GrpcCode::from_headers);
                    let elapsed = match code {
                        Some(GrpcCode::Cancelled) => this.watch.cancelled_late(),
                        _ => None,
                    };
                    if let Some(elapsed) = elapsed {
                        return Poll::Ready(Some(Self::cut(this.content, this.watch, elapsed)));
                    }
                    this.watch.passed(None);
                    frame
                }
            })),
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                Some(match this.watch.cancelled_late() {
                    Some(elapsed) => {
                        tracing::debug!(%error, "a call broke off at its deadline");
                        Self::cut(this.content, this.watch, elapsed)
                    }
                    None => {
                        this.content.set(Content::Ours { rest: None });
                        Err(error)
                    }
                })
            }
            Poll::Pending => {
                let elapsed = ready!(this.watch.poll(cx));
                Some(Self::cut(this.content, this.watch, elapsed))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body } => body.is_end_stream(),
            Content::Ours { rest } => rest.as_ref().is_none_or(|rest| rest.is_end()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body } => body.size_hint(),
            Content::Ours { rest } => rest
                .as_ref()
                .map_or(SizeHint::with_exact(0), |rest| rest.size_hint()),
        }
    }
}

// === impl Ours ===

impl Ours {
    fn next(rest: &mut Option<Box<Self>>) -> Option<Frame<Bytes>> {
        let mut ours = rest.take()?;
        let frame = match &mut *ours {
            Self::Answer(body) => {
                // It has all its bytes, and is never pending.
                let mut cx = Context::from_waker(std::task::Waker::noop());
                match Pin::new(body).poll_frame(&mut cx) {
                    Poll::Ready(Some(Ok(frame))) => frame,
                    Poll::Ready(_) | Poll::Pending => return None,
                }
            }
            Self::Event(bytes) => Frame::data(std::mem::take(bytes)),
            Self::Trailers(trailers) => Frame::trailers(std::mem::take(trailers)),
        };
        Some(frame)
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Answer(body) => body.is_end_stream(),
            Self::Event(_) | Self::Trailers(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer(body) => body.size_hint(),
            Self::Event(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Trailers(_) => SizeHint::with_exact(0),
        }
    }
}

// === impl Nothing ===

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }

    fn is_end_stream(&self) -> bool {
        match *self {}
    }

    fn size_hint(&self) -> SizeHint {
        match *self {}
    }
}

// === impl Watch ===

impl Watch {
    /// Watches nothing yet.
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            started: None,
            end: NEVER,
            end_phase: Phase::Total,
            end_from: 0,
            idle: NEVER,
            first: NEVER,
            first_spent: 0,
            upload: None,
            since: NEVER,
            timer: Timer::new(),
            framing: Framing::Plain,
        }
    }

    /// A frame came, with data or with trailers.
    #[inline]
    fn passed(&mut self, data: Option<&Bytes>) {
        self.since = NEVER;
        self.first = NEVER;
        if data.is_none() {
            // Nothing comes after trailers, and so nothing is late.
            (self.end, self.idle) = (NEVER, NEVER);
        }
        if !matches!(self.framing, Framing::Plain)
            && let Some(data) = data
        {
            self.framing.passed(data);
        }
    }

    /// Waits for a frame.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        if self.end == NEVER && self.idle == NEVER && self.first == NEVER {
            return Poll::Pending;
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        if self.since == NEVER {
            self.since = nanos(started.elapsed());
        }
        loop {
            let (at, ..) = self.strike(started);
            let at = crate::policy::after(started, Duration::from_nanos(at));
            ready!(self.timer.poll(at, cx));
            // The request body may have gone on meanwhile.
            let (at, phase, from) = self.strike(started);
            let now = nanos(started.elapsed());
            if at > now {
                continue;
            }
            let waited = now.saturating_sub(from);
            let (limit, elapsed) = match phase {
                Phase::ResponseIdle => (self.idle, waited),
                Phase::FirstByte => (
                    self.first.saturating_add(self.first_spent),
                    waited.saturating_add(self.first_spent),
                ),
                _ => (self.end.saturating_sub(from), waited),
            };
            let [limit, elapsed] = [limit, elapsed].map(Duration::from_nanos);
            return Poll::Ready(telemetry::struck(phase, limit, elapsed));
        }
    }

    /// The first limit that strikes while a frame is waited for: when, which, and from when it counts. Where several strike at once, it is the one of the whole.
    fn strike(&self, started: Instant) -> (u64, Phase, u64) {
        let mut first = (self.end, self.end_phase, self.end_from);
        for (limit, phase, from) in [
            (self.first, Phase::FirstByte, self.first_from(started)),
            (self.idle, Phase::ResponseIdle, self.since),
        ] {
            let at = from.saturating_add(limit);
            if at < first.0 {
                first = (at, phase, from);
            }
        }
        first
    }

    /// From when the first frame is waited for; now, while the request body goes on that it comes after.
    fn first_from(&self, started: Instant) -> u64 {
        let Some(upload) = self.upload.as_ref().filter(|_| self.first != NEVER) else {
            return self.since;
        };
        let ended = upload.ended().unwrap_or_else(Instant::now);
        nanos(ended.saturating_duration_since(started)).max(self.since)
    }

    /// Says whether a gRPC call whose body breaks off while it is waited for was cancelled because its deadline passed, as `Wait::cancelled_late` does before the head.
    #[cold]
    fn cancelled_late(&self) -> Option<Elapsed> {
        let is_whole = self.end != NEVER && self.end_phase == Phase::Total;
        if !is_whole || self.since == NEVER || !matches!(self.framing, Framing::Grpc(_)) {
            return None;
        }
        let elapsed = self.started?.elapsed();
        let limit = Duration::from_nanos(self.end);
        (limit <= elapsed.saturating_add(TICK))
            .then(|| telemetry::struck(Phase::Total, limit, elapsed))
    }
}

/// In nanoseconds; what does not fit is for ever.
#[inline]
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// Longer than any process runs.
pub(crate) const NEVER: u64 = u64::MAX;
