use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_gateway_error::Latencies;

use crate::response_body::nanos;

/// A limit for the head that follows how long heads take: the running 99th percentile times a factor, inside of bounds.
///
/// Until twenty heads were seen it is `max`. A head that did not come in time counts as one that took that long, so that the limit grows again when
/// the service gets slower; a call with a limit that is shorter than the percentile (a caller's deadline, a policy, `scale`) tells nothing, and does not count. What is counted belongs to this value: all its clones share it, and so do all services of a layer that has it.
#[must_use = "it does nothing until a layer has it"]
#[derive(Clone, Debug)]
pub struct AdaptiveHead {
    factor: f32,
    min: Duration,
    max: Duration,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    latencies: Latencies,
    count: AtomicU32,
    /// The 99th percentile in nanoseconds, read again from time to time; 0 while too little was seen.
    p99: AtomicU64,
}

// === impl AdaptiveHead ===

impl AdaptiveHead {
    /// The 99th percentile times this factor, at least `min` and at most `max`. A factor below 1 is taken for 1; where `min` is above `max`, `max` counts.
    pub fn new(factor: f32, min: Duration, max: Duration) -> Self {
        Self {
            factor: if factor >= 1.0 { factor } else { 1.0 },
            min: min.min(max),
            max,
            seen: Arc::default(),
        }
    }

    /// Returns the limit as it is now.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let p99 = self.seen.p99.load(Ordering::Relaxed);
        if p99 == 0 {
            return self.max;
        }
        let limit = Duration::from_nanos(p99).as_secs_f64() * f64::from(self.factor);
        // A factor without an end is no limit, so the bound.
        let limit = Duration::try_from_secs_f64(limit).unwrap_or(self.max);
        limit.clamp(self.min, self.max)
    }

    /// Returns the shortest limit.
    pub(crate) const fn min(&self) -> Duration {
        self.min
    }

    /// Counts a head that came, where it would have been waited for so long. Where that is less than the percentile it does not count: those that take
    /// longer do not come, so that the percentile of those that do would follow the limit down.
    pub(crate) fn came(&self, elapsed: Duration, limit: Option<Duration>) {
        let p99 = self.seen.p99.load(Ordering::Relaxed);
        if limit.is_none_or(|limit| nanos(limit) >= p99) {
            self.record(elapsed);
        }
    }

    /// Counts a head that did not come in this time, unless that is less than most take.
    pub(crate) fn missed(&self, elapsed: Duration) {
        let most = match self.seen.p99.load(Ordering::Relaxed) {
            0 => nanos(self.max),
            p99 => p99,
        };
        if nanos(elapsed) >= most {
            self.record(elapsed);
        }
    }

    /// Counts a head that took so long.
    fn record(&self, elapsed: Duration) {
        let Seen {
            latencies,
            count,
            p99,
        } = &*self.seen;
        latencies.record(elapsed);
        if count.fetch_add(1, Ordering::Relaxed) % REREAD == REREAD - 1
            && let Some(percentile) = latencies.percentile(9900)
        {
            p99.store(nanos(percentile).max(1), Ordering::Relaxed);
        }
    }
}

/// A percentile looks at all buckets, so it is not read for each request.
const REREAD: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_secs(5);

    fn after(heads: impl IntoIterator<Item = u64>) -> AdaptiveHead {
        let head = AdaptiveHead::new(2.0, MIN, MAX);
        for millis in heads {
            head.record(Duration::from_millis(millis));
        }
        head
    }

    #[test]
    fn the_limit_follows_the_percentile_inside_its_bounds() {
        assert_eq!(after([100; 19]).limit(), MAX, "too few");
        let limit = after([100; 20]).limit().as_millis();
        assert!((200..=226).contains(&limit), "{limit} ms");
        assert_eq!(after([1; 20]).limit(), MIN);
        assert_eq!(after([4000; 20]).limit(), MAX);
    }

    #[test]
    fn heads_that_did_not_come_in_time_make_it_grow() {
        let head = after([100; 200]);

        for _ in 0..400 {
            head.missed(head.limit());
        }

        assert_eq!(head.limit(), MAX);
    }

    #[test]
    fn limits_of_others_that_strike_early_do_not_make_it_shorter() {
        let head = after([100; 200]);
        let limit = head.limit();

        for _ in 0..400 {
            head.missed(Duration::from_millis(1));
        }

        assert_eq!(head.limit(), limit);
        let cold = after([]);
        for _ in 0..20 {
            cold.missed(Duration::from_millis(5));
        }
        assert_eq!(cold.limit(), MAX, "too few heads, whatever struck");
    }

    #[test]
    fn a_limit_that_is_shorter_than_the_percentile_does_not_pull_it_down() {
        let head = after((0..2000).map(|call| 50 + call % 51));
        let before = head.limit();

        // Half of the limit holds, and it cuts what takes longer.
        for call in 0..40_000 {
            let (takes, limit) = (Duration::from_millis(50 + call % 51), head.limit() / 3);
            if takes < limit {
                head.came(takes, Some(limit));
            } else {
                head.missed(limit);
            }
        }

        assert_eq!(head.limit(), before);
    }

    #[test]
    fn a_wrong_factor_is_none_and_clones_share_what_was_seen() {
        for factor in [0.0, -3.0, f32::NAN] {
            let head = AdaptiveHead::new(factor, MIN, MAX);
            let clone = head.clone();
            for _ in 0..20 {
                clone.record(Duration::from_secs(1));
            }
            assert!(head.limit() >= Duration::from_secs(1), "{factor}");
        }
        let endless = AdaptiveHead::new(f32::INFINITY, MAX, MIN);
        endless.record(MIN);
        assert_eq!(endless.limit(), MIN);
    }
}
