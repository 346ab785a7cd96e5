use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use crate::Deadline;

/// What becomes of requests whose deadline has passed when they arrive.
///
/// A cap is for callers whose clocks or settings are wrong: without it, every request of theirs is refused. It is shared by all clones of the layer.
#[must_use = "a refusal does nothing until a layer has it"]
#[derive(Clone, Debug)]
pub struct Refusal(Mode);

#[derive(Clone, Debug)]
enum Mode {
    All,
    AtMost(Arc<Cap>),
    CountOnly,
}

/// A share of the requests, without a lock: each that has a deadline pays in its share, and each refusal takes one out.
#[derive(Debug)]
struct Cap {
    /// In thousandths of a refusal.
    share: i64,
    balance: AtomicI64,
}

/// In a request's extensions: its headers give it no time, and it was let through all the same. Layers further in do not refuse it either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetThrough;

// === impl Refusal ===

impl Refusal {
    /// Refuses all of them. This is the default.
    pub const fn all() -> Self {
        Self(Mode::All)
    }

    /// Refuses at most this share of the requests that have a deadline, 0 to 1, and ten beyond it; lets the others through, with no regard to the deadline that has passed,
    /// here or in a layer further in.
    ///
    /// A share outside of 0 to 1 is taken for the nearer of both.
    pub fn at_most(share: f32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
        let share = (share.clamp(0.0, 1.0) * WHOLE as f32) as i64;
        let balance = AtomicI64::new(BURST);
        Self(Mode::AtMost(Arc::new(Cap { share, balance })))
    }

    /// Refuses none of them, and counts what it would have refused: to see first what would happen.
    pub const fn count_only() -> Self {
        Self(Mode::CountOnly)
    }

    /// Says whether a request with a deadline is refused, which has `passed` or not.
    #[inline]
    pub(crate) fn refuses(&self, passed: bool) -> bool {
        match &self.0 {
            Mode::All => passed,
            Mode::CountOnly => false,
            Mode::AtMost(cap) => cap.refuses(passed),
        }
    }
}

impl Default for Refusal {
    fn default() -> Self {
        Self::all()
    }
}

// === impl Cap ===

impl Cap {
    fn refuses(&self, passed: bool) -> bool {
        let mut refused = false;
        let _ = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
                let paid = (balance + self.share).min(BURST);
                refused = passed && paid >= WHOLE;
                Some(if refused { paid - WHOLE } else { paid })
            });
        refused
    }
}

// === impl LetThrough ===

impl LetThrough {
    /// Takes what has passed from a request, so that nobody further in goes by it. Returns its deadline if that is still to come.
    pub(crate) fn mark<B>(
        request: &mut Request<B>,
        deadline: Option<Deadline>,
        said: &mut Option<Duration>,
        now: Instant,
    ) -> Option<Deadline> {
        // The header stays, for the next hop to decide by itself.
        if said.take_if(|said| said.is_zero()).is_some() {
            request.extensions_mut().insert(Self);
        }
        let in_time = deadline.filter(|deadline| deadline.instant() > now);
        if in_time.is_none() && deadline.is_some() {
            request.extensions_mut().remove::<Deadline>();
        }
        in_time
    }
}

const WHOLE: i64 = 1000;
const BURST: i64 = 10 * WHOLE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_is_refused_and_ten() {
        for (share, passed, expected) in [
            (0.2, 1000, 210),
            (0.2, 100, 30),
            (0.0, 1000, 10),
            (1.0, 1000, 1000),
            (7.0, 1000, 1000),
        ] {
            let refusal = Refusal::at_most(share);

            let refused = (0..passed).filter(|_| refusal.refuses(true)).count();

            assert!(
                refused.abs_diff(expected) <= 2,
                "{refused} of {passed} at {share}, expected {expected}"
            );
        }
    }

    #[test]
    fn clones_share_the_cap_and_nobody_in_time_is_refused() {
        let refusal = Refusal::at_most(0.0);
        let clone = refusal.clone();

        let refused = (0..100)
            .filter(|_| refusal.refuses(true) | clone.refuses(true))
            .count();

        assert_eq!(refused, 5);
        assert!(!Refusal::all().refuses(false) && !Refusal::at_most(1.0).refuses(false));
        assert!(!Refusal::count_only().refuses(true));
    }
}
