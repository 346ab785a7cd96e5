use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

use super::Budget;

/// Decides which budget a request counts in.
pub trait SelectBudget: fmt::Debug + Send + Sync {
    /// Returns the budget of this request. It is asked once for each, and what it returns serves the request to its end.
    fn select(&self, request: &Parts) -> Arc<dyn Budget>;
}

/// One budget for each key, such as each upstream, so that one that fails does not use up what another may need.
///
/// A key gets its budget with its first request and keeps it for good. Keys may come from the caller (a `Host` is what it says), so their number is bounded:
/// once there are `max_keys`, all others share one more budget. Finding a budget takes no lock; only two that add a key at the same place at the same moment
/// may wait for each other.
///
/// ```
/// use portcullis_retry_on_gateway_error::{KeyedBudgets, RatioBudget};
///
/// let by_path = KeyedBudgets::new(
///     |request| request.uri.path().to_owned(),
///     RatioBudget::new,
/// );
/// let by_upstream = KeyedBudgets::by_authority(RatioBudget::new);
/// # let _ = (by_path, by_upstream);
/// ```
pub struct KeyedBudgets<K> {
    key: Box<dyn Fn(&Parts) -> K + Send + Sync>,
    make: Box<dyn Fn() -> Arc<dyn Budget> + Send + Sync>,
    hasher: RandomState,
    max_keys: usize,
    /// How many slots are taken, or about to be: never more than `max_keys`, so at least half of them stay empty and every search ends.
    taken: AtomicUsize,
    /// A key stands at its hash or, where that was taken, at the first place after it that was free. A slot is never emptied or changed.
    slots: Box<[Slot<K>]>,
    overflow: Arc<dyn Budget>,
}

type Slot<K> = OnceLock<(K, Arc<dyn Budget>)>;

// === impl KeyedBudgets ===

impl<K> KeyedBudgets<K> {
    /// Budgets for the keys that `key` finds in the head of a request, each of them made by `make`.
    #[must_use]
    pub fn new<B>(
        key: impl Fn(&Parts) -> K + Send + Sync + 'static,
        make: impl Fn() -> B + Send + Sync + 'static,
    ) -> Self
    where
        B: Budget + 'static,
    {
        Self {
            overflow: Arc::new(make()),
            key: Box::new(key),
            make: Box::new(move || Arc::new(make())),
            hasher: RandomState::new(),
            max_keys: DEFAULT_MAX_KEYS,
            taken: AtomicUsize::new(0),
            slots: slots(DEFAULT_MAX_KEYS),
        }
    }

    /// Replaces how many keys get a budget of their own. Default: 1024. More than 1,048,576 is the same as that.
    ///
    /// The places for them, two for each, are reserved at once. With 0 all requests share one budget.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.min(MAX_KEYS);
        self.taken = AtomicUsize::new(0);
        self.slots = slots(self.max_keys);
        self
    }
}

impl KeyedBudgets<Option<Authority>> {
    /// One budget for each upstream: the authority of the URI or, where it has none, the `Host` header.
    ///
    /// Upper and lower case are the same, a port that is said and one that is meant are not. Requests with neither share one budget.
    #[must_use]
    pub fn by_authority<B>(make: impl Fn() -> B + Send + Sync + 'static) -> Self
    where
        B: Budget + 'static,
    {
        Self::new(authority, make)
    }
}

impl<K: Eq + Hash> KeyedBudgets<K> {
    fn find(&self, key: K) -> &Arc<dyn Budget> {
        let mut slots = self.probe(self.hasher.hash_one(&key));
        let mut empty = None;
        for slot in slots.by_ref() {
            match slot.get() {
                Some((other, budget)) if *other == key => return budget,
                Some(_) => {}
                None => {
                    empty = Some(slot);
                    break;
                }
            }
        }
        if empty.is_none() || !self.take() {
            return &self.overflow;
        }
        let mut entry = (key, (self.make)());
        for slot in empty.into_iter().chain(slots) {
            let Err(refused) = slot.set(entry) else {
                return slot.get().map_or(&self.overflow, |(_, budget)| budget);
            };
            // Another was faster. It may have come with the same key: both began at the same place, so it cannot stand further on.
            entry = refused;
            if let Some((other, budget)) = slot.get()
                && *other == entry.0
            {
                self.taken.fetch_sub(1, Ordering::AcqRel);
                return budget;
            }
        }
        &self.overflow
    }

    /// All slots, from the one where a key of this hash belongs.
    fn probe(&self, hash: u64) -> impl Iterator<Item = &Slot<K>> {
        let mask = self.slots.len() - 1;
        // Only the low bits count, and a mask keeps them.
        let first = usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & mask;
        let (before, after) = self.slots.split_at(first);
        after.iter().chain(before)
    }

    /// Counts one more key, if there may be one.
    fn take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken < self.max_keys).then(|| taken + 1)
            })
            .is_ok()
    }
}

impl<K: Eq + Hash + Send + Sync> SelectBudget for KeyedBudgets<K> {
    fn select(&self, request: &Parts) -> Arc<dyn Budget> {
        Arc::clone(self.find((self.key)(request)))
    }
}

impl<K> fmt::Debug for KeyedBudgets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the keys: they are the caller's, and there may be many.
        f.debug_struct("KeyedBudgets")
            .field("max_keys", &self.max_keys)
            .field("keys", &self.taken.load(Ordering::Acquire))
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

/// Twice the number of keys, and a power of two so that a mask finds the place.
fn slots<K>(keys: usize) -> Box<[Slot<K>]> {
    let len = (2 * keys).next_power_of_two();
    (0..len).map(|_| OnceLock::new()).collect()
}

fn authority(request: &Parts) -> Option<Authority> {
    let host = || Authority::try_from(request.headers.get(HOST)?.as_bytes()).ok();
    request.uri.authority().cloned().or_else(host)
}

const DEFAULT_MAX_KEYS: usize = 1024;

const MAX_KEYS: usize = 1 << 20;

#[cfg(test)]
mod tests;
