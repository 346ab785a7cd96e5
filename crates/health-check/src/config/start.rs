//! What runs, made of data.

use std::net::SocketAddr;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use portcullis_gateway_error::{DefaultClassifier, InvalidConfig};

use super::{Config, PoolConfig};
use crate::{
    GrpcProbe, Health, HealthCheckLayer, HttpProbe, Member, Monitor, OutlierDetection, Outliers,
    Pool, PoolSettings, Probe, ProbeClient, ProbeLimit, Resolve, Settings, State, TcpProbe,
};

/// Where the calls to one endpoint go: what its client is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    url: Uri,
    host: Authority,
}

/// Starts for each endpoint of a pool what a [`Config`] says: a monitor with its probe, and the accounting of its calls. Clones share the accounting, which compares endpoints.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use portcullis_health_check::{Config, PoolConfig, ProbeBody, Watcher};
///
/// let health: Config = serde_json::from_str(r#"{"path": "/healthz", "outlier_detection": {}}"#).unwrap();
/// let pool: PoolConfig = serde_json::from_str(r#"{"endpoints": [{"url": "http://127.0.0.1:1"}]}"#).unwrap();
///
/// let probes = Client::builder(TokioExecutor::new()).build_http::<ProbeBody>();
/// let watcher = Watcher::new(&health, probes).unwrap();
/// let pool = pool.pool(Some(&watcher), |target| target.url().clone()).unwrap();
/// assert_eq!(pool.len(), 1);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Watcher<C> {
    /// `None` where only the calls show it.
    probe: Option<Looks<C>>,
    settings: Settings,
    outliers: Option<Outliers>,
}

#[derive(Clone, Debug)]
enum Looks<C> {
    Http {
        /// Its URI is another one for each endpoint.
        probe: HttpProbe<C>,
        path: String,
        /// The settings have a `host`.
        named: bool,
    },
    Tcp(TcpProbe),
    Grpc {
        /// Its upstream is another one for each endpoint.
        probe: GrpcProbe<C>,
        watch: bool,
    },
}

// === impl Target ===

impl Target {
    /// The target of this URL, `http://10.0.0.7:8080`; `None` where it has no host.
    #[must_use]
    pub fn new(url: Uri) -> Option<Self> {
        let host = url.authority()?.clone();
        Some(Self { url, host })
    }

    /// Returns the base URL: `http://10.0.0.7:8080`, or what the settings say, its path included.
    #[must_use]
    pub const fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns what `host` should say: where the address is that of a name, the name and its port.
    #[must_use]
    pub const fn host(&self) -> &Authority {
        &self.host
    }

    pub(super) fn has_user(&self) -> bool {
        self.host.as_str().contains('@')
    }

    /// An address of a name.
    fn of(address: SocketAddr, host: Authority) -> Self {
        let url = Uri::builder()
            .scheme("http")
            .authority(address.to_string())
            .path_and_query("/");
        // An address and its port are an authority.
        let url = url.build().unwrap_or_default();
        Self { url, host }
    }

    fn is_resolved(&self) -> bool {
        self.url.authority() != Some(&self.host)
    }

    /// The host and the port of the URL.
    fn address(&self) -> String {
        let port = match self.url.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = self.url.host().unwrap_or_default();
        format!("{host}:{}", self.url.port_u16().unwrap_or(port))
    }

    /// The URL of this path below the base.
    fn at(&self, path: &str) -> Uri {
        let mut parts = self.url.clone().into_parts();
        let path = format!("{}{path}", self.url.path().trim_end_matches('/'));
        parts.path_and_query = path.parse::<PathAndQuery>().ok();
        // Two paths that can be read are one that can be read, unless it is too long for a URL.
        Uri::from_parts(parts).unwrap_or_else(|_| self.url.clone())
    }
}

// === impl Watcher ===

impl<C: Clone> Watcher<C> {
    /// Checks the settings, of which those of the gate say nothing here, for probes over this client. Nothing runs yet.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// With a section `outlier_detection`, outside a tokio runtime.
    pub fn new(config: &Config, client: C) -> Result<Self, InvalidConfig> {
        let settings = Settings::try_from(config)?;
        let grpc = config.grpc_probe(client.clone(), Uri::default())?;
        let probe = config.probe(client, "http://upstream")?;
        let watch = config.grpc.as_ref().is_some_and(|grpc| grpc.watch);
        let probe = match (config.tcp_probe("upstream")?, grpc) {
            _ if config.passive_only => None,
            (Some(probe), _) => Some(Looks::Tcp(probe)),
            (None, Some(probe)) => Some(Looks::Grpc { probe, watch }),
            (None, None) => Some(Looks::Http {
                probe,
                path: config.path.clone(),
                named: config.host.is_some(),
            }),
        };
        let outliers = config.outlier_detection.as_ref();
        let outliers = outliers.map(OutlierDetection::try_from).transpose();
        let outliers = outliers.map_err(|mistake| mistake.within("outlier_detection"))?;
        Ok(Self {
            probe,
            settings,
            outliers: outliers.map(OutlierDetection::start),
        })
    }

    /// Makes the probes take turns by this limit, also where others share it. Default: none. That of a [pool](PoolSettings::max_parallel_probes) counts more for its endpoints.
    #[must_use]
    pub fn probe_limit(mut self, limit: ProbeLimit) -> Self {
        self.settings.probe_limit = Some(limit);
        self
    }

    /// The same for this pool.
    fn of<S>(&self, pool: &Pool<S>) -> Self {
        match pool.probe_limit() {
            Some(limit) => self.clone().probe_limit(limit),
            None => self.clone(),
        }
    }
}

impl<C> Watcher<C>
where
    C: ProbeClient,
{
    /// Starts what the settings say for this endpoint, whose name the logs say.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch<S>(&self, member: Member<S>, target: &Target) -> Member<S> {
        let member = match &self.outliers {
            Some(outliers) => {
                let passive = outliers.endpoint(member.name());
                member.passive(passive)
            }
            None => member,
        };
        let Some(probe) = &self.probe else {
            return member;
        };
        let health = probe.start(target, member.name(), &self.settings);
        member.health(health)
    }
}

// === impl Looks ===

impl<C> Looks<C>
where
    C: ProbeClient,
{
    fn start(&self, target: &Target, name: &str, settings: &Settings) -> Health {
        fn start<P: Probe>(probe: P, name: &str, settings: &Settings) -> Health {
            Monitor::new(probe)
                .name(name)
                .settings(settings.clone())
                .start()
        }
        match self {
            Self::Tcp(probe) => start(probe.clone().to(target.address()), name, settings),
            Self::Grpc { probe, watch } => {
                let probe = probe.clone().to(target.url.clone());
                if *watch {
                    let watch = probe.watch().name(name).settings(settings.clone());
                    return watch.start();
                }
                start(probe, name, settings)
            }
            Self::Http { probe, path, named } => {
                let probe = probe.clone().to(target.at(path));
                let host = HeaderValue::from_str(target.host.as_str()).ok();
                let probe = match host.filter(|_| !named && target.is_resolved()) {
                    Some(host) => probe.host(host),
                    None => probe,
                };
                start(probe, name, settings)
            }
        }
    }
}

// === impl Config ===

impl Config {
    /// Starts the monitor of an upstream, `http://10.0.0.7:8080`, with probes over this client, or over TCP or by gRPC where there is a section `tcp` or `grpc`.
    /// Where only calls show whether it is up, it is a health that never changes.
    ///
    /// # Errors
    /// When a field cannot be used, or the upstream is not a URL; the error names it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<C>(&self, client: C, upstream: &str) -> Result<Health, InvalidConfig>
    where
        C: ProbeClient,
    {
        let watcher = Watcher::new(self, client)?;
        let target = upstream.parse().ok().and_then(Target::new);
        // Over HTTP a path is added, which without a scheme no URL can have; over TCP a host and its port will do.
        let over_http = matches!(watcher.probe, Some(Looks::Http { .. } | Looks::Grpc { .. }));
        let is_usable = |target: &Target| {
            !over_http || matches!(target.url.scheme_str(), Some("http" | "https"))
        };
        let target = target
            .filter(is_usable)
            .ok_or_else(|| InvalidConfig::whole(format!("must be a URL, is {upstream:?}")))?;
        let settings = &watcher.settings;
        Ok(match &watcher.probe {
            Some(probe) => probe.start(&target, upstream, settings),
            None => Health::fixed(State::Up),
        })
    }

    /// Makes the gate of this health, which looks at the calls too where there is a section `outlier_detection`.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    pub fn layer(
        &self,
        health: &Health,
    ) -> Result<HealthCheckLayer<DefaultClassifier>, InvalidConfig> {
        let gate = self.gate.layer(health.clone());
        let gate = gate.map_err(|mistake| mistake.within("gate"))?;
        let Some(config) = &self.outlier_detection else {
            return Ok(gate.classifier(DefaultClassifier));
        };
        let detection = OutlierDetection::try_from(config);
        let detection = detection.map_err(|mistake| mistake.within("outlier_detection"))?;
        Ok(gate.passive(detection.endpoint(health.name())))
    }
}

// === impl PoolConfig ===

impl PoolConfig {
    /// Makes the pool of the endpoints that are listed, each with the service that this makes for it, watched where there is a watcher.
    ///
    /// The names are not looked at: see [`follow`](Self::follow).
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// With a watcher, outside a tokio runtime.
    pub fn pool<S, C>(
        &self,
        watcher: Option<&Watcher<C>>,
        mut make: impl FnMut(&Target) -> S,
    ) -> Result<Pool<S>, InvalidConfig>
    where
        C: ProbeClient,
    {
        let pool = PoolSettings::try_from(self)?.pool();
        let watcher = watcher.map(|watcher| watcher.of(&pool));
        let targets = self.targets()?.into_iter();
        pool.insert_all(targets.map(|(member, target)| {
            let member = member.calling(make(&target));
            match &watcher {
                Some(watcher) => watcher.watch(member, &target),
                None => member,
            }
        }));
        Ok(pool)
    }

    /// Makes this pool follow the names, by this resolver: each address is an endpoint of `http`, with the service that this makes for it, watched where there is a watcher.
    /// Their probes take turns with those of the pool's other endpoints, where it has a [limit](Pool::probe_limit).
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow<S, C, R, M>(
        &self,
        pool: &Pool<S>,
        watcher: Option<&Watcher<C>>,
        resolver: &R,
        make: &M,
    ) -> Result<(), InvalidConfig>
    where
        S: Send + Sync + 'static,
        C: ProbeClient,
        R: Resolve + Clone,
        M: FnMut(&Target) -> S + Clone + Send + 'static,
    {
        for (index, name) in self.names.iter().enumerate() {
            let within = |mistake: InvalidConfig| mistake.within_index(index).within("names");
            let resolution = name.resolution(resolver.clone()).map_err(within)?;
            let host = name.authority().map_err(within)?;
            let (watcher, mut make) = (watcher.map(|watcher| watcher.of(pool)), make.clone());
            pool.resolve(resolution, move |address| {
                let target = Target::of(address, host.clone());
                let member = Member::new(address.to_string(), make(&target));
                match &watcher {
                    Some(watcher) => watcher.watch(member, &target),
                    None => member,
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
