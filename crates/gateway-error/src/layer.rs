use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use tower_layer::Layer;

use crate::{Answer, DEFAULT_NAME, DefaultClassifier, ErrorKind, Failure, GatewayError};

/// Turns every error of the inner service into an answer, so that `Error = Infallible` from here outward.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct GatewayErrorLayer<C = DefaultClassifier> {
    classifier: C,
    answers: Answers,
}

/// How failures are answered.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    name: Arc<str>,
    expose_details: bool,
    diagnose: bool,
    statuses: Arc<BTreeMap<ErrorKind, StatusCode>>,
}

// === impl GatewayErrorLayer ===

impl GatewayErrorLayer {
    /// A layer with the [`DefaultClassifier`].
    pub fn new() -> Self {
        Self::with_classifier(DefaultClassifier)
    }
}

impl Default for GatewayErrorLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> GatewayErrorLayer<C> {
    /// A layer that classifies errors with this classifier: [`ErrorChain`](crate::ErrorChain), a closure, or a type of yours.
    pub fn with_classifier(classifier: C) -> Self {
        let answers = Answers {
            name: DEFAULT_NAME.into(),
            expose_details: false,
            diagnose: false,
            statuses: Arc::default(),
        };
        Self {
            classifier,
            answers,
        }
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.answers.name = name.into();
        self
    }

    /// Says whether the text of the error, with its sources, goes to the caller. Default: no. It goes to the log either way.
    pub const fn expose_details(mut self, expose: bool) -> Self {
        self.answers.expose_details = expose;
        self
    }

    /// Says whether a failure is logged as a whole [`Diagnosis`](crate::Diagnosis), and answers of the inner service that are gateway errors too.
    /// Default: no, because it copies the method, the URI and the headers of every request.
    pub const fn diagnose(mut self, diagnose: bool) -> Self {
        self.answers.diagnose = diagnose;
        self
    }

    /// Replaces the status that a kind is answered with. Default: [`ErrorKind::status`].
    pub fn status(mut self, kind: ErrorKind, status: StatusCode) -> Self {
        Arc::make_mut(&mut self.answers.statuses).insert(kind, status);
        self
    }

    /// Answers every kind with the status that RFC 9209 recommends: 502 for a name that does not resolve, 500 for a route that is missing.
    pub fn recommended_statuses(mut self) -> Self {
        let statuses = Arc::make_mut(&mut self.answers.statuses);
        statuses.extend(
            ErrorKind::ALL
                .iter()
                .map(|kind| (*kind, kind.recommended_status())),
        );
        self
    }
}

impl<S, C: Clone> Layer<S> for GatewayErrorLayer<C> {
    type Service = GatewayError<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        GatewayError::new(inner, self.classifier.clone(), self.answers.clone())
    }
}

// === impl Answers ===

impl Answers {
    pub(crate) fn expose_details(&self) -> bool {
        self.expose_details
    }

    pub(crate) fn diagnose(&self) -> bool {
        self.diagnose
    }

    /// The answer for a failure; `details` is what the log says, for the caller only where that was asked for.
    pub(crate) fn answer(&self, failure: Failure, details: Option<String>) -> Answer {
        let mut answer = Answer::from_failure(failure).name(&*self.name);
        let status = failure.kind().and_then(|kind| self.statuses.get(&kind));
        // What the failure itself says is said of this one exchange, and wins over what is set for its kind.
        if let (Some(status), None) = (status, failure.answer_status()) {
            answer = answer.status(*status);
        }
        match details {
            Some(details) if self.expose_details => answer.detail(details),
            _ => answer,
        }
    }
}
