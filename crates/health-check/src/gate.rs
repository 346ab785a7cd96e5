use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::health::Verdict;
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
    /// It does not.
    Shut(Shut),
}

/// Why a call does not go through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shut {
    /// It is down; the time until it is worth another try, where somebody knows.
    Closed(Option<Duration>),
    /// Nobody knows yet, and a probe says it soon.
    Unsettled,
}

/// What somebody waits for at a gate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitFor {
    /// That it is open.
    Opening,
    /// That it is known whether it is.
    Settling,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn name(&self) -> &str {
        match &self.passive {
            Some(passive) if self.health.is_up() => passive.name(),
            _ => self.health.name(),
        }
    }

    /// Says whether a call would go through, and takes nothing; `Err` with why not, and the time until a trial where that is what it waits for.
    #[inline]
    pub(crate) fn look(&self) -> Result<(), Shut> {
        match self.health.verdict() {
            Verdict::Up => {}
            Verdict::Down => return Err(Shut::Closed(None)),
            Verdict::Unsettled => return Err(Shut::Unsettled),
        }
        match &self.passive {
            Some(passive) => passive.look().map_err(|due| Shut::Closed(Some(due))),
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
        match self.health.verdict() {
            Verdict::Up => self.enter_while_up(),
            Verdict::Down => Entry::Shut(Shut::Closed(self.health.next_check())),
            Verdict::Unsettled => {
                self.health.ask();
                Entry::Shut(Shut::Unsettled)
            }
        }
    }

    /// The same by what is known, however old that is.
    fn enter_as_known(&self) -> Entry {
        if self.health.is_up() {
            self.enter_while_up()
        } else {
            Entry::Shut(Shut::Closed(self.health.next_check()))
        }
    }

    #[inline]
    fn enter_while_up(&self) -> Entry {
        match self.passive.as_ref().map(PassiveHealth::admit) {
            None => Entry::Open(None),
            Some(Admission::Pass(pass)) => Entry::Open(Some(pass)),
            Some(Admission::Refused { retry_after }) => {
                Entry::Shut(Shut::Closed(Some(retry_after)))
            }
        }
    }

    /// Waits until a call may go through, or until that is known, but not longer than until then. Woken by what changes, and by the end of an ejection.
    ///
    /// Dropping it gives back whatever it had.
    pub(crate) async fn enter_by(self, end: Instant, what: WaitFor) -> Entry {
        let mut seen = self.health.probes_ended();
        loop {
            // Looked for before the look, so that no change is missed.
            let mut turned = self.health.subscribe();
            let change = self.passive.as_ref().map(PassiveHealth::change);
            let ended = self.health.probes_ended();
            // A probe that was waited for counts, however long it took to wake.
            let entry = if ended == seen {
                self.enter()
            } else {
                self.enter_as_known()
            };
            seen = ended;
            match entry {
                Entry::Open(_) => return entry,
                Entry::Shut(Shut::Closed(_)) if what == WaitFor::Settling => return entry,
                Entry::Shut(_) => {}
            }
            if Instant::now() >= end {
                return Entry::Shut(Shut::Closed(self.again()));
            }
            // What probes say opens nothing by itself when its time has come.
            let due = self.passive.as_ref().filter(|_| self.health.is_up());
            let due = due.and_then(PassiveHealth::due).unwrap_or(end);
            // On demand, who waits asks again when the last answer is too old.
            let due = match self.health.expires() {
                Some(expires) if matches!(entry, Entry::Shut(Shut::Closed(_))) => due.min(expires),
                _ => due,
            };
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
