use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::DefaultClassifier;
use portcullis_retry_on_gateway_error::{Facts, RetryLayer};
use tower_layer::Layer;

mod future;
mod on;
mod policy;
mod service;
mod switch;

pub use self::future::FallbackFuture;
pub use self::on::FallbackOn;
pub use self::service::Fallback;
pub use self::switch::AnsweredBy;
pub use portcullis_retry_on_gateway_error::ResponseBody as FallbackBody;

use self::policy::{Chain, Rule};

/// Sends a request to another target where the first has failed, and to the next where that one has: as far as there are targets.
///
/// A target is what a layer makes of the client, or a service: [`into_service`](Self::into_service). The request is sent to each as the caller sent it; its body
/// is kept for that, up to a limit, while the first target reads it. The answer of the last target is the caller's, whatever it is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use portcullis::{AnsweredBy, FallbackLayer};
/// use tower::{ServiceExt, service_fn};
/// use tower::util::BoxCloneSyncService;
///
/// let answers = |status: StatusCode| BoxCloneSyncService::new(service_fn(move |_| async move {
///     Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap())
/// }));
/// let service = FallbackLayer::new("near", answers(StatusCode::BAD_GATEWAY))
///     .target("far", answers(StatusCode::OK))
///     .into_service();
///
/// let response = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(response.extensions().get::<AnsweredBy>().unwrap().name(), "far");
/// # }
/// ```
///
/// # What leads to the next target
/// What [`FallbackOn`] says. An answer whose head is another is final, and so is one whose body breaks off later. There is no further target either where the deadline
/// of the request has passed, where more of the body was read than is kept, and where the request is marked
/// [`Idempotent(false)`](portcullis_retry_on_gateway_error::Idempotent) and the target may have processed it.
///
/// # Defaults
/// | setting | default | why |
/// |---|---|---|
/// | [`on`](Self::on) | local failures, timeouts, 429, 5xx | the target has failed or is busy; another 4xx is the caller's |
/// | [`max_replay_bytes`](Self::max_replay_bytes) | 1 MiB | a long chat without pictures |
/// | [`replay_memory`](Self::replay_memory) | 64 MiB | as the retry layer has it |
/// | [`drain`](Self::drain) | 64 KiB and 1 s | as the retry layer has it |
///
/// # Order
/// Above retry: each target has its own attempts, limits of time and gate. The [`Attempt`](portcullis_retry_on_gateway_error::Attempt) of a layer further out passes; that of one target
/// does not reach the next.
///
/// # Readiness
/// The service is ready when its first target is; an error of that passes. Another target is made ready when it is its turn, and one that cannot be has failed.
///
/// # Cost
/// Where the first target answers: a copy of the head, the chunks of the body as they pass, and the name of the target in the answer. With one target, the name alone.
///
/// # Cancellation and records
/// Dropping the future drops the call that runs, and what was kept. Each target that was called has a record in the
/// [`RetryOutcome`](portcullis_gateway_error::RetryOutcome) of the answer, with its name as the endpoint, where the first has failed or somebody
/// further out asks by an [`AttemptLog`](portcullis_gateway_error::AttemptLog); the attempts of the one that answered are in [`AnsweredBy`]. A `debug` event
/// `another target answered` has `fallback.target` and `fallback.failed`; the metric `fallback.answers` counts by `target`.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct FallbackLayer<L, C = DefaultClassifier> {
    first: (Arc<str>, L),
    rest: Vec<(Arc<str>, L)>,
    engine: RetryLayer<Chain, C>,
    rule: Rule,
    max_replay_bytes: usize,
}

// === impl FallbackLayer ===

impl<L> FallbackLayer<L> {
    /// A layer with this target, which is called first, and its name for logs and metrics.
    pub fn new(name: impl Into<Arc<str>>, first: L) -> Self {
        // One engine for both: what is kept of a body, what is read of a discarded answer, when another attempt is too late.
        let engine = RetryLayer::new()
            .policy(Chain::default())
            .no_budget()
            .track_endpoints(true)
            .retry_nested(true)
            .wait_for_ready(true);
        Self {
            first: (name.into(), first),
            rest: Vec::new(),
            engine,
            rule: Rule::default(),
            max_replay_bytes: DEFAULT_MAX_REPLAY_BYTES,
        }
    }
}

impl<L, C> FallbackLayer<L, C> {
    /// Adds a target, which is called where all before it have failed, and its name.
    pub fn target(mut self, name: impl Into<Arc<str>>, target: L) -> Self {
        self.rest.push((name.into(), target));
        self
    }

    /// Replaces which failures lead to the next target. Default: [`FallbackOn::default`].
    pub fn on(mut self, on: FallbackOn) -> Self {
        self.rule = Rule::On(on);
        self
    }

    /// Replaces which failures lead to the next target by a function of what is known of an answer that is no 2xx, or of an error.
    pub fn when(mut self, when: impl Fn(&Facts<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.rule = Rule::When(Arc::new(when));
        self
    }

    /// Replaces how many bytes of a request body are kept for another target. Default: 1 MiB. A larger one is sent to the first target all the same, and to no other.
    pub const fn max_replay_bytes(mut self, bytes: usize) -> Self {
        self.max_replay_bytes = bytes;
        self
    }

    /// Replaces how many bytes all requests together may keep for another target. Default: 64 MiB.
    pub fn replay_memory(mut self, bytes: usize) -> Self {
        self.engine = self.engine.replay_memory(bytes);
        self
    }

    /// Replaces how much of a discarded answer is read so that its connection can be used again: this many bytes, for this long. Default: 64 KiB and 1 s.
    pub fn drain(mut self, bytes: usize, time: Duration) -> Self {
        self.engine = self.engine.drain(bytes, time);
        self
    }

    /// Replaces what classifies the errors of the targets. Default: the [`DefaultClassifier`].
    pub fn classifier<D>(self, classifier: D) -> FallbackLayer<L, D> {
        FallbackLayer {
            first: self.first,
            rest: self.rest,
            engine: self.engine.classifier(classifier),
            rule: self.rule,
            max_replay_bytes: self.max_replay_bytes,
        }
    }

    /// Makes the service of targets that are services already.
    #[must_use]
    pub fn into_service(self) -> Fallback<L, C>
    where
        C: Clone,
    {
        self.clone_engine().build(self.first, self.rest)
    }

    /// The same layer with other targets, made of each and its name.
    #[cfg(all(feature = "config", feature = "llm-mapping"))]
    pub(crate) fn map_targets<T>(&self, make: impl Fn(&str, &L) -> T) -> FallbackLayer<T, C>
    where
        C: Clone,
    {
        let map = |(name, target): &(Arc<str>, L)| (Arc::clone(name), make(name, target));
        FallbackLayer {
            first: map(&self.first),
            rest: self.rest.iter().map(map).collect(),
            engine: self.engine.clone(),
            rule: self.rule.clone(),
            max_replay_bytes: self.max_replay_bytes,
        }
    }

    fn clone_engine(&self) -> service::Engine<C>
    where
        C: Clone,
    {
        let chain = Chain::new(self.rule.clone(), self.rest.len());
        let engine = self.engine.clone().max_replay_bytes(self.max_replay_bytes);
        service::Engine(engine.policy(chain))
    }
}

impl<S, L, C> Layer<S> for FallbackLayer<L, C>
where
    S: Clone,
    L: Layer<S>,
    C: Clone,
{
    type Service = Fallback<L::Service, C>;

    fn layer(&self, client: S) -> Self::Service {
        let apply = |(name, layer): &(Arc<str>, L)| (Arc::clone(name), layer.layer(client.clone()));
        let rest = self.rest.iter().map(apply).collect();
        self.clone_engine().build(apply(&self.first), rest)
    }
}

impl<L, C> fmt::Debug for FallbackLayer<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = std::iter::once(&self.first)
            .chain(&self.rest)
            .map(|(name, _)| name)
            .collect();
        f.debug_struct("FallbackLayer")
            .field("targets", &names)
            .field("on", &self.rule)
            .field("max_replay_bytes", &self.max_replay_bytes)
            .finish_non_exhaustive()
    }
}

/// What is kept of a request body unless another limit is set: 1 MiB.
const DEFAULT_MAX_REPLAY_BYTES: usize = 1024 * 1024;
