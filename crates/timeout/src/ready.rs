use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::timer::poll_sleep;
use crate::{Elapsed, Phase, telemetry};

/// What one instance of the service knows of its wait for the inner one.
#[derive(Default)]
pub(crate) struct Readiness {
    /// While the inner service is not ready.
    wait: Option<Box<Wait>>,
    /// The limit struck: the next call is answered, and the inner service is not called.
    struck: Option<Elapsed>,
}

struct Wait {
    since: Instant,
    sleep: Pin<Box<Sleep>>,
    /// It took the place of one that was given up, or seemed to: whoever is never woken in time gets his answer here.
    is_second: bool,
}

// === impl Readiness ===

impl Readiness {
    /// The inner service is ready, or has failed.
    #[inline]
    pub(crate) fn over(&mut self) {
        if self.wait.is_some() {
            *self = Self::default();
        }
    }

    /// The inner service is not ready. Is ready itself once that took too long.
    pub(crate) fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.struck.is_some() {
            return Poll::Ready(());
        }
        let wait = self.wait.get_or_insert_with(|| Box::new(Wait::new(limit)));
        ready!(poll_sleep(wait.sleep.as_mut(), cx));
        let mut elapsed = wait.since.elapsed();
        if !wait.is_second && elapsed.saturating_sub(limit) > limit.max(GIVEN_UP) {
            // Whoever still waited would have been woken long ago: that wait was given up, and this is another.
            **wait = Wait::new(limit);
            wait.is_second = true;
            ready!(poll_sleep(wait.sleep.as_mut(), cx));
            elapsed = wait.since.elapsed();
        }
        self.struck = Some(telemetry::struck(Phase::Ready, limit, elapsed));
        Poll::Ready(())
    }

    /// The limit that struck before this call.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Elapsed> {
        let struck = self.struck.take()?;
        self.wait = None;
        Some(struck)
    }
}

/// Nobody who waits is woken later than this after the limit, or than the limit again.
const GIVEN_UP: Duration = Duration::from_secs(1);

// === impl Wait ===

impl Wait {
    fn new(limit: Duration) -> Self {
        let since = Instant::now();
        let sleep = Box::pin(sleep_until(crate::policy::after(since, limit)));
        Self {
            since,
            sleep,
            is_second: false,
        }
    }
}

// Another instance waits by itself.
impl Clone for Readiness {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("waiting", &self.wait.is_some())
            .field("struck", &self.struck)
            .finish()
    }
}
