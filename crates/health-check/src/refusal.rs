use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Response;
use http_body::Body;
use portcullis_gateway_error::{Answer, AnswerBody, Audience, Delivery, ErrorKind, Failure};

use crate::body::{Nothing, ResponseBody};

/// The last answer of a gate: while an upstream is down there are many that are alike, and one is not made for each.
#[derive(Default)]
pub(crate) struct Kept(ArcSwapOption<Refusal>);

/// What a gate answers by itself.
pub(crate) struct Refusal {
    audience: Audience,
    seconds: u64,
    response: Response<Bytes>,
}

// === impl Kept ===

impl Kept {
    /// The upstream is down, and it is worth another try after this time, where somebody knows.
    pub(crate) fn unavailable(
        &self,
        name: &str,
        audience: Audience,
        again: Option<Duration>,
    ) -> Arc<Refusal> {
        // Where nobody looks, nobody knows; a second is what an answer can say at least.
        let again = again.unwrap_or_default().max(Duration::from_secs(1));
        let seconds = again.as_secs() + u64::from(again.subsec_nanos() > 0);
        if let Some(last) = &*self.0.load()
            && last.seconds == seconds
            && last.audience == audience
        {
            return Arc::clone(last);
        }
        let wait = Duration::from_secs(seconds);
        let answer = Answer::new(ErrorKind::DestinationUnavailable).retry_after(wait);
        let refusal = Arc::new(Refusal {
            response: make(answer, name, &audience),
            audience,
            seconds,
        });
        self.0.store(Some(Arc::clone(&refusal)));
        refusal
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

// === impl Refusal ===

impl Refusal {
    /// The deadline has passed before the upstream was up.
    pub(crate) fn too_late(name: &str, audience: Audience) -> Arc<Self> {
        let failure = Failure::new(ErrorKind::HttpResponseTimeout).delivered(Delivery::NotSent);
        Arc::new(Self {
            response: make(Answer::from_failure(failure), name, &audience),
            audience,
            seconds: 0,
        })
    }

    pub(crate) fn respond<B>(&self) -> Response<ResponseBody<B>> {
        let answer = |bytes| ResponseBody::refusal(AnswerBody::answer(bytes));
        self.response.clone().map(answer)
    }
}

/// Makes the answer, whose body is one frame at most.
fn make(answer: Answer, name: &str, audience: &Audience) -> Response<Bytes> {
    let response = answer.name(name).into_response::<Nothing>(audience);
    response.map(|mut body| {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Poll::Ready(None | Some(Err(_))) | Poll::Pending => Bytes::new(),
        }
    })
}
