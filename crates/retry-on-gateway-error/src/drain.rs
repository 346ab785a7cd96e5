use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

/// What is left of a discarded answer, read to its end so that its connection can be used again. Dropped as soon as it has ended or passed a limit.
pub(crate) struct Drain<B> {
    /// None: done.
    body: Option<B>,
    /// How many bytes are read yet.
    left: usize,
    until: Instant,
    /// Made when the body was pending for the first time. In a box, as few answers are discarded, and fewer of them take their time.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How much of a discarded answer is read, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DrainLimit {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// For how long the next attempt waits for the end of a discarded answer beyond its backoff: one that is on its way frees a connection for that attempt.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// As good as no end, where the limit is too long for the clock.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

// === impl Drain ===

impl<B: Body + Unpin> Drain<B> {
    pub(crate) fn new(body: B, limit: DrainLimit) -> Self {
        // A body that announces more than the limit is not worth a byte.
        let fits = body.size_hint().lower() <= limit.bytes.try_into().unwrap_or(u64::MAX);
        let now = Instant::now();
        Self {
            body: (fits && !body.is_end_stream()).then_some(body),
            left: limit.bytes,
            until: now.checked_add(limit.time).unwrap_or(now + FAR),
            timer: None,
        }
    }

    /// Ready when there is nothing left to read, or no more of it will be read.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(body) = &mut self.body {
            let go_on = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => {
                    let until = self.until;
                    let timer = self
                        .timer
                        .get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    false
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Buf::remaining);
                    self.left = self.left.saturating_sub(bytes);
                    bytes == 0 || self.left > 0
                }
                Poll::Ready(None | Some(Err(_))) => false,
            };
            if !go_on {
                self.body = None;
            }
        }
        Poll::Ready(())
    }
}

// === impl DrainLimit ===

/// 64 KiB and 1 s.
impl Default for DrainLimit {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            time: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use portcullis_test_support::{ScriptBody, Step};
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn limit(bytes: usize) -> DrainLimit {
        DrainLimit {
            bytes,
            ..DrainLimit::default()
        }
    }

    #[test]
    fn a_body_is_dropped_at_its_end_its_limit_and_its_error() {
        for (steps, bytes, name) in [
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
            let mut drain = Drain::new(body, limit(bytes));

            assert_ready!(task::spawn(()).enter(|cx, _| drain.poll(cx)), "{name}");

            assert!(dropped.load(Ordering::SeqCst), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_dropped_when_its_time_is_over() {
        let body = ScriptBody::new([Step::data("a"), Step::Stall]);
        let dropped = body.dropped();
        let mut drain = Drain::new(body, limit(100));
        assert_pending!(task::spawn(()).enter(|cx, _| drain.poll(cx)));
        let start = Instant::now();

        std::future::poll_fn(|cx| drain.poll(cx)).await;

        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_the_clock_is_no_mistake() {
        let limit = DrainLimit {
            bytes: 100,
            time: Duration::MAX,
        };
        let mut drain = Drain::new(ScriptBody::new([Step::data("a")]), limit);

        assert_ready!(task::spawn(()).enter(|cx, _| drain.poll(cx)));
    }
}
