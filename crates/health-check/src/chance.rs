use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Random numbers without a lock, that repeat for a seed: SplitMix64 over a counter, as in the retry layer.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

// === impl Chance ===

impl Chance {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| fastrand::u64(..))))
    }

    /// A number in `0..=max`, every one as likely.
    fn up_to(&self, max: u64) -> u64 {
        let product = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(product >> 64).unwrap_or(max)
    }

    /// A time up to this one, included.
    pub(crate) fn up_to_time(&self, most: Duration) -> Duration {
        Duration::from_nanos(self.up_to(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// True so many times of a hundred.
    pub(crate) fn happens(&self, percent: u8) -> bool {
        percent >= 100 || self.up_to(99) < u64::from(percent)
    }

    /// True in this part of the cases, 0 to 1.
    pub(crate) fn happens_by(&self, part: f64) -> bool {
        ((self.next() >> 11) as f64) < part * (1_u64 << 53) as f64
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

        let mut z = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_kept_and_a_seed_repeats() {
        let draw = || {
            let chance = Chance::new(Some(7));
            (0..10_000)
                .map(|_| chance.happens(30))
                .collect::<Vec<bool>>()
        };
        let hits = draw().iter().filter(|hit| **hit).count();

        assert!((2700..3300).contains(&hits), "{hits}");
        assert_eq!(draw(), draw());
        assert!((0..100).all(|_| Chance::new(None).happens(100)));
        assert!((0..100).all(|_| !Chance::new(None).happens(0)));
    }

    #[test]
    fn a_time_stays_below_its_limit() {
        let chance = Chance::new(Some(7));
        let limit = Duration::from_millis(10);

        assert!((0..1000).all(|_| chance.up_to_time(limit) <= limit));
        assert_eq!(chance.up_to_time(Duration::ZERO), Duration::ZERO);
        let _ = chance.up_to_time(Duration::MAX);
    }
}
