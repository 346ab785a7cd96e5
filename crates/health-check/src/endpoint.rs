use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::changes::Watchers;
use crate::circuit::{Circuit, GENERATIONS, Phase, Step, Ticket};
use crate::health::Hurry;
use crate::outliers::Group;
use crate::window::{Sums, Window};
use crate::{Detector, Observed, PassiveState, PassiveStatus, telemetry};

/// One endpoint: what the clones of a [`PassiveHealth`](crate::PassiveHealth) and the passes of its calls share.
pub(crate) struct Endpoint {
    group: Arc<Group>,
    pub(crate) name: Arc<str>,
    /// A [`Circuit`].
    circuit: AtomicU64,
    /// Until when it holds: the generation that it is about in the high 14 bits, then microseconds. Written only by who began that generation, and
    /// not over a later one, by who comes late; where it is about an earlier one, it is about to be written.
    until: AtomicU64,
    /// Answers, and where they are counted apart connections.
    windows: [Window; 2],
    record: Mutex<Record>,
    /// The monitor that a call can hurry.
    hurry: Mutex<Option<Hurry>>,
    /// Wakes who waits for a change.
    pub(crate) changed: Notify,
    /// Pools that are told of every change.
    pub(crate) watchers: Watchers,
    /// What a page draws; empty while there is none.
    #[cfg(feature = "status-page")]
    pub(crate) chart: std::sync::OnceLock<Box<crate::chart::Chart>>,
}

/// What only changes with the phase.
#[derive(Debug)]
struct Record {
    since: Instant,
    detector: Option<Detector>,
    multiplier: u32,
    ejections: u64,
}

/// What ends an ejection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReturnedBy {
    Trial,
    Check,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(group: Arc<Group>, name: Arc<str>) -> Self {
        Self {
            group,
            name,
            circuit: AtomicU64::new(Circuit::NEW.to_word()),
            until: AtomicU64::new(0),
            windows: [Window::new(), Window::new()],
            record: Mutex::new(Record {
                since: Instant::now(),
                detector: None,
                multiplier: 0,
                ejections: 0,
            }),
            hurry: Mutex::default(),
            changed: Notify::new(),
            watchers: Watchers::default(),
            #[cfg(feature = "status-page")]
            chart: std::sync::OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn circuit(&self) -> Circuit {
        Circuit::from_word(self.circuit.load(Ordering::Acquire))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.circuit().is_closed()
    }

    pub(crate) fn sums(&self, tick: u64) -> [Sums; 2] {
        let [answers, connections] = &self.windows;
        [answers.sums(tick), connections.sums(tick)]
    }

    pub(crate) fn abandoned_after(&self) -> Option<Duration> {
        self.group.settings.abandoned_after
    }

    /// Counts how a call went. Returns the generation of the phase after it, where the call began it.
    #[inline]
    pub(crate) fn observe(&self, ticket: Ticket, observed: Observed) -> Option<u16> {
        let word = self.circuit.load(Ordering::Acquire);
        // Nearly every call: a success of an endpoint that has no failure to forget.
        if observed == Observed::Success && word == Circuit::closed(ticket.generation).to_word() {
            self.measure(observed);
            return None;
        }
        self.count(Circuit::from_word(word), ticket, observed)
    }

    #[inline(never)]
    fn count(&self, mut circuit: Circuit, ticket: Ticket, observed: Observed) -> Option<u16> {
        if circuit.generation == ticket.generation && circuit.is_closed() {
            self.measure(observed);
        }
        let counts = self.group.settings.counts();
        'again: loop {
            let mut step = circuit.observe(ticket, observed, &counts);
            let next = loop {
                match step {
                    Step::Keep => return None,
                    Step::Count(next) | Step::EjectAgain(next) => break next,
                    Step::Return(next) => {
                        self.forget();
                        break next;
                    }
                    Step::Suspect {
                        detector,
                        spared,
                        ejected,
                    } => match self.eject(circuit, ejected, detector) {
                        Ok(true) => return None,
                        // Another detector may have seen enough too.
                        Ok(false) => step = spared.judged(&counts),
                        Err(seen) => {
                            circuit = seen;
                            continue 'again;
                        }
                    },
                }
            };
            match self.swap(circuit, next) {
                Ok(()) => {
                    match step {
                        Step::Return(_) => self.returned(ReturnedBy::Trial),
                        Step::EjectAgain(_) => self.ejected(next, Detector::Trial),
                        // The place of a trial is free.
                        Step::Count(_) if ticket.trial => self.tell(),
                        Step::Count(_) | Step::Suspect { .. } | Step::Keep => {}
                    }
                    return matches!(step, Step::Return(_)).then_some(next.generation);
                }
                Err(seen) => circuit = seen,
            }
        }
    }

    /// A detector that looks at shares has seen enough.
    pub(crate) fn suspect(&self, detector: Detector) {
        let mut circuit = self.circuit();
        while circuit.is_closed() {
            match self.eject(circuit, circuit.ejected(), detector) {
                Ok(_) => return,
                Err(seen) => circuit = seen,
            }
        }
    }

    /// Ejects, where that is granted. `Err` where somebody else was faster.
    fn eject(&self, from: Circuit, to: Circuit, detector: Detector) -> Result<bool, Circuit> {
        let percent = self.group.settings.enforcing.percent(detector);
        if !self.group.chance.happens(percent) {
            telemetry::spared(&self.name, detector, "not enforced");
            return Ok(false);
        }
        if !self.group.reserve() {
            telemetry::spared(&self.name, detector, "too many are ejected");
            return Ok(false);
        }
        let mut from = from;
        while let Err(seen) = self.swap(from, to) {
            if seen.generation != from.generation {
                self.group.release();
                return Err(seen);
            }
            // It was counted meanwhile, perhaps by one who was spared because the place was taken for this ejection.
            from = seen;
        }
        self.ejected(to, detector);
        Ok(true)
    }

    /// An ejection has begun, by who calls this.
    fn ejected(&self, circuit: Circuit, detector: Detector) {
        let settings = &self.group.settings;
        let now = Instant::now();
        let (time, multiplier) = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            if detector != Detector::Trial {
                let healthy = now.saturating_duration_since(record.since);
                record.multiplier = settings.decayed(record.multiplier, healthy);
            }
            record.multiplier = settings.grown(record.multiplier);
            record.detector = Some(detector);
            record.ejections += 1;
            record.since = now;
            let jitter = self.group.chance.up_to_time(settings.ejection_jitter);
            let time = settings.ejection_time(record.multiplier);
            (time.saturating_add(jitter), record.multiplier)
        };
        self.set_until(circuit, now, time);
        telemetry::ejected(&self.name, detector, time, multiplier);
        self.tell();
    }

    /// An ejection is about to end: what was measured before it counts no more. It is done before, as shares of an endpoint that is back are looked at.
    fn forget(&self) {
        for window in &self.windows {
            window.clear();
        }
    }

    /// An ejection has ended, by who calls this.
    fn returned(&self, by: ReturnedBy) {
        self.group.release();
        {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.since = Instant::now();
        }
        telemetry::returned(&self.name, by);
        self.tell();
    }

    fn tell(&self) {
        self.changed.notify_waiters();
        self.watchers.tell();
    }

    /// A call can hurry this monitor, and no other.
    pub(crate) fn hurries(&self, hurry: Hurry) {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner) = Some(hurry);
    }

    /// A call got no connection, or failed and ejects nothing: the monitor is to look now, where that is to be so; says whether it is.
    #[cold]
    pub(crate) fn check_now(&self, connected: bool) -> bool {
        let settings = &self.group.settings;
        let asks = match connected {
            true => settings.check_on_failure,
            false => settings.check_on_connect_failure,
        };
        if !asks {
            return false;
        }
        let hurry = self.hurry.lock();
        let hurry = hurry.unwrap_or_else(PoisonError::into_inner).clone();
        if hurry.as_ref().is_some_and(Hurry::check_now) {
            telemetry::hurried(&self.name);
        }
        true
    }

    pub(crate) fn check_succeeded(&self) {
        if !self.group.settings.return_on_check {
            return;
        }
        let mut circuit = self.circuit();
        while !circuit.is_closed() {
            self.forget();
            match self.swap(circuit, circuit.returned()) {
                Ok(()) => return self.returned(ReturnedBy::Check),
                Err(seen) => circuit = seen,
            }
        }
    }

    /// Takes the place of a trial, or begins the trials where the ejection is over. `Err` with the time until then.
    pub(crate) fn try_again(&self) -> Result<Circuit, Duration> {
        let trials = self.group.settings.trials;
        let mut circuit = self.circuit();
        loop {
            let (next, first) = match circuit.phase {
                Phase::Closed { .. } => return Ok(circuit),
                Phase::Ejected => (self.over(circuit)?.trying(), true),
                Phase::Trying { .. } => match circuit.another_trial(trials) {
                    Some(next) => (next, false),
                    // Those that were let through take too long: others take their place.
                    None => (
                        self.over(circuit).map_err(|_| Duration::ZERO)?.trying(),
                        true,
                    ),
                },
            };
            match self.swap(circuit, next) {
                Ok(()) => {
                    if !first {
                        self.watchers.tell();
                    } else {
                        let limit = self.group.settings.ejection_time(1);
                        self.set_until(next, Instant::now(), limit);
                        telemetry::trying(&self.name);
                        self.tell();
                    }
                    return Ok(next);
                }
                Err(seen) => circuit = seen,
            }
        }
    }

    pub(crate) fn has_trial(&self) -> Result<(), Duration> {
        let circuit = self.circuit();
        match circuit.phase {
            Phase::Closed { .. } => Ok(()),
            Phase::Trying { given, .. } if given < self.group.settings.trials.get() => Ok(()),
            Phase::Trying { .. } => self.over(circuit).map(drop).map_err(|_| Duration::ZERO),
            Phase::Ejected => self.over(circuit).map(drop),
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let circuit = self.circuit();
        if circuit.is_closed() {
            return None;
        }
        Some(self.group.time(self.until(circuit)?))
    }

    /// The circuit, where its time is over; else what is left of it.
    fn over(&self, circuit: Circuit) -> Result<Circuit, Duration> {
        let Some(until) = self.until(circuit) else {
            return Err(Duration::ZERO);
        };
        let left = until.saturating_sub(self.group.micros(Instant::now()));
        if left > 0 {
            return Err(Duration::from_micros(left));
        }
        Ok(circuit)
    }

    /// Until when the circuit holds; `None` where that is about to be written.
    fn until(&self, circuit: Circuit) -> Option<u64> {
        let word = self.until.load(Ordering::Acquire);
        (word >> MICROS_BITS == u64::from(circuit.generation)).then_some(word & MICROS)
    }

    fn set_until(&self, circuit: Circuit, now: Instant, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(MICROS);
        let until = self.group.micros(now).saturating_add(time).min(MICROS);
        let word = u64::from(circuit.generation) << MICROS_BITS | until;
        // What it returns is what was there before.
        let _ = self
            .until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
                let later = u64::from(circuit.generation).wrapping_sub(last >> MICROS_BITS);
                // Half of all generations are before, and half after: so they can wrap.
                let is_later = later & u64::from(GENERATIONS) <= u64::from(GENERATIONS / 2);
                is_later.then_some(word)
            });
    }

    fn swap(&self, from: Circuit, to: Circuit) -> Result<(), Circuit> {
        let swapped = self.circuit.compare_exchange(
            from.to_word(),
            to.to_word(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        swapped.map(drop).map_err(Circuit::from_word)
    }

    /// Counts for the shares.
    #[inline]
    fn measure(&self, observed: Observed) {
        if !self.group.has_windows() {
            return;
        }
        let tick = self.group.tick();
        let split = self.group.settings.split_local_origin;
        let [answers, connections] = &self.windows;
        let answer = match observed {
            Observed::Nothing => return,
            Observed::Success => true,
            Observed::GatewayFailure | Observed::ServerFailure => false,
            Observed::LocalFailure if split => return connections.add(tick, false),
            Observed::LocalFailure => false,
        };
        answers.add(tick, answer);
        if split {
            connections.add(tick, true);
        }
    }

    pub(crate) fn status(&self) -> PassiveStatus {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = self.circuit();
        let state = match circuit.phase {
            Phase::Closed { .. } => PassiveState::Healthy,
            Phase::Trying { .. } => PassiveState::Trying,
            Phase::Ejected => PassiveState::Ejected {
                until: self.due().unwrap_or(record.since),
            },
        };
        PassiveStatus {
            state,
            since: record.since,
            detector: record.detector,
            multiplier: record.multiplier,
            ejections: record.ejections,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let was_ejected = !self.is_closed();
        if was_ejected {
            telemetry::left(&self.name);
        }
        self.group.leave(was_ejected);
    }
}

// === impl ReturnedBy ===

impl ReturnedBy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Check => "check",
        }
    }
}

const MICROS_BITS: u32 = 50;
/// 35 years.
const MICROS: u64 = (1 << MICROS_BITS) - 1;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::OutlierDetection;
    use crate::outliers::Outliers;

    fn endpoint() -> Endpoint {
        let settings = OutlierDetection::new()
            .success_rate(None)
            .failure_percentage(None);
        Endpoint::new(Outliers::new(settings, None).group(), "a".into())
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_does_not_hide_until_when_a_later_phase_holds() {
        let limit = Duration::from_secs(30);
        for first in [1, GENERATIONS] {
            let endpoint = endpoint();
            endpoint
                .until
                .store(u64::from(first - 1) << MICROS_BITS, Ordering::Relaxed);
            let [early, late] = [first, (first + 1) & GENERATIONS].map(|generation| Circuit {
                phase: Phase::Ejected,
                generation,
            });
            endpoint.set_until(late, Instant::now(), limit);
            let until = endpoint.until(late);
            assert!(until.is_some(), "{first}");

            endpoint.set_until(early, Instant::now(), 2 * limit);

            assert_eq!(endpoint.until(late), until, "{first}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_back_is_not_measured_by_what_was_before() {
        let runtime = tokio::runtime::Handle::current();
        for round in 0..1000 {
            let endpoint = endpoint();
            let circuit = endpoint.circuit();
            endpoint.swap(circuit, circuit.ejected()).unwrap();
            assert!(endpoint.group.reserve());
            endpoint.windows[0].add(1, false);
            let barrier = Barrier::new(2);

            thread::scope(|scope| {
                scope.spawn(|| {
                    let _entered = runtime.enter();
                    barrier.wait();
                    endpoint.check_succeeded();
                });
                barrier.wait();
                while !endpoint.is_closed() {
                    std::hint::spin_loop();
                }
                assert_eq!(endpoint.sums(1)[0].total(), 0, "round {round}");
            });
        }
    }
}
