use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Random numbers that clones share without a lock, and that repeat for a seed: SplitMix64 over a counter.
#[derive(Clone, Debug)]
pub struct Chance(Arc<AtomicU64>);

// === impl Chance ===

impl Chance {
    /// Numbers that repeat for this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Numbers that repeat for this seed, or without one that nobody can repeat.
    #[must_use]
    pub fn new(seed: Option<u64>) -> Self {
        seed.map_or_else(Self::random, Self::seeded)
    }

    /// Numbers that nobody can repeat.
    #[must_use]
    pub fn random() -> Self {
        // What the maps of the standard library are seeded with.
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// A number in `0..=max`, every one as likely.
    #[must_use]
    pub fn up_to(&self, max: u64) -> u64 {
        // The high half of the product: uniform but for a bias below 2^-64 x max.
        let product = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(product >> 64).unwrap_or(max)
    }

    /// A time from `least` to `most`, both included, to the nanosecond; `least` where that is the longer one.
    ///
    /// What lies more than 2^64 nanoseconds (584 years) above `least` is not drawn.
    #[must_use]
    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        let room = most.saturating_sub(least).as_nanos();
        let drawn = self.up_to(u64::try_from(room).unwrap_or(u64::MAX));
        least.saturating_add(Duration::from_nanos(drawn))
    }

    /// A time up to this one, included.
    #[must_use]
    pub fn up_to_time(&self, most: Duration) -> Duration {
        self.between(Duration::ZERO, most)
    }

    /// True so many times of a hundred.
    #[must_use]
    pub fn happens(&self, percent: u8) -> bool {
        percent >= 100 || self.up_to(99) < u64::from(percent)
    }

    /// A number from 0 up to 1, which is not drawn.
    #[must_use]
    pub fn part(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 64 random bits.
    #[inline]
    #[must_use]
    pub fn next(&self) -> u64 {
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
    fn a_seed_repeats_and_clones_draw_from_one_sequence() {
        let (one, two) = (Chance::seeded(7), Chance::seeded(7));
        let clone = one.clone();

        let drawn: Vec<_> = (0..4)
            .map(|i| if i % 2 == 0 { one.next() } else { clone.next() })
            .collect();

        assert_eq!(drawn, (0..4).map(|_| two.next()).collect::<Vec<_>>());
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]), "{drawn:?}");
    }

    #[test]
    fn every_number_of_the_range_is_drawn_and_none_outside() {
        let chance = Chance::seeded(1);
        let mut seen = [0_u32; 4];

        for _ in 0..4000 {
            seen[usize::try_from(chance.up_to(3)).unwrap()] += 1;
        }

        assert!(
            seen.iter().all(|count| (900..1100).contains(count)),
            "{seen:?}"
        );
        assert_eq!(chance.up_to(0), 0);
    }

    #[test]
    fn a_time_is_drawn_to_the_nanosecond_and_within_its_bounds() {
        let chance = Chance::seeded(1);
        let (least, most) = (Duration::new(1, 999_999_999), Duration::new(2, 1));

        let drawn: std::collections::BTreeSet<_> =
            (0..100).map(|_| chance.between(least, most)).collect();

        let nano = Duration::from_nanos(1);
        assert!(drawn.into_iter().eq([least, least + nano, most]));
        assert_eq!(chance.between(most, least), most);
        assert!(chance.between(Duration::ZERO, Duration::MAX) <= Duration::MAX);
        assert_eq!(chance.between(Duration::MAX, Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_percentage_is_kept() {
        let chance = Chance::new(Some(7));
        let hits = (0..10_000).filter(|_| chance.happens(30)).count();

        assert!((2700..3300).contains(&hits), "{hits}");
        assert!((0..100).all(|_| chance.happens(100)));
        assert!((0..100).all(|_| !chance.happens(0)));
    }

    #[test]
    fn a_part_is_below_one_and_spread_evenly() {
        let chance = Chance::new(Some(7));
        let parts: Vec<_> = (0..10_000).map(|_| chance.part()).collect();

        assert!(parts.iter().all(|part| (0.0..1.0).contains(part)));
        let mean = parts.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
