use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use crate::Health;

mod accept;
mod body;
mod check;
mod grpc;
mod layer;
mod lifecycle;
mod mapping;
mod overview;
mod report;
mod respond;
mod service;
mod together;

#[cfg(feature = "status-page")]
pub(crate) use self::accept::choose;
pub use self::body::EndpointsBody;
pub use self::check::Check;
use self::check::Seen;
pub use self::layer::{EndpointsLayer, WithEndpoints};
pub use self::lifecycle::Draining;
use self::lifecycle::Lifecycle;
pub use self::mapping::{HealthPath, StatusMapping};
pub(crate) use self::overview::{Down, Overview};
pub use self::service::EndpointsFuture;
use self::together::All;

/// What the own service says of itself, in the manner of Kubernetes and to `grpc.health.v1`. Clones share it.
///
/// | path | 200 while |
/// |---|---|
/// | `/livez` | the process runs, and every [`Check::live`] is up: an upstream that is down is no reason to restart who calls it |
/// | `/readyz` | every other required check is up, [`started`](Self::started) was called where it is waited for, and it does not drain |
/// | `/startupz` | it has started, and every required [`startup`](Check::startup) check is known to be up |
/// | `/healthz` | all of that |
///
/// Else 503, unless [`mapping`](Self::mapping) says otherwise. Each takes `?verbose` and `?exclude=NAME`, repeatable, and `/readyz/NAME` asks for one check, or else for those of a [`tag`](Check::tag) of
/// that name, with the drain and the start. The text is that of the
/// [apiserver](https://kubernetes.io/docs/reference/using-api/health-checks/), with `[~]` for a check that is down and not required, or up and [degraded](crate::ProbeError::degraded); `accept` can ask for
/// `application/health+json` ([draft-inadarei-api-health-check](https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06)), or `application/json`, which is
/// the same, and for `text/html`. `GET` and `HEAD` only. Whoever asks sees names and states; why, since when and until when only whom
/// [`details`](Self::details) lets see it. A [pool](crate::Pool::check) is one check; how many of its endpoints are up, and why others are down, are details of it.
///
/// The checks run at the same time, and each within its own time.
///
/// For gRPC the service of no name is `SERVING` while `/readyz` is 200, and each [`tag`](Check::tag) is a service. `Check` answers `NOT_FOUND` for another one, `Watch`
/// sends `SERVICE_UNKNOWN` and stays open, and `List` has at most 100
/// ([health.proto](https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto), [A90](https://github.com/grpc/proposal/blob/master/A90-health-list.md)).
#[derive(Clone, Default)]
pub struct Endpoints {
    checks: Arc<Vec<Check>>,
    lifecycle: Arc<Lifecycle>,
    details: Option<Arc<MaySee>>,
    service_id: Option<Arc<str>>,
    version: Option<Arc<str>>,
    /// For how long others may keep an answer.
    cache_for: Duration,
    /// For those paths that have one of their own.
    mappings: BTreeMap<HealthPath, StatusMapping>,
}

/// Says whether a caller with this head may see details.
type MaySee = dyn Fn(&Parts) -> bool + Send + Sync;

// === impl Endpoints ===

impl Endpoints {
    /// Endpoints without checks: ready until they drain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check without which the service is not ready: short for [`Check::health`]. A name that is there is replaced.
    #[must_use]
    pub fn required(self, name: impl Into<Arc<str>>, health: Health) -> Self {
        self.check(Check::health(name, health))
    }

    /// Adds a check without which the service is ready, but degraded: short for [`Check::health`] that is [`degraded`](Check::degraded). A name that is there is replaced.
    #[must_use]
    pub fn degraded(self, name: impl Into<Arc<str>>, health: Health) -> Self {
        self.check(Check::health(name, health).degraded())
    }

    /// Adds a check. A name that is there is replaced.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        let checks = Arc::make_mut(&mut self.checks);
        checks.retain(|other| other.name() != check.name());
        checks.push(check);
        self
    }

    /// Replaces who sees why a check is down, since when, and when it is looked at again: those whose head this lets pass. Default: nobody, as the apiserver does, which
    /// writes `reason withheld`. Details may hold addresses.
    #[must_use]
    pub fn details(mut self, may_see: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.details = Some(Arc::new(may_see));
        self
    }

    /// Sets what `application/health+json` says as `serviceId`: the name of this instance among those of the service. Everyone who asks sees it. Default: none.
    #[must_use]
    pub fn service_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.service_id = Some(id.into());
        self
    }

    /// Sets what `application/health+json` says as `version`: the public version of the service. Everyone who asks sees it. Default: none.
    #[must_use]
    pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Replaces for how long whoever asks may keep an answer, in whole seconds: `cache-control` says it, and `private` to whom details are shown. Default: zero, `no-store`,
    /// since a health that is kept is none.
    #[must_use]
    pub const fn cache_for(mut self, age: Duration) -> Self {
        self.cache_for = age;
        self
    }

    /// Replaces what counts as down at this path, and the status of that. Default: [`StatusMapping::new`]. That of `/readyz` is that of gRPC too, but for the status.
    #[must_use]
    pub fn mapping(mut self, path: HealthPath, mapping: StatusMapping) -> Self {
        self.mappings.insert(path, mapping);
        self
    }

    /// Makes it neither started nor ready until [`started`](Self::started) is called. Default: it is from the first moment on.
    #[must_use]
    pub fn starting(self) -> Self {
        self.lifecycle.starts();
        self
    }

    /// Says that the start is over, for good.
    pub fn started(&self) {
        self.lifecycle.started();
    }

    /// Turns readiness off for good: the service is about to end. For a time, a required check of a [`Health::fixed`] does that, which is [forced](Health::force) down and released. What is returned can be awaited until it may.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use portcullis_health_check::Endpoints;
    ///
    /// let endpoints = Endpoints::new();
    /// let in_flight = endpoints.drain().delay(Duration::from_secs(10)).in_flight(Duration::from_secs(20)).await;
    /// assert!(!endpoints.is_ready());
    /// assert_eq!(in_flight, 0);
    /// # }
    /// ```
    #[expect(
        clippy::must_use_candidate,
        reason = "readiness is off without the wait"
    )]
    pub fn drain(&self) -> Draining {
        self.lifecycle.drain()
    }

    /// Says whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.lifecycle.phase().draining
    }

    /// Says whether `/readyz` answers 200, by what is known now: no probe is run.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let phase = self.lifecycle.phase();
        let mut checks = self.checks.iter().filter(|check| check.ready);
        let mapping = self.mapping_of(HealthPath::Ready);
        let passes = |check: &Check| mapping.passes(check, &check.known());
        !phase.draining && !phase.starting && checks.all(passes)
    }

    fn mapping_of(&self, path: HealthPath) -> StatusMapping {
        let mapping = self.mappings.get(&path).copied().unwrap_or_default();
        match path {
            // No result is no start.
            HealthPath::Startup => mapping.unknown_is_down(true),
            HealthPath::Live | HealthPath::Ready | HealthPath::Health => mapping,
        }
    }

    /// Says whether details are for a caller with this head.
    pub(crate) fn may_see(&self, head: &Parts) -> bool {
        self.details.as_ref().is_some_and(|may_see| may_see(head))
    }

    /// Says whether streams that last for ever must end now.
    #[cfg(feature = "status-page")]
    pub(crate) fn has_ended(&self) -> bool {
        self.lifecycle.phase().ended
    }

    /// Waits until streams that last for ever must end.
    #[cfg(feature = "status-page")]
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.lifecycle.subscribe();
        async move {
            // An error says that the endpoints are gone, which is an end too.
            let _ = phase.wait_for(|phase| phase.ended).await;
        }
    }

    /// Looks at these checks at once.
    fn look(&self, which: impl Fn(&Check) -> bool) -> All<(Check, Seen)> {
        let checks = self.checks.iter().filter(|check| which(check)).cloned();
        All::new(checks.map(|check| {
            Box::pin(async move {
                let seen = check.look().await;
                (check, seen)
            }) as Pin<Box<dyn Future<Output = _> + Send>>
        }))
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("checks", &self.checks)
            .field("lifecycle", &self.lifecycle)
            .field("details", &self.details.is_some())
            .field("service_id", &self.service_id)
            .field("version", &self.version)
            .field("cache_for", &self.cache_for)
            .field("mappings", &self.mappings)
            .finish()
    }
}

#[cfg(test)]
mod tests;
