use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::{Budget, Cost, Score, Tokens};

/// A request that was begun in its budget, until this is dropped.
pub(crate) struct Ticket {
    budget: Arc<dyn Budget>,
}

/// What was paid for one attempt. Dropped before the attempt was sent, it is given back; dropped later, the attempt has ended without a word.
pub(crate) struct Paid {
    /// The layer's budget, and its limit of retries at a time.
    from: [Option<(Arc<dyn Budget>, Tokens)>; 2],
    sent: bool,
}

// === impl Ticket ===

impl Ticket {
    pub(crate) fn begin(budget: Arc<dyn Budget>, now: Instant) -> Self {
        budget.begin(now);
        Self { budget }
    }

    pub(crate) const fn budget(&self) -> &Arc<dyn Budget> {
        &self.budget
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.budget.end();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.budget).finish()
    }
}

// === impl Paid ===

impl Paid {
    pub(crate) const fn nothing() -> Self {
        Self {
            from: [None, None],
            sent: false,
        }
    }

    /// Whether anything was paid.
    pub(crate) const fn is_something(&self) -> bool {
        let [first, second] = &self.from;
        first.is_some() || second.is_some()
    }

    /// Takes what the next attempt costs from this budget too; false: it is empty.
    pub(crate) fn withdraw(&mut self, budget: &Arc<dyn Budget>, now: Instant, cost: Cost) -> bool {
        let Some(tokens) = budget.withdraw(now, cost) else {
            return false;
        };
        if let Some(free) = self.from.iter_mut().find(|place| place.is_none()) {
            *free = Some((Arc::clone(budget), tokens));
        }
        true
    }

    /// Says that the attempt is being sent.
    pub(crate) const fn send(&mut self) {
        self.sent = true;
    }

    /// Keeps what was paid for another attempt, which is not sent yet.
    pub(crate) fn unsend(mut self) -> Self {
        self.sent = false;
        self
    }

    /// Ends the attempt. False where nothing was paid: it was the first.
    pub(crate) fn settle(&mut self, score: Score) -> bool {
        let mut any = false;
        for (budget, tokens) in self.from.iter_mut().filter_map(Option::take) {
            any = true;
            if self.sent {
                budget.settle(score, Some(tokens));
            } else {
                budget.refund(tokens);
            }
        }
        any
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        self.settle(Score::Ignored);
    }
}
