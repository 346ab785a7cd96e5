use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::timer::poll_sleep;
use crate::{Phase, TimeoutError, telemetry};

/// When an exchange must be over, in the extensions of its request.
///
/// It only ever shrinks: [`TimeoutLayer`](crate::TimeoutLayer) puts the least of what it finds and its own `total` there, and whatever stands
/// inside, retries and their waits included, keeps to it. A handler of axum takes it as `Option<Extension<Deadline>>`: a
/// request need not have one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use portcullis_timeout::{Deadline, Phase};
///
/// let deadline = Deadline::after(Duration::from_secs(3));
/// tokio::time::advance(Duration::from_secs(1)).await;
/// assert_eq!(deadline.remaining(), Duration::from_secs(2));
///
/// assert_eq!(deadline.run(async { "in time" }).await, Ok("in time"));
/// let error = deadline.run(std::future::pending::<()>()).await.unwrap_err();
/// assert_eq!(error.phase(), Phase::Total);
/// assert!(deadline.has_passed());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Deadline {
    at: Instant,
    /// What holds for a stream without an end too: what the caller asked for. A layer's own `total` ends at the head of one.
    on_streams: Option<Instant>,
}

pin_project! {
    /// The future of [`Deadline::run`]. Dropping it drops what it runs.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Run<F> {
        #[pin]
        inner: F,
        // Made when the inner future was pending for the first time.
        #[pin]
        sleep: Option<Sleep>,
        started: Instant,
        deadline: Deadline,
    }
}

// === impl Deadline ===

impl Deadline {
    /// A deadline at this instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self {
            at: instant,
            on_streams: Some(instant),
        }
    }

    /// A deadline this long from now. One that is too far away for the clock is thirty years away.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self::after_instant(Instant::now(), duration)
    }

    #[inline]
    pub(crate) fn after_instant(now: Instant, duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

        Self::at(now + duration.min(FAR))
    }

    /// What an exchange is held to as a whole, and what of that holds on streams.
    #[inline]
    pub(crate) const fn of(whole: Instant, on_streams: Option<Instant>) -> Self {
        Self {
            at: whole,
            on_streams,
        }
    }

    #[inline]
    pub(crate) const fn on_streams(self) -> Option<Instant> {
        self.on_streams
    }

    /// Returns the instant.
    #[must_use]
    pub const fn instant(&self) -> Instant {
        self.at
    }

    /// Returns the time until then; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Says whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.at <= Instant::now()
    }

    /// Runs a future until the deadline, and drops it then: a query of a handler, a call of another service.
    ///
    /// The future comes first: what is ready when the deadline has passed counts.
    ///
    /// # Cancel safety
    /// Dropping the [`Run`] drops the future, and nothing else.
    pub fn run<F: Future>(self, future: F) -> Run<F> {
        Run {
            inner: future,
            sleep: None,
            started: Instant::now(),
            deadline: self,
        }
    }
}

// === impl Run ===

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let at = this.deadline.instant();
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(at)));
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(poll_sleep(sleep, cx));
        }
        let limit = at.saturating_duration_since(*this.started);
        let elapsed = telemetry::struck(Phase::Total, limit, this.started.elapsed());
        Poll::Ready(Err(TimeoutError::new(elapsed)))
    }
}
