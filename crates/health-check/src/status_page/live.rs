use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::StatusPage;
use super::feed::Place;

/// An event stream for one who looks at the page. It looks once a second, and only when it is asked: to a reader who is slow it says less, and keeps nothing for him.
pub(super) struct Live {
    page: StatusPage,
    _place: Place,
    /// The version that was told last.
    told: Option<u64>,
    /// When anything was said last.
    said: Instant,
    tick: Pin<Box<Sleep>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

const EVERY: Duration = Duration::from_secs(1);
/// A comment, which says that the connection is there.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

// === impl Live ===

impl Live {
    pub(super) fn new(page: StatusPage, place: Place) -> Self {
        let now = Instant::now();
        Self {
            ended: Box::pin(page.endpoints.ended()),
            page,
            _place: place,
            told: None,
            said: now,
            tick: Box::pin(sleep_until(now)),
            over: false,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.over && self.ended.as_mut().poll(cx).is_ready() {
            self.over = true;
        }
        if self.over {
            return Poll::Ready(None);
        }
        loop {
            ready!(self.tick.as_mut().poll(cx));
            let now = Instant::now();
            self.tick.as_mut().reset(now + EVERY);
            let (version, events) = self.page.feed.latest(&self.page, self.told.is_none());
            if self.told.replace(version) != Some(version) {
                self.said = now;
                return Poll::Ready(Some(events));
            }
            if now.saturating_duration_since(self.said) >= self.page.heartbeat {
                self.said = now;
                return Poll::Ready(Some(HEARTBEAT));
            }
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("told", &self.told)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
