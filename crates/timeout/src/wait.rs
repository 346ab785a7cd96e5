use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use portcullis_gateway_error::{
    Answer, AttemptRecord, Audience, Decision, Delivery, ErrorKind, Failure, GrpcCode, Outcome,
    RetryOutcome, StopReason,
};
use tokio::time::Instant;

use crate::ending::{Content, Framing, is_encoded};
use crate::layer::Settings;
use crate::limits::Limits;
use crate::policy::{End, Facts, Strike};
use crate::response_body::{NEVER, ResponseBody, Watch, nanos};
use crate::timer::{TICK, Timer};
use crate::upload::Upload;
use crate::{Elapsed, HeadStart, Phase, telemetry};

/// What the future must know until the head is there.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) settings: Arc<Settings>,
    pub(crate) audience: Audience,
    pub(crate) started: Instant,
    pub(crate) end: End,
    pub(crate) head: Option<Duration>,
    /// The limits of this request, where they are not those of the layer.
    pub(crate) over: Option<Box<Limits>>,
    /// Where a limit depends on the request body, and there is one.
    pub(crate) upload: Option<Arc<Upload>>,
    pub(crate) timer: Timer,
    pub(crate) total_on_streams: bool,
    pub(crate) connect: bool,
    pub(crate) http1: bool,
}

// === impl Wait ===

impl Wait {
    #[inline]
    pub(crate) fn new(settings: &Arc<Settings>, audience: Audience, started: Instant) -> Self {
        Self {
            settings: Arc::clone(settings),
            audience,
            started,
            end: End {
                given: None,
                on_streams: None,
                own: None,
            },
            head: None,
            over: None,
            upload: None,
            timer: Timer::new(),
            total_on_streams: settings.total_on_streams,
            connect: false,
            http1: false,
        }
    }

    fn limits(&self) -> &Limits {
        self.over.as_deref().unwrap_or(&self.settings.limits)
    }

    /// From when the limits of the head count; `None` while the request body goes on that they wait for.
    fn head_starts(&self) -> Option<Instant> {
        match &self.upload {
            Some(upload) if self.settings.head_from == HeadStart::RequestSent => upload.ended(),
            _ => Some(self.started),
        }
    }

    fn strike(&self) -> Option<Strike> {
        // While an upload goes on, the head cannot be late before its limit has passed from now on.
        let counts_from = self.head_starts().unwrap_or_else(Instant::now);
        let facts = Facts {
            started: self.started,
            end: self.end.whole(),
            head: self.head,
            counts_from,
            uploading: self
                .upload
                .as_ref()
                .is_some_and(|upload| upload.ended().is_none()),
        };
        Strike::before_head(self.limits(), facts)
    }

    /// Waits until a limit strikes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        if let Some(upload) = &self.upload {
            upload.wakes(cx.waker());
        }
        if let Some(struck) = self.request_struck() {
            return Poll::Ready(struck);
        }
        loop {
            let Some(Strike { at, .. }) = self.strike() else {
                return Poll::Pending;
            };
            ready!(self.timer.poll(at, cx));
            // The request body may have gone on meanwhile.
            let now = Instant::now();
            if let Some(strike) = self.strike().filter(|strike| strike.at <= now) {
                let elapsed = now.saturating_duration_since(strike.from);
                if let Some(adaptive) = &self.settings.adaptive_head
                    && strike.phase != Phase::Request
                    && let Some(from) = self.head_starts()
                {
                    adaptive.missed(now.saturating_duration_since(from));
                }
                return Poll::Ready(telemetry::struck(strike.phase, strike.limit(), elapsed));
            }
        }
    }

    /// Which limit of the request body struck, if one did.
    #[inline]
    pub(crate) fn request_struck(&self) -> Option<Elapsed> {
        self.upload.as_ref().and_then(|upload| upload.struck())
    }

    /// Says whether a gRPC call was cancelled because its deadline passed: whoever was told of it, tonic's channel and server among them, may be sooner than our own timer,
    /// and says CANCELLED or gives an error.
    #[inline]
    pub(crate) fn cancelled_late<B, E>(&self, result: &Result<Response<B>, E>) -> Option<Elapsed> {
        if !self.audience.is_grpc() {
            return None;
        }
        let end = self.end.whole()?;
        let cancelled = result.as_ref().map_or(true, |response| {
            GrpcCode::from_headers(response.headers()) == Some(GrpcCode::Cancelled)
        });
        if !cancelled || end > Instant::now() + TICK {
            return None;
        }
        let limit = end.saturating_duration_since(self.started);
        Some(telemetry::struck(
            Phase::Total,
            limit,
            self.started.elapsed(),
        ))
    }

    /// Takes the head of the inner service, and limits its body.
    #[inline]
    pub(crate) fn guard<B>(&mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        if let Some(adaptive) = &self.settings.adaptive_head
            // One that came before the request was sent says nothing of how long heads take.
            && let Some(from) = self.head_starts()
        {
            adaptive.record(from.elapsed());
        }
        let watch = self.watch(&response);
        response.map(|body| ResponseBody::new(body, watch))
    }

    #[inline]
    fn watch<B>(&mut self, response: &Response<B>) -> Watch {
        let mut watch = Watch::new(self.started);
        let whole = self.end.whole();
        let timer = std::mem::take(&mut self.timer);
        let limits = self.limits();
        let body = limits.response.is_some() || limits.response_idle.is_some();
        if whole.is_none() && limits.first_byte.is_none() && !body {
            return watch;
        }
        let content = Content::of(response, self.connect);
        let end = if content.is_stream() && !self.total_on_streams {
            self.end.on_streams
        } else {
            whole
        };
        let offset = |at: Instant| nanos(at.saturating_duration_since(self.started));
        watch.end = end.map_or(NEVER, offset);
        watch.idle = limits.response_idle.map_or(NEVER, nanos);
        if limits.response.is_some() || limits.first_byte.is_some() {
            let head = nanos(self.started.elapsed());
            let end = head.saturating_add(limits.response.map_or(NEVER, nanos));
            if end < watch.end {
                (watch.end, watch.end_phase, watch.end_from) = (end, Phase::Response, head);
            }
            if let Some(limit) = limits.first_byte {
                let starts = self.head_starts();
                let from = starts.map_or(head, offset);
                watch.upload = self.upload.clone().filter(|_| starts.is_none());
                watch.first_spent = head.saturating_sub(from);
                watch.first = nanos(limit).saturating_sub(watch.first_spent);
            }
        }
        let readable = !is_encoded(response.headers());
        watch.framing = Framing::new(content, self.settings.sse_error_event && readable);
        watch.timer = timer;
        watch
    }

    /// Answers for a limit that struck, before the inner service was called or after.
    pub(crate) fn answer<B>(&self, elapsed: Elapsed, called: bool) -> Response<ResponseBody<B>> {
        let limit = elapsed.limit();
        let refused = |kind| Failure::new(kind).delivered(Delivery::NotSent);
        let (failure, status, detail) = match elapsed.phase() {
            Phase::Ready => (
                refused(Phase::Ready.kind()),
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the service was not ready within {limit:?}"),
            ),
            Phase::Request if !self.caller_is_slow() => (
                Failure::new(ErrorKind::ConnectionWriteTimeout),
                self.settings.status,
                format!("the request was not taken within {limit:?}"),
            ),
            phase @ Phase::Request => (
                Failure::new(phase.kind()).delivered(Delivery::MaybeProcessed),
                StatusCode::REQUEST_TIMEOUT,
                format!("the request did not end within {limit:?}"),
            ),
            phase @ Phase::RequestIdle => (
                Failure::new(phase.kind()).delivered(Delivery::MaybeProcessed),
                StatusCode::REQUEST_TIMEOUT,
                format!("nothing of the request came for {limit:?}"),
            ),
            // Not by the limit: that of a call which was made may be zero, too.
            phase if !called => (
                refused(phase.kind()),
                self.settings.status,
                "the deadline had passed before the call".to_owned(),
            ),
            phase => (
                Failure::new(phase.kind()),
                self.settings.status,
                format!("no answer within {limit:?}"),
            ),
        };
        let mut response = Answer::from_failure(failure)
            .status(status)
            .grpc_code(GrpcCode::DeadlineExceeded)
            .name(&*self.settings.name)
            .detail(detail)
            .into_response(&self.audience)
            .map(|body| ResponseBody::answer(body, self.started));
        if self.http1 && response.status() == StatusCode::REQUEST_TIMEOUT {
            // The rest of the request may still come (RFC 9110, section 15.5.9).
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if !called && elapsed.phase() == Phase::Total {
            // Another attempt would be as late: a retry layer further out, which knows no deadline that is said in a header alone, gives it up.
            let mut attempt = AttemptRecord::new(NonZeroU32::MIN, Outcome::Failed(failure));
            attempt.decision = Decision::Stop(StopReason::Deadline);
            response
                .extensions_mut()
                .insert(RetryOutcome::from(vec![attempt]));
        }
        response.extensions_mut().insert(elapsed);
        response
    }

    fn caller_is_slow(&self) -> bool {
        self.upload
            .as_ref()
            .is_some_and(|upload| upload.is_waiting())
    }
}
