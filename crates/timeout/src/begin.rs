//! What is decided at the call: which limits hold, from when they count, and whether it is too late.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Version};
use http_body::Body;
use portcullis_gateway_error::Audience;
use tokio::time::Instant;

use crate::layer::Settings;
use crate::limits::Limits;
use crate::policy::End;
use crate::ready::Readiness;
use crate::refusal::LetThrough;
use crate::timer::Timer;
use crate::upload::Upload;
use crate::wait::Wait;
use crate::{Deadline, Elapsed, HeadStart, TimeoutPolicy, telemetry};

/// What limits this exchange; `None` where nothing does.
///
/// Takes what has passed from the request, and tells those inside when the exchange ends.
#[inline(never)]
pub(crate) fn begin<B: Body>(
    settings: &Arc<Settings>,
    request: &mut Request<B>,
    readiness: &mut Readiness,
) -> Option<Wait> {
    let audience = Audience::of(request);
    if let Some(elapsed) = readiness.take() {
        let version = request.version();
        return Some(Wait::refused(settings, audience, version, elapsed));
    }

    let deadline = request.extensions().get::<Deadline>().copied();
    let policy = request.extensions().get::<TimeoutPolicy>();
    let said = settings.sources.read(request.headers(), audience.is_grpc());
    let said = said.filter(|_| request.extensions().get::<LetThrough>().is_none());
    let on_streams = policy.and_then(|policy| policy.total_on_streams);
    let over = settings.limits_for(policy);
    let limits = over.as_deref().unwrap_or(&settings.limits);
    let has_end = deadline.is_some() || said.is_some() || limits.total.is_some();
    if !has_end && !limits.any() {
        return None;
    }

    let watched = settings.watches(limits) && !request.body().is_end_stream();
    let counts =
        has_end || watched || limits.first_byte.is_some() || settings.adaptive_head.is_some();
    let started = counts.then(Instant::now);
    let mut end = End::NONE;
    if has_end && let Some(now) = started {
        match settings.hold(request, deadline, said, limits.total, now) {
            Ok(held) => end = held,
            Err(late) => {
                let mut wait = Wait::refused(settings, audience, request.version(), late);
                wait.is_hopeless = said.is_some_and(|said| said.is_zero());
                return Some(wait);
            }
        }
        settings.tell(request, deadline, end, now, audience.is_grpc());
    }
    Some(Wait {
        settings: Arc::clone(settings),
        audience,
        started,
        end: end.whole(),
        stream_end: end.on_streams,
        upload: started.filter(|_| watched).map(Upload::new),
        over,
        timer: Timer::new(),
        refused: None,
        total_on_streams: on_streams.unwrap_or(settings.total_on_streams),
        connect: request.method() == Method::CONNECT,
        http1: request.version() <= Version::HTTP_11,
        is_hopeless: false,
    })
}

// === impl Settings ===

impl Settings {
    /// The limits of a request, where they are not those of the layer.
    #[inline]
    fn limits_for(&self, policy: Option<&TimeoutPolicy>) -> Option<Box<Limits>> {
        let factor = self.scale.as_ref().map_or(1.0, |scale| scale.factor());
        let scaled = factor < 1.0;
        if policy.is_none() && !scaled && self.adaptive_head.is_none() {
            return None;
        }
        let mut limits = self.limits;
        if let Some(adaptive) = &self.adaptive_head {
            limits.head = Some(adaptive.limit());
        }
        if scaled {
            limits = limits.scaled(factor);
            if let Some(adaptive) = &self.adaptive_head {
                limits.head = limits.head.map(|head| head.max(adaptive.min()));
            }
        }
        Some(Box::new(match policy {
            Some(policy) => policy.over(limits),
            None => limits,
        }))
    }

    /// Says whether a limit depends on the request body.
    fn watches(&self, limits: &Limits) -> bool {
        limits.request_idle.is_some()
            || limits.request.is_some()
            || (self.head_from == HeadStart::RequestSent
                && (limits.head.is_some() || limits.first_byte.is_some()))
    }

    /// When the exchange must be over; or that it is too late for it.
    #[inline]
    fn hold<B>(
        &self,
        request: &mut Request<B>,
        deadline: Option<Deadline>,
        mut said: Option<Duration>,
        total: Option<Duration>,
        now: Instant,
    ) -> Result<End, Elapsed> {
        let max = self.sources.max;
        let end = End::new(now, deadline, said, total, max);
        let Some(given) = end.given else {
            return Ok(end);
        };
        let passed = given <= now;
        let refused = self.refusal.refuses(passed);
        if !passed {
            return Ok(end);
        }
        let late = telemetry::late(now.saturating_duration_since(given), refused);
        if refused {
            return Err(late);
        }
        let in_time = LetThrough::mark(request, deadline, &mut said, now);
        Ok(End::new(now, in_time, said, total, max))
    }

    /// Tells those inside when the exchange ends.
    #[inline]
    fn tell<B>(
        &self,
        request: &mut Request<B>,
        deadline: Option<Deadline>,
        end: End,
        now: Instant,
        grpc: bool,
    ) {
        let Some(whole) = end.whole() else { return };
        let told = Deadline::of(whole, end.on_streams);
        if self.share_deadline && deadline != Some(told) {
            request.extensions_mut().insert(told);
        }
        let left = whole.saturating_duration_since(now);
        self.propagation.write(request.headers_mut(), grpc, left);
    }
}
