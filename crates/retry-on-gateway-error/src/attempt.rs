use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Which attempt a request is, in its extensions, with the endpoints that were tried before.
///
/// The first attempt carries it where the layer is told to [`track_endpoints`](crate::RetryLayer::track_endpoints), every other one always. Whoever picks an endpoint
/// for the request asks [`has_tried`](Self::has_tried) and says what it picked by [`mark_tried`](Self::mark_tried); clones share what was tried.
#[derive(Clone)]
pub struct Attempt {
    number: NonZeroU32,
    tried: Tried,
}

/// The endpoints that the attempts of one exchange went to, in their order.
#[derive(Clone, Default)]
pub(crate) struct Tried(Arc<Mutex<Vec<Arc<str>>>>);

/// In a request's extensions: the caller vouches that sending this request twice does no harm, or says that it does.
///
/// It decides for its request whatever the method is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Idempotent(pub bool);

// === impl Attempt ===

impl Attempt {
    pub(crate) const fn new(number: NonZeroU32, tried: Tried) -> Self {
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
    /// The endpoint that was marked last.
    pub(crate) fn last(&self) -> Option<Arc<str>> {
        self.with(|tried| tried.last().cloned())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Arc<str>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32) -> Attempt {
        Attempt::new(NonZeroU32::new(number).unwrap(), Tried::default())
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
        assert_eq!(attempt.tried.last().as_deref(), Some("a"));
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
