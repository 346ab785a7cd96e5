use std::sync::Arc;
use std::time::Duration;

use http::Response;
use portcullis_gateway_error::{Answer, Audience, Delivery, ErrorKind, Failure};

use crate::body::ResponseBody;

/// What a gate answers by itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    name: Arc<str>,
    audience: Audience,
    /// The time until it is worth another try, where somebody knows.
    again: Option<Duration>,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(name: &Arc<str>, audience: Audience, again: Option<Duration>) -> Self {
        Self {
            name: Arc::clone(name),
            audience,
            again,
        }
    }

    pub(crate) const fn again(mut self, again: Option<Duration>) -> Self {
        self.again = again;
        self
    }

    /// The upstream is down.
    pub(crate) fn unavailable<B>(self) -> Response<ResponseBody<B>> {
        // Where nobody looks, nobody knows; a second is what an answer can say at least.
        let again = self.again.unwrap_or_default().max(Duration::from_secs(1));
        let answer = Answer::new(ErrorKind::DestinationUnavailable).retry_after(again);
        self.answer(answer)
    }

    /// The deadline has passed before the upstream was up.
    pub(crate) fn too_late<B>(self) -> Response<ResponseBody<B>> {
        let failure = Failure::new(ErrorKind::HttpResponseTimeout).delivered(Delivery::NotSent);
        self.answer(Answer::from_failure(failure))
    }

    fn answer<B>(self, answer: Answer) -> Response<ResponseBody<B>> {
        answer
            .name(&*self.name)
            .into_response(&self.audience)
            .map(ResponseBody::refusal)
    }
}
