//! Puts the parts together, serves, and ends in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use portcullis::health_check::{Endpoints, EndpointsLayer, StatusPageLayer};
use portcullis::param_mapping::ParamMappingLayer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{Arguments, Settings, Shutdown};
use crate::upstream::Behind;
use crate::{access_log, client, limit, reload};

/// Runs until SIGTERM or SIGINT, and what is in flight then.
#[tokio::main]
pub(crate) async fn run(settings: &Settings, arguments: &Arguments) -> Result<(), String> {
    let connector = client::connector(settings.connect_timeout, settings.ca_file.as_deref())?;
    let mapping = ParamMappingLayer::new(settings.mapping.clone());
    let stack = settings.stack.clone().param_mapping(mapping.clone());
    reload::on_hangup(arguments.clone(), mapping).map_err(|error| error.to_string())?;
    let behind = Behind::start(settings, stack, connector, arguments.seed).await?;
    let endpoints = settings.config.endpoints(behind.check);
    let endpoints = endpoints.map_err(|mistake| mistake.to_string())?;

    let app = behind
        .service
        .layer(from_fn_with_state(settings.max_request_bytes, limit::limit))
        .layer(from_fn(access_log::log));
    let page = settings.status_page.as_ref();
    let page = page.map(|config| config.page(endpoints.clone()).map(behind.show));
    let page = page.transpose().map_err(|mistake| mistake.to_string())?;
    // The health of gRPC is the upstream's.
    let health = EndpointsLayer::new(endpoints.clone()).grpc(false);
    let reports = move |app: Router| match page {
        Some(page) => app.layer(StatusPageLayer::new(page)).layer(health),
        None => app.layer(health),
    };
    let listener = listen(settings.listen).await?;
    let address = local(&listener)?;
    let (app, admin) = match settings.admin {
        None => (reports(app), address),
        Some(admin) => {
            let listener = listen(admin).await?;
            let admin = local(&listener)?;
            // Until the end of the process: it says that the gateway drains.
            tokio::spawn(axum::serve(listener, reports(Router::new())).into_future());
            (app, admin)
        }
    };
    tracing::info!(
        upstream = behind.name,
        readiness = format!("http://{admin}/readyz"),
        "gateway is ready"
    );
    tracing::info!("try: curl -i http://{address}/hello");
    if behind.embedded.is_some() {
        tracing::info!("what the upstream saw: curl http://{address}/__faulty/ledger");
    }
    writeln!(io::stdout(), "listening on http://{address}").map_err(|error| error.to_string())?;
    serve(listener, app, endpoints, settings.shutdown).await
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}"))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| error.to_string())
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
