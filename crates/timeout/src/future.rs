use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use pin_project_lite::pin_project;
use portcullis_gateway_error::{Answer, Audience};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::TimeoutError;
use crate::body::ResponseBody;
use crate::layer::Form;
use crate::policy::Strike;

pin_project! {
    /// The future of [`Timeout`](crate::Timeout). Dropping it drops the inner call.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // None: the deadline had passed before the call.
        #[pin]
        inner: Option<F>,
        // Made when the inner future was pending for the first time.
        #[pin]
        sleep: Option<Sleep>,
        pending: Pending,
    }
}

/// What the future must know until the head is there.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) started: Instant,
    pub(crate) head: Option<Strike>,
    pub(crate) end: Option<Strike>,
    pub(crate) response_idle: Option<Duration>,
    pub(crate) audience: Audience,
    pub(crate) form: Form,
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    pub(crate) const fn new(inner: F, pending: Pending) -> Self {
        Self {
            inner: Some(inner),
            sleep: None,
            pending,
        }
    }

    pub(crate) const fn expired(pending: Pending) -> Self {
        Self {
            inner: None,
            sleep: None,
            pending,
        }
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            // The answer first: one that is there when the limit strikes still counts.
            if let Poll::Ready(result) = inner.poll(cx) {
                return Poll::Ready(result.map(|response| this.pending.guard(response)));
            }
            let Some(strike) = &this.pending.head else {
                return Poll::Pending;
            };
            if this.sleep.is_none() {
                this.sleep.set(Some(sleep_until(strike.at)));
            }
            let Some(sleep) = this.sleep.as_pin_mut() else {
                return Poll::Pending;
            };
            ready!(sleep.poll(cx));
            // Ended before it is answered for, so that layers further out see what it left behind.
            this.inner.set(None);
        }
        Poll::Ready(Ok(this.pending.answer()))
    }
}

// === impl Pending ===

impl Pending {
    fn guard<B>(&self, response: Response<B>) -> Response<ResponseBody<B>> {
        response.map(|body| ResponseBody::new(body, self.started, self.end, self.response_idle))
    }

    fn answer<B>(&self) -> Response<ResponseBody<B>> {
        let Some(strike) = self.head else {
            return self.in_band(Duration::ZERO);
        };
        let error = TimeoutError::strike(strike.phase, strike.limit, self.started.elapsed());
        self.in_band(error.limit())
    }

    fn in_band<B>(&self, limit: Duration) -> Response<ResponseBody<B>> {
        let kind = crate::Phase::Head.kind();
        let detail = if limit.is_zero() {
            "the deadline had passed before the call".to_owned()
        } else {
            format!("no answer within {limit:?}")
        };
        Answer::new(kind)
            .status(self.form.status)
            .name(&*self.form.name)
            .detail(detail)
            .into_response(&self.audience)
            .map(ResponseBody::answer)
    }
}
