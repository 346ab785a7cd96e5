use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// The one timer of an exchange: made when something was pending for the first time, and moved from then on.
///
/// In a box, so that it moves with the exchange from its future to the body of the answer without leaving the driver's list.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

// === impl Timer ===

impl Timer {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Is ready once this point in time has passed.
    pub(crate) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        poll_sleep(sleep.as_mut(), cx)
    }
}

/// Polls it whether or not the task has used up what tokio lets it do in one poll.
///
/// Whoever is always ready uses that up, and a `Sleep` is then pending whatever the time is: no limit would ever strike.
pub(crate) fn poll_sleep(sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(sleep)).poll(cx)
}

/// How exact timers are.
pub(crate) const TICK: Duration = Duration::from_millis(1);
