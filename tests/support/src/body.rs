use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::BoxError;

/// A body that does, poll for poll, what its script says.
#[derive(Debug)]
pub struct ScriptBody {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    size_hint: Option<SizeHint>,
    dropped: Arc<AtomicBool>,
}

/// What a [`ScriptBody`] does when it is polled.
#[derive(Debug)]
pub enum Step {
    /// Gives a data frame.
    Data(Bytes),
    /// Gives the trailers.
    Trailers(HeaderMap),
    /// Fails with this text.
    Error(&'static str),
    /// Is pending once and wakes its task at once.
    Pending,
    /// Is pending until this much time has passed, and then goes on with the next step.
    Wait(Duration),
    /// Is pending for ever.
    Stall,
}

// === impl ScriptBody ===

impl ScriptBody {
    /// A body with this script. Its size hint is exact where the script is nothing but data.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            sleep: None,
            size_hint: None,
            dropped: Arc::default(),
        }
    }

    /// A body of these data frames.
    #[must_use]
    pub fn chunks(chunks: impl IntoIterator<Item = &'static str>) -> Self {
        Self::new(chunks.into_iter().map(Step::data))
    }

    /// Replaces the size hint.
    #[must_use]
    pub fn hint(mut self, hint: SizeHint) -> Self {
        self.size_hint = Some(hint);
        self
    }

    /// Returns a flag that turns true when the body is dropped.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.dropped)
    }
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                match sleep.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.sleep = None,
                }
            }
            return match self.steps.pop_front() {
                None => Poll::Ready(None),
                Some(Step::Data(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Trailers(map)) => Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Some(Step::Error(text)) => {
                    self.steps.clear();
                    Poll::Ready(Some(Err(text.into())))
                }
                Some(Step::Pending) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Step::Wait(wait)) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(wait)));
                    continue;
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    Poll::Pending
                }
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(hint) = self.size_hint {
            return hint;
        }
        let sizes = self.steps.iter().map(|step| match step {
            Step::Data(bytes) => Some(bytes.len() as u64),
            _ => None,
        });
        sizes
            .sum::<Option<u64>>()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ScriptBody {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

// === impl Step ===

impl Step {
    /// A data frame with this text.
    #[must_use]
    pub const fn data(text: &'static str) -> Self {
        Self::Data(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_script_is_played_step_by_step() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        let body = ScriptBody::new([
            Step::data("a"),
            Step::Pending,
            Step::Wait(Duration::from_secs(3)),
            Step::data("b"),
            Step::Trailers(trailers.clone()),
        ]);
        let (dropped, start) = (body.dropped(), tokio::time::Instant::now());

        let collected = body.collect().await.unwrap();

        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "ab");
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[test]
    fn the_hint_is_exact_only_for_data() {
        assert_eq!(ScriptBody::chunks(["ab", "c"]).size_hint().exact(), Some(3));
        assert_eq!(
            ScriptBody::new([Step::data("ab"), Step::Stall])
                .size_hint()
                .exact(),
            None
        );
    }
}
