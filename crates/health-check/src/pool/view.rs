//! What picks look at: made anew when something has changed, and then only read.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::pool::member::Seat;
use crate::pool::priority::shares_of;
use crate::{Mode, PoolSettings};

/// The endpoints as they were when this many changes were counted.
pub(crate) struct View<S> {
    pub(crate) count: u64,
    /// When it is out of date by itself: the first ejection is over then.
    pub(crate) due: Option<Instant>,
    /// Nobody knows of these yet, or what is known is too old: a call asks.
    pub(crate) unsettled: Box<[Arc<Seat<S>>]>,
    /// The first priority first, and after all of them the degraded endpoints, the first priority first.
    pub(crate) groups: Box<[Group<S>]>,
    /// How many endpoints may be called, and how many there are.
    pub(crate) usable: usize,
    pub(crate) size: usize,
}

/// The endpoints of one priority, or those of them that are degraded.
pub(crate) struct Group<S> {
    pub(crate) priority: u32,
    /// Its calls are those whose number is below this, and not below that of the one before.
    below: u64,
    /// Too few of it are left.
    pub(crate) panics: bool,
    /// Its calls are spread over all of it, whatever the health.
    pub(crate) anyway: bool,
    /// It gets calls where no other has what is up: it panics, or is degraded.
    pub(crate) is_last: bool,
    /// The ejections of these are over, and a call finds out.
    pub(crate) trials: Box<[Arc<Seat<S>>]>,
    pub(crate) table: Table<S>,
}

/// Endpoints that are drawn by their weights, in one step however many there are: an alias table (Vose).
pub(crate) struct Table<S> {
    pub(crate) entries: Box<[Entry<S>]>,
    /// All weights are the same.
    even: bool,
}

pub(crate) struct Entry<S> {
    pub(crate) seat: Arc<Seat<S>>,
    /// How much one call in flight counts: more the lighter it is.
    pub(crate) crowd: f32,
    /// A draw below this is this one, any other is the alias.
    threshold: u32,
    alias: usize,
}

const ALL: u64 = 1 << 32;

// === impl View ===

impl<S> View<S> {
    pub(crate) fn empty() -> Self {
        Self {
            count: 0,
            due: None,
            unsettled: Box::default(),
            groups: Box::default(),
            usable: 0,
            size: 0,
        }
    }

    pub(crate) fn new<'a>(
        seats: impl Iterator<Item = &'a Arc<Seat<S>>>,
        settings: &PoolSettings,
        count: u64,
        now: Instant,
    ) -> Self
    where
        S: 'a,
    {
        let observe = matches!(settings.mode, Mode::Observe);
        let mut due: Option<Instant> = None;
        let mut unsettled = Vec::new();
        // Those that get calls in a panic, those that get them else, those that get a trial, and those that get the last calls; how many there are, and how many nobody knows of.
        type Found<S> = ([Vec<Arc<Seat<S>>>; 4], usize, usize);
        let mut found: BTreeMap<u32, Found<S>> = BTreeMap::new();
        let (mut usable, mut size) = (0, 0);
        for seat in seats {
            size += 1;
            usable += usize::from(seat.is_usable());
            let found = found.entry(seat.member.priority).or_default();
            let ([all, regular, trials, degraded], number, unknown) = found;
            *number += 1;
            // What was decided by hand is no mistake of the probes.
            if !seat.member.is_taken_out() {
                all.push(Arc::clone(seat));
            }
            let is_unsettled = seat.member.is_unsettled();
            if is_unsettled {
                unsettled.push(Arc::clone(seat));
            } else if let Some(expires) = seat.member.expires().filter(|at| *at > now) {
                due = Some(due.map_or(expires, |due| due.min(expires)));
            }
            match seat.member.look() {
                _ if observe => regular.push(Arc::clone(seat)),
                _ if is_unsettled => *unknown += 1,
                (true, false) if seat.member.is_degraded() => degraded.push(Arc::clone(seat)),
                (true, false) => regular.push(Arc::clone(seat)),
                (true, true) => trials.push(Arc::clone(seat)),
                (false, _) => {
                    let over = seat
                        .member
                        .passive
                        .as_ref()
                        .and_then(|passive| passive.due());
                    let over = over.filter(|over| *over > now);
                    due = due.into_iter().chain(over).min();
                }
            }
        }
        let sizes: Vec<_> = found
            .values()
            // One that nobody knows of may be up, and soon somebody does.
            .map(|([_, regular, trials, degraded], size, unknown)| {
                let good = regular.len() + trials.len() + unknown;
                (good, degraded.len(), *size)
            })
            .collect();
        let shares = shares_of(&sizes, settings.overprovisioning, settings.panic_threshold);
        let (mut groups, mut last_groups) = (Vec::new(), Vec::new());
        for ((priority, found), share) in found.into_iter().zip(shares) {
            let ([all, regular, trials, degraded], _, unknown) = found;
            // Not before it is known that they are too few.
            let panics = share.panics && unknown == 0;
            // In a panic they are all the same.
            let apart = !panics && !degraded.is_empty();
            let good = if apart { share.good } else { 1.0 };
            let (part, last_part) = (share.part * good, share.part * (1.0 - good));
            let group = Group {
                priority,
                below: 0,
                panics,
                anyway: panics || observe,
                is_last: panics,
                trials: trials.into(),
                table: Table::new(if panics { all } else { regular }),
            };
            groups.push((group, part));
            if apart {
                let group = Group {
                    priority,
                    below: 0,
                    panics: false,
                    anyway: false,
                    is_last: true,
                    trials: Box::default(),
                    table: Table::new(degraded),
                };
                last_groups.push((group, last_part));
            }
        }
        groups.append(&mut last_groups);
        // Rounding leaves no call without a group.
        let last = groups.iter().rposition(|(_, part)| *part > 0.0);
        let mut sum = 0.0;
        let groups = groups.into_iter().enumerate();
        let groups = groups.map(|(index, (group, part))| {
            sum += part;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 2^32"
            )]
            let below = match last {
                Some(last) if index >= last => ALL,
                _ => (sum * ALL as f64) as u64,
            };
            Group { below, ..group }
        });
        Self {
            count,
            due,
            unsettled: unsettled.into(),
            groups: groups.collect(),
            usable,
            size,
        }
    }

    /// The group that gets the call of this number.
    #[inline]
    pub(crate) fn group(&self, number: u32) -> Option<(usize, &Group<S>)> {
        let number = u64::from(number);
        let mut groups = self.groups.iter().enumerate();
        groups.find(|(_, group)| number < group.below)
    }
}

// === impl Table ===

impl<S> Table<S> {
    fn new(seats: Vec<Arc<Seat<S>>>) -> Self {
        let weight = |seat: &Arc<Seat<S>>| f64::from(seat.member.weight.get());
        let mean = seats.iter().map(weight).sum::<f64>() / seats.len().max(1) as f64;
        let even = seats
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.member.weight == b.member.weight));
        // What each has of a column, and who has too much and too little.
        let mut scaled: Vec<f64> = seats.iter().map(|seat| weight(seat) / mean).collect();
        let mut slots: Vec<(u32, usize)> =
            (0..seats.len()).map(|index| (u32::MAX, index)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..seats.len()).partition(|index| scaled.get(*index).is_some_and(|part| *part < 1.0));
        while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
            let part = scaled.get(low).copied().unwrap_or(1.0);
            if let Some(slot) = slots.get_mut(low) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 2^32"
                )]
                let threshold = (part * ALL as f64) as u32;
                *slot = (threshold, high);
            }
            if let Some(rest) = scaled.get_mut(high) {
                *rest -= 1.0 - part;
                if *rest < 1.0 {
                    large.pop();
                    small.push(high);
                }
            }
        }
        let entries = seats.into_iter().zip(slots);
        let entries = entries.map(|(seat, (threshold, alias))| Entry {
            #[expect(clippy::cast_possible_truncation, reason = "near enough")]
            crowd: (mean / weight(&seat)) as f32,
            seat,
            threshold,
            alias,
        });
        Self {
            entries: entries.collect(),
            even,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The one that a draw of 64 bits stands for.
    #[inline]
    pub(crate) fn draw(&self, random: u64) -> usize {
        let index = scale((random >> 32) as u32, self.len());
        if self.even {
            return index;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half")]
        let low = random as u32;
        match self.entries.get(index) {
            Some(entry) if low > entry.threshold => entry.alias,
            _ => index,
        }
    }

    /// Two that differ, of at least two: the first by its weight, and the second too, unless that is the same again and again.
    #[inline]
    pub(crate) fn draw_two(&self, random: u64, mut next: impl FnMut() -> u64) -> (usize, usize) {
        if !self.even {
            let first = self.draw(random);
            for _ in 0..REDRAWS {
                let second = self.draw(next());
                if second != first {
                    return (first, second);
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "32 random bits")]
            let low = next() as u32;
            return (first, self.other(first, low));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half")]
        let low = random as u32;
        let first = self.draw(random);
        (first, self.other(first, low))
    }

    /// Any but this one.
    #[inline]
    fn other(&self, first: usize, random: u32) -> usize {
        let second = first + 1 + scale(random, self.len().saturating_sub(1));
        if second < self.len() {
            second
        } else {
            second - self.len()
        }
    }
}

/// How often a second endpoint is drawn by weight until it is another one.
const REDRAWS: usize = 3;

/// A number below this, as likely as the random bits are.
#[inline]
pub(crate) const fn scale(random: u32, below: usize) -> usize {
    ((random as u64 as u128 * below as u128) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::Member;
    use crate::pool::load::{Load, Rules};
    use crate::pool::member::Picks;

    fn table(weights: &[u32]) -> Table<()> {
        let rules = Rules::new(&PoolSettings::new());
        let seats = weights.iter().enumerate().map(|(index, weight)| {
            let member = Member::new(index.to_string(), ());
            let member = member.weight(NonZeroU32::new(*weight).unwrap());
            let load = Arc::new(Load::new(Arc::clone(&member.name), rules));
            let picks = Picks::new("upstream", &member.name);
            Arc::new(Seat::new(member, picks, load, true))
        });
        Table::new(seats.collect())
    }

    proptest! {
        /// Each is drawn as often as its weight says.
        #[test]
        fn a_table_draws_by_weight(weights in prop::collection::vec(1_u32..10_000, 1..40)) {
            let table = table(&weights);
            let mut parts = vec![0.0; weights.len()];
            for (index, entry) in table.entries.iter().enumerate() {
                let own = if entry.threshold == u32::MAX { 1.0 } else { f64::from(entry.threshold) / ALL as f64 };
                parts[index] += own / weights.len() as f64;
                parts[entry.alias] += (1.0 - own) / weights.len() as f64;
            }

            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!((part - f64::from(*weight) / total).abs() < 1e-6, "{parts:?}");
            }
        }

        /// Two that are drawn are there, and differ.
        #[test]
        fn two_that_are_drawn_differ(weights in prop::collection::vec(1_u32..1000, 2..20), random: u64, more: u64) {
            let table = table(&weights);
            let (first, second) = table.draw_two(random, || more);
            prop_assert!(first < weights.len() && second < weights.len());
            prop_assert_ne!(first, second);
        }
    }
}
