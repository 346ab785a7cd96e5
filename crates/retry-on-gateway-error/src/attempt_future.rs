use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::Failure;

use crate::First;
use crate::body::Seen;

pin_project! {
    /// One attempt: the call of the inner service, and where somebody wants to see it, the first frame of its answer.
    #[project = AttemptProject]
    pub(crate) enum AttemptFuture<F, B> {
        Called { #[pin] call: F },
        // The call is dropped: what it holds is free for others.
        Answered { answer: Option<(Parts, B)> },
    }
}

/// An answer, as far as it was looked at.
pub(crate) struct Answer<B: Body> {
    pub(crate) head: Parts,
    pub(crate) body: B,
    pub(crate) first: Option<Seen<B>>,
    /// What the first frame says, if it says that this is a failure.
    pub(crate) failure: Option<Failure>,
}

/// Whoever looks at answers.
pub(crate) trait Look {
    /// Says whether the first frame of this answer is to be seen.
    fn wants_first(&self, head: &Parts) -> bool;

    /// Judges the first frame.
    fn judge_first(&self, head: &Parts, first: First<'_>) -> Option<Failure>;
}

// === impl AttemptFuture ===

impl<F, B> AttemptFuture<F, B> {
    pub(crate) const fn new(call: F) -> Self {
        Self::Called { call }
    }

    pub(crate) fn poll<E>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        look: &impl Look,
    ) -> Poll<Result<Answer<B>, E>>
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: Body<Data = Bytes> + Unpin,
    {
        if let AttemptProject::Called { call } = self.as_mut().project() {
            let result = ready!(call.poll(cx));
            self.set(Self::Answered { answer: None });
            let (head, body) = match result {
                Ok(response) => response.into_parts(),
                Err(error) => return Poll::Ready(Err(error)),
            };
            if body.is_end_stream() || !look.wants_first(&head) {
                return Poll::Ready(Ok(Answer {
                    head,
                    body,
                    first: None,
                    failure: None,
                }));
            }
            self.set(Self::Answered {
                answer: Some((head, body)),
            });
        }
        let AttemptProject::Answered { answer } = self.project() else {
            return Poll::Pending;
        };
        let Some((_, body)) = answer else {
            return Poll::Pending;
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let Some((head, body)) = answer.take() else {
            return Poll::Pending;
        };
        let first = match &frame {
            None => First::End,
            Some(Err(_)) => First::Broken,
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => First::Data(data),
                (None, Some(trailers)) => First::Trailers(trailers),
                (None, None) => First::Data(&[]),
            },
        };
        let failure = look.judge_first(&head, first);
        let first = match frame {
            None => Seen::End,
            Some(Err(error)) => Seen::Error(error),
            Some(Ok(frame)) => Seen::Frame(frame),
        };
        Poll::Ready(Ok(Answer {
            head,
            body,
            first: Some(first),
            failure,
        }))
    }
}
