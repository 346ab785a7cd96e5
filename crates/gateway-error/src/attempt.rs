use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Which attempt a request is, in its extensions, with the endpoints that were tried before.
///
/// Whoever makes the attempts, as the retry layer does, puts it there. Whoever picks an endpoint for the request, as a pool does, asks [`has_tried`](Self::has_tried) and
/// says what it picked by [`mark_tried`](Self::mark_tried); clones share what was tried.
///
/// ```
/// use std::num::NonZeroU32;
/// use portcullis_gateway_error::Attempt;
///
/// let first = Attempt::new(NonZeroU32::MIN);
/// first.mark_tried("10.0.0.7:8080");
///
/// let second = first.again(NonZeroU32::MIN.saturating_add(1));
/// assert!(second.has_tried("10.0.0.7:8080"));
/// ```
#[derive(Clone)]
pub struct Attempt {
    number: NonZeroU32,
    tried: Tried,
}

/// The endpoints that the attempts of one exchange went to, in their order.
#[derive(Clone, Default)]
struct Tried(Arc<Mutex<Vec<Arc<str>>>>);

// === impl Attempt ===

impl Attempt {
    /// The attempt of this number in an exchange of which no endpoint was tried yet.
    #[must_use]
    pub fn new(number: NonZeroU32) -> Self {
        let tried = Tried::default();
        Self { number, tried }
    }

    /// The attempt of this number in the same exchange: it shares what was tried.
    #[must_use]
    pub fn again(&self, number: NonZeroU32) -> Self {
        let tried = self.tried.clone();
        Self { number, tried }
    }

    /// Returns the number of the attempt; the original is 1.
    #[must_use]
    pub const fn number(&self) -> NonZeroU32 {
        self.number
    }

    /// Says whether an earlier attempt went to this endpoint (Envoy's `previous_hosts`).
    #[must_use]
    pub fn has_tried(&self, endpoint: &str) -> bool {
        self.tried
            .with(|tried| tried.iter().any(|other| &**other == endpoint))
    }

    /// Returns the endpoints that were tried, the first one first.
    #[must_use]
    pub fn tried(&self) -> Vec<Arc<str>> {
        self.tried.with(|tried| tried.clone())
    }

    /// Returns the endpoint that was marked last.
    #[must_use]
    pub fn last_tried(&self) -> Option<Arc<str>> {
        self.tried.with(|tried| tried.last().cloned())
    }

    /// Says that this attempt goes to this endpoint.
    pub fn mark_tried(&self, endpoint: impl Into<Arc<str>>) {
        let endpoint = endpoint.into();
        self.tried.with(|tried| tried.push(endpoint));
    }

    /// Picks until what was picked was not tried before, but not more often than this; the last pick then counts (Envoy's `host_selection_retry_max_attempts`, 1 there).
    pub fn pick<T>(
        &self,
        max: NonZeroU32,
        mut choose: impl FnMut() -> Option<T>,
        name: impl Fn(&T) -> &str,
    ) -> Option<T> {
        let mut picked = choose()?;
        for _ in 1..max.get() {
            if !self.has_tried(name(&picked)) {
                break;
            }
            picked = choose()?;
        }
        Some(picked)
    }

    /// Returns how many groups of endpoints to go down from the first: one more after this many attempts (Envoy's `previous_priorities`).
    #[must_use]
    pub const fn priority_shift(&self, every: NonZeroU32) -> u32 {
        (self.number.get() - 1) / every.get()
    }

    /// Says whether this attempt goes to another endpoint even where attempts stay with theirs: every so many retries (HAProxy's `option redispatch`).
    #[must_use]
    pub const fn is_redispatch(&self, every: NonZeroU32) -> bool {
        self.number.get() > 1 && (self.number.get() - 1).is_multiple_of(every.get())
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("tried", &self.tried())
            .finish()
    }
}

// === impl Tried ===

impl Tried {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Arc<str>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32) -> Attempt {
        Attempt::new(NonZeroU32::new(number).unwrap())
    }

    #[test]
    fn another_endpoint_is_picked_while_there_is_one() {
        let attempt = attempt(2);
        attempt.mark_tried("a");
        let (two, five) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(5).unwrap());
        for (script, max, expected, name) in [
            (
                &["a", "b"][..],
                five,
                Some("b"),
                "not the one that was tried",
            ),
            (&["b", "a"], five, Some("b"), "the first that is new"),
            (
                &["a", "a", "b"],
                two,
                Some("a"),
                "the last, when that was often enough",
            ),
            (&[], five, None, "none where there is none"),
        ] {
            let mut script = script.iter();

            let picked = attempt.pick(max, || script.next().copied(), |name| name);

            assert_eq!(picked, expected, "{name}");
        }
        assert_eq!(attempt.last_tried().as_deref(), Some("a"));
    }

    #[test]
    fn the_attempts_of_an_exchange_share_what_was_tried() {
        let first = attempt(1);
        let second = first.again(NonZeroU32::new(2).unwrap());

        first.mark_tried("a");

        assert!(second.has_tried("a"));
        assert_eq!(second.number().get(), 2);
        assert!(!attempt(2).has_tried("a"), "another exchange");
    }

    #[test]
    fn priorities_shift_and_attempts_are_redispatched_by_number() {
        let two = NonZeroU32::new(2).unwrap();
        for (number, shift, redispatched) in [
            (1, 0, false),
            (2, 0, false),
            (3, 1, true),
            (4, 1, false),
            (5, 2, true),
        ] {
            assert_eq!(attempt(number).priority_shift(two), shift, "{number}");
            assert_eq!(attempt(number).is_redispatch(two), redispatched, "{number}");
        }
    }
}
