//! What a status page draws of the probes, or of the calls, of one endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::window::{Bucket, TICKS};

/// The last ten minutes in parts of ten seconds, counted without a lock. It does not grow, whatever comes.
#[derive(Debug)]
pub(crate) struct Chart {
    epoch: Instant,
    parts: [Part; PARTS],
}

/// What was counted in one part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Point {
    /// At least one.
    pub(crate) total: u64,
    pub(crate) failures: u64,
    /// The longest of all.
    pub(crate) slowest: Duration,
}

#[derive(Debug)]
struct Part {
    /// A [`Bucket`].
    counts: AtomicU64,
    /// The tick in 24 bits, then microseconds. Where it is of another tick than the counts, it is about to be written.
    slowest: AtomicU64,
}

/// How many parts there are.
pub(crate) const PARTS: usize = 60;
/// How long each of them is.
pub(crate) const PART: Duration = Duration::from_secs(10);
const MICROS_BITS: u32 = 40;
/// Twelve days.
const MICROS: u64 = (1 << MICROS_BITS) - 1;

// === impl Chart ===

impl Chart {
    /// Counts what ended then, after so long.
    pub(crate) fn record(&self, at: Instant, latency: Duration, failed: bool) {
        let tick = self.tick(at);
        let Some(part) = self.part(tick) else {
            return;
        };
        let tick = tick & TICKS;
        // What they return is what was there before.
        let _ = part
            .counts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                Some(Bucket::from_word(word).with(tick, !failed).to_word())
            });
        let micros = u64::try_from(latency.as_micros()).map_or(MICROS, |micros| micros.min(MICROS));
        let word = tick << MICROS_BITS | micros;
        let _ = part
            .slowest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (last >> MICROS_BITS != tick || last < word).then_some(word)
            });
    }

    /// The parts that end with this moment's, oldest first; `None` where nothing was counted.
    pub(crate) fn points(&self, now: Instant) -> Vec<Option<Point>> {
        let last = self.tick(now);
        let ages = (0..PARTS as u64).rev();
        ages.map(|age| self.point(last.checked_sub(age)?)).collect()
    }

    fn point(&self, tick: u64) -> Option<Point> {
        let part = self.part(tick)?;
        let bucket = Bucket::from_word(part.counts.load(Ordering::Relaxed));
        let total = bucket.successes + bucket.failures;
        if total == 0 || bucket.tick != tick & TICKS {
            return None;
        }
        let slowest = part.slowest.load(Ordering::Relaxed);
        let is_written = slowest >> MICROS_BITS == bucket.tick;
        Some(Point {
            total,
            failures: bucket.failures,
            slowest: Duration::from_micros(if is_written { slowest & MICROS } else { 0 }),
        })
    }

    /// Which part this is, from 1 on.
    pub(crate) fn tick(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_secs() / PART.as_secs() + 1
    }

    fn part(&self, tick: u64) -> Option<&Part> {
        let index = usize::try_from(tick % PARTS as u64).ok()?;
        self.parts.get(index)
    }
}

impl Default for Chart {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            parts: std::array::from_fn(|_| Part {
                counts: AtomicU64::new(0),
                slowest: AtomicU64::new(0),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn none_is_lost_where_many_count_at_once() {
        let chart = Chart::default();
        let at = chart.epoch + Duration::from_secs(25);

        std::thread::scope(|scope| {
            for thread in 0..4 {
                let chart = &chart;
                scope.spawn(move || {
                    for n in 0..10_000 {
                        chart.record(at, Duration::from_micros(n * 4 + thread), n % 5 == 0);
                    }
                });
            }
        });

        let point = chart.points(at).pop().flatten().unwrap();
        assert_eq!((point.total, point.failures), (40_000, 8_000));
        assert_eq!(point.slowest, Duration::from_micros(39_999));
    }

    proptest! {
        /// The chart says what counting all and looking at their age says.
        #[test]
        fn the_points_are_those_of_the_last_sixty_parts(
            steps in proptest::collection::vec((0_u64..200, 0_u64..1 << 42, any::<bool>()), 0..200),
            rest in 0_u64..900,
        ) {
            let chart = Chart::default();
            let (mut all, mut second) = (Vec::new(), 0);
            for (later, micros, failed) in steps {
                second += later;
                chart.record(chart.epoch + Duration::from_secs(second), Duration::from_micros(micros), failed);
                all.push((second / 10, micros.min(MICROS), failed));
            }
            second += rest;

            let points = chart.points(chart.epoch + Duration::from_secs(second));

            prop_assert_eq!(points.len(), PARTS);
            for (point, age) in points.into_iter().zip((0..60).rev()) {
                let of = (second / 10).checked_sub(age);
                let of: Vec<_> = all.iter().filter(|(part, ..)| Some(*part) == of).collect();
                let expected = of.iter().map(|(_, micros, _)| *micros).max().map(|slowest| Point {
                    total: of.len() as u64,
                    failures: of.iter().filter(|(.., failed)| *failed).count() as u64,
                    slowest: Duration::from_micros(slowest),
                });
                prop_assert_eq!(point, expected, "{} parts ago", age);
            }
        }
    }
}
