use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis_gateway_error::DEFAULT_NAME;
use tower_layer::Layer;

use crate::limits::Limits;
use crate::{
    AdaptiveHead, DeadlineSources, Direct, HeadStart, MapBody, Propagation, Refusal, Timeout,
};

/// Limits how long an exchange and its phases may last.
///
/// What is shared (what an [`AdaptiveHead`] saw, the cap of a [`Refusal`]) belongs to the layer: all its clones and all services that it makes share it.
/// See the [crate docs](crate) for examples. The default one has no limit of its own, and keeps the [`Deadline`](crate::Deadline) that a request comes with.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct TimeoutLayer<M = Direct> {
    settings: Arc<Settings>,
    convert: M,
}

/// What the layer and its services read.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) ready: Option<Duration>,
    pub(crate) head_from: HeadStart,
    pub(crate) adaptive_head: Option<AdaptiveHead>,
    pub(crate) scale: Option<Scale>,
    pub(crate) total_on_streams: bool,
    pub(crate) sources: DeadlineSources,
    pub(crate) propagation: Propagation,
    pub(crate) share_deadline: bool,
    pub(crate) refusal: Refusal,
    pub(crate) status: StatusCode,
    pub(crate) name: Arc<str>,
    pub(crate) sse_error_event: bool,
}

/// By what the user multiplies the limits.
#[derive(Clone)]
pub(crate) struct Scale(Arc<dyn Fn() -> f32 + Send + Sync>);

// === impl TimeoutLayer ===

impl TimeoutLayer {
    /// A layer that limits the whole exchange: from the call to the last byte of the response, trailers included.
    pub fn new(total: Duration) -> Self {
        Self::default().total(total)
    }
}

impl<M> TimeoutLayer<M> {
    /// Limits the whole exchange, from the call to the last byte of the response. Default: no limit.
    ///
    /// On streams of events and after an upgrade it ends at the head; see [`total_on_streams`](Self::total_on_streams).
    pub fn total(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.total = Some(limit))
    }

    /// Limits how long an instance of the service may wait until the inner one is ready. Default: no limit.
    ///
    /// Once it strikes, the instance is ready and its next call is answered with 503 and `connection_limit_reached` (for gRPC with
    /// `DEADLINE_EXCEEDED`), without a call of the inner service. It is not part of `total`, which begins with the call. So it stands outside of a balancer: inside of one, an
    /// instance that is not ready would become one that is. A wait that was given up before the limit struck, and is taken up long after that (as long again, and a second), begins anew.
    pub fn ready(self, limit: Duration) -> Self {
        self.set(|settings| settings.ready = Some(limit))
    }

    /// Limits the time from the call to the end of the request body. Default: no limit.
    ///
    /// Before the head it is answered with 408 where the inner service waits for the caller, and with 504 and `connection_write_timeout` where it takes
    /// nothing. After the head it does not strike any more.
    pub fn request(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.request = Some(limit))
    }

    /// Limits the time between two frames of the request body, while the inner service waits for the caller. Default: no limit.
    ///
    /// The request body then ends with a [`TimeoutError`](crate::TimeoutError), and the caller gets 408 unless the inner service answers at once all the same, with a success or with a
    /// status that has another reason (401, 413). What it still waits for after that is dropped.
    /// Time in which the inner service does not read does not count.
    pub fn request_idle(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.request_idle = Some(limit))
    }

    /// Limits the time from the call to the response head. Default: no limit.
    ///
    /// Where nothing else of the exchange counts from the call (`total`, a deadline, `first_byte`, `request`), it counts from the first poll of its future that is pending.
    pub fn head(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.head = Some(limit))
    }

    /// Replaces from when `head` and `first_byte` count. Default: [`HeadStart::Call`].
    pub fn head_from(self, start: HeadStart) -> Self {
        self.set(|settings| settings.head_from = start)
    }

    /// Lets the limit of the head follow how long heads take; `head` then counts only for a request that names one. Default: off.
    pub fn adaptive_head(self, head: AdaptiveHead) -> Self {
        self.set(|settings| settings.adaptive_head = Some(head))
    }

    /// Limits the time from the call to the first frame of the response body. Default: no limit.
    ///
    /// Time in which the caller does not read does not count.
    pub fn first_byte(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.first_byte = Some(limit))
    }

    /// Limits the time from the response head to the end of the response body. Default: no limit.
    pub fn response(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.response = Some(limit))
    }

    /// Limits the time between two frames of the response body, while the caller waits for them. Default: no limit.
    ///
    /// Time in which the caller does not read does not count.
    pub fn response_idle(self, limit: Duration) -> Self {
        self.set(|settings| settings.limits.response_idle = Some(limit))
    }

    /// Says whether `total` goes on after the head of a stream: `text/event-stream`, and 101 or a successful `CONNECT`. Default: false, so it ends there.
    ///
    /// What the caller says ([`Deadline`](crate::Deadline), `grpc-timeout`) holds in any case, and so do `response` and `response_idle`.
    pub fn total_on_streams(self, holds: bool) -> Self {
        self.set(|settings| settings.total_on_streams = holds)
    }

    /// Multiplies the layer's own limits, `total` and `ready` excepted, by what this returns at each call, 0 to 1: shorter limits under load. Default: 1.
    ///
    /// What an [`AdaptiveHead`] gives does not become shorter than its `min`.
    ///
    /// What is not a number, or outside of 0 to 1, is taken for 1.
    pub fn scale(self, factor: impl Fn() -> f32 + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.scale = Some(Scale(Arc::new(factor))))
    }

    /// Replaces where a request says how much time it has. Default: `grpc-timeout` of gRPC requests.
    pub fn deadline_sources(self, sources: DeadlineSources) -> Self {
        self.set(|settings| settings.sources = sources)
    }

    /// Replaces how the next hop is told how much time is left. Default: `grpc-timeout` in gRPC requests.
    pub fn propagation(self, propagation: Propagation) -> Self {
        self.set(|settings| settings.propagation = propagation)
    }

    /// Says whether the end of the exchange is put into the request's extensions as a [`Deadline`](crate::Deadline). Default: true.
    ///
    /// It costs up to three allocations where a request has no extensions yet, which is wasted where nothing inside reads it.
    pub fn share_deadline(self, shared: bool) -> Self {
        self.set(|settings| settings.share_deadline = shared)
    }

    /// Replaces what becomes of requests whose deadline has passed when they arrive. Default: [`Refusal::all`].
    pub fn late_requests(self, refusal: Refusal) -> Self {
        self.set(|settings| settings.refusal = refusal)
    }

    /// Replaces the status of the answer when `total`, `head` or `first_byte` strikes before the head. Default: 504; a server that limits its own
    /// handlers says 503, or 408 where the caller was slow.
    ///
    /// A gRPC caller gets `DEADLINE_EXCEEDED` whatever the status is. `ready` is always answered with 503, a slow request body with 408.
    pub fn status(self, status: StatusCode) -> Self {
        self.set(|settings| settings.status = status)
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        self.set(|settings| settings.name = name)
    }

    /// Says whether a stream of events that is cut between two events ends with `event: error` instead of an error of the body. Default: false.
    ///
    /// Its data is an object with `error`, `phase` and `limit_ms`. A stream with a `content-encoding` ends with the error: plain text would spoil it.
    pub fn sse_error_event(self, sent: bool) -> Self {
        self.set(|settings| settings.sse_error_event = sent)
    }

    /// Wraps the request body for an inner service with a fixed body type: `tonic::body::Body::new` for a tonic channel.
    pub fn map_body<F>(self, wrap: F) -> TimeoutLayer<MapBody<F>> {
        TimeoutLayer {
            settings: self.settings,
            convert: MapBody(wrap),
        }
    }

    pub(crate) fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

// For `Direct` only, so that nobody must say what the body is converted by.
impl Default for TimeoutLayer {
    fn default() -> Self {
        Self {
            settings: Arc::default(),
            convert: Direct,
        }
    }
}

impl<S, M: Clone> Layer<S> for TimeoutLayer<M> {
    type Service = Timeout<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, Arc::clone(&self.settings), self.convert.clone())
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            ready: None,
            head_from: HeadStart::default(),
            adaptive_head: None,
            scale: None,
            total_on_streams: false,
            sources: DeadlineSources::default(),
            propagation: Propagation::default(),
            share_deadline: true,
            refusal: Refusal::default(),
            status: StatusCode::GATEWAY_TIMEOUT,
            name: DEFAULT_NAME.into(),
            sse_error_event: false,
        }
    }
}

// === impl Scale ===

impl Scale {
    pub(crate) fn factor(&self) -> f32 {
        let factor = (self.0)();
        if (0.0..=1.0).contains(&factor) {
            factor
        } else {
            1.0
        }
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
