use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use pin_project_lite::pin_project;

pin_project! {
    /// What is left of a discarded answer, read to its end so that its connection can be used again. Dropped as soon as it has ended or passed its limit.
    #[project = DrainProject]
    pub(crate) enum Drain<B> {
        Reading { #[pin] body: B, left: usize },
        Done,
    }
}

/// How much of a discarded answer is read, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DrainLimit {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

// === impl Drain ===

impl<B: Body> Drain<B> {
    pub(crate) fn new(body: B, limit: usize) -> Self {
        // A body that announces more than the limit is not worth a byte.
        let fits = body.size_hint().lower() <= limit.try_into().unwrap_or(u64::MAX);
        if body.is_end_stream() || !fits {
            Self::Done
        } else {
            Self::Reading { body, left: limit }
        }
    }

    /// Ready when there is nothing left to read, or no more of it will be read.
    pub(crate) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let DrainProject::Reading { body, left } = self.as_mut().project() {
            let go_on = match body.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Buf::remaining);
                    *left = left.saturating_sub(bytes);
                    bytes == 0 || *left > 0
                }
                Poll::Ready(None | Some(Err(_))) => false,
            };
            if !go_on {
                self.set(Self::Done);
            }
        }
        Poll::Ready(())
    }
}

// === impl DrainLimit ===

/// 64 KiB, and 100 ms beyond the wait.
impl Default for DrainLimit {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            time: Duration::from_millis(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::Ordering;

    use portcullis_test_support::{ScriptBody, Step};
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn a_body_is_dropped_at_its_end_its_limit_and_its_error() {
        for (steps, limit, name) in [
            (vec![Step::data("ab"), Step::data("c")], 100, "end"),
            (
                vec![Step::data("ab"), Step::data("cd"), Step::Stall],
                4,
                "limit",
            ),
            (
                vec![Step::data("ab"), Step::Error("gone"), Step::Stall],
                100,
                "error",
            ),
            (vec![Step::data("abcdefgh")], 4, "announced above the limit"),
        ] {
            let body = ScriptBody::new(steps);
            let dropped = body.dropped();
            let mut drain = pin!(Drain::new(body, limit));

            assert_ready!(
                task::spawn(()).enter(|cx, _| drain.as_mut().poll(cx)),
                "{name}"
            );

            assert!(dropped.load(Ordering::SeqCst), "{name}");
        }
    }

    #[test]
    fn a_body_that_stalls_is_pending() {
        let mut drain = pin!(Drain::new(
            ScriptBody::new([Step::data("a"), Step::Stall]),
            100
        ));

        assert_pending!(task::spawn(()).enter(|cx, _| drain.as_mut().poll(cx)));
    }
}
