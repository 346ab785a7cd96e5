use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long answers took lately, without a lock: counts in buckets whose width is an eighth of their value, all halved from time to time, so that what is old counts less.
#[doc(hidden)]
pub struct Latencies {
    buckets: [AtomicU32; BUCKETS],
    /// How many were recorded since the last halving.
    fresh: AtomicU32,
}

// === impl Latencies ===

impl Latencies {
    /// Counts one.
    pub fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(index(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if self.fresh.fetch_add(1, Ordering::Relaxed) == HALVE_AFTER {
            self.fresh.store(0, Ordering::Relaxed);
            for bucket in &self.buckets {
                // What others add meanwhile is not lost.
                bucket.fetch_sub(bucket.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }

    /// The time that this share of the answers, in hundredths of a per cent, took at most; `None` while too few were seen.
    #[must_use]
    pub fn percentile(&self, percentile: u16) -> Option<Duration> {
        let counts = || {
            self.buckets
                .iter()
                .map(|bucket| u64::from(bucket.load(Ordering::Relaxed)))
        };
        let total: u64 = counts().sum();
        if total < WARM_UP {
            return None;
        }
        let rank = (total * u64::from(percentile)).div_ceil(10_000).max(1);
        let mut below = 0;
        for (bucket, count) in counts().enumerate() {
            if below + count >= rank {
                // As if those of a bucket were spread evenly over it.
                let first = bucket
                    .checked_sub(1)
                    .map_or(0, |bucket| upper_bound(bucket) + 1);
                let width = upper_bound(bucket) - first;
                let share = (width * (rank - below)).div_ceil(count.max(1));
                return Some(Duration::from_micros(first + share));
            }
            below += count;
        }
        None
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
            fresh: AtomicU32::new(0),
        }
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("p50", &self.percentile(5000))
            .field("p95", &self.percentile(9500))
            .finish()
    }
}

/// Values below 8 have a bucket each; above, each power of two is cut into eight.
fn index(value: u64) -> usize {
    if value < STEPS {
        return usize::try_from(value).unwrap_or(0);
    }
    let power = value.ilog2() - STEPS.ilog2();
    let step = (value >> power) - STEPS;
    let index = u64::from(power + 1) * STEPS + step;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (power, step) = (index / STEPS - 1, index % STEPS);
    ((STEPS + step + 1) << power) - 1
}

const STEPS: u64 = 8;
/// Up to an hour and more.
const BUCKETS: usize = 240;
/// Fewer say nothing about a percentile.
const WARM_UP: u64 = 20;
const HALVE_AFTER: u32 = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_an_eighth_of_it_wide() {
        for value in (0..100_000).chain([1 << 20, (1 << 30) - 1, 3_600_000_000]) {
            let bound = upper_bound(index(value));

            assert!(bound >= value, "{value} in {bound}");
            assert!(bound - value <= value / 8, "{value} in {bound}");
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_percentile_follows_what_was_seen_lately() {
        let latencies = Latencies::default();
        for n in 1..=19 {
            latencies.record(Duration::from_millis(n));
        }
        assert_eq!(latencies.percentile(9500), None, "too few");
        for n in 20..=100 {
            latencies.record(Duration::from_millis(n));
        }
        let p95 = latencies.percentile(9500).unwrap();
        assert!((95..108).contains(&p95.as_millis()), "{p95:?}");

        for _ in 0..10 * HALVE_AFTER {
            latencies.record(Duration::from_millis(1));
        }
        let p95 = latencies.percentile(9500).unwrap();
        assert!(
            p95 < Duration::from_millis(2),
            "the slow ones are old: {p95:?}"
        );
    }
}
