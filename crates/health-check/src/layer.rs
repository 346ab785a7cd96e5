use std::sync::Arc;

use portcullis_gateway_error::DEFAULT_NAME;
use tower_layer::Layer;

use crate::{Health, HealthCheck};

/// Refuses calls at once while the upstream is down.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct HealthCheckLayer {
    pub(crate) health: Health,
    pub(crate) mode: Mode,
    pub(crate) name: Arc<str>,
}

/// What a gate does while the upstream is down.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Answers at once with 503, or UNAVAILABLE for gRPC.
    #[default]
    FailFast,
    /// Lets every call through, and says in the log which ones it would have refused.
    Observe,
}

// === impl HealthCheckLayer ===

impl HealthCheckLayer {
    /// A gate that this health opens and closes. Every service that the layer makes shares it.
    pub fn new(health: Health) -> Self {
        Self {
            health,
            mode: Mode::FailFast,
            name: DEFAULT_NAME.into(),
        }
    }

    /// Replaces what happens while the upstream is down. Default: [`Mode::FailFast`].
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

impl<S> Layer<S> for HealthCheckLayer {
    type Service = HealthCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthCheck::new(inner, self.clone())
    }
}
