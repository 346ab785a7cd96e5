use std::sync::atomic::{AtomicU64, Ordering};

/// Successes and failures of the last ten ticks, without a lock: a ring of words, each with the tick that it counts for.
///
/// It slides by a tenth of itself: what is older is not counted, however much or little came since.
#[derive(Debug)]
pub(crate) struct Window([AtomicU64; BUCKETS]);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sums {
    pub(crate) successes: u32,
    pub(crate) failures: u32,
}

/// One word: tick 24 bits, successes and failures 20 bits each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) tick: u64,
    pub(crate) successes: u64,
    pub(crate) failures: u64,
}

/// How many parts a window has.
pub(crate) const PARTS: u32 = 10;
const BUCKETS: usize = PARTS as usize;
pub(crate) const TICKS: u64 = (1 << 24) - 1;
/// The most that one bucket counts. It is halved then, so that the shares stay.
const MOST: u64 = (1 << 20) - 1;

// === impl Window ===

impl Window {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts one outcome of this tick. Ticks begin with 1.
    #[inline]
    pub(crate) fn add(&self, tick: u64, success: bool) {
        let part = usize::try_from(tick % u64::from(PARTS)).unwrap_or(0);
        let Some(cell) = self.0.get(part) else {
            return;
        };
        let mut word = cell.load(Ordering::Relaxed);
        loop {
            let bucket = Bucket::from_word(word).with(tick & TICKS, success);
            match cell.compare_exchange_weak(
                word,
                bucket.to_word(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// The sums of the ten ticks that end with this one.
    pub(crate) fn sums(&self, tick: u64) -> Sums {
        let mut sums = Sums::default();
        for cell in &self.0 {
            let bucket = Bucket::from_word(cell.load(Ordering::Relaxed));
            let age = tick.wrapping_sub(bucket.tick) & TICKS;
            if age < u64::from(PARTS) {
                sums.successes += count(bucket.successes);
                sums.failures += count(bucket.failures);
            }
        }
        sums
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for cell in &self.0 {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

// === impl Sums ===

impl Sums {
    pub(crate) const fn total(self) -> u32 {
        self.successes + self.failures
    }

    /// The share of successes, in per cent.
    pub(crate) fn success_rate(self) -> f64 {
        100.0 * f64::from(self.successes) / f64::from(self.total().max(1))
    }
}

// === impl Bucket ===

impl Bucket {
    #[inline]
    pub(crate) const fn with(self, tick: u64, success: bool) -> Self {
        let mut bucket = if self.tick == tick {
            self
        } else {
            Self {
                tick,
                successes: 0,
                failures: 0,
            }
        };
        if bucket.successes == MOST || bucket.failures == MOST {
            bucket.successes /= 2;
            bucket.failures /= 2;
        }
        if success {
            bucket.successes += 1;
        } else {
            bucket.failures += 1;
        }
        bucket
    }

    #[inline]
    pub(crate) const fn to_word(self) -> u64 {
        self.tick << 40 | self.successes << 20 | self.failures
    }

    #[inline]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self {
            tick: word >> 40,
            successes: (word >> 20) & MOST,
            failures: word & MOST,
        }
    }
}

/// A count of 20 bits.
fn count(bits: u64) -> u32 {
    u32::try_from(bits).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_keeps_the_share() {
        let mut bucket = Bucket::from_word(0);
        for n in 0..3_000_000 {
            bucket = bucket.with(1, n % 4 != 0);
        }

        let sums = Sums {
            successes: count(bucket.successes),
            failures: count(bucket.failures),
        };
        assert!((sums.success_rate() - 75.0).abs() < 0.1, "{bucket:?}");
    }

    #[test]
    fn what_was_long_ago_never_weighs() {
        let window = Window::new();
        for tick in 1..=1000 {
            for _ in 0..10 {
                window.add(tick, true);
            }
        }
        for tick in 1001..=1010 {
            window.add(tick, false);
        }

        let sums = window.sums(1010);

        assert_eq!((sums.successes, sums.failures), (0, 10));
    }

    proptest! {
        /// The window says what counting all outcomes and looking at their age says.
        #[test]
        fn the_sums_are_those_of_the_last_ten_ticks(steps in proptest::collection::vec((0_u64..15, any::<bool>()), 0..200), rest in 0_u64..15) {
            let window = Window::new();
            let mut all = Vec::new();
            let mut tick = TICKS - 100;
            for (later, success) in steps {
                tick += later;
                window.add(tick, success);
                all.push((tick, success));
            }
            tick += rest;

            let sums = window.sums(tick);

            let count = |wanted: bool| {
                let fresh = |(at, success): &&(u64, bool)| tick - at < 10 && *success == wanted;
                u32::try_from(all.iter().filter(fresh).count()).unwrap()
            };
            prop_assert_eq!(sums, Sums { successes: count(true), failures: count(false) });
        }
    }
}
