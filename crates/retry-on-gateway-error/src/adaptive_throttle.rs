use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_gateway_error::Chance;
use tokio::time::Instant;

use crate::Ratio;

/// Refuses requests here, before they are sent, while the upstream refuses most of what it gets: Google's adaptive throttling.
///
/// Over two minutes requests and those of them that were accepted are counted; a request is refused with the probability
/// `max(0, (requests - k x accepted) / (requests + 1))` ([Site Reliability Engineering, chapter 21](https://sre.google/sre-book/handling-overload/)). It is
/// answered in band: 503, or UNAVAILABLE for gRPC. Clones share what they count.
#[derive(Clone)]
#[must_use = "a throttle does nothing until a layer has it"]
pub struct AdaptiveThrottle {
    /// In millionths.
    k: u64,
    max_rejection: f64,
    min_per_second: u32,
    counts: Arc<Counts>,
}

/// A ring of ten-second buckets; each is one number, so that no lock is needed: the tick it is of, the requests and the accepted ones.
struct Counts {
    epoch: Instant,
    buckets: [AtomicU64; BUCKETS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tick: u64,
    requests: u64,
    accepted: u64,
}

// === impl AdaptiveThrottle ===

impl AdaptiveThrottle {
    /// A throttle with the defaults: k = 2, at most 90 % refused (failsafe-go), none below one request per second.
    pub fn new() -> Self {
        Self {
            k: 2_000_000,
            max_rejection: 0.9,
            min_per_second: 1,
            counts: Arc::new(Counts {
                epoch: Instant::now(),
                buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            }),
        }
    }

    /// Replaces `k`: how many requests are sent for each that is accepted. Default: 2; less than 1 is taken for 1.
    pub fn k(mut self, k: Ratio) -> Self {
        self.k = u64::from(k.millionths()).max(1_000_000);
        self
    }

    /// Replaces the share of the requests that is refused at most, so that some find out when the upstream is well again. Default: 90 %; more than 100 % is taken for that.
    pub fn max_rejection(mut self, share: Ratio) -> Self {
        self.max_rejection = (f64::from(share.millionths()) / 1e6).min(1.0);
        self
    }

    /// Replaces the rate below which nothing is refused, in requests per second over the two minutes. Default: 1.
    pub const fn min_per_second(mut self, rate: u32) -> Self {
        self.min_per_second = rate;
        self
    }

    /// Counts a request, and says with which probability it is refused if it is.
    pub(crate) fn refuses(&self, now: Instant, chance: &Chance) -> Option<f64> {
        let tick = self.counts.tick(now);
        let (requests, accepted) = self.counts.sum(tick);
        self.counts.add(tick, 1, 0);
        if requests < u64::from(self.min_per_second) * BUCKETS as u64 * BUCKET.as_secs() {
            return None;
        }
        let excess = requests.saturating_sub(accepted.saturating_mul(self.k) / 1_000_000);
        #[expect(clippy::cast_precision_loss, reason = "counts of two minutes")]
        let probability = (excess as f64 / (requests as f64 + 1.0)).min(self.max_rejection);
        #[expect(clippy::cast_precision_loss, reason = "a draw from a million")]
        let draw = chance.up_to(999_999) as f64 / 1e6;
        (draw < probability).then_some(probability)
    }

    /// Says that the upstream accepted a request.
    pub(crate) fn accepted(&self, now: Instant) {
        self.counts.add(self.counts.tick(now), 0, 1);
    }
}

impl Default for AdaptiveThrottle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AdaptiveThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the counts: which of them are old is not known without the clock.
        f.debug_struct("AdaptiveThrottle")
            .field("k_millionths", &self.k)
            .field("max_rejection", &self.max_rejection)
            .field("min_per_second", &self.min_per_second)
            .finish_non_exhaustive()
    }
}

// === impl Counts ===

impl Counts {
    fn tick(&self, now: Instant) -> u64 {
        // From 1, so that a bucket of nothing is of no tick that counts.
        1 + now.saturating_duration_since(self.epoch).as_secs() / BUCKET.as_secs()
    }

    fn sum(&self, tick: u64) -> (u64, u64) {
        let buckets = self
            .buckets
            .iter()
            .map(|bucket| Bucket::unpack(bucket.load(Ordering::Relaxed)));
        let current = buckets.filter(|bucket| {
            // Ticks are kept by their low bits.
            let age = tick.wrapping_sub(bucket.tick) & TICK_MASK;
            bucket.tick != 0 && age < BUCKETS as u64
        });
        current.fold((0, 0), |(requests, accepted), bucket| {
            (requests + bucket.requests, accepted + bucket.accepted)
        })
    }

    fn add(&self, tick: u64, requests: u64, accepted: u64) {
        let index = usize::try_from(tick % BUCKETS as u64).unwrap_or(0);
        let Some(bucket) = self.buckets.get(index) else {
            return;
        };
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
            let mut bucket = Bucket::unpack(packed);
            let ahead = bucket.tick.wrapping_sub(tick) & TICK_MASK;
            if bucket.tick != 0 && (1..TICK_MASK / 2).contains(&ahead) {
                // The answer to a request from so long ago that its bucket counts newer ones.
                return None;
            }
            if bucket.tick != tick & TICK_MASK {
                bucket = Bucket {
                    tick: tick & TICK_MASK,
                    ..Bucket::default()
                };
            }
            bucket.requests = (bucket.requests + requests).min(COUNT_MASK);
            bucket.accepted = (bucket.accepted + accepted).min(COUNT_MASK);
            Some(bucket.pack())
        });
    }
}

// === impl Bucket ===

impl Bucket {
    const fn unpack(packed: u64) -> Self {
        Self {
            tick: packed >> 48,
            requests: packed >> 24 & COUNT_MASK,
            accepted: packed & COUNT_MASK,
        }
    }

    const fn pack(self) -> u64 {
        self.tick << 48 | self.requests << 24 | self.accepted
    }
}

const BUCKETS: usize = 12;
const BUCKET: Duration = Duration::from_secs(10);
const TICK_MASK: u64 = (1 << 16) - 1;
const COUNT_MASK: u64 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 1000 requests, of which this many per mille of those sent are accepted, how many are refused in the end.
    fn refused(throttle: &AdaptiveThrottle, per_mille: u64, now: Instant) -> usize {
        let chance = Chance::seeded(7);
        let mut sent = 0_u64;
        (0..1000)
            .filter(|_| {
                if throttle.refuses(now, &chance).is_some() {
                    return true;
                }
                sent += 1;
                if sent % 1000 < per_mille {
                    throttle.accepted(now);
                }
                false
            })
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_follows_what_is_accepted() {
        let throttle = AdaptiveThrottle::new();
        let now = Instant::now();
        assert_eq!(refused(&throttle, 1000, now), 0, "all is well");

        let down = AdaptiveThrottle::new();
        let share = refused(&down, 0, now) + refused(&down, 0, now);
        assert!((1500..1900).contains(&share), "most, but not all: {share}");

        tokio::time::advance(Duration::from_secs(130)).await;
        assert_eq!(
            refused(&down, 1000, Instant::now()),
            0,
            "what is old does not count"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn little_traffic_is_never_refused() {
        let throttle = AdaptiveThrottle::new().min_per_second(100);

        assert_eq!(refused(&throttle, 0, Instant::now()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_request_of_long_ago_takes_nothing_away() {
        let throttle = AdaptiveThrottle::new();
        let long_ago = Instant::now();
        tokio::time::advance(Duration::from_secs(120)).await;
        refused(&throttle, 1000, Instant::now());
        let counts = || throttle.counts.sum(throttle.counts.tick(Instant::now()));
        let before = counts();

        throttle.accepted(long_ago);

        assert_eq!(counts(), before);
        assert_eq!(before.0, 1000);
    }
}
