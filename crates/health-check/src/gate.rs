use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::pass::Pass;
use crate::{Admission, Health, PassiveHealth};

/// What decides whether calls go through: what probes show, and what traffic shows.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) health: Health,
    pub(crate) passive: Option<PassiveHealth>,
}

/// What a gate says to one call.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It goes through, with a pass where traffic is looked at.
    Open(Option<Pass>),
    /// It does not; the time until it is worth another try, where somebody knows.
    Closed(Option<Duration>),
}

// === impl Gate ===

impl Gate {
    pub(crate) fn name(&self) -> &str {
        match &self.passive {
            Some(passive) if self.health.is_up() => passive.name(),
            _ => self.health.name(),
        }
    }

    /// Says whether a call would go through, and takes nothing; `Err` with the time until a trial, where that is what it waits for.
    #[inline]
    pub(crate) fn look(&self) -> Result<(), Option<Duration>> {
        if !self.health.is_up() {
            return Err(None);
        }
        match &self.passive {
            Some(passive) => passive.look().map_err(Some),
            None => Ok(()),
        }
    }

    /// The time until it is worth another try, where somebody knows.
    pub(crate) fn again(&self) -> Option<Duration> {
        if !self.health.is_up() {
            return self.health.next_check();
        }
        let due = self.passive.as_ref()?.due()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    #[inline]
    pub(crate) fn enter(&self) -> Entry {
        self.health.call_came();
        if !self.health.is_up() {
            return Entry::Closed(self.health.next_check());
        }
        match self.passive.as_ref().map(PassiveHealth::admit) {
            None => Entry::Open(None),
            Some(Admission::Pass(pass)) => Entry::Open(Some(pass)),
            Some(Admission::Refused { retry_after }) => Entry::Closed(Some(retry_after)),
        }
    }

    /// Waits until a call may go through, but not longer than until then. Woken by what changes, and by the end of an ejection.
    ///
    /// Dropping it gives back whatever it had.
    pub(crate) async fn enter_by(self, end: Instant) -> Entry {
        loop {
            // Looked for before the look, so that no change is missed.
            let mut turned = self.health.subscribe();
            let change = self.passive.as_ref().map(PassiveHealth::change);
            let entry = self.enter();
            if matches!(entry, Entry::Open(_)) || Instant::now() >= end {
                return entry;
            }
            // What probes say opens nothing by itself when its time has come.
            let due = self.passive.as_ref().filter(|_| self.health.is_up());
            let due = due.and_then(PassiveHealth::due).unwrap_or(end);
            let mut alarm = pin!(sleep_until(due.min(end)));
            let mut turned = pin!(turned.changed());
            let mut change = change;
            poll_fn(|cx| {
                let changed = change
                    .as_mut()
                    .is_some_and(|change| change.as_mut().poll(cx).is_ready());
                if changed || turned.as_mut().poll(cx).is_ready() {
                    return std::task::Poll::Ready(());
                }
                alarm.as_mut().poll(cx)
            })
            .await;
        }
    }

    /// Waits until a call would not go through.
    pub(crate) async fn until_closed(self) {
        loop {
            let mut turned = self.health.subscribe();
            let change = self.passive.as_ref().map(PassiveHealth::change);
            if self.look().is_err() {
                return;
            }
            let mut turned = pin!(turned.changed());
            let mut change = change;
            poll_fn(|cx| {
                let changed = change
                    .as_mut()
                    .is_some_and(|change| change.as_mut().poll(cx).is_ready());
                if changed {
                    return std::task::Poll::Ready(());
                }
                turned.as_mut().poll(cx).map(drop)
            })
            .await;
        }
    }
}
