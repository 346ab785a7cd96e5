use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::detection::LONGEST;
use crate::{Balancing, PoolSettings};

/// How busy one endpoint is, and how fast. It outlives a change of the endpoint's settings, and is shared with the calls in flight.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: Arc<str>,
    pub(crate) rules: Rules,
    pending: AtomicU32,
    /// The latency in milliseconds as an `f32` in the high half, zero where nothing is known; in the low half when it was so, in milliseconds since the epoch.
    latency: AtomicU64,
    /// Since when it warms up, in milliseconds since the epoch; [`WARM`] where it does not.
    warming: AtomicU64,
    /// Until when it asked to be called less, in milliseconds since the epoch; 0 where it did not.
    resting: AtomicU64,
}

/// What all loads of a pool count with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) epoch: Instant,
    pub(crate) balancing: Balancing,
    /// Milliseconds.
    default: f32,
    decay: f32,
    longest_rest: u32,
}

/// One call in flight; dropped, it is over.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Load>);

const WARM: u64 = u64::MAX;

// === impl Load ===

impl Load {
    pub(crate) const fn new(name: Arc<str>, rules: Rules) -> Self {
        Self {
            name,
            rules,
            pending: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            warming: AtomicU64::new(WARM),
            resting: AtomicU64::new(0),
        }
    }

    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// What one more call costs: the latency times the calls in flight, each as much as the endpoint is lighter than the others.
    #[inline]
    pub(crate) fn cost(&self, now: Instant, crowd: f32) -> f32 {
        let pending = self.pending() as f32;
        let cost = match self.rules.balancing {
            Balancing::Random => 0.0,
            Balancing::LeastPending => pending * crowd,
            Balancing::PeakEwma => match self.estimate(self.rules.millis(now)) {
                // Of what nothing is known, one call finds out; until it has, others cost what an unknown one is taken to last.
                None if pending == 0.0 => 0.0,
                latency => latency.unwrap_or(self.rules.default) * (1.0 + pending * crowd),
            },
        };
        let resting = self.resting.load(Ordering::Relaxed);
        if resting > 0 && self.rules.since_epoch(now) < resting {
            return (1.0 + cost) * RESTING;
        }
        cost
    }

    /// It asked to be called no sooner than after this: until then it is called where the others do not do.
    #[cold]
    pub(crate) fn rest(&self, wait: Duration) {
        let longest = Duration::from_millis(self.rules.longest_rest.into());
        let until = Instant::now() + wait.min(longest);
        let until = self.rules.since_epoch(until);
        self.resting.fetch_max(until, Ordering::Relaxed);
    }

    /// The latency, where any is known.
    pub(crate) fn latency(&self, now: Instant) -> Option<Duration> {
        let millis = self.estimate(self.rules.millis(now))?;
        Some(Duration::from_secs_f32(
            (millis / 1e3).min(LONGEST.as_secs_f32()),
        ))
    }

    #[inline]
    fn estimate(&self, now: u32) -> Option<f32> {
        self.rules
            .decayed(self.latency.load(Ordering::Relaxed), now)
    }

    /// A call was answered, or failed.
    ///
    /// One that takes longer than expected counts at once, one that is faster only by and by. A failure makes the endpoint look twice as slow, up to what an unknown one
    /// is taken to last: what fails fast attracts no calls.
    pub(crate) fn record(&self, started: Instant, failed: bool) {
        let now = Instant::now();
        let sample = millis_of(now.saturating_duration_since(started));
        let at = self.rules.millis(now);
        self.update(|word| {
            let last = latency_of(word);
            let sample = if failed {
                let ceiling = self.rules.default.max(last);
                let penalty = if last > 0.0 { 2.0 * last } else { ceiling };
                sample.max(penalty.min(ceiling))
            } else {
                sample
            };
            if last < sample {
                return Some(pack(sample, at));
            }
            // One that is not later takes nothing away.
            let elapsed = elapsed(word, at)?;
            let kept = (-(elapsed as f32) / self.rules.decay).exp();
            Some(pack(last * kept + sample * (1.0 - kept), at))
        });
    }

    /// A call was given up, which says only how long it would have taken at least.
    pub(crate) fn record_at_least(&self, started: Instant) {
        let now = Instant::now();
        let sample = millis_of(now.saturating_duration_since(started));
        let at = self.rules.millis(now);
        // Of what nothing is known, one that was given up at once says nothing.
        self.update(|word| {
            let known = self.rules.decayed(word, at);
            let is_news = known.map_or(sample >= 1.0, |known| known < sample);
            is_news.then(|| pack(sample, at))
        });
    }

    fn update(&self, next: impl FnMut(u64) -> Option<u64>) {
        // Nothing to do where the estimate stays.
        let _ = self
            .latency
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// It is back: what it was like before it failed says nothing now, and would keep calls away from it.
    pub(crate) fn forget(&self) {
        self.latency.store(0, Ordering::Relaxed);
        self.resting.store(0, Ordering::Relaxed);
    }

    /// It is new, or back: its share grows from now on.
    pub(crate) fn warm_up(&self, now: Instant) {
        let since = u64::from(self.rules.millis(now));
        self.warming.store(since, Ordering::Relaxed);
    }

    /// The part of its share that it gets, where that is not all.
    #[inline]
    pub(crate) fn warmth(&self, now: Instant, settings: &PoolSettings) -> Option<f64> {
        let since = self.warming.load(Ordering::Relaxed);
        if since == WARM {
            return None;
        }
        let since = u32::try_from(since).unwrap_or_default();
        let elapsed = self.rules.millis(now).wrapping_sub(since);
        let factor = settings
            .slow_start
            .and_then(|slow_start| slow_start.factor(Duration::from_millis(elapsed.into())));
        if factor.is_none() {
            self.warming.store(WARM, Ordering::Relaxed);
        }
        factor
    }

    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.pending.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

// === impl Rules ===

impl Rules {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        Self {
            epoch: Instant::now(),
            balancing: settings.balancing,
            default: millis_of(settings.default_latency),
            decay: millis_of(settings.decay).max(1.0),
            // A day has fewer than fit.
            longest_rest: u32::try_from(settings.max_retry_after.min(LONGEST).as_millis())
                .unwrap_or(u32::MAX),
        }
    }

    /// The milliseconds since the epoch; they wrap after 49 days, which only makes what is older than that look newer.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it wraps, as said")]
    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_millis() as u32
    }

    fn since_epoch(&self, at: Instant) -> u64 {
        let millis = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    #[inline]
    fn decayed(&self, word: u64, now: u32) -> Option<f32> {
        let latency = latency_of(word);
        if latency <= 0.0 {
            return None;
        }
        let Some(elapsed) = elapsed(word, now) else {
            return Some(latency);
        };
        Some((latency * (-(elapsed as f32) / self.decay).exp()).max(SMALLEST))
    }
}

// === impl InFlight ===

impl InFlight {
    pub(crate) const fn load(&self) -> &Arc<Load> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// More than what any latency and number of calls costs.
const RESTING: f32 = 1e15;

/// A nanosecond, so that what is known is never zero.
const SMALLEST: f32 = 1e-6;

fn millis_of(time: Duration) -> f32 {
    (time.min(LONGEST).as_secs_f32() * 1e3).max(SMALLEST)
}

const fn pack(latency: f32, at: u32) -> u64 {
    (latency.to_bits() as u64) << 32 | at as u64
}

const fn latency_of(word: u64) -> f32 {
    f32::from_bits((word >> 32) as u32)
}

/// The milliseconds since then; `None` where there are none: another thread may have written after this one looked at the clock.
fn elapsed(word: u64, now: u32) -> Option<u32> {
    let elapsed = now.wrapping_sub(millis_at(word));
    (1..=u32::MAX / 2).contains(&elapsed).then_some(elapsed)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half")]
const fn millis_at(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Arc<Load> {
        let settings = PoolSettings::new();
        Arc::new(Load::new("a".into(), Rules::new(&settings)))
    }

    async fn answered_after(load: &Load, millis: u64, failed: bool) {
        let started = Instant::now();
        tokio::time::advance(Duration::from_millis(millis)).await;
        load.record(started, failed);
    }

    fn latency(load: &Load) -> u128 {
        load.latency(Instant::now()).unwrap().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peak_counts_at_once_and_fades() {
        let load = load();
        assert_eq!(load.latency(Instant::now()), None);
        answered_after(&load, 10, false).await;
        assert_eq!(latency(&load), 10, "the first as it is");
        answered_after(&load, 400, false).await;
        assert_eq!(latency(&load), 400, "a peak");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(latency(&load), 147, "400 / e");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_looked_at_the_clock_before_another_wrote_keeps_a_peak() {
        let load = load();
        answered_after(&load, 10, false).await;
        let later = load.rules.millis(Instant::now()) + 1;
        load.latency.store(pack(400.0, later), Ordering::Relaxed);

        load.record(Instant::now(), false);

        assert_eq!(latency(&load), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_look_slow_however_fast_they_are() {
        let load = load();
        answered_after(&load, 100, false).await;
        for expected in [200, 400, 800, 1000, 1000] {
            load.record(Instant::now(), true);
            assert_eq!(latency(&load), expected);
        }
        let unknown = self::load();
        unknown.record(Instant::now(), true);
        assert_eq!(latency(&unknown), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_only_makes_it_look_slower() {
        let load = load();
        load.record_at_least(Instant::now());
        assert_eq!(load.latency(Instant::now()), None);
        let started = Instant::now();
        tokio::time::advance(Duration::from_millis(300)).await;
        load.record_at_least(started);
        load.record_at_least(Instant::now());
        assert_eq!(latency(&load), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_finds_out_what_is_not_known() {
        let load = load();
        let cost = || load.cost(Instant::now(), 1.0);
        assert!(cost() < f32::EPSILON);
        let call = load.begin();
        assert!((cost() - 2000.0).abs() < 1.0, "{}", cost());
        drop(call);
        assert!(cost() < f32::EPSILON);

        answered_after(&load, 10, false).await;
        assert!((cost() - 10.0).abs() < 0.01);
        let _calls = [load.begin(), load.begin()];
        assert!((cost() - 30.0).abs() < 0.01);
        assert!(
            (load.cost(Instant::now(), 0.5) - 20.0).abs() < 0.01,
            "twice the weight"
        );
    }
}
