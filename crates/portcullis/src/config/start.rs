//! What runs, made of data: monitors, pools, the own service's endpoints.

use portcullis_gateway_error::{DefaultClassifier, InvalidConfig};
#[cfg(feature = "dns")]
use portcullis_health_check::DnsResolver;
use portcullis_health_check::{
    Check, Endpoints, Health, HealthCheckLayer, Pool, PoolConfig, ProbeClient, Resolve, State,
    Target, Watcher,
};

use crate::Config;

/// A pool whose names are not followed yet.
struct Listed<'a, S, C> {
    config: &'a PoolConfig,
    watcher: Option<Watcher<C>>,
    pool: Pool<S>,
}

// === impl Config ===

impl Config {
    /// Starts what the section `health_check` says of one upstream, `http://10.0.0.7:8080`, with probes over this client. Without the section it is a health that never
    /// changes.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn health<C>(&self, probes: C, upstream: &str) -> Result<Health, InvalidConfig>
    where
        C: ProbeClient,
    {
        match &self.health_check {
            None => Ok(Health::fixed(State::Up)),
            Some(config) => config.start(probes, upstream).map_err(in_health_check),
        }
    }

    /// Makes the gate that the section `health_check` says, for [`Stack::health_check`](crate::Stack::health_check). Without the section it is open while this is up.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// With a section `outlier_detection`, outside a tokio runtime.
    pub fn gate(
        &self,
        health: &Health,
    ) -> Result<HealthCheckLayer<DefaultClassifier>, InvalidConfig> {
        let config = self.health_check.as_ref();
        let layer = config.map(|config| config.layer(health).map_err(in_health_check));
        let open = || HealthCheckLayer::new(health.clone()).classifier(DefaultClassifier);
        Ok(layer.transpose()?.unwrap_or_else(open))
    }

    /// Makes the pool that the section `pool` says, each endpoint with the service that this makes for it, and watched as the section `health_check` says, with probes
    /// over this client. `None` without the section.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), portcullis::gateway_error::InvalidConfig> {
    /// use std::convert::Infallible;
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use portcullis::gateway_error::ConfigFile;
    /// use portcullis::health_check::{ProbeBody, Target};
    /// use portcullis::{Config, Stack};
    /// use tower::{ServiceExt, service_fn};
    ///
    /// let file = ConfigFile::parse(r#"
    /// pool:
    ///   endpoints:
    ///     - {url: "http://10.0.0.7:8080", weight: 2}
    ///     - {url: "http://10.0.0.8:8080"}
    ///     - {url: "http://spare.example", priority: 1}
    /// health_check:
    ///   path: /healthz
    ///   outlier_detection: {consecutive_gateway_failures: 3}
    /// "#)?;
    /// let config: Config = file.read()?;
    /// let stack = Stack::try_from(config.clone()).map_err(|mistake| file.locate(mistake))?;
    ///
    /// // Your client, twice: for probes, and for each endpoint.
    /// let probes = service_fn(|_: Request<ProbeBody>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
    /// let mapped = stack.clone();
    /// let make = move |target: &Target| {
    ///     let url = target.url().to_string();
    ///     mapped.member(service_fn(move |_| {
    ///         let body = Full::<Bytes>::from(url.clone());
    ///         async { Ok::<_, Infallible>(Response::new(body)) }
    ///     }))
    /// };
    /// let pool = config.pool(probes, make)?.expect("there is a section for it");
    ///
    /// let request = Request::new(Full::<Bytes>::default());
    /// let response = stack.over(pool).oneshot(request).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// # Ok(()) }
    /// ```
    ///
    /// Names are resolved as the system does, with the feature `dns`; [`pool_by`](Self::pool_by) takes another resolver.
    ///
    /// # Errors
    /// When a field cannot be used, or there are names and the system says of no server to ask; the error names the field.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn pool<S, C, M>(&self, probes: C, make: M) -> Result<Option<Pool<S>>, InvalidConfig>
    where
        S: Send + Sync + 'static,
        C: ProbeClient,
        M: Fn(&Target) -> S + Clone + Send + 'static,
    {
        let Some(listed) = self.listed(probes, &make)? else {
            return Ok(None);
        };
        #[cfg(feature = "dns")]
        if !listed.config.names.is_empty() {
            let resolver = DnsResolver::system()
                .map_err(|error| in_pool(InvalidConfig::new("names", error.to_string())))?;
            listed.follow(&resolver, &make)?;
        }
        #[cfg(not(feature = "dns"))]
        if !listed.config.names.is_empty() {
            let message = "must not be there without the feature `dns` or a resolver";
            return Err(in_pool(InvalidConfig::new("names", message)));
        }
        Ok(Some(listed.pool))
    }

    /// The same, with names resolved by this.
    ///
    /// # Errors
    /// When a field cannot be used; the error names it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn pool_by<R, S, C, M>(
        &self,
        resolver: &R,
        probes: C,
        make: M,
    ) -> Result<Option<Pool<S>>, InvalidConfig>
    where
        R: Resolve + Clone,
        S: Send + Sync + 'static,
        C: ProbeClient,
        M: Fn(&Target) -> S + Clone + Send + 'static,
    {
        let Some(listed) = self.listed(probes, &make)? else {
            return Ok(None);
        };
        listed.follow(resolver, &make)?;
        Ok(Some(listed.pool))
    }

    /// Makes the endpoints that the section `health_endpoints` says, of these checks: a [`Health`], a [`Pool::check`], what the own code knows.
    ///
    /// # Errors
    /// When a field cannot be used, or names a check that is not there; the error names it.
    pub fn endpoints(
        &self,
        checks: impl IntoIterator<Item = Check>,
    ) -> Result<Endpoints, InvalidConfig> {
        let endpoints = self.health_endpoints.endpoints(checks);
        endpoints.map_err(|mistake| mistake.within("health_endpoints"))
    }

    fn listed<S, C>(
        &self,
        probes: C,
        make: impl Fn(&Target) -> S,
    ) -> Result<Option<Listed<'_, S, C>>, InvalidConfig>
    where
        C: ProbeClient,
    {
        let Some(config) = &self.pool else {
            return Ok(None);
        };
        let health = self.health_check.as_ref();
        let watcher = health.map(|config| Watcher::new(config, probes).map_err(in_health_check));
        let watcher = watcher.transpose()?;
        let pool = config.pool(watcher.as_ref(), make).map_err(in_pool)?;
        Ok(Some(Listed {
            config,
            watcher,
            pool,
        }))
    }
}

// === impl Listed ===

impl<S, C> Listed<'_, S, C>
where
    S: Send + Sync + 'static,
    C: ProbeClient,
{
    fn follow<R, M>(&self, resolver: &R, make: &M) -> Result<(), InvalidConfig>
    where
        R: Resolve + Clone,
        M: Fn(&Target) -> S + Clone + Send + 'static,
    {
        let Self {
            config,
            watcher,
            pool,
        } = self;
        let followed = config.follow(pool, watcher.as_ref(), resolver, make);
        followed.map_err(in_pool)
    }
}

fn in_health_check(mistake: InvalidConfig) -> InvalidConfig {
    mistake.within("health_check")
}

fn in_pool(mistake: InvalidConfig) -> InvalidConfig {
    mistake.within("pool")
}

#[cfg(test)]
mod tests;
