use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_gateway_error::{Attempt, Chance};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::changes::Changes;
use crate::pass::Pass;
use crate::pool::load::{InFlight, Load, Rules};
use crate::pool::member::{Member, MemberStatus, Picks, Seat};
use crate::pool::view::{Entry, Group, View, scale};
use crate::refusal::Kept;
use crate::{Health, PoolSettings, ProbeLimit, telemetry};

/// What the clones of a pool share.
pub(crate) struct Shared<S> {
    pub(crate) settings: PoolSettings,
    pub(crate) kept: Kept,
    pub(crate) probe_limit: Option<ProbeLimit>,
    rules: Rules,
    pub(crate) chance: Chance,
    /// Counts what makes the view out of date.
    pub(crate) changes: Arc<Changes>,
    view: ArcSwap<View<S>>,
    /// In the order of their names, so that picks repeat for a seed.
    seats: Mutex<Seats<S>>,
    /// The priorities that were told to panic; held while that is told.
    panicking: Mutex<BTreeSet<u32>>,
    /// How many names that are followed have an address.
    pub(crate) claims: Mutex<BTreeMap<SocketAddr, usize>>,
    /// Those that follow changes of the endpoints; they end with the pool.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    /// Whether a page draws the endpoints, those that are to come included.
    #[cfg(feature = "status-page")]
    charted: std::sync::atomic::AtomicBool,
}

type Seats<S> = BTreeMap<Arc<str>, Arc<Seat<S>>>;

/// An endpoint for a call.
pub(crate) struct Picked<S> {
    pub(crate) service: S,
    pub(crate) pass: Option<Pass>,
    pub(crate) in_flight: InFlight,
    pub(crate) started: Instant,
}

/// Which endpoints a pick should leave out, where it can.
#[derive(Clone, Copy)]
pub(crate) struct Avoid<'a> {
    /// Those that earlier attempts went to.
    pub(crate) tried: Option<&'a Attempt>,
    /// One that is not ready.
    pub(crate) busy: Option<&'a Load>,
}

/// How often a call waits for a new view, while healths change again and again.
const RENEWALS: usize = 4;

/// Of how many endpoints that nobody knows of one look brings the probes near.
pub(crate) const ASKED: usize = 16;

// === impl Shared ===

impl<S> Shared<S> {
    pub(crate) fn new(settings: PoolSettings) -> Self {
        Self {
            rules: Rules::new(&settings),
            chance: Chance::new(settings.seed),
            probe_limit: settings.max_parallel_probes.map(ProbeLimit::new),
            settings,
            kept: Kept::default(),
            changes: Arc::default(),
            view: ArcSwap::from_pointee(View::empty()),
            seats: Mutex::default(),
            panicking: Mutex::default(),
            claims: Mutex::default(),
            tasks: Mutex::default(),
            #[cfg(feature = "status-page")]
            charted: false.into(),
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats<S>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts endpoints in and takes others out, in one step. One of a name that is there already keeps its statistics.
    pub(crate) fn change(
        &self,
        keep: impl Fn(&str) -> bool,
        insert: impl IntoIterator<Item = Member<S>>,
    ) {
        let now = Instant::now();
        let upstream = &self.settings.upstream;
        // Before the lock: a recorder of metrics may look at the pool.
        let with_picks = |member: Member<S>| {
            let picks = Picks::new(upstream, &member.name);
            (member, picks)
        };
        let insert: Vec<_> = insert.into_iter().map(with_picks).collect();
        let mut seats = self.seats();
        let all = mem::take(&mut *seats).into_iter();
        // Dropped when the lock is free: what drops a service may look at the pool.
        let (all, mut gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(name, _)| keep(name));
        *seats = all;
        // Where all are new, none has to wait for the others.
        let first = seats.is_empty();
        for (member, picks) in insert {
            let name = Arc::clone(&member.name);
            let old = seats.get(&name);
            let load = old.map(|old| Arc::clone(&old.load)).unwrap_or_else(|| {
                let load = Load::new(Arc::clone(&name), self.rules);
                if !first && self.settings.slow_start.is_some() {
                    load.warm_up(now);
                }
                Arc::new(load)
            });
            let usable = old.is_none_or(|old| old.is_usable());
            member.watch(&self.changes);
            #[cfg(feature = "status-page")]
            if self.charted.load(Ordering::Relaxed) {
                member.chart();
            }
            let seat = Seat::new(member, picks, load, usable);
            if let Some(old) = seats.insert(Arc::clone(&name), Arc::new(seat)) {
                gone.insert(name, old);
            }
        }
        let view = self.rebuild(&mut seats, now);
        drop(seats);
        drop((view, gone));
        self.tell();
        // Who waits for an endpoint looks again.
        self.changes.tell();
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.seats().keys().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.seats().len()
    }

    pub(crate) fn status(&self) -> Vec<MemberStatus> {
        self.look(|_, status| status)
    }

    /// Looks at each endpoint, by the order of their names.
    pub(crate) fn look<T>(&self, mut row: impl FnMut(&Member<S>, MemberStatus) -> T) -> Vec<T> {
        let now = Instant::now();
        let seats: Vec<_> = self.seats().values().cloned().collect();
        let look = |seat: Arc<Seat<S>>| {
            let status = MemberStatus {
                name: Arc::clone(&seat.member.name),
                weight: seat.member.weight,
                priority: seat.member.priority,
                usable: seat.member.look().0,
                degraded: seat.member.is_degraded(),
                pending: seat.load.pending(),
                latency: seat.load.latency(now),
            };
            row(&seat.member, status)
        };
        seats.into_iter().map(look).collect()
    }

    /// Counts the probes and the calls of all endpoints for a page from now on.
    #[cfg(feature = "status-page")]
    pub(crate) fn chart(&self) {
        let seats = self.seats();
        // Under the lock, under which endpoints are put in.
        self.charted.store(true, Ordering::Relaxed);
        for seat in seats.values() {
            seat.member.chart();
        }
    }

    /// Makes the view anew. Returns the one of before, to be dropped when the lock is free.
    fn rebuild(&self, seats: &mut Seats<S>, now: Instant) -> Arc<View<S>> {
        // Before the look: what changes during it makes another view.
        let count = self.changes.count();
        for seat in seats.values() {
            let (usable, _) = seat.member.look();
            if usable && !seat.usable.swap(usable, Ordering::Relaxed) {
                seat.load.forget();
                if self.settings.slow_start.is_some() {
                    seat.load.warm_up(now);
                }
            } else if !usable {
                seat.usable.store(false, Ordering::Relaxed);
            }
        }
        let view = View::new(seats.values(), &self.settings, count, now);
        self.view.swap(Arc::new(view))
    }

    /// Says what the view is like that is there now, which is that of who comes or a later one. The endpoints are not locked: who is told may look at them.
    fn tell(&self) {
        let mut told = self
            .panicking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let view = self.view.load();
        let panicking = view.groups.iter().filter(|group| group.panics);
        let panicking: BTreeSet<u32> = panicking.map(|group| group.priority).collect();
        let upstream = &self.settings.upstream;
        for priority in panicking.symmetric_difference(&told) {
            telemetry::panic(upstream, *priority, panicking.contains(priority));
        }
        telemetry::members(upstream, view.usable, view.size);
        *told = panicking;
    }

    #[inline]
    fn is_old(&self, view: &View<S>, now: Instant) -> bool {
        view.count != self.changes.count() || view.due.is_some_and(|due| due <= now)
    }

    /// Makes the view anew where it is out of date. Where another call is about it, the old one may do: what it says is asked again before an endpoint is called.
    #[cold]
    fn refresh(&self, now: Instant, waits: bool) {
        let mut seats = match self.seats.try_lock() {
            Ok(seats) => seats,
            // Who panicked there left it as it was, or as it was to be.
            Err(TryLockError::Poisoned(seats)) => seats.into_inner(),
            Err(TryLockError::WouldBlock) if waits => self.seats(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.is_old(&self.view.load(), now) {
            return;
        }
        let view = self.rebuild(&mut seats, now);
        drop(seats);
        drop(view);
        self.tell();
    }

    /// When the view is out of date by itself, and how many changes it was made from.
    pub(crate) fn seen(&self) -> (u64, Option<Instant>) {
        let view = self.view.load();
        (view.count, view.due)
    }

    /// Brings the probes near of those that nobody knows of: of so many, and of the same ones until something has changed, so that who looks twice asks no more of them.
    #[cold]
    fn ask(view: &View<S>) {
        #[expect(clippy::cast_possible_truncation, reason = "any number does")]
        let start = view.count as usize % view.unsettled.len().max(1);
        let (before, after) = view.unsettled.split_at_checked(start).unwrap_or_default();
        let seats = after.iter().chain(before);
        let seats = seats.filter(|seat| seat.member.is_unsettled());
        for health in seats
            .filter_map(|seat| seat.member.health.as_ref())
            .take(ASKED)
        {
            health.ask();
        }
    }

    /// How long it may take until it is known of those that the last pick knew nothing of; `None` where there was none.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let view = self.view.load();
        let healths = view.unsettled.iter();
        let healths = healths.filter_map(|seat| seat.member.health.as_ref());
        healths.map(Health::patience).max()
    }

    /// Says whether all of those is known by now.
    pub(crate) fn is_settled(&self) -> bool {
        let view = self.view.load();
        !view.unsettled.iter().any(|seat| seat.member.is_unsettled())
    }

    /// Those that nobody knows of, and how many of their probes have ended.
    pub(crate) fn unsettled(&self) -> Vec<(Arc<Seat<S>>, u64)> {
        let view = self.view.load();
        let ended = |seat: &Arc<Seat<S>>| (Arc::clone(seat), seat.member.probes_ended());
        view.unsettled.iter().map(ended).collect()
    }

    /// The time until an endpoint is looked at again, where somebody knows.
    pub(crate) fn again(&self) -> Option<Duration> {
        let seats = self.seats();
        let seats = seats.values();
        let next = seats.filter_map(|seat| {
            let Member {
                health, passive, ..
            } = &seat.member;
            match health {
                Some(health) if !health.is_up() => health.next_check(),
                _ => {
                    let due = passive.as_ref()?.due()?;
                    Some(due.saturating_duration_since(Instant::now()))
                }
            }
        });
        next.min()
    }
}

impl<S: Clone> Shared<S> {
    /// Picks an endpoint: one of two that are drawn. The same few steps however many there are.
    #[inline]
    pub(crate) fn pick(&self, avoid: Avoid<'_>) -> Option<Picked<S>> {
        let now = Instant::now();
        let mut view = self.view.load();
        if self.is_old(&view, now) {
            drop(view);
            self.refresh(now, false);
            view = self.view.load();
        }
        if !view.unsettled.is_empty() {
            Self::ask(&view);
        }
        let random = self.chance.next();
        if let [group] = &*view.groups
            && avoid.is_nothing()
            && !group.is_last
            && let Some(picked) = self.pick_of(group, random, now, avoid)
        {
            return Some(picked);
        }
        // An old view may send a call to the last ones, or refuse it, though another is up by now.
        for _ in 0..RENEWALS {
            let picked = self.pick_anywhere(&view, random, now, avoid, false);
            if picked.is_some() || !self.is_old(&view, now) {
                return picked;
            }
            self.refresh(now, true);
            view = self.view.load();
        }
        self.pick_anywhere(&view, random, now, avoid, true)
    }

    /// Picks one of these, whose probe has ended since so many had: what it has found counts for who waited, even where it is too old again.
    pub(crate) fn pick_asked(&self, asked: &[(Arc<Seat<S>>, u64)]) -> Option<Picked<S>> {
        let view = self.view.load();
        asked.iter().find_map(|(seat, ended)| {
            let is_there = view.unsettled.iter().any(|other| Arc::ptr_eq(other, seat));
            if !is_there || seat.member.probes_ended() == *ended {
                return None;
            }
            Some(Picked::new(seat, seat.member.enter(false)?, Instant::now()))
        })
    }

    #[inline(never)]
    fn pick_anywhere(
        &self,
        view: &View<S>,
        random: u64,
        now: Instant,
        avoid: Avoid<'_>,
        anyhow: bool,
    ) -> Option<Picked<S>> {
        let may_be_asked = |group: &Group<S>| anyhow || !group.is_last || !self.is_old(view, now);
        let busy = Avoid {
            tried: None,
            ..avoid
        };
        #[expect(clippy::cast_possible_truncation, reason = "32 random bits")]
        let chosen = view.group(self.chance.next() as u32);
        for avoid in [avoid, busy] {
            let chosen_one = chosen.filter(|(_, group)| may_be_asked(group));
            let picked = chosen_one.and_then(|(_, group)| self.pick_of(group, random, now, avoid));
            if picked.is_some() {
                return picked;
            }
            let is_chosen = |index| chosen.is_some_and(|(chosen, _)| chosen == index);
            let others = view.groups.iter().enumerate();
            let mut others =
                others.filter(|(index, group)| !is_chosen(*index) && may_be_asked(group));
            let picked = others.find_map(|(_, group)| self.pick_of(group, random, now, avoid));
            if picked.is_some() || avoid.tried.is_none() {
                return picked;
            }
        }
        None
    }

    #[inline]
    fn pick_of(
        &self,
        group: &Group<S>,
        random: u64,
        now: Instant,
        avoid: Avoid<'_>,
    ) -> Option<Picked<S>> {
        for seat in &group.trials {
            if !avoid.covers(seat)
                && let Some(pass) = seat.member.enter(false)
            {
                return Some(Picked::new(seat, pass, now));
            }
        }
        let entries = &group.table.entries;
        let enter = |entry: &Entry<S>| {
            if avoid.covers(&entry.seat) {
                return None;
            }
            let pass = entry.seat.member.enter(group.anyway)?;
            Some(Picked::new(&entry.seat, pass, now))
        };
        if entries.len() > 1 {
            let (first, second) = group.table.draw_two(random, || self.chance.next());
            let (first, second) = (entries.get(first)?, entries.get(second)?);
            let picked = if self.prefers(first, second, now) {
                enter(first).or_else(|| enter(second))
            } else {
                enter(second).or_else(|| enter(first))
            };
            if picked.is_some() {
                return picked;
            }
        }
        // What was drawn does not do: the first that does, from anywhere on.
        let start = scale((random >> 32) as u32, entries.len());
        let (before, after) = entries.split_at_checked(start)?;
        after.iter().chain(before).find_map(enter)
    }

    /// Whether the first of two is called: where they cost the same, it is.
    #[inline]
    fn prefers(&self, first: &Entry<S>, second: &Entry<S>, now: Instant) -> bool {
        let cost = |entry: &Entry<S>| entry.seat.load.cost(now, entry.crowd);
        let prefers = cost(first) <= cost(second);
        if self.settings.slow_start.is_none() {
            return prefers;
        }
        let chosen = if prefers { first } else { second };
        match chosen.seat.load.warmth(now, &self.settings) {
            // The rest of its share is the other's.
            Some(part) if self.chance.part() >= part => !prefers,
            _ => prefers,
        }
    }
}

// === impl Picked ===

impl<S: Clone> Picked<S> {
    #[inline]
    fn new(seat: &Seat<S>, pass: Option<Pass>, started: Instant) -> Self {
        seat.picked();
        Self {
            service: seat.member.service.clone(),
            pass,
            in_flight: seat.load.begin(),
            started,
        }
    }
}

// === impl Avoid ===

impl Avoid<'_> {
    #[inline]
    const fn is_nothing(&self) -> bool {
        self.tried.is_none() && self.busy.is_none()
    }

    #[inline]
    fn covers<S>(&self, seat: &Seat<S>) -> bool {
        !self.is_nothing() && self.matches(&seat.load)
    }

    #[inline(never)]
    fn matches(&self, load: &Arc<Load>) -> bool {
        let is_busy = self
            .busy
            .is_some_and(|busy| std::ptr::eq(busy, Arc::as_ptr(load)));
        is_busy || self.tried.is_some_and(|tried| tried.has_tried(&load.name))
    }
}

#[cfg(test)]
mod tests;
