//! The client towards the upstream: HTTP/1.1 and HTTP/2, plain and over TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::health_check::ProbeBody;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

pub(crate) type Probes = Client<HttpsConnector<HttpConnector>, ProbeBody>;

/// Makes the connector; the error is for the person who starts the gateway.
pub(crate) fn connector(
    connect_timeout: Duration,
    ca_file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect_timeout));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = HttpsConnectorBuilder::new();
    let builder = match ca_file {
        None => match builder.with_provider_and_native_roots(Arc::clone(&provider)) {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "no certificates of the system: https upstreams cannot be verified");
                HttpsConnectorBuilder::new().with_tls_config(tls(provider, RootCertStore::empty())?)
            }
        },
        Some(path) => builder.with_tls_config(tls(provider, roots(path)?)?),
    };
    Ok(builder
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http))
}

/// A client over a connector, for whatever body the layers around it make.
pub(crate) fn client<B>(
    connector: HttpsConnector<HttpConnector>,
) -> Client<HttpsConnector<HttpConnector>, B>
where
    B: http_body_util::BodyExt + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The client of probes: HTTP/2 from the first byte where they are gRPC, which is nothing else.
pub(crate) fn probe_client(connector: HttpsConnector<HttpConnector>, grpc: bool) -> Probes {
    Client::builder(TokioExecutor::new())
        .http2_only(grpc)
        .build(connector)
}

fn tls(
    provider: Arc<rustls::crypto::CryptoProvider>,
    roots: RootCertStore,
) -> Result<ClientConfig, String> {
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"holds no certificate"));
    }
    Ok(roots)
}
