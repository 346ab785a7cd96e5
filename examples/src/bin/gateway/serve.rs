//! Puts the parts together, serves, and ends in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use http::StatusCode;
use portcullis::health_check::{
    Endpoints, EndpointsLayer, Health, HealthCheckLayer, Monitor, ProbeBody,
};
use portcullis::param_mapping::ParamMappingLayer;
use portcullis_faulty_upstream::{FaultyUpstream, Plan};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tower::{Layer, ServiceBuilder};

use crate::config::{Arguments, Settings, Shutdown};
use crate::forward::{self, Upstream};
use crate::{access_log, client, limit, reload};

/// Runs until SIGTERM or SIGINT, and what is in flight then.
#[tokio::main]
pub(crate) async fn run(settings: &Settings, arguments: &Arguments) -> Result<(), String> {
    let (upstream, embedded) = upstream(settings.upstream.clone(), arguments.seed).await?;
    let connector = client::connector(settings.connect_timeout, settings.ca_file.as_deref())?;
    let mapping = ParamMappingLayer::new(settings.mapping.clone());
    let mut stack = settings.stack.clone().param_mapping(mapping.clone());
    reload::on_hangup(arguments.clone(), mapping).map_err(|error| error.to_string())?;
    let mut endpoints = Endpoints::new();
    let probed = settings
        .health_check
        .clone()
        .or_else(|| embedded.as_ref().map(|_| embedded_probe()));
    if let Some(config) = &probed {
        let health = monitor(
            config,
            &upstream,
            client::client::<ProbeBody>(connector.clone()),
        )?;
        endpoints = endpoints.required("upstream", health.clone());
        stack = stack.health_check(HealthCheckLayer::new(health));
    }

    let url = upstream.url();
    let gateway = ServiceBuilder::new()
        .map_request(move |request| upstream.address(request))
        .map_response(forward::answer)
        .service(stack.layer(client::client(connector)));
    let app = Router::new()
        .fallback_service(gateway)
        .layer(from_fn_with_state(settings.max_request_bytes, limit::limit))
        .layer(from_fn(access_log::log))
        // The health of gRPC is the upstream's.
        .layer(EndpointsLayer::new(endpoints.clone()).grpc(false));

    let listener = listen(settings.listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!(
        upstream = url,
        readiness = format!("http://{address}/readyz"),
        "gateway is ready"
    );
    tracing::info!("try: curl -i http://{address}/hello");
    if embedded.is_some() {
        tracing::info!("what the upstream saw: curl http://{address}/__faulty/ledger");
    }
    writeln!(io::stdout(), "listening on http://{address}").map_err(|error| error.to_string())?;
    serve(listener, app, endpoints, settings.shutdown).await
}

/// The upstream of the settings, or an embedded one on a bad day: one call in ten answers 502, a few are slow, a few connections are reset.
async fn upstream(
    given: Option<Upstream>,
    seed: u64,
) -> Result<(Upstream, Option<FaultyUpstream>), String> {
    if let Some(upstream) = given {
        return Ok((upstream, None));
    }
    let plan = Plan::new(seed)
        .status(StatusCode::BAD_GATEWAY, 0.1)
        .delay(Duration::from_millis(300), 0.03)
        .reset(0.02);
    let embedded = FaultyUpstream::builder().plan(plan).start().await;
    let embedded = embedded.map_err(|error| format!("embedded upstream: {error}"))?;
    Ok((Upstream::new(&embedded.url())?, Some(embedded)))
}

/// The embedded upstream is asked where nothing goes wrong.
fn embedded_probe() -> portcullis::health_check::Config {
    let mut config = portcullis::health_check::Config::default();
    "/__faulty/health".clone_into(&mut config.path);
    config
}

fn monitor<C>(
    config: &portcullis::health_check::Config,
    upstream: &Upstream,
    client: C,
) -> Result<Health, String>
where
    portcullis::health_check::HttpProbe<C>: portcullis::health_check::Probe,
{
    let probe = config
        .probe(client, &upstream.url())
        .map_err(|error| error.to_string())?;
    let settings = config
        .try_into()
        .map_err(|error: portcullis::gateway_error::InvalidConfig| error.to_string())?;
    Ok(Monitor::new(probe)
        .name(upstream.url())
        .settings(settings)
        .start())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}"))
}

/// Serves until a signal; then readiness turns off, and after the delay nothing new is taken.
async fn serve(
    listener: TcpListener,
    app: Router,
    endpoints: Endpoints,
    shutdown: Shutdown,
) -> Result<(), String> {
    let (ending, ended) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        if let Err(error) = terminated().await {
            tracing::warn!(%error, "signals cannot be waited for");
            return std::future::pending().await;
        }
        endpoints.drain().delay(shutdown.delay).await;
        // Nobody listens only where the server has ended already.
        let _ = ending.send(());
    });
    let mut server = pin!(server.into_future());

    tokio::select! {
        result = &mut server => return result.map_err(|error| error.to_string()),
        _ = ended => {}
    }
    match tokio::time::timeout(shutdown.timeout, server).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "requests were in flight after {:?}",
            shutdown.timeout
        )),
    }
}

async fn terminated() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
