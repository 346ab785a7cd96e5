use std::fmt;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use tokio::time::Instant;

use super::window::{Law, Window};
use super::{Budget, Cost, Ratio, Tokens};

/// Lets retries be a share of the requests, plus a few each second: the default budget.
///
/// Within the last `window`, retries and hedges are at most `ratio` x requests begun + `reserve_per_second` x `window`. The ratio alone bounds the load that
/// retries add when all fails; the reserve lets a client retry that sends little. Each attempt costs the same, whatever it is for. An attempt that was refunded
/// does not count, in none of the windows that it was in.
///
/// The window moves in ten steps. It never waits for a lock, and idle time costs nothing.
///
/// The law is that of Finagle's [`RetryBudget`](https://twitter.github.io/finagle/guide/Clients.html#retries) (20 %, 10 a second, over 10 s), which Linkerd
/// and tower have too; the ratio is exact here.
///
/// ```
/// use portcullis_retry_on_gateway_error::{Ratio, RatioBudget};
///
/// let budget = RatioBudget::new().ratio(Ratio::percent(10)).reserve_per_second(1);
/// assert_eq!(
///     format!("{budget:?}"),
///     "RatioBudget { ratio: Ratio { millionths: 100000 }, reserve_per_second: 1, window: 10s, begun: 0, withdrawn: 0, left: 10 }"
/// );
/// ```
pub struct RatioBudget {
    ratio: Ratio,
    reserve_per_second: u32,
    window: Duration,
    /// The start of tick 0.
    epoch: Instant,
    counts: Window,
}

// === impl RatioBudget ===

impl RatioBudget {
    /// The budget with its defaults: 20 %, 10 a second, over 10 s.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ratio: Ratio::percent(20),
            reserve_per_second: 10,
            window: Duration::from_secs(10),
            epoch: Instant::now(),
            counts: Window::new(TICKS),
        }
    }

    /// Replaces how many retries there may be for each request. Default: 20 % (Finagle).
    #[must_use]
    pub fn ratio(mut self, ratio: Ratio) -> Self {
        self.ratio = ratio;
        self
    }

    /// Replaces how many retries there may be each second, whatever the requests. Default: 10 (Finagle).
    ///
    /// They are counted over the whole window: the default lets 100 be made at once, and then none until these have left it.
    #[must_use]
    pub fn reserve_per_second(mut self, retries: u32) -> Self {
        self.reserve_per_second = retries;
        self
    }

    /// Replaces the time over which requests and retries are compared. Default: 10 s (Finagle), from 10 ms to one hour.
    ///
    /// # Errors
    /// When it is shorter or longer than that.
    pub fn window(mut self, window: Duration) -> Result<Self, InvalidConfig> {
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&window) {
            let message = format!("must be from {MIN_WINDOW:?} to {MAX_WINDOW:?}, is {window:?}");
            return Err(InvalidConfig::new("window", message));
        }
        self.window = window;
        Ok(self)
    }

    /// The number of the tick; 0 for whatever lies before the first.
    fn tick(&self, now: Instant) -> u64 {
        let ticks = u128::try_from(TICKS).unwrap_or(u128::MAX);
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(elapsed * ticks / self.window.as_nanos()).unwrap_or(u64::MAX)
    }

    fn law(&self) -> Law {
        // A millionth of a withdrawal for each microsecond and each retry a second.
        let reserve = self.window.as_micros() * u128::from(self.reserve_per_second);
        Law {
            ratio: self.ratio.millionths(),
            reserve: u64::try_from(reserve).unwrap_or(u64::MAX),
        }
    }
}

impl Budget for RatioBudget {
    fn begin(&self, now: Instant) {
        self.counts.begin(self.tick(now));
    }

    fn withdraw(&self, now: Instant, _: Cost) -> Option<Tokens> {
        let receipt = self.counts.withdraw(self.tick(now), self.law());
        receipt.map(Tokens::new)
    }

    fn refund(&self, tokens: Tokens) {
        self.counts.refund(tokens.amount());
    }
}

impl Default for RatioBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RatioBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As of the newest tick that was seen: the clock is not read for this.
        let usage = self.counts.usage();
        f.debug_struct("RatioBudget")
            .field("ratio", &self.ratio)
            .field("reserve_per_second", &self.reserve_per_second)
            .field("window", &self.window)
            .field("begun", &usage.begun)
            .field("withdrawn", &usage.withdrawn)
            .field("left", &self.law().left(usage))
            .finish()
    }
}

/// Into how many a window is cut. A refund, a request and a withdrawal leave it with their tick.
const TICKS: usize = 10;

const MIN_WINDOW: Duration = Duration::from_millis(10);

/// At this length the counters wrap at a million requests a second.
const MAX_WINDOW: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
