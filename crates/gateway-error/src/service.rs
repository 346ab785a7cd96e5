use std::convert::Infallible;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use tokio::time::Instant;
use tower_service::Service;

use crate::future::{Exchange, ResponseFuture};
use crate::layer::Answers;
use crate::{AnswerBody, AttemptLog, Audience, Classify, Failure, RequestFacts};

/// The service that [`GatewayErrorLayer`](crate::GatewayErrorLayer) makes.
///
/// See the [crate docs](crate) for examples.
#[derive(Debug)]
pub struct GatewayError<S, C> {
    inner: S,
    classifier: C,
    answers: Answers,
    /// What the inner service said instead of becoming ready. The next call is answered with it.
    refused: Option<Refusal>,
}

/// A readiness error of the inner service, classified.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) details: String,
}

// === impl GatewayError ===

impl<S, C> GatewayError<S, C> {
    pub(crate) const fn new(inner: S, classifier: C, answers: Answers) -> Self {
        Self {
            inner,
            classifier,
            answers,
            refused: None,
        }
    }

    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the rest.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for GatewayError<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Classify<S::Error> + Clone,
{
    type Response = Response<AnswerBody<ResBody>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.refused.is_none()
            && let Err(error) = ready!(self.inner.poll_ready(cx))
        {
            self.refused = Some(Refusal {
                failure: self.classifier.classify_error(&error),
                details: self.classifier.describe_error(&error),
            });
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let log = AttemptLog::default();
        request.extensions_mut().insert(log.clone());
        let exchange = Exchange {
            answers: self.answers.clone(),
            audience: Audience::of(&request),
            log,
            facts: self.answers.diagnose().then(|| {
                let facts = RequestFacts::of(&request);
                Box::new((facts, Instant::now()))
            }),
        };
        let classifier = self.classifier.clone();

        match self.refused.take() {
            Some(refusal) => ResponseFuture::refused(refusal, classifier, exchange),
            None => ResponseFuture::new(self.inner.call(request), classifier, exchange),
        }
    }
}

impl<S: Clone, C: Clone> Clone for GatewayError<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            classifier: self.classifier.clone(),
            answers: self.answers.clone(),
            // The refusal belongs to the instance that was asked.
            refused: None,
        }
    }
}
