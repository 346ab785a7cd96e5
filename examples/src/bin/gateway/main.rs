//! A gateway: axum in front, hyper behind, and between them the layers.
//!
//! `cargo run --release -p portcullis-examples --bin gateway` starts it in front of an embedded upstream that answers `502 Bad Gateway` to one call in ten.

mod access_log;
mod forward;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use http::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::gateway_error::GatewayErrorLayer;
use portcullis::retry::RetryLayer;
use portcullis_faulty_upstream::{FaultyUpstream, Plan};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::forward::Upstream;

/// A gateway that tries again when its upstream fails.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The base URL of the upstream. Without it, one that fails on purpose is started.
    #[arg(long)]
    upstream: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let embedded = match &arguments.upstream {
        Some(_) => None,
        None => Some(FaultyUpstream::builder().plan(faults()).start().await?),
    };
    let url = arguments
        .upstream
        .or(embedded.as_ref().map(FaultyUpstream::url))
        .unwrap_or_default();
    let upstream = Upstream::new(&url)?;
    let stack = ServiceBuilder::new()
        .map_request(move |request| upstream.address(request))
        .map_response(forward::answer)
        .layer(GatewayErrorLayer::new())
        .layer(RetryLayer::new())
        .service(Client::builder(TokioExecutor::new()).build_http());
    let app = Router::<()>::new()
        .fallback_service(stack)
        .layer(axum::middleware::from_fn(access_log::log));

    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(upstream = url, "try: curl -i http://{address}/hello");
    writeln!(io::stdout(), "listening on http://{address}")?;
    axum::serve(listener, app).await?;
    Ok(())
}

/// A real upstream on a bad day: one call in ten answers 502, a few are slow, a few connections are reset.
fn faults() -> Plan {
    Plan::new(502)
        .status(StatusCode::BAD_GATEWAY, 0.1)
        .delay(Duration::from_millis(300), 0.03)
        .reset(0.02)
}
