use std::convert::Infallible;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use http::Response;
use http::response::Parts;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::layer::Answers;
use crate::service::Refusal;
use crate::{
    AnswerBody, AttemptLog, Audience, Classify, Diagnosis, Failure, RequestFacts, RetryOutcome,
};

pin_project! {
    /// The future of [`GatewayError`](crate::GatewayError).
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F>,
        classifier: C,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F> {
        // The inner service works on it.
        Called { #[pin] inner: F },
        // The inner service was never ready for it; `None` after it was told.
        Refused { refusal: Option<Refusal> },
    }
}

/// What is remembered of an exchange until it ends.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) answers: Answers,
    pub(crate) audience: Audience,
    pub(crate) log: AttemptLog,
    /// The request and when it came, where failures are diagnosed.
    pub(crate) facts: Option<Box<(RequestFacts, Instant)>>,
}

// === impl ResponseFuture ===

impl<F, C> ResponseFuture<F, C> {
    pub(crate) const fn new(inner: F, classifier: C, exchange: Exchange) -> Self {
        Self {
            state: State::Called { inner },
            classifier,
            exchange,
        }
    }

    pub(crate) const fn refused(refusal: Refusal, classifier: C, exchange: Exchange) -> Self {
        Self {
            state: State::Refused {
                refusal: Some(refusal),
            },
            classifier,
            exchange,
        }
    }
}

impl<F, C, ResBody, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    C: Classify<E>,
{
    type Output = Result<Response<AnswerBody<ResBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let refusal = match this.state.project() {
            StateProject::Called { inner } => match ready!(inner.poll(cx)) {
                Ok(response) => {
                    let classify = |head: &Parts| this.classifier.classify_head(head);
                    let response = this.exchange.watch(response, classify);
                    return Poll::Ready(Ok(response.map(AnswerBody::inner)));
                }
                Err(error) => Refusal {
                    failure: this.classifier.classify_error(&error),
                    details: this.classifier.describe_error(&error),
                },
            },
            StateProject::Refused { refusal } => match refusal.take() {
                Some(refusal) => refusal,
                // Polled after it was ready, which the contract of futures forbids.
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Ok(this.exchange.answer(refusal)))
    }
}

// === impl Exchange ===

impl Exchange {
    /// Diagnoses an answer of the inner service that is a gateway error, where that was asked for.
    ///
    /// An answer that a limit gave in place of a retry that it ended has no attempts of its own: they are in the log.
    fn watch<B>(
        &self,
        mut response: Response<B>,
        classify: impl FnOnce(&Parts) -> Option<Failure>,
    ) -> Response<B> {
        if let Some(attempts) = self.log.get()
            && response.extensions().get::<RetryOutcome>().is_none()
        {
            response
                .extensions_mut()
                .insert::<RetryOutcome>(attempts.clone());
        }
        if self.facts.is_none() {
            return response;
        }
        let (head, body) = response.into_parts();
        if let Some(diagnosis) = classify(&head).and_then(|failure| self.diagnosis(failure)) {
            diagnosis.response(&head).emit();
        }
        Response::from_parts(head, body)
    }

    fn answer<B>(&self, refusal: Refusal) -> Response<AnswerBody<B>> {
        let Refusal { failure, details } = refusal;
        match self.diagnosis(failure) {
            Some(diagnosis) => diagnosis.error(details.as_str()).emit(),
            None => tracing::warn!(
                error.r#type = failure.error_type(),
                delivery = failure.delivery().as_str(),
                attempts = self.log.get().map(tracing::field::display),
                error = details,
                "exchange failed",
            ),
        }
        let details = self.answers.expose_details().then_some(details);
        let answer = self.answers.answer(failure, details);
        let mut response = answer.into_response(&self.audience);
        if let Some(attempts) = self.log.get() {
            response
                .extensions_mut()
                .insert::<RetryOutcome>(attempts.clone());
        }
        response
    }

    fn diagnosis(&self, failure: Failure) -> Option<Diagnosis> {
        let (request, started) = self.facts.as_deref()?;
        let diagnosis = Diagnosis::new(request, failure).elapsed(started.elapsed());
        Some(match self.log.get() {
            Some(attempts) => diagnosis.attempts(attempts.clone()),
            None => diagnosis,
        })
    }
}
