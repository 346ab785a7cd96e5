use std::sync::Arc;

use portcullis_gateway_error::DEFAULT_NAME;
use tower_layer::Layer;

use crate::{Mapping, ParamMapping};

/// Maps each request before the inner service sees it.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct ParamMappingLayer {
    mapping: Mapping,
    name: Arc<str>,
}

// === impl ParamMappingLayer ===

impl ParamMappingLayer {
    /// A layer with this mapping.
    pub fn new(mapping: Mapping) -> Self {
        Self {
            mapping,
            name: DEFAULT_NAME.into(),
        }
    }

    /// Replaces the name of this hop in the `Proxy-Status` of refused requests. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

impl<S> Layer<S> for ParamMappingLayer {
    type Service = ParamMapping<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ParamMapping::new(inner, self.mapping.clone(), Arc::clone(&self.name))
    }
}
