use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::layer::Answers;
use crate::service::Refusal;
use crate::{AnswerBody, AttemptLog, Audience, Classify};

pin_project! {
    /// The future of [`GatewayError`](crate::GatewayError).
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
        answers: Answers,
        audience: Audience,
        log: AttemptLog,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, C> {
        // The inner service works on it.
        Called { #[pin] inner: F, classifier: C },
        // The inner service was never ready for it; `None` after it was told.
        Refused { refusal: Option<Refusal> },
    }
}

// === impl ResponseFuture ===

impl<F, C> ResponseFuture<F, C> {
    pub(crate) const fn new(
        inner: F,
        classifier: C,
        answers: Answers,
        audience: Audience,
        log: AttemptLog,
    ) -> Self {
        Self {
            state: State::Called { inner, classifier },
            answers,
            audience,
            log,
        }
    }

    pub(crate) fn refused(refusal: Refusal, answers: Answers, audience: Audience) -> Self {
        let state = State::Refused {
            refusal: Some(refusal),
        };
        Self {
            state,
            answers,
            audience,
            log: AttemptLog::default(),
        }
    }
}

impl<F, C, ResBody, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    C: Classify<E>,
{
    type Output = Result<Response<AnswerBody<ResBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let refusal = match this.state.project() {
            StateProject::Called { inner, classifier } => match ready!(inner.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response.map(AnswerBody::inner))),
                Err(error) => Refusal {
                    failure: classifier.classify_error(&error),
                    details: classifier.describe_error(&error),
                },
            },
            StateProject::Refused { refusal } => match refusal.take() {
                Some(refusal) => refusal,
                // Polled after it was ready, which the contract of futures forbids.
                None => return Poll::Pending,
            },
        };

        let Refusal { failure, details } = refusal;
        tracing::warn!(
            error.r#type = failure.error_type(),
            delivery = failure.delivery().as_str(),
            attempts = this.log.get().map(tracing::field::display),
            error = details,
            "exchange failed",
        );
        let details = this.answers.expose_details().then_some(details);
        let mut response = this
            .answers
            .answer(failure, details)
            .into_response(this.audience);
        if let Some(attempts) = this.log.get() {
            response.extensions_mut().insert(attempts.clone());
        }
        Poll::Ready(Ok(response))
    }
}
