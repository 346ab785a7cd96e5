use std::fmt;

use tokio::time::Instant;

mod in_flight;
mod keyed;
mod quota;
mod ratio;
mod ratio_budget;
mod throttle;
mod window;

pub use self::in_flight::InFlightBudget;
pub use self::keyed::{KeyedBudgets, SelectBudget};
pub use self::quota::QuotaBudget;
pub use self::ratio::Ratio;
pub use self::ratio_budget::RatioBudget;
pub use self::throttle::ThrottleBudget;

/// Limits what retries and hedges may add to the load.
///
/// One object serves all: it is shared (`Arc`) by the clones of a layer, by retries and hedges, and by whatever else sends to the same upstream. Nothing here
/// waits, and every method may be called from many threads at once.
///
/// For one request: [`begin`](Self::begin); for each attempt but the first [`withdraw`](Self::withdraw), then [`refund`](Self::refund) or
/// [`settle`](Self::settle); for the first attempt `settle` without tokens; [`end`](Self::end).
///
/// ```
/// use portcullis_retry_on_gateway_error::{Budget, Cost, Tokens};
/// use tokio::time::Instant;
///
/// #[derive(Debug)]
/// struct NoHedges;
///
/// impl Budget for NoHedges {
///     fn withdraw(&self, _: Instant, cost: Cost) -> Option<Tokens> {
///         (cost != Cost::Hedge).then_some(Tokens::new(0))
///     }
///
///     fn refund(&self, _: Tokens) {}
/// }
/// ```
pub trait Budget: fmt::Debug + Send + Sync {
    /// Notes that a request begins: once for each, before its first attempt. Default: nothing.
    fn begin(&self, now: Instant) {
        let _ = now;
    }

    /// Notes that a request has ended, however: once for each [`begin`](Self::begin), also when it was dropped. Default: nothing.
    fn end(&self) {}

    /// Takes what one more attempt costs, before its wait; `None` when the budget is empty.
    ///
    /// It is one step: however many ask at once, no more is given than there is.
    fn withdraw(&self, now: Instant, cost: Cost) -> Option<Tokens>;

    /// Gives back what was taken for an attempt of which nothing was sent.
    ///
    /// Either this or [`settle`](Self::settle) follows each [`withdraw`](Self::withdraw), once.
    fn refund(&self, tokens: Tokens);

    /// Notes how an attempt has ended: the first one of a request (`paid` is `None`), or one that was paid for. Default: nothing.
    fn settle(&self, score: Score, paid: Option<Tokens>) {
        let _ = (score, paid);
    }
}

/// What an attempt is made for, which decides its price where there are several.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cost {
    /// The attempt before it failed in a way that may pass.
    Transient,
    /// The attempt before it was refused because there were too many.
    Throttling,
    /// The attempt before it is still running.
    Hedge,
}

/// What the end of an attempt says about the upstream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Score {
    /// It answered, and well: below 400, and OK where it is gRPC.
    Success,
    /// It failed in a way that is retried, whether it was or not.
    Failure,
    /// It says nothing: dropped, cancelled by another attempt, failed before it reached the upstream, or answered in a way that is the application's own, such as 404. Moves no counter, but the place in flight is free again.
    Ignored,
}

/// What a [`Budget`] took for one attempt. The number is the budget's own: an amount, a moment, or nothing.
#[must_use = "tokens are lost unless they are refunded or settled"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tokens(u64);

// === impl Tokens ===

impl Tokens {
    /// Tokens of this amount.
    pub const fn new(amount: u64) -> Self {
        Self(amount)
    }

    /// Returns the number that they were made with.
    #[must_use]
    pub const fn amount(self) -> u64 {
        self.0
    }
}

/// What the lock-free parts count with; the loom test puts its own in this place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}
