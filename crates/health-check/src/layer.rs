use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{DEFAULT_NAME, DefaultClassifier};
use tower_layer::Layer;

use crate::gate::Gate;
use crate::judge::AnyError;
use crate::refusal::Kept;
use crate::{Health, HealthCheck, PassiveHealth, State};

/// Refuses calls at once while the upstream is down, or lets them wait; and finds out from the calls themselves that it is.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct HealthCheckLayer<C = AnyError> {
    pub(crate) gate: Gate,
    pub(crate) mode: Mode,
    pub(crate) name: Arc<str>,
    /// Shared by all services of the layer: what they answer is alike.
    pub(crate) kept: Arc<Kept>,
    pub(crate) classifier: C,
}

/// What a gate does while the upstream is down.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Answers at once with 503, or UNAVAILABLE for gRPC.
    #[default]
    FailFast,
    /// Waits until the upstream is up, as gRPC's `wait_for_ready`; then answers as [`FailFast`](Self::FailFast).
    ///
    /// Where the request has a [`Deadline`](portcullis_timeout::Deadline) that comes first, the answer is 504, or DEADLINE_EXCEEDED for gRPC.
    Wait {
        /// How long a call waits at most; a day where it is longer.
        limit: Duration,
    },
    /// Lets every call through, and says in the log which ones it would have refused.
    Observe,
}

// === impl HealthCheckLayer ===

impl HealthCheckLayer {
    /// A gate that this health opens and closes. Every service that the layer makes shares it.
    pub fn new(health: Health) -> Self {
        Self {
            gate: Gate {
                health,
                passive: None,
            },
            mode: Mode::FailFast,
            name: DEFAULT_NAME.into(),
            kept: Arc::default(),
            classifier: AnyError,
        }
    }
}

impl HealthCheckLayer<DefaultClassifier> {
    /// A gate that only the calls through it open and close: a circuit breaker.
    pub fn passive_only(passive: PassiveHealth) -> Self {
        HealthCheckLayer::new(Health::fixed(State::Up)).passive(passive)
    }
}

impl<C> HealthCheckLayer<C> {
    /// Looks at the calls that go through, and closes the gate while they show that the endpoint fails; errors are classified by [`DefaultClassifier`].
    ///
    /// It is open while this and the health both say so. A probe that succeeds ends an ejection, where
    /// [`return_on_check`](crate::OutlierDetection::return_on_check) is set.
    pub fn passive(self, passive: PassiveHealth) -> HealthCheckLayer<DefaultClassifier> {
        let Self {
            mut gate,
            mode,
            name,
            kept,
            ..
        } = self;
        gate.health.link(&passive);
        gate.passive = Some(passive);
        HealthCheckLayer {
            gate,
            mode,
            name,
            kept,
            classifier: DefaultClassifier,
        }
    }

    /// Replaces what classifies errors and answers, where calls are looked at.
    pub fn classifier<D>(self, classifier: D) -> HealthCheckLayer<D> {
        let Self {
            gate,
            mode,
            name,
            kept,
            ..
        } = self;
        HealthCheckLayer {
            gate,
            mode,
            name,
            kept,
            classifier,
        }
    }

    /// Replaces what happens while the upstream is down. Default: [`Mode::FailFast`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self.kept = Arc::default();
        self
    }
}

impl<S, C: Clone> Layer<S> for HealthCheckLayer<C> {
    type Service = HealthCheck<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthCheck::new(inner, self.clone())
    }
}
