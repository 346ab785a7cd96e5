use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::changes::Changes;
use crate::health::Verdict;
use crate::pass::Pass;
use crate::pool::load::Load;
use crate::{Admission, Health, PassiveHealth};

/// One endpoint of a [`Pool`](crate::Pool): the service that calls it, what is known of its health, its weight and its priority.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::num::NonZeroU32;
/// use portcullis_health_check::{Member, OutlierDetection};
///
/// let outliers = OutlierDetection::new().start();
/// # let client = ();
/// let member = Member::new("10.0.0.7:8080", client)
///     .passive(outliers.endpoint("10.0.0.7:8080"))
///     .weight(NonZeroU32::new(3).unwrap());
/// # drop(member);
/// # }
/// ```
#[must_use = "an endpoint gets no calls until it is in a pool"]
#[derive(Clone)]
pub struct Member<S> {
    pub(crate) name: Arc<str>,
    pub(crate) service: S,
    pub(crate) weight: NonZeroU32,
    pub(crate) priority: u32,
    pub(crate) health: Option<Health>,
    pub(crate) passive: Option<PassiveHealth>,
}

/// What a pool knows of one endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct MemberStatus {
    /// The name.
    pub name: Arc<str>,
    /// The weight.
    pub weight: NonZeroU32,
    /// The priority; 0 is the first.
    pub priority: u32,
    /// Whether its health lets calls through.
    pub usable: bool,
    /// Whether its probes say that it is degraded: it is called where no other is up.
    pub degraded: bool,
    /// The calls in flight, the bodies of their answers included.
    pub pending: u32,
    /// The latency that picks are made by, where any is known.
    pub latency: Option<Duration>,
}

/// A member in its pool.
pub(crate) struct Seat<S> {
    pub(crate) member: Member<S>,
    pub(crate) load: Arc<Load>,
    /// As the pool saw it last.
    pub(crate) usable: AtomicBool,
    picks: Picks,
}

/// Counts the calls that go to an endpoint.
pub(crate) struct Picks(#[cfg(feature = "metrics")] metrics::Counter);

// === impl Member ===

impl<S> Member<S> {
    /// An endpoint of this name that is called by this service, of weight 1 in the first priority, and always up.
    ///
    /// Its name is what [`Attempt`](portcullis_gateway_error::Attempt) remembers, logs and metrics say; in a pool it is there once.
    pub fn new(name: impl Into<Arc<str>>, service: S) -> Self {
        Self {
            name: name.into(),
            service,
            weight: NonZeroU32::MIN,
            priority: 0,
            health: None,
            passive: None,
        }
    }

    /// The same, called by this service.
    #[cfg(feature = "config")]
    pub(crate) fn calling<T>(self, service: T) -> Member<T> {
        let Self {
            name,
            weight,
            priority,
            health,
            passive,
            ..
        } = self;
        Member {
            name,
            service,
            weight,
            priority,
            health,
            passive,
        }
    }

    /// Replaces how many calls it gets beside the others of its priority. Default: 1.
    pub const fn weight(mut self, weight: NonZeroU32) -> Self {
        self.weight = weight;
        self
    }

    /// Replaces the priority: endpoints of the next one get calls when too few of this one are left. Default: 0, the first.
    pub const fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Replaces what probes show of it. It gets no calls while that is down, and the last ones while that is degraded. Default: nobody probes it.
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Replaces what its calls show of it: they are looked at, and it gets none while it is ejected but the trials. Default: they are not looked at.
    ///
    /// A probe that succeeds ends an ejection, where [`return_on_check`](crate::OutlierDetection::return_on_check) is set.
    pub fn passive(mut self, passive: PassiveHealth) -> Self {
        self.passive = Some(passive);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells this of every change of its health.
    pub(crate) fn watch(&self, changes: &Arc<Changes>) {
        if let Some(health) = &self.health {
            health.watch(changes);
        }
        if let Some(passive) = &self.passive {
            passive.watch(changes);
        }
    }

    /// Counts its probes and its calls for a page from now on.
    #[cfg(feature = "status-page")]
    pub(crate) fn chart(&self) {
        if let Some(health) = &self.health {
            health.chart();
        }
        if let Some(passive) = &self.passive {
            passive.chart();
        }
    }

    /// Whether a call may go there, and whether it would be a trial.
    pub(crate) fn look(&self) -> (bool, bool) {
        if !self.is_up() {
            return (false, false);
        }
        match &self.passive {
            None => (true, false),
            Some(passive) if passive.is_closed() => (true, false),
            Some(passive) => (passive.would_admit(), true),
        }
    }

    /// Whether it is called where no other is up.
    pub(crate) fn is_degraded(&self) -> bool {
        self.health.as_ref().is_some_and(Health::is_degraded)
    }

    /// Whether nobody knows yet, or what is known is too old to decide by.
    pub(crate) fn is_unsettled(&self) -> bool {
        let verdict = self.health.as_ref().map(Health::verdict);
        verdict == Some(Verdict::Unsettled)
    }

    /// When what is known is too old, where it can be.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.health.as_ref()?.expires()
    }

    /// How many probes on demand have ended.
    pub(crate) fn probes_ended(&self) -> u64 {
        self.health.as_ref().map_or(0, Health::probes_ended)
    }

    /// Whether somebody decided by hand that it gets no calls.
    pub(crate) fn is_taken_out(&self) -> bool {
        self.health.as_ref().is_some_and(Health::is_forced_down)
    }

    #[inline]
    fn is_up(&self) -> bool {
        self.health.as_ref().is_none_or(Health::is_up)
    }

    /// Lets a call through, with a pass where calls are looked at; `None` where it may not go there.
    #[inline]
    pub(crate) fn enter(&self, anyway: bool) -> Option<Option<Pass>> {
        if !anyway && !self.is_up() {
            return None;
        }
        match self.passive.as_ref().map(PassiveHealth::admit) {
            None => Some(None),
            Some(Admission::Pass(pass)) => Some(Some(pass)),
            Some(Admission::Refused { .. }) => anyway.then_some(None),
        }
    }
}

impl<S> fmt::Debug for Member<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .field("priority", &self.priority)
            .field("health", &self.health)
            .field("passive", &self.passive)
            .finish_non_exhaustive()
    }
}

// === impl Seat ===

impl<S> Seat<S> {
    pub(crate) fn new(member: Member<S>, picks: Picks, load: Arc<Load>, usable: bool) -> Self {
        if let (Some(health), Some(passive)) = (&member.health, &member.passive) {
            health.link(passive);
        }
        Self {
            picks,
            member,
            load,
            usable: AtomicBool::new(usable),
        }
    }

    /// A call goes there.
    #[inline]
    pub(crate) fn picked(&self) {
        tracing::trace!(endpoint = &*self.member.name, "picked");
        if let Some(health) = &self.member.health {
            health.call_came();
        }
        self.picks.count();
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }
}

// === impl Picks ===

impl Picks {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "what metrics are named after")
    )]
    pub(crate) fn new(upstream: &str, endpoint: &str) -> Self {
        Self(
            #[cfg(feature = "metrics")]
            metrics::counter!("health_check.pool.picks", "upstream" => upstream.to_owned(), "endpoint" => endpoint.to_owned()),
        )
    }

    #[inline]
    fn count(&self) {
        #[cfg(feature = "metrics")]
        self.0.increment(1);
    }
}
