use std::time::Duration;

use tokio::time::Instant;

/// When an exchange must be over, in the extensions of its request.
///
/// It only ever shrinks: [`TimeoutLayer`](crate::TimeoutLayer) puts the earlier of what it finds and its own `total` there, and whatever stands
/// inside, retries and their waits included, keeps to it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use portcullis_timeout::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(3));
/// tokio::time::advance(Duration::from_secs(1)).await;
/// assert_eq!(deadline.remaining(), Duration::from_secs(2));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Deadline(Instant);

// === impl Deadline ===

impl Deadline {
    /// A deadline at this instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// A deadline this long from now. One that is too far away for the clock is thirty years away.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self::after_instant(Instant::now(), duration)
    }

    pub(crate) fn after_instant(now: Instant, duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

        Self(now + duration.min(FAR))
    }

    /// Returns the instant.
    #[must_use]
    pub const fn instant(&self) -> Instant {
        self.0
    }

    /// Returns the time until then; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Says whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.0 <= Instant::now()
    }
}
