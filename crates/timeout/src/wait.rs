use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use portcullis_gateway_error::{
    Answer, AttemptRecord, Audience, Decision, Delivery, ErrorKind, Failure, GrpcCode, Outcome,
    RetryOutcome, StopReason,
};
use tokio::time::Instant;

use crate::ending::{Content, Framing, is_encoded};
use crate::layer::Settings;
use crate::limits::Limits;
use crate::policy::{Facts, Strike};
use crate::response_body::{NEVER, ResponseBody, Watch, nanos};
use crate::timer::{TICK, Timer};
use crate::upload::Upload;
use crate::{Elapsed, HeadStart, Phase, telemetry};

/// What the future must know until the head is there.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) settings: Arc<Settings>,
    pub(crate) audience: Audience,
    /// When the exchange began: at the call where something counts from there, else when it was waited for first.
    pub(crate) started: Option<Instant>,
    /// When it must be over, and when a stream must.
    pub(crate) end: Option<Instant>,
    pub(crate) stream_end: Option<Instant>,
    /// The limits of this request, where they are not those of the layer.
    pub(crate) over: Option<Box<Limits>>,
    /// Where a limit depends on the request body, and there is one.
    pub(crate) upload: Option<Arc<Upload>>,
    pub(crate) timer: Timer,
    /// Why the inner service was not called.
    pub(crate) refused: Option<Box<Elapsed>>,
    pub(crate) total_on_streams: bool,
    pub(crate) connect: bool,
    pub(crate) http1: bool,
    /// It was refused for what its headers say, and will be each time.
    pub(crate) is_hopeless: bool,
}

// === impl Wait ===

impl Wait {
    /// An answer to a request with which the inner service is not called.
    #[cold]
    pub(crate) fn refused(
        settings: &Arc<Settings>,
        audience: Audience,
        version: Version,
        why: Elapsed,
    ) -> Self {
        Self {
            settings: Arc::clone(settings),
            audience,
            started: None,
            end: None,
            stream_end: None,
            over: None,
            upload: None,
            timer: Timer::new(),
            refused: Some(Box::new(why)),
            total_on_streams: false,
            connect: false,
            http1: version <= Version::HTTP_11,
            is_hopeless: false,
        }
    }

    /// The request body, where its end must be known, and how long it may give nothing.
    pub(crate) fn watched_upload(&self) -> Option<(Arc<Upload>, Option<Duration>)> {
        let upload = self.upload.as_ref()?;
        Some((Arc::clone(upload), self.limits().request_idle))
    }

    #[inline]
    fn limits(&self) -> &Limits {
        self.over.as_deref().unwrap_or(&self.settings.limits)
    }

    #[inline]
    fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    /// From when the limits of the head count; `None` while the request body goes on that they wait for.
    fn head_starts(&self, started: Instant) -> Option<Instant> {
        match &self.upload {
            Some(upload) if self.settings.head_from == HeadStart::RequestSent => upload.ended(),
            _ => Some(started),
        }
    }

    fn strike(&self, started: Instant) -> Option<Strike> {
        // While an upload goes on, the head cannot be late before its limit has passed from now on.
        let counts_from = self.head_starts(started).unwrap_or_else(Instant::now);
        let facts = Facts {
            started,
            end: self.end,
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
        if let Some(refused) = self.refused.take() {
            return Poll::Ready(*refused);
        }
        if let Some(upload) = &self.upload {
            upload.wakes(cx.waker());
        }
        if let Some(struck) = self.request_struck() {
            return Poll::Ready(struck);
        }
        let started = self.started();
        loop {
            let Some(Strike { at, .. }) = self.strike(started) else {
                return Poll::Pending;
            };
            ready!(self.timer.poll(at, cx));
            // The request body may have gone on meanwhile.
            let now = Instant::now();
            if let Some(strike) = self.strike(started).filter(|strike| strike.at <= now) {
                let elapsed = now.saturating_duration_since(strike.from);
                if let Some(adaptive) = &self.settings.adaptive_head
                    && strike.phase != Phase::Request
                    && let Some(from) = self.head_starts(started)
                {
                    adaptive.missed(now.saturating_duration_since(from));
                }
                return Poll::Ready(telemetry::struck(strike.phase, strike.limit(), elapsed));
            }
        }
    }

    /// Says whether an answer or an error of the inner service can be other than it says.
    #[inline]
    pub(crate) const fn may_replace(&self) -> bool {
        self.upload.is_some() || (self.end.is_some() && self.audience.is_grpc())
    }

    /// The limit that an answer with this head came of, or an error. What came of it that the request body was cut is not for the caller.
    pub(crate) fn replaces(&self, head: Option<(StatusCode, &HeaderMap)>) -> Option<Elapsed> {
        match self.request_struck() {
            Some(elapsed) if is_failure(head) => Some(elapsed),
            _ if self.audience.is_grpc() => self.cancelled_late(head.map(|(_, headers)| headers)),
            _ => None,
        }
    }

    /// Which limit of the request body struck, if one did.
    fn request_struck(&self) -> Option<Elapsed> {
        self.upload.as_ref().and_then(|upload| upload.struck())
    }

    /// Says whether a gRPC call was cancelled because its deadline passed: whoever was told of it, tonic's channel and server among them, may be sooner than our own timer,
    /// and says CANCELLED or gives an error.
    fn cancelled_late(&self, headers: Option<&HeaderMap>) -> Option<Elapsed> {
        let end = self.end?;
        let cancelled = headers
            .is_none_or(|headers| GrpcCode::from_headers(headers) == Some(GrpcCode::Cancelled));
        if !cancelled || end > Instant::now() + TICK {
            return None;
        }
        let started = self.started.unwrap_or(end);
        let limit = end.saturating_duration_since(started);
        Some(telemetry::struck(Phase::Total, limit, started.elapsed()))
    }

    /// Says whether there is anything to do once the head is there.
    #[inline]
    fn watches(&self) -> bool {
        let limits = self.limits();
        let body = limits.response.is_some()
            || limits.first_byte.is_some()
            || limits.response_idle.is_some();
        body || self.end.is_some() || self.settings.adaptive_head.is_some()
    }

    /// Takes the head of the inner service, and limits its body.
    #[inline]
    pub(crate) fn guard<B>(&mut self, response: Response<B>) -> Response<ResponseBody<B>> {
        let watch = if self.watches() {
            self.watch(response.status(), response.headers())
        } else {
            Watch::new()
        };
        response.map(|body| ResponseBody::new(body, watch))
    }

    /// The limits of a body whose head is this one.
    #[inline]
    fn watch(&mut self, status: StatusCode, headers: &HeaderMap) -> Watch {
        if let Some(adaptive) = &self.settings.adaptive_head
            // One that came before the request was sent says nothing of how long heads take.
            && let Some(from) = self.started.and_then(|started| self.head_starts(started))
        {
            let limits = self.limits();
            let end = self.end.map(|end| end.saturating_duration_since(from));
            let limit = [limits.head, limits.first_byte, end];
            adaptive.came(from.elapsed(), limit.into_iter().flatten().min());
        }
        let &Limits {
            response,
            first_byte,
            response_idle,
            ..
        } = self.limits();
        let content = Content::of(status, headers, self.connect);
        let whole = if content.is_stream() && !self.total_on_streams {
            self.stream_end
        } else {
            self.end
        };
        let counts = whole.is_some() || response.is_some() || first_byte.is_some();
        let started = counts.then(|| self.started()).or(self.started);
        let offset = |at: Instant| {
            let started = started.unwrap_or(at);
            nanos(at.saturating_duration_since(started))
        };
        let (mut end, mut end_phase, mut end_from) = (whole.map_or(NEVER, offset), Phase::Total, 0);
        let (mut first, mut first_spent, mut upload) = (NEVER, 0, None);
        if response.is_some() || first_byte.is_some() {
            let head = offset(Instant::now());
            let response = head.saturating_add(response.map_or(NEVER, nanos));
            if response < end {
                (end, end_phase, end_from) = (response, Phase::Response, head);
            }
            if let Some(limit) = first_byte {
                let from = started.and_then(|started| self.head_starts(started));
                upload = self.upload.clone().filter(|_| from.is_none());
                first_spent = head.saturating_sub(from.map_or(head, offset));
                first = nanos(limit).saturating_sub(first_spent);
            }
        }
        let error_event = self.settings.sse_error_event && !is_encoded(headers);
        Watch {
            started,
            end,
            end_phase,
            end_from,
            idle: response_idle.map_or(NEVER, nanos),
            first,
            first_spent,
            upload,
            since: NEVER,
            timer: std::mem::take(&mut self.timer),
            framing: Framing::new(content, error_event),
        }
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
            .map(|body| ResponseBody::answer(body));
        if self.http1 && response.status() == StatusCode::REQUEST_TIMEOUT {
            // The rest of the request may still come (RFC 9110, section 15.5.9).
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if self.is_hopeless {
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

/// Says whether it can be what came of a cut request: an error, a status that says that the request or the server is broken. One that says no for another reason
/// (401, 413) was decided before the cut.
fn is_failure(head: Option<(StatusCode, &HeaderMap)>) -> bool {
    use GrpcCode::{
        Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown,
    };

    head.is_none_or(|(status, headers)| {
        let code = GrpcCode::from_headers(headers);
        status.is_server_error()
            || [StatusCode::BAD_REQUEST, StatusCode::REQUEST_TIMEOUT].contains(&status)
            || code.is_some_and(|code| {
                [
                    Aborted,
                    Cancelled,
                    DataLoss,
                    DeadlineExceeded,
                    Internal,
                    Unavailable,
                    Unknown,
                ]
                .contains(&code)
            })
    })
}
