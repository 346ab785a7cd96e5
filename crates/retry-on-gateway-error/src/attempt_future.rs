use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_gateway_error::Failure;
use tokio::time::{Sleep, sleep};

use crate::First;
use crate::body::Seen;

pin_project! {
    /// One attempt: the call of the inner service, and where somebody wants to see it, the first frame of its answer.
    #[project = AttemptProject]
    pub(crate) enum AttemptFuture<F, B> {
        Called { #[pin] call: F },
        // The call is dropped: what it holds is free for others.
        // The timer is made when the first frame was waited for; in a box, as few are.
        Answered { answer: Option<(Parts, B)>, timer: Option<Pin<Box<Sleep>>> },
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
    fn wants_first(&mut self, head: &Parts) -> bool;

    /// Judges the first frame.
    fn judge_first(&self, head: &Parts, first: First<'_>) -> Option<Failure>;

    /// How long the first frame is waited for.
    fn time_for_first(&self) -> Duration;
}

// === impl AttemptFuture ===

impl<F, B> AttemptFuture<F, B> {
    pub(crate) const fn new(call: F) -> Self {
        Self::Called { call }
    }

    pub(crate) fn poll<E>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        look: &mut impl Look,
    ) -> Poll<Result<Answer<B>, E>>
    where
        F: Future<Output = Result<Response<B>, E>>,
        B: Body<Data = Bytes> + Unpin,
    {
        if let AttemptProject::Called { call } = self.as_mut().project() {
            let result = ready!(call.poll(cx));
            self.set(Self::Answered {
                answer: None,
                timer: None,
            });
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
                timer: None,
            });
        }
        let AttemptProject::Answered { answer, timer } = self.project() else {
            return Poll::Pending;
        };
        let Some((_, body)) = answer else {
            return Poll::Pending;
        };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(look.time_for_first())));
                ready!(timer.as_mut().poll(cx));
                None
            }
        };
        let Some((head, body)) = answer.take() else {
            return Poll::Pending;
        };
        let Some(frame) = frame else {
            return Poll::Ready(Ok(Answer {
                head,
                body,
                first: None,
                failure: None,
            }));
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
