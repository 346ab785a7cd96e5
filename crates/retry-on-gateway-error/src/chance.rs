use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Random numbers that clones share without a lock, and that repeat for a seed: SplitMix64 over a counter.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<AtomicU64>);

// === impl Chance ===

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    pub(crate) fn random() -> Self {
        Self::seeded(fastrand::u64(..))
    }

    /// A number in `0..=max`, every one as likely.
    pub(crate) fn up_to(&self, max: u64) -> u64 {
        // The high half of the product: uniform but for a bias below 2^-64 x max.
        let product = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(product >> 64).unwrap_or(max)
    }

    fn next(&self) -> u64 {
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
}
