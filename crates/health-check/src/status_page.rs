use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::gate::Gate;
use crate::pool::shared::Shared;
use crate::{Endpoints, Health, HealthCheckLayer, PassiveHealth, Pool};

mod body;
mod feed;
mod html;
mod json;
mod layer;
mod live;
mod respond;
mod service;
mod snapshot;
mod sparkline;
mod words;

pub use self::body::StatusPageBody;
use self::feed::Feed;
pub use self::layer::{StatusPageLayer, WithStatusPage};
pub use self::service::StatusPageFuture;
use self::snapshot::{Group, Row, Snapshot};

/// A page for people that shows upstreams and their endpoints: the state, since when and why it is so, the last probe and the next, the last changes, and how the last ten
/// minutes of probes and of calls went. Clones share what it shows.
///
/// It is a service that answers 404 for every other path, and [`StatusPageLayer`] puts it in front of another one. `accept` can ask for `application/json`.
/// `GET` and `HEAD` only.
///
/// While a script may run, the page is live: at `PATH/events`, and where `accept` asks for `text/event-stream`, the table comes anew when a state, a probe or an endpoint
/// is another, at most once a second, and every ten seconds where calls are drawn. It ends after the delay of [`Endpoints::drain`]. Without a script it is a plain table.
///
/// It holds addresses and reasons, so only those see it whom [`Endpoints::details`] lets see details; anybody else is answered 403. Its `content-security-policy`
/// lets nothing be loaded, and no script or style run but its own, which stand on the page by their hashes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use http::{Request, StatusCode};
/// use portcullis_health_check::{Endpoints, Health, State, StatusPage};
/// use tower::ServiceExt;
///
/// let endpoints = Endpoints::new().details(|head| head.headers.contains_key("x-operator"));
/// let page = StatusPage::new(endpoints).health("orders", Health::fixed(State::Up));
///
/// let request = Request::get("/status").header("x-operator", "me").body(String::new()).unwrap();
/// let response = page.clone().oneshot(request).await.unwrap();
/// assert_eq!(response.status(), StatusCode::OK);
///
/// let request = Request::get("/status").body(String::new()).unwrap();
/// let response = page.oneshot(request).await.unwrap();
/// assert_eq!(response.status(), StatusCode::FORBIDDEN);
/// # }
/// ```
#[derive(Clone)]
pub struct StatusPage {
    endpoints: Endpoints,
    /// Begins with a slash and ends with none; empty for the root.
    path: Arc<str>,
    upstreams: Arc<Vec<Upstream>>,
    listeners: usize,
    heartbeat: Duration,
    /// Of these upstreams.
    feed: Arc<Feed>,
}

/// One endpoint on a [`StatusPage`]: its name, and what is known of it.
#[must_use = "an endpoint is not shown until it is on a page"]
#[derive(Clone, Debug)]
pub struct PageEndpoint {
    name: Arc<str>,
    health: Option<Health>,
    passive: Option<PassiveHealth>,
}

#[derive(Clone)]
struct Upstream {
    name: Arc<str>,
    endpoints: Vec<PageEndpoint>,
    pools: Vec<Arc<dyn Members>>,
}

/// A pool, whatever calls its endpoints.
trait Members: Send + Sync {
    fn rows(&self, now: Instant) -> Vec<Row>;
}

// === impl StatusPage ===

impl StatusPage {
    /// A page without upstreams at `/status`, for whom these endpoints let see details.
    #[must_use]
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            path: Self::PATH.into(),
            upstreams: Arc::default(),
            listeners: Self::LISTENERS,
            heartbeat: Self::HEARTBEAT,
            feed: Arc::default(),
        }
    }

    pub(crate) const PATH: &str = "/status";
    pub(crate) const LISTENERS: usize = 16;
    /// Below the 30 s or 60 s after which proxies give up what is silent.
    pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

    /// Replaces the path, which is compared as it was sent. Default: `/status`. A slash that is missing in front is added, and one at the end is taken away.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.path = if path.is_empty() {
            Arc::default()
        } else {
            format!("/{path}").into()
        };
        self
    }

    /// Replaces how many may look at the live page at a time; the next one is answered 503, and sees the page that does not change. Default: 16.
    #[must_use]
    pub const fn listeners(mut self, most: usize) -> Self {
        self.listeners = most;
        self
    }

    /// Replaces the time of silence after which the live page says that it is there. Default: 15 s. It looks once a second, so it is not more often.
    #[must_use]
    pub const fn heartbeat(mut self, silence: Duration) -> Self {
        self.heartbeat = silence;
        self
    }

    /// Adds an endpoint to the upstream of this name. One of the same name is replaced. The page keeps what it shows, so a monitor goes on while the page is there.
    #[must_use]
    pub fn endpoint(mut self, upstream: impl Into<Arc<str>>, endpoint: PageEndpoint) -> Self {
        endpoint.chart();
        self.change(upstream.into(), |upstream| {
            let endpoints = &mut upstream.endpoints;
            endpoints.retain(|other| other.name != endpoint.name);
            endpoints.push(endpoint);
        });
        self
    }

    /// Adds what a monitor knows, under the name that it was given: short for [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn health(self, upstream: impl Into<Arc<str>>, health: Health) -> Self {
        let endpoint = PageEndpoint::new(health.name()).health(health);
        self.endpoint(upstream, endpoint)
    }

    /// Adds what a gate knows, from probes and from its calls: short for [`endpoint`](Self::endpoint), under the name of its calls where they are looked at, else of its
    /// monitor.
    #[must_use]
    pub fn gate<C>(self, upstream: impl Into<Arc<str>>, gate: &HealthCheckLayer<C>) -> Self {
        let Gate { health, passive } = &gate.gate;
        let name = passive
            .as_ref()
            .map_or(health.name(), |passive| passive.name());
        let endpoint = PageEndpoint::new(name).health(health.clone());
        self.endpoint(
            upstream,
            match passive {
                Some(passive) => endpoint.passive(passive.clone()),
                None => endpoint,
            },
        )
    }

    /// Adds the endpoints of a pool to the upstream of this name, those that are put in later included.
    #[must_use]
    pub fn pool<S, C>(mut self, upstream: impl Into<Arc<str>>, pool: &Pool<S, C>) -> Self
    where
        S: Send + Sync + 'static,
    {
        let shared = Arc::clone(pool.shared());
        shared.chart();
        self.change(upstream.into(), |upstream| upstream.pools.push(shared));
        self
    }

    fn change(&mut self, name: Arc<str>, change: impl FnOnce(&mut Upstream)) {
        // A clone shows something else from now on.
        self.feed = Arc::default();
        let upstreams = Arc::make_mut(&mut self.upstreams);
        if let Some(there) = upstreams.iter_mut().find(|other| other.name == name) {
            return change(there);
        }
        let mut upstream = Upstream {
            name,
            endpoints: Vec::new(),
            pools: Vec::new(),
        };
        change(&mut upstream);
        upstreams.push(upstream);
    }

    /// Looks at everything that it shows.
    fn look(&self) -> Snapshot {
        let now = Instant::now();
        let upstreams = self.upstreams.iter();
        Snapshot::new(now, upstreams.map(|upstream| upstream.look(now)).collect())
    }
}

impl fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusPage")
            .field("endpoints", &self.endpoints)
            .field("path", &self.path)
            .field("upstreams", &self.upstreams)
            .field("listeners", &self.listeners)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

// === impl PageEndpoint ===

impl PageEndpoint {
    /// An endpoint of this name of which nothing is known.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            health: None,
            passive: None,
        }
    }

    /// Replaces what probes show of it. Default: nobody probes it.
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Replaces what its calls show of it. Default: they are not looked at.
    pub fn passive(mut self, passive: PassiveHealth) -> Self {
        self.passive = Some(passive);
        self
    }

    /// Counts from now on.
    fn chart(&self) {
        if let Some(health) = &self.health {
            health.chart();
        }
        if let Some(passive) = &self.passive {
            passive.chart();
        }
    }
}

// === impl Upstream ===

impl Upstream {
    fn look(&self, now: Instant) -> Group {
        let endpoints = self.endpoints.iter();
        let mut rows: Vec<_> = endpoints
            .map(|endpoint| {
                let (health, passive) = (endpoint.health.as_ref(), endpoint.passive.as_ref());
                Row::new(Arc::clone(&endpoint.name), health, passive, None, now)
            })
            .collect();
        for pool in &self.pools {
            rows.extend(pool.rows(now));
        }
        Group {
            name: Arc::clone(&self.name),
            rows,
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .field("pools", &self.pools.len())
            .finish()
    }
}

impl<S: Send + Sync> Members for Shared<S> {
    fn rows(&self, now: Instant) -> Vec<Row> {
        self.look(|member, status| {
            let name = Arc::clone(&member.name);
            let (health, passive) = (member.health.as_ref(), member.passive.as_ref());
            Row::new(name, health, passive, Some(status), now)
        })
    }
}

#[cfg(test)]
mod tests;
