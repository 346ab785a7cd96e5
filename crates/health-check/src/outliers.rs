use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use portcullis_gateway_error::Chance;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::endpoint::Endpoint;
use crate::statistics::{fails_too_often, failures_count, is_below, success_rate_limit};
use crate::window::{PARTS, Sums};
use crate::{Detector, OutlierDetection, PassiveHealth};

/// The endpoints of one upstream, which are compared with each other and of which only so many may be ejected at once. Clones share them.
///
/// It is made by [`OutlierDetection::start`], which has an example.
#[derive(Clone)]
pub struct Outliers {
    group: Arc<Group>,
}

/// What the endpoints of a group share.
pub(crate) struct Group {
    pub(crate) settings: OutlierDetection,
    pub(crate) chance: Chance,
    /// What times in words count from.
    epoch: Instant,
    members: Mutex<Members>,
    /// How many endpoints there are, and how many of them are ejected or tried.
    size: AtomicUsize,
    ejected: AtomicUsize,
    /// Whether shares are measured: there are enough endpoints for that.
    windows: AtomicBool,
    /// The tick that outcomes count for: the time in tenths of the window, as the task last saw it. So an outcome needs no clock.
    tick: AtomicU64,
    /// Where the task runs. `None` where there is none.
    runtime: Option<Handle>,
}

#[derive(Default)]
struct Members {
    all: Vec<Weak<Endpoint>>,
    /// How many there were when those that are gone were last taken out.
    kept: usize,
    has_task: bool,
}

// === impl Outliers ===

impl Outliers {
    pub(crate) fn new(settings: OutlierDetection, runtime: Option<Handle>) -> Self {
        Self {
            group: Arc::new(Group {
                chance: Chance::new(settings.seed),
                settings,
                epoch: Instant::now(),
                members: Mutex::default(),
                size: AtomicUsize::new(0),
                ejected: AtomicUsize::new(0),
                windows: AtomicBool::new(false),
                tick: AtomicU64::new(1),
                runtime,
            }),
        }
    }

    #[cfg(test)]
    pub(crate) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Adds an endpoint. It leaves the group when the last clone of what is returned, and the last [`Pass`](crate::Pass) of it, is dropped.
    #[must_use = "an endpoint leaves its group when it is dropped"]
    pub fn endpoint(&self, name: impl Into<Arc<str>>) -> PassiveHealth {
        let endpoint = Arc::new(Endpoint::new(Arc::clone(&self.group), name.into()));
        self.group.join(&endpoint);
        PassiveHealth::new(endpoint)
    }

    /// Returns how many endpoints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.group.size.load(Ordering::Relaxed)
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many endpoints are ejected, or have only trial calls let through.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.group.ejected.load(Ordering::Relaxed)
    }

    /// Returns the share of endpoints that are not ejected, in per cent: what a panic threshold is compared with. 100 where there is none.
    #[must_use]
    pub fn healthy_percent(&self) -> f64 {
        let (size, ejected) = (self.len(), self.ejected());
        if size == 0 {
            return 100.0;
        }
        100.0 * size.saturating_sub(ejected) as f64 / size as f64
    }
}

impl fmt::Debug for Outliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outliers")
            .field("len", &self.len())
            .field("ejected", &self.ejected())
            .field("settings", &self.group.settings)
            .finish()
    }
}

// === impl Group ===

impl Group {
    fn join(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        let size = self.size.fetch_add(1, Ordering::Relaxed) + 1;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        // Now and then, so that endpoints that come and go do not add up.
        if members.all.len() > 2 * members.kept.max(8) {
            members.all.retain(|member| member.strong_count() > 0);
            members.kept = members.all.len();
        }
        members.all.push(Arc::downgrade(endpoint));
        if self.settings.windows_from().is_none_or(|from| size < from) {
            return;
        }
        self.windows.store(true, Ordering::Relaxed);
        if let Some(runtime) = &self.runtime
            && !members.has_task
        {
            members.has_task = true;
            self.tick
                .fetch_max(self.tick_at(Instant::now()), Ordering::Relaxed);
            runtime.spawn(compare(Arc::downgrade(self), self.tick_length()));
        }
    }

    /// An endpoint is gone.
    pub(crate) fn leave(&self, was_ejected: bool) {
        if was_ejected {
            self.release();
        }
        self.size.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes one of the places for ejected endpoints, if there is one left. One step: however many ask at once, no more are ejected than may be.
    pub(crate) fn reserve(&self) -> bool {
        let size = self.size.load(Ordering::Relaxed) as u128;
        let percent = u128::from(self.settings.max_ejection_percent);
        let fits = |ejected: usize| {
            let allowed = (ejected as u128 + 1) * 100 <= percent * size;
            allowed || (self.settings.always_eject_one && ejected == 0)
        };
        self.ejected
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ejected| {
                fits(ejected).then_some(ejected + 1)
            })
            .is_ok()
    }

    /// Gives the place back.
    pub(crate) fn release(&self) {
        self.ejected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether shares are measured.
    #[inline]
    pub(crate) fn has_windows(&self) -> bool {
        self.windows.load(Ordering::Relaxed)
    }

    /// The tick that an outcome counts for.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    /// The microseconds since the epoch.
    pub(crate) fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// The time of so many microseconds since the epoch.
    pub(crate) fn time(&self, micros: u64) -> Instant {
        let since = Duration::from_micros(micros);
        self.epoch.checked_add(since).unwrap_or(self.epoch)
    }

    fn tick_length(&self) -> Duration {
        self.settings.window_within() / PARTS
    }

    fn tick_at(&self, now: Instant) -> u64 {
        let length = u64::try_from(self.tick_length().as_micros()).unwrap_or(u64::MAX);
        self.micros(now) / length.max(1) + 1
    }

    /// Looks at the shares of all, and ejects the outliers.
    fn compare(&self, now: Instant) {
        self.tick.fetch_max(self.tick_at(now), Ordering::Relaxed);
        // Ejecting tells a log and wakes tasks, which is not done under the lock.
        let members: Vec<_> = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.all.iter().filter_map(Weak::upgrade).collect()
        };
        let members = members.into_iter().filter(|member| member.is_closed());
        let tick = self.tick();
        let members: Vec<_> = members.map(|member| (member.sums(tick), member)).collect();
        for local in [false, true] {
            if local && !self.settings.split_local_origin {
                continue;
            }
            let sums = |(sums, _): &([Sums; 2], Arc<Endpoint>)| {
                let [answers, connections] = *sums;
                if local { connections } else { answers }
            };
            if let Some(rules) = &self.settings.success_rate
                && let Some(limit) = success_rate_limit(rules, members.iter().map(sums))
            {
                for member in &members {
                    if is_below(rules, limit, sums(member)) {
                        member.1.suspect(Detector::SuccessRate);
                    }
                }
            }
            if let Some(rules) = &self.settings.failure_percentage
                && failures_count(rules, members.iter().map(sums))
            {
                for member in &members {
                    if fails_too_often(rules, sums(member)) {
                        member.1.suspect(Detector::FailurePercentage);
                    }
                }
            }
        }
    }
}

/// Compares the endpoints again and again until the group is gone.
async fn compare(group: Weak<Group>, tick: Duration) {
    loop {
        sleep(tick).await;
        let Some(group) = group.upgrade() else {
            return;
        };
        group.compare(Instant::now());
    }
}
