use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderName;
use portcullis_gateway_error::DEFAULT_NAME;
use tower_layer::Layer;

use crate::mapping::Plans;
use crate::{Mapping, ParamMapping};

/// Maps each request before the inner service sees it, and each response before the caller does.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct ParamMappingLayer {
    /// All clones and all services have it in common, so that one call changes it for all.
    shared: Arc<ArcSwap<Plans>>,
    name: Arc<str>,
    report_header: Option<HeaderName>,
}

// === impl ParamMappingLayer ===

impl ParamMappingLayer {
    /// A layer with this mapping.
    pub fn new(mapping: Mapping) -> Self {
        Self {
            shared: Arc::new(ArcSwap::new(mapping.plans)),
            name: DEFAULT_NAME.into(),
            report_header: None,
        }
    }

    /// Replaces the name of this hop in the `Proxy-Status` of refused messages. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Names a response header that tells the caller what was dropped, clamped and coerced, as a dictionary of lists of addresses
    /// ([RFC 9651](https://www.rfc-editor.org/rfc/rfc9651#section-3.2)): `dropped=("body:/top_k"), clamped=("body:/temperature")`. It is there
    /// only where something was, and replaces one of that name. Default: none.
    ///
    /// See [`Report`](crate::Report) for an example, and for the same as a value.
    pub fn report_header(mut self, name: HeaderName) -> Self {
        self.report_header = Some(name);
        self
    }

    /// Replaces the mapping of this layer, of its clones and of all services that they made, at once and without a lock. An exchange that
    /// has begun keeps the mapping that it began with, for its response too.
    ///
    /// ```
    /// use portcullis_param_mapping::{Mapping, ParamMappingLayer, Rule};
    ///
    /// let layer = ParamMappingLayer::new(Mapping::default());
    /// let handle = layer.clone();
    /// # let service = tower::Layer::layer(&layer, ());
    ///
    /// // A mapping with a mistake is refused when it is built, so the old one stays.
    /// let rule = Rule::remove("header:authorization".parse()?);
    /// handle.reload(Mapping::builder().rule(rule).build()?);
    /// # drop(service);
    /// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
    /// ```
    pub fn reload(&self, mapping: Mapping) {
        self.shared.store(mapping.plans);
    }
}

impl<S> Layer<S> for ParamMappingLayer {
    type Service = ParamMapping<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ParamMapping::new(
            inner,
            Arc::clone(&self.shared),
            Arc::clone(&self.name),
            self.report_header.clone(),
        )
    }
}

impl fmt::Debug for ParamMappingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamMappingLayer")
            .field("mapping", &self.shared.load())
            .field("name", &self.name)
            .field("report_header", &self.report_header)
            .finish()
    }
}
