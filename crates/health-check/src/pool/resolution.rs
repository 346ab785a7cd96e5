//! Endpoints from a name that is resolved again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use portcullis_gateway_error::Chance;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::detection::LONGEST;
use crate::pool::shared::Shared;
use crate::{Member, Pool, telemetry};

/// Finds the addresses of a name.
///
/// An `async` closure from the name to them is one. It need not bound its own time: the [`Resolution`] does.
pub trait Resolve: Send + Sync + 'static {
    /// Looks once.
    ///
    /// # Errors
    /// When that is not known now.
    fn resolve(
        &self,
        host: Arc<str>,
    ) -> impl Future<Output = Result<Resolved, Box<dyn Error + Send + Sync>>> + Send;
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resolved {
    addresses: Vec<IpAddr>,
    ttl: Option<Duration>,
    /// Why those of a family are not known.
    ipv4_error: Option<String>,
    ipv6_error: Option<String>,
}

/// What a look has found.
struct Found {
    addresses: BTreeSet<SocketAddr>,
    ttl: Option<Duration>,
    /// Those of IPv4, and of IPv6, that are not known now, and why.
    unknown: [Option<String>; 2],
}

/// How a name is resolved into the endpoints of a [`Pool`]: see [`Pool::resolve`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use portcullis_health_check::{Member, Pool, Resolution, Resolved};
///
/// let system = async |host: Arc<str>| {
///     let found = tokio::net::lookup_host((&*host, 0)).await?;
///     Ok(Resolved::new(found.map(|address| address.ip())))
/// };
/// let pool = Pool::new();
/// let resolution = Resolution::new(system, "localhost", 8080).min_ttl(Duration::from_secs(1));
/// pool.resolve(resolution, |address| Member::new(address.to_string(), "a client"));
/// while pool.is_empty() {
///     tokio::time::sleep(Duration::from_millis(1)).await;
/// }
/// # }
/// ```
#[must_use = "a resolution does nothing until a pool follows it"]
#[derive(Clone, Debug)]
pub struct Resolution<R> {
    resolver: Arc<R>,
    host: Arc<str>,
    port: u16,
    min_ttl: Duration,
    max_ttl: Duration,
    timeout: Duration,
    seed: Option<u64>,
}

impl<P, F> Resolve for P
where
    P: Fn(Arc<str>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Resolved, Box<dyn Error + Send + Sync>>> + Send,
{
    fn resolve(
        &self,
        host: Arc<str>,
    ) -> impl Future<Output = Result<Resolved, Box<dyn Error + Send + Sync>>> + Send {
        self(host)
    }
}

// === impl Resolved ===

impl Resolved {
    /// These addresses, for as long as [`Resolution::min_ttl`] says.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Says how long they hold.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Says that it is not known which IPv4 addresses there are, and why: those that were known stay, and it is tried again as after a failure, at the latest when the time
    /// of the others is over.
    #[must_use]
    pub fn ipv4_failed(mut self, error: impl Into<String>) -> Self {
        self.ipv4_error = Some(error.into());
        self
    }

    /// The same of IPv6 addresses.
    #[must_use]
    pub fn ipv6_failed(mut self, error: impl Into<String>) -> Self {
        self.ipv6_error = Some(error.into());
        self
    }
}

// === impl Found ===

impl Found {
    /// Keeps what was known of a family that is not known now.
    fn keep(&mut self, known: &BTreeSet<SocketAddr>) {
        let [ipv4, ipv6] = self.unknown.each_ref().map(Option::is_some);
        let unknown = |address: &&SocketAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
        let room = MOST.saturating_sub(self.addresses.len());
        let kept = known.iter().filter(unknown).take(room);
        self.addresses.extend(kept);
    }

    /// Why not all is known.
    fn errors(&self) -> impl Iterator<Item = String> {
        let families = ["IPv4", "IPv6"].into_iter().zip(&self.unknown);
        families.filter_map(|(family, error)| Some(format!("{family}: {}", error.as_ref()?)))
    }
}

// === impl Resolution ===

impl<R: Resolve> Resolution<R> {
    /// The endpoints at this port of all addresses of this name.
    pub fn new(resolver: R, host: impl Into<Arc<str>>, port: u16) -> Self {
        Self {
            resolver: Arc::new(resolver),
            host: host.into(),
            port,
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
            seed: None,
        }
    }

    /// Replaces how long addresses are kept at least, whatever their TTL is; after a failure it is tried again after this time, then twice as long each time. Default:
    /// 5 s, 1 ms to a day.
    pub const fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Replaces how long addresses are kept at most. Default: 300 s, at most a day.
    pub const fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Replaces how long one look may last. Default: 5 s.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Makes the jitter repeat. Default: another seed for each.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Looks once, within its time. An answer without addresses is an error: it would leave no endpoint.
    async fn look(&self) -> Result<Found, String> {
        // In a task of its own, so that a panic is a failure like another. Dropped with this future, it ends.
        let mut task = JoinSet::new();
        let (resolver, host) = (Arc::clone(&self.resolver), Arc::clone(&self.host));
        task.spawn(async move { resolver.resolve(host).await });
        let found = match timeout(self.timeout, task.join_next()).await {
            Ok(Some(Ok(found))) => found,
            Ok(_) => return Err("the resolver panicked".to_owned()),
            Err(_) => return Err(format!("no result within {:?}", self.timeout)),
        };
        let resolved = found.map_err(|error| error.to_string())?;
        let mut addresses = resolved.addresses;
        addresses.sort_unstable();
        addresses.truncate(MOST);
        if addresses.is_empty() {
            let error = resolved.ipv4_error.or(resolved.ipv6_error);
            return Err(error.unwrap_or_else(|| "no addresses".to_owned()));
        }
        let found = addresses.into_iter();
        Ok(Found {
            addresses: found.map(|ip| SocketAddr::new(ip, self.port)).collect(),
            ttl: resolved.ttl,
            unknown: [resolved.ipv4_error, resolved.ipv6_error],
        })
    }

    /// What is waited after an answer, or after so many failures in a row: up to a tenth more, so that not all callers ask at once.
    fn wait(&self, ttl: Option<Duration>, failures: u32, chance: &Chance) -> Duration {
        let min = self.min_ttl.max(Duration::from_millis(1)).min(LONGEST);
        let max = self.max_ttl.max(min).min(LONGEST);
        let wait = if failures > 0 {
            min.saturating_mul(1 << (failures - 1).min(16))
        } else {
            ttl.unwrap_or(min)
        };
        let wait = wait.clamp(min, max);
        wait + chance.up_to_time(wait / 10)
    }
}

// === impl Pool ===

impl<S: Send + Sync + 'static, C> Pool<S, C> {
    /// Follows the addresses of a name, in a task that ends with the pool: an endpoint is made of each that is new, by the name of its address, and put in; what is no
    /// longer there is taken out, unless another name that is followed has it too. Endpoints that were put in otherwise stay.
    ///
    /// While the name cannot be resolved, or has no addresses, the last known ones are kept; where that is so of IPv4 or IPv6 alone, those of that family.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn resolve<R, M>(&self, resolution: Resolution<R>, make: M)
    where
        R: Resolve,
        M: FnMut(SocketAddr) -> Member<S> + Send + 'static,
    {
        let shared = Arc::downgrade(self.shared());
        let tasks = &self.shared().tasks;
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(follow(shared, resolution, make));
    }
}

async fn follow<S, R, M>(shared: Weak<Shared<S>>, resolution: Resolution<R>, mut make: M)
where
    R: Resolve,
    M: FnMut(SocketAddr) -> Member<S>,
{
    let chance = Chance::new(resolution.seed);
    let mut known: BTreeSet<SocketAddr> = BTreeSet::new();
    let mut failures = 0;
    loop {
        let look = resolution.look().await;
        let Some(pool) = shared.upgrade() else {
            return;
        };
        let upstream = &pool.settings.upstream;
        let (mut wait, errors) = match look {
            Ok(mut found) => {
                found.keep(&known);
                take_over(&pool, &known, &found.addresses, &mut make);
                let errors: Vec<_> = found.errors().collect();
                known = found.addresses;
                (resolution.wait(found.ttl, 0, &chance), errors)
            }
            Err(error) => (Duration::MAX, vec![error]),
        };
        for error in &errors {
            telemetry::discovery_failed(upstream, error);
        }
        drop(pool);
        if errors.is_empty() {
            failures = 0;
        } else {
            failures = u32::saturating_add(failures, 1);
            wait = wait.min(resolution.wait(None, failures, &chance));
        }
        sleep(wait).await;
    }
}

/// Puts in and takes out what is other now. An address that other names have too is made once, and stays while one of them has it.
fn take_over<S>(
    pool: &Shared<S>,
    known: &BTreeSet<SocketAddr>,
    found: &BTreeSet<SocketAddr>,
    make: &mut impl FnMut(SocketAddr) -> Member<S>,
) {
    let mut made = BTreeMap::new();
    // Held for the change, so that nobody claims an address that is taken out; and not while a member is made.
    let mut claims = loop {
        let claims = pool.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = found.difference(known);
        let is_missing =
            |address: &&SocketAddr| !claims.contains_key(address) && !made.contains_key(*address);
        let Some(address) = new.find(is_missing) else {
            break claims;
        };
        drop(claims);
        let mut member = make(*address);
        member.name = address.to_string().into();
        made.insert(*address, member);
    };
    for address in found.difference(known) {
        let claimed = claims.entry(*address).or_default();
        if *claimed > 0 {
            made.remove(address);
        }
        *claimed += 1;
    }
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for address in known.difference(found) {
        let claimed = claims.remove(address).unwrap_or_default();
        if claimed > 1 {
            claims.insert(*address, claimed - 1);
        } else {
            gone.insert(address.to_string());
        }
    }
    if !made.is_empty() || !gone.is_empty() {
        telemetry::endpoints_changed(&pool.settings.upstream, made.len(), gone.len());
        pool.change(|name| !gone.contains(name), made.into_values());
    }
}

/// How many addresses of one name are used.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_within_their_limits_and_grow_with_failures() {
        let resolver = async |_| Ok(Resolved::default());
        let resolution = Resolution::new(resolver, "orders", 80);
        let chance = Chance::new(Some(7));
        let seconds = Duration::from_secs;
        for (ttl, failures, expected) in [
            (None, 0, 5),
            (Some(1), 0, 5),
            (Some(60), 0, 60),
            (Some(86_400), 0, 300),
            (None, 1, 5),
            (None, 3, 20),
            (None, u32::MAX, 300),
        ] {
            let wait = resolution.wait(ttl.map(seconds), failures, &chance);
            let (low, high) = (seconds(expected), seconds(expected) * 11 / 10);
            assert!((low..=high).contains(&wait), "{ttl:?} {failures}: {wait:?}");
        }
        let odd = resolution.min_ttl(Duration::MAX).max_ttl(Duration::ZERO);
        assert!(odd.wait(None, 9, &chance) <= 2 * LONGEST);
        assert!(odd.min_ttl(Duration::ZERO).wait(None, 0, &chance) >= Duration::from_millis(1));
    }
}
