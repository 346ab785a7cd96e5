//! What stands behind the gateway: one upstream, several endpoints of one, or an embedded one that fails on purpose.

use std::time::Duration;

use axum::Router;
use http::StatusCode;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use portcullis::Stack;
use portcullis::health_check::{Check, Config, StatusPage, Target};
use portcullis_faulty_upstream::{FaultyUpstream, Plan};
use tower::ServiceBuilder;
use tower::util::MapRequest;

use crate::chats;
use crate::client::{Probes, client, probe_client};
use crate::config::{Settings, UPSTREAM};
use crate::forward::{self, Upstream};

/// The calls to it, and what is known of it.
pub(crate) struct Behind {
    pub(crate) service: Router,
    /// None where nobody looks.
    pub(crate) check: Option<Check>,
    /// Puts what is known of it on a page.
    pub(crate) show: Show,
    /// For the log.
    pub(crate) name: String,
    /// It ends when this is dropped.
    pub(crate) embedded: Option<FaultyUpstream>,
}

type Show = Box<dyn FnOnce(StatusPage) -> StatusPage + Send>;
type Connector = HttpsConnector<HttpConnector>;

// === impl Behind ===

impl Behind {
    /// Starts what the settings say.
    pub(crate) async fn start(
        settings: &Settings,
        stack: Stack,
        connector: Connector,
        seed: u64,
    ) -> Result<Self, String> {
        let Some(routes) = &settings.chats else {
            return Self::plain(settings, stack, connector, seed).await;
        };
        let chats = chats::service(routes, &stack, connector.clone());
        if settings.config.pool.is_none() && settings.upstream.is_none() {
            return Ok(Self {
                service: Router::new().fallback_service(chats),
                check: None,
                show: Box::new(|page| page),
                name: "providers of chats".to_owned(),
                embedded: None,
            });
        }
        let behind = Self::plain(settings, stack, connector, seed).await?;
        let service = CHATS.iter().fold(behind.service, |router, path| {
            router.route_service(path, chats.clone())
        });
        Ok(Self { service, ..behind })
    }

    async fn plain(
        settings: &Settings,
        stack: Stack,
        connector: Connector,
        seed: u64,
    ) -> Result<Self, String> {
        if settings.config.pool.is_some() {
            return Self::several(settings, &stack, connector);
        }
        if let Some(upstream) = settings.upstream.clone() {
            return Self::one(&settings.config, stack, connector, upstream);
        }
        let embedded = embedded(seed).await?;
        let upstream = Upstream::new(&embedded.url())?;
        let mut config = settings.config.clone();
        let probe = config.health_check.get_or_insert_with(embedded_probe);
        tracing::debug!(path = probe.path, "the embedded upstream is probed");
        Ok(Self {
            embedded: Some(embedded),
            ..Self::one(&config, stack, connector, upstream)?
        })
    }

    fn one(
        config: &portcullis::Config,
        stack: Stack,
        connector: Connector,
        upstream: Upstream,
    ) -> Result<Self, String> {
        let name = upstream.url();
        let probes = probes(config, connector.clone());
        let health = config.health(probes, &name);
        let health = health.map_err(|mistake| mistake.to_string())?;
        let gate = config
            .gate(&health)
            .map_err(|mistake| mistake.to_string())?;
        let probed = config.health_check.is_some();
        let shown = gate.clone();
        let service = ServiceBuilder::new()
            .map_request(move |request| upstream.address(forward::request(request)))
            .map_response(forward::answer)
            .layer(stack.health_check(gate))
            .service(client(connector));
        Ok(Self {
            service: Router::new().fallback_service(service),
            check: probed.then(|| Check::health(UPSTREAM, health)),
            show: Box::new(move |page| page.gate(UPSTREAM, &shown)),
            name,
            embedded: None,
        })
    }

    fn several(settings: &Settings, stack: &Stack, connector: Connector) -> Result<Self, String> {
        let probes = probes(&settings.config, connector.clone());
        let (calls, mapped) = (client(connector), stack.clone());
        // Each attempt is addressed anew: it may go elsewhere than the one before.
        let make = move |target: &Target| {
            let upstream = Upstream::of(target);
            let address = move |request| upstream.address(request);
            mapped.member(MapRequest::new(calls.clone(), address))
        };
        let pool = settings.config.pool(probes, make);
        let pool = pool.map_err(|mistake| mistake.to_string())?;
        let pool = pool.ok_or("no pool in the settings")?;
        let mut names: Vec<_> = pool
            .members()
            .iter()
            .map(|one| one.name.to_string())
            .collect();
        let resolved = settings.config.pool.iter().flat_map(|pool| &pool.names);
        names.extend(resolved.map(|name| format!("{}:{}", name.host, name.port)));
        let service = ServiceBuilder::new()
            .map_request(forward::request)
            .map_response(forward::answer)
            .service(stack.over(pool.clone()));
        Ok(Self {
            service: Router::new().fallback_service(service),
            check: Some(pool.check(UPSTREAM)),
            show: Box::new(move |page| page.pool(UPSTREAM, &pool)),
            name: names.join(", "),
            embedded: None,
        })
    }
}

fn probes(config: &portcullis::Config, connector: Connector) -> Probes {
    let health_check = config.health_check.as_ref();
    probe_client(
        connector,
        health_check.is_some_and(|config| config.grpc.is_some()),
    )
}

/// Where chats are, beside an upstream.
const CHATS: [&str; 2] = ["/v1/chat/completions", "/v1/messages"];

/// An upstream on a bad day: one call in ten answers 502, a few are slow, a few connections are reset.
async fn embedded(seed: u64) -> Result<FaultyUpstream, String> {
    let plan = Plan::new(seed)
        .status(StatusCode::BAD_GATEWAY, 0.1)
        .delay(Duration::from_millis(300), 0.03)
        .reset(0.02);
    let embedded = FaultyUpstream::builder().plan(plan).start().await;
    embedded.map_err(|error| format!("embedded upstream: {error}"))
}

/// The embedded upstream is asked where nothing goes wrong.
fn embedded_probe() -> Config {
    let mut config = Config::default();
    "/__faulty/health".clone_into(&mut config.path);
    config
}
