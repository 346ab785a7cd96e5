use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use portcullis_gateway_error::{Chance, DefaultClassifier};
use tower_layer::Layer;

use crate::drain::DrainLimit;
use crate::map_body::{Direct, MapBody};
use crate::marks::Marks;
use crate::replay::{ReplayLimit, ReplayMemory};
use crate::{
    AdaptiveThrottle, AttemptHeader, Budget, InFlightBudget, Peek, RatioBudget, Retry,
    SelectBudget, StandardPolicy,
};

mod standard;

/// Tries a call again after a gateway error, when that is safe.
///
/// What is shared (the budget, the memory for replays, what hedging and the throttle count) belongs to the layer: all its clones and all services that it makes share it.
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug, Default)]
pub struct RetryLayer<P = StandardPolicy, C = DefaultClassifier, M = Direct> {
    settings: Settings<P, C, M>,
}

/// What the layer and its services read.
#[derive(Clone, Debug)]
pub(crate) struct Settings<P, C, M> {
    pub(crate) policy: P,
    pub(crate) classifier: C,
    pub(crate) convert: M,
    pub(crate) limits: Limits,
    pub(crate) budget: Budgets,
    /// An [`InFlightBudget`] beside the other one.
    pub(crate) max_concurrent_retries: Option<Arc<dyn Budget>>,
    pub(crate) throttle: Option<AdaptiveThrottle>,
    pub(crate) peeks: Vec<Arc<dyn Peek>>,
    pub(crate) marks: Marks,
    pub(crate) count_in_answer: bool,
    pub(crate) exhausted_header: Option<HeaderName>,
    pub(crate) track_endpoints: bool,
    pub(crate) prepare: Option<Prepare>,
    pub(crate) trust_envoy_headers: bool,
    pub(crate) retry_nested: bool,
    pub(crate) wait_for_ready: bool,
    #[cfg(feature = "idempotency-key")]
    pub(crate) idempotency_key: bool,
    /// What ids are drawn from.
    pub(crate) chance: Chance,
}

/// What the layer itself keeps and reads, whatever the policy is.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) replay: ReplayLimit,
    pub(crate) drain: DrainLimit,
    /// How long a first frame is waited for.
    pub(crate) peek: Duration,
}

/// Which budget a request is in.
#[derive(Clone, Debug)]
pub(crate) enum Budgets {
    None,
    One(Arc<dyn Budget>),
    Each(Arc<dyn SelectBudget>),
}

/// What the user does to each attempt.
#[derive(Clone)]
pub(crate) struct Prepare(pub(crate) Arc<PrepareFn>);

type PrepareFn = dyn Fn(&mut Parts, NonZeroU32) + Send + Sync;

// === impl RetryLayer ===

impl RetryLayer {
    /// A layer with the [`StandardPolicy`] and the [`DefaultClassifier`].
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P, C, M> RetryLayer<P, C, M> {
    /// Replaces the policy.
    pub fn policy<Q>(self, policy: Q) -> RetryLayer<Q, C, M> {
        self.map(|_, classifier, convert| (policy, classifier, convert))
    }

    /// Replaces what classifies the errors of the inner service: [`ErrorChain`](portcullis_gateway_error::ErrorChain), a closure, or a type of yours.
    pub fn classifier<D>(self, classifier: D) -> RetryLayer<P, D, M> {
        self.map(|policy, _, convert| (policy, classifier, convert))
    }

    /// Wraps the request body for an inner service with a fixed body type: `tonic::body::Body::new` for a tonic channel.
    pub fn map_body<F>(self, wrap: F) -> RetryLayer<P, C, MapBody<F>> {
        self.map(|policy, classifier, _| (policy, classifier, MapBody(wrap)))
    }

    fn map<Q, D, N>(self, map: impl FnOnce(P, C, M) -> (Q, D, N)) -> RetryLayer<Q, D, N> {
        let Settings {
            policy,
            classifier,
            convert,
            limits,
            budget,
            max_concurrent_retries,
            throttle,
            peeks,
            marks,
            count_in_answer,
            exhausted_header,
            track_endpoints,
            prepare,
            trust_envoy_headers,
            retry_nested,
            wait_for_ready,
            #[cfg(feature = "idempotency-key")]
            idempotency_key,
            chance,
        } = self.settings;
        let (policy, classifier, convert) = map(policy, classifier, convert);
        RetryLayer {
            settings: Settings {
                policy,
                classifier,
                convert,
                limits,
                budget,
                max_concurrent_retries,
                throttle,
                peeks,
                marks,
                count_in_answer,
                exhausted_header,
                track_endpoints,
                prepare,
                trust_envoy_headers,
                retry_nested,
                wait_for_ready,
                #[cfg(feature = "idempotency-key")]
                idempotency_key,
                chance,
            },
        }
    }

    /// Replaces how many bytes of a request body are kept for another attempt. Default: 64 KiB (Linkerd).
    ///
    /// A body that is larger is sent all the same; there is no other attempt once more than this was sent of it, and an event says so.
    pub const fn max_replay_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.replay.max_bytes = bytes;
        self
    }

    /// Replaces how many bytes all requests together may keep for another attempt. Default: 64 MiB.
    ///
    /// Counted are the bytes of each chunk and the 32 of its place. A chunk keeps the whole buffer alive that it is a part of, as the caller's server made it.
    /// When they are in use, a request that needs more goes on like one whose body is too large.
    pub fn replay_memory(mut self, bytes: usize) -> Self {
        self.settings.limits.replay.memory = ReplayMemory::new(bytes);
        self
    }

    /// Replaces how much of a discarded answer is read so that its connection can be used again: this many bytes, for this long. Default: 64 KiB and 1 s.
    ///
    /// It is read while the wait passes, which is longer by 100 ms at most for that, and then beside the next attempt. What is left after that is dropped, which resets
    /// a stream of HTTP/2 and closes a connection of HTTP/1.1.
    pub const fn drain(mut self, bytes: usize, time: Duration) -> Self {
        self.settings.limits.drain = DrainLimit { bytes, time };
        self
    }

    /// Replaces what limits how much retries and hedges add to the load. Default: a [`RatioBudget`] of 20 % and 10 per second, over 10 s.
    pub fn budget(self, budget: impl Budget + 'static) -> Self {
        self.shared_budget(Arc::new(budget))
    }

    /// Replaces the budget by one that other layers have too.
    pub fn shared_budget(mut self, budget: Arc<dyn Budget>) -> Self {
        self.settings.budget = Budgets::One(budget);
        self
    }

    /// Replaces the budget by one for each upstream: [`KeyedBudgets`](crate::KeyedBudgets).
    pub fn budgets(mut self, budgets: impl SelectBudget + 'static) -> Self {
        self.settings.budget = Budgets::Each(Arc::new(budgets));
        self
    }

    /// Takes the budget away. While an upstream is down, every request is then sent as often as there are attempts.
    pub fn no_budget(mut self) -> Self {
        self.settings.budget = Budgets::None;
        self
    }

    /// Limits how many retries and hedges are under way at a time, their waits included. Default: no limit but the budget's.
    pub fn max_concurrent_retries(mut self, retries: u32) -> Self {
        self.settings.max_concurrent_retries = Some(Arc::new(InFlightBudget::fixed(retries)));
        self
    }

    /// Refuses requests before they are sent while the upstream refuses most of them. Default: no.
    pub fn adaptive_throttle(mut self, throttle: AdaptiveThrottle) -> Self {
        self.settings.throttle = Some(throttle);
        self
    }

    /// Lets this look at the first frame of answers too. The status of gRPC is looked for always, where another attempt could follow.
    pub fn peek(mut self, peek: impl Peek + 'static) -> Self {
        self.settings.peeks.push(Arc::new(peek));
        self
    }

    /// Replaces how long the first frame of an answer is waited for where somebody looks at it: then the answer is handed on as it is. Default: 5 s.
    ///
    /// A stream may bring its head long before its first message, as a gRPC `Watch` does. Zero: a frame is looked at only if it is there with the head.
    pub const fn peek_time(mut self, time: Duration) -> Self {
        self.settings.limits.peek = time;
        self
    }

    /// Replaces how the upstream is told the number of an attempt. Default: it is not.
    pub fn attempt_header(mut self, header: AttemptHeader) -> Self {
        self.settings.marks.attempt = header;
        self
    }

    /// Tells the caller too how many attempts there were, in a header of the answer, where [`AttemptHeader::Count`] names one. Default: no.
    pub const fn attempt_count_in_answer(mut self, tell: bool) -> Self {
        self.settings.count_in_answer = tell;
        self
    }

    /// Marks an answer that is handed on because there is no further attempt by this header, with the [reason](portcullis_gateway_error::StopReason) as its value, so that a
    /// retry further out can let it be: name it in its [`no_retry_headers`](RetryLayer::no_retry_headers). Default: no.
    ///
    /// Within one process that needs no header: another layer of this crate sees the [`RetryOutcome`](portcullis_gateway_error::RetryOutcome).
    pub fn exhausted_header(mut self, name: HeaderName) -> Self {
        self.settings.exhausted_header = Some(name);
        self
    }

    /// Gives each further attempt a parent id of its own in its `traceparent`, in the same trace. Default: no, as a layer further in that traces attempts does it better.
    pub const fn renew_traceparent(mut self, renew: bool) -> Self {
        self.settings.marks.renew_traceparent = renew;
        self
    }

    /// Puts an [`Attempt`](crate::Attempt) into the extensions of the first attempt too, for a pool that says which endpoint it picked. Default: only into those of the others.
    pub const fn track_endpoints(mut self, track: bool) -> Self {
        self.settings.track_endpoints = track;
        self
    }

    /// Calls this on the head of each attempt before it is sent, with the attempt's number. Each starts from what the caller sent.
    pub fn prepare(
        mut self,
        prepare: impl Fn(&mut Parts, NonZeroU32) + Send + Sync + 'static,
    ) -> Self {
        self.settings.prepare = Some(Prepare(Arc::new(prepare)));
        self
    }

    /// Reads `x-envoy-retry-on`, `x-envoy-retry-grpc-on`, `x-envoy-max-retries` and `x-envoy-retriable-status-codes` of a request, and removes them. Default: no: it is for
    /// requests from hops that are trusted. They cannot ask for more than 5 attempts.
    pub const fn trust_envoy_headers(mut self, trust: bool) -> Self {
        self.settings.trust_envoy_headers = trust;
        self
    }

    /// Retries also what comes from a retry layer further out, as its [`Attempt`](crate::Attempt) says. Default: no, as three layers of three attempts are twenty-seven.
    pub const fn retry_nested(mut self, retry: bool) -> Self {
        self.settings.retry_nested = retry;
        self
    }

    /// Waits until the inner service is ready for another attempt. Default: no: where it is not ready now, it is busy enough, and the answer that is there is handed on
    /// (Linkerd). After an error, which leaves nothing to hand on, the layer always waits.
    pub const fn wait_for_ready(mut self, wait: bool) -> Self {
        self.settings.wait_for_ready = wait;
        self
    }

    /// Gives requests that are neither idempotent nor have an `Idempotency-Key` one of their own, the same for all attempts; not those of gRPC, which has
    /// [`idempotent_grpc_methods`](RetryLayer::idempotent_grpc_methods). Default: no.
    ///
    /// They count as idempotent then: only for upstreams that know the header. The key is a UUID of version 4, in quotes, as
    /// [draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/) has it.
    #[cfg(feature = "idempotency-key")]
    pub const fn idempotency_key(mut self, add: bool) -> Self {
        self.settings.idempotency_key = add;
        self
    }
}

impl<S, P: Clone, C: Clone, M: Clone> Layer<S> for RetryLayer<P, C, M> {
    type Service = Retry<S, P, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, Arc::new(self.settings.clone()))
    }
}

// === impl Settings ===

impl<P: Default, C: Default, M: Default> Default for Settings<P, C, M> {
    fn default() -> Self {
        Self {
            policy: P::default(),
            classifier: C::default(),
            convert: M::default(),
            limits: Limits::default(),
            budget: Budgets::One(Arc::new(RatioBudget::new())),
            max_concurrent_retries: None,
            throttle: None,
            peeks: Vec::new(),
            marks: Marks::default(),
            count_in_answer: false,
            exhausted_header: None,
            track_endpoints: false,
            prepare: None,
            trust_envoy_headers: false,
            retry_nested: false,
            wait_for_ready: false,
            #[cfg(feature = "idempotency-key")]
            idempotency_key: false,
            chance: Chance::random(),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            replay: ReplayLimit {
                max_bytes: 64 * 1024,
                memory: ReplayMemory::new(64 * 1024 * 1024),
            },
            drain: DrainLimit::default(),
            peek: Duration::from_secs(5),
        }
    }
}

// === impl Budgets ===

impl Budgets {
    pub(crate) fn select(&self, request: &Parts) -> Option<Arc<dyn Budget>> {
        match self {
            Self::None => None,
            Self::One(budget) => Some(Arc::clone(budget)),
            Self::Each(budgets) => Some(budgets.select(request)),
        }
    }
}

// === impl Prepare ===

impl fmt::Debug for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
