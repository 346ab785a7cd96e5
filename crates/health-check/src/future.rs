use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Answer, Audience};

use crate::body::ResponseBody;

pin_project! {
    /// The future of [`HealthCheck`](crate::HealthCheck). Dropping it drops the inner call.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F> {
        // The gate was open.
        Called { #[pin] inner: F },
        // The gate was closed; `None` after it was told.
        Refused { refusal: Option<(Answer, Audience)> },
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    pub(crate) const fn called(inner: F) -> Self {
        Self {
            state: State::Called { inner },
        }
    }

    pub(crate) const fn refused(answer: Answer, audience: Audience) -> Self {
        Self {
            state: State::Refused {
                refusal: Some((answer, audience)),
            },
        }
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Called { inner } => inner
                .poll(cx)
                .map_ok(|response| response.map(ResponseBody::inner)),
            StateProject::Refused { refusal } => match refusal.take() {
                Some((answer, audience)) => Poll::Ready(Ok(answer
                    .into_response(&audience)
                    .map(ResponseBody::answer))),
                // Polled after it was ready, which the contract of futures forbids.
                None => Poll::Pending,
            },
        }
    }
}
