//! The lock-free core of the ratio budget. Time comes in as the number of a tick; the loom test includes this file with other atomics.

use super::atomic::{AtomicU64, Ordering};

/// Counts requests and withdrawals over the last ticks, the running one included.
///
/// Both totals are in one word, so that a copy of it at the start of a tick is a true one, and both only grow, so that the difference to such a copy is what
/// happened since. What is refunded is counted beside them, in the tick for which it was withdrawn: with that tick it leaves the window.
pub(super) struct Window {
    totals: Padded,
    /// The newest tick that was seen, the slot in which it began, and whether someone is beginning another. See `Now`.
    now: AtomicU64,
    /// Twice as many as there are ticks in a window, so that those of the window stay what they are while the next ones are written.
    slots: Box<[Slot]>,
}

/// How much may be withdrawn within a window, in millionths of a withdrawal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Law {
    /// For each request.
    pub(super) ratio: u32,
    /// For each window, whatever the requests.
    pub(super) reserve: u64,
}

/// What a window holds. Refunds are already off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Usage {
    pub(super) begun: u32,
    pub(super) withdrawn: u32,
}

/// Requests begun in the high half, withdrawals in the low one; both wrap. On a cache line of its own, since every request writes it.
#[repr(align(128))]
struct Padded(AtomicU64);

struct Slot {
    /// The totals at the start of the tick.
    start: AtomicU64,
    /// The low half of the tick's number in the high half, so that a late refund does not fall to another tick; its refunds in the low half.
    refunds: AtomicU64,
}

/// The word `Window::now`: the tick, 7 bits of slot, and a flag that is set while the slots of the next ticks are written.
#[derive(Clone, Copy)]
struct Now(u64);

// === impl Window ===

impl Window {
    /// A window of so many ticks, at least 1 and at most 64.
    pub(super) fn new(ticks: usize) -> Self {
        let slots = 2 * ticks.clamp(1, 64);
        Self {
            totals: Padded(AtomicU64::new(0)),
            now: AtomicU64::new(0),
            slots: (0..slots)
                .map(|_| Slot {
                    start: AtomicU64::new(0),
                    refunds: AtomicU64::new(0),
                })
                .collect(),
        }
    }

    pub(super) fn begin(&self, tick: u64) {
        self.advance(tick);
        // Carries out of the high half are lost, which is how it wraps.
        self.totals.0.fetch_add(1 << 32, Ordering::AcqRel);
    }

    /// Withdraws one; the receipt is for `refund`.
    pub(super) fn withdraw(&self, tick: u64, law: Law) -> Option<u64> {
        self.advance(tick);
        loop {
            let (now, totals, usage) = self.read();
            if law.left(usage) == 0 {
                return None;
            }
            let (begun, withdrawn) = halves(totals);
            // Fails when anything was begun or withdrawn since it was read. When only the time went on, this one counts in the later tick: never too few.
            let swap = self.totals.0.compare_exchange_weak(
                totals,
                word(begun, withdrawn.wrapping_add(1)),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if swap.is_ok() {
                return Some(now.0);
            }
        }
    }

    /// Takes back one withdrawal. Without effect once it has left the window.
    pub(super) fn refund(&self, receipt: u64) {
        let now = Now(receipt);
        let refunds = &self.slot(now.slot()).refunds;
        let mut seen = refunds.load(Ordering::Relaxed);
        loop {
            let (tag, count) = halves(seen);
            let (false, Some(count)) = (tag != now.tag(), count.checked_add(1)) else {
                return;
            };
            match refunds.compare_exchange_weak(
                seen,
                word(tag, count),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// What the window of the newest tick holds.
    pub(super) fn usage(&self) -> Usage {
        self.read().2
    }

    /// Begins the ticks up to this one. Who finds another at it goes on with the old window; time that goes back changes nothing.
    fn advance(&self, tick: u64) {
        let old = Now(self.now.load(Ordering::Acquire));
        if tick <= old.tick() || old.is_advancing() {
            return;
        }
        let claim = self.now.compare_exchange(
            old.0,
            old.advancing().0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if claim.is_err() {
            return;
        }
        // However long nothing happened, no more than one window is written: all of it starts with the same totals.
        let steps = (tick - old.tick()).min(self.ticks());
        let totals = self.totals.0.load(Ordering::Acquire);
        let mut now = old;
        for step in (0..steps).rev() {
            now = Now::new(tick - step, (now.slot() + 1) % self.slots.len());
            let slot = self.slot(now.slot());
            // Release: who reads either sees that the window from before has gone, and starts over.
            slot.start.store(totals, Ordering::Release);
            // A swap, so that it has its place among the refunds that come late.
            slot.refunds.swap(word(now.tag(), 0), Ordering::AcqRel);
        }
        self.now.store(now.0, Ordering::Release);
    }

    /// The newest tick, the totals, and what of them is in its window.
    fn read(&self) -> (Now, u64, Usage) {
        loop {
            let now = Now(self.now.load(Ordering::Acquire)).settled();
            let len = self.slots.len();
            let ticks = len / 2;
            let first = now.slot() + len + 1 - ticks;
            let start = self.slot(first % len).start.load(Ordering::Acquire);
            let refunds = (first..first + ticks).fold(0_u32, |sum, position| {
                let refunds = self.slot(position % len).refunds.load(Ordering::Acquire);
                sum.saturating_add(halves(refunds).1)
            });
            // Last, so that it holds every withdrawal of which a refund was seen, and nothing less than the start.
            let totals = self.totals.0.load(Ordering::Acquire);
            if Now(self.now.load(Ordering::Acquire)).settled().0 != now.0 {
                continue;
            }
            let (begun_before, withdrawn_before) = halves(start);
            let (begun, withdrawn) = halves(totals);
            let usage = Usage {
                begun: begun.wrapping_sub(begun_before),
                withdrawn: withdrawn
                    .wrapping_sub(withdrawn_before)
                    .saturating_sub(refunds),
            };
            return (now, totals, usage);
        }
    }

    fn ticks(&self) -> u64 {
        u64::try_from(self.slots.len() / 2).unwrap_or(u64::MAX)
    }

    fn slot(&self, position: usize) -> &Slot {
        self.slots
            .get(position % self.slots.len())
            .expect("a remainder is below its divisor")
    }
}

// === impl Law ===

impl Law {
    /// How many more may be withdrawn.
    pub(super) fn left(self, usage: Usage) -> u64 {
        // Below 2^62, since a ratio is at most 1000.
        let share = u64::from(usage.begun) * u64::from(self.ratio);
        let limit = share.saturating_add(self.reserve) / 1_000_000;
        limit.saturating_sub(u64::from(usage.withdrawn))
    }
}

// === impl Now ===

impl Now {
    fn new(tick: u64, slot: usize) -> Self {
        Self(tick << 8 | u64::try_from(slot).unwrap_or(0) << 1)
    }

    fn tick(self) -> u64 {
        self.0 >> 8
    }

    fn tag(self) -> u32 {
        halves(self.tick()).1
    }

    fn slot(self) -> usize {
        usize::try_from(self.0 >> 1 & 0x7f).unwrap_or(0)
    }

    fn is_advancing(self) -> bool {
        self.0 & 1 == 1
    }

    fn advancing(self) -> Self {
        Self(self.0 | 1)
    }

    /// Without the flag: the old window holds until the next one is whole.
    fn settled(self) -> Self {
        Self(self.0 & !1)
    }
}

fn word(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(word: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX);
    (half(word >> 32), half(word))
}
