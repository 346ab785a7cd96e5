//! What an exchange pays to the budgets, and what these learn of its attempts.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::StopReason;
use tokio::time::Instant;

use super::{Exchange, Run};
use crate::ticket::Paid;
use crate::{Cost, Score, telemetry};

// === impl Exchange ===

impl<S, P, C, M, ReqBody> Exchange<S, P, C, M, ReqBody> {
    /// Pays for one more attempt; why not, if that cannot be.
    pub(super) fn pay(&mut self, now: Instant, cost: Cost) -> Result<(), StopReason> {
        if self.next.is_something() {
            // For one that was to come after a wait; it comes all the same.
            return Ok(());
        }
        let mut paid = Paid::nothing();
        if let Some(limit) = &self.settings.max_concurrent_retries
            && !paid.withdraw(limit, now, cost)
        {
            return Err(StopReason::TooManyRetries);
        }
        if let Some(ticket) = &self.ticket
            && !paid.withdraw(ticket.budget(), now, cost)
        {
            return Err(StopReason::BudgetEmpty);
        }
        self.next = paid;
        Ok(())
    }

    /// Pays for a hedge; false, and a word about it, where it cannot be.
    pub(crate) fn pay_hedge(&mut self, wait: Duration) -> bool {
        match self.pay(Instant::now(), Cost::Hedge) {
            Ok(()) => {
                let number = NonZeroU32::MIN.saturating_add(self.begun);
                telemetry::hedging(number, wait);
                true
            }
            Err(reason) => {
                telemetry::not_hedging(reason);
                false
            }
        }
    }

    /// Whether more than one attempt was begun.
    pub(crate) const fn has_hedged(&self) -> bool {
        self.begun > 1
    }

    /// Gives back what was paid for an attempt that does not come.
    pub(crate) fn unpay(&mut self) {
        self.next = Paid::nothing();
    }

    /// Ends what the budgets know of an attempt.
    pub(super) fn settle(&self, run: &mut Run, score: Score) {
        if !run.paid.settle(score)
            && let Some(ticket) = &self.ticket
        {
            ticket.budget().settle(score, None);
        }
    }
}
