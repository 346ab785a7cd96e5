use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body::Body;
use portcullis_gateway_error::InvalidConfig;
use sha2::{Digest, Sha256};
use tower_layer::Layer;
use tower_service::Service;

use crate::RequestBody;

/// Signs what [`LlmMappingLayer`](crate::LlmMappingLayer) sends to Amazon Bedrock, with [Signature Version 4]. It stands below it.
///
/// The host, the content type, the date, the hash of the body and the token of the session are signed, and `authorization` is replaced. A
/// request whose body is the caller's own passes as it is: its body is not known before it is sent.
///
/// ```
/// use portcullis_llm_mapping::providers::BedrockConverse;
/// use portcullis_llm_mapping::{AwsCredentials, LlmMappingLayer, SigV4Layer};
/// use tower::ServiceBuilder;
///
/// # fn main() -> Result<(), portcullis_gateway_error::InvalidConfig> {
/// let credentials = AwsCredentials::new("AKIDEXAMPLE", "secret")?;
/// let layers = ServiceBuilder::new()
///     .layer(LlmMappingLayer::new(BedrockConverse::new())?
///         .base_url("https://bedrock-runtime.eu-west-1.amazonaws.com")?)
///     .layer(SigV4Layer::new(credentials, "eu-west-1"));
/// # let _ = layers;
/// # Ok(())
/// # }
/// ```
///
/// [Signature Version 4]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct SigV4Layer {
    credentials: Arc<dyn Fn() -> AwsCredentials + Send + Sync>,
    region: Arc<str>,
    service: Arc<str>,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// The service that [`SigV4Layer`] makes.
#[derive(Clone)]
pub struct SigV4<S> {
    inner: S,
    layer: SigV4Layer,
}

/// Whose name requests are signed in. What is secret of it is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct AwsCredentials {
    access_key_id: Arc<str>,
    secret_access_key: Arc<str>,
    session_token: Option<Arc<str>>,
}

// === impl SigV4Layer ===

impl SigV4Layer {
    /// Signs in this name, for Bedrock in this region.
    #[expect(clippy::disallowed_methods, reason = "the default of `clock`")]
    pub fn new(credentials: AwsCredentials, region: impl Into<Arc<str>>) -> Self {
        Self {
            credentials: Arc::new(move || credentials.clone()),
            region: region.into(),
            service: "bedrock".into(),
            clock: Arc::new(SystemTime::now),
        }
    }

    /// Replaces where the credentials come from: asked for each request, so that those that end can be changed. Default: always the same.
    pub fn credentials<F>(mut self, credentials: F) -> Self
    where
        F: Fn() -> AwsCredentials + Send + Sync + 'static,
    {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Replaces the service that is signed for. Default: `bedrock`.
    pub fn service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.service = service.into();
        self
    }

    /// Replaces the clock. Default: that of the system.
    pub fn clock<F>(mut self, clock: F) -> Self
    where
        F: Fn() -> SystemTime + Send + Sync + 'static,
    {
        self.clock = Arc::new(clock);
        self
    }

    /// The headers that sign a request.
    fn sign<B>(
        &self,
        request: &Request<B>,
        body: &[Bytes],
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let host = host(request).ok_or("the request names no host")?;
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let uri = format!("https://{host}{path}");
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let signed = [("host", Some(&*host)), ("content-type", content_type)];
        let signed = signed
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut hash = Sha256::new();
        for chunk in body {
            hash.update(chunk);
        }
        let hash = hex(&hash.finalize());
        let method = request.method().as_str();
        let signable = SignableRequest::new(method, uri, signed, SignableBody::Precomputed(hash))
            .map_err(|error| error.to_string())?;

        let credentials = (self.credentials)();
        let identity = Credentials::new(
            &*credentials.access_key_id,
            &*credentials.secret_access_key,
            credentials.session_token.as_deref().map(str::to_owned),
            None,
            "portcullis",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time((self.clock)())
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let output = sign(signable, &params).map_err(|error| error.to_string())?;
        let (headers, _) = output.into_parts().0.into_parts();
        let mut signed = Vec::with_capacity(headers.len());
        for header in headers {
            let mut value =
                HeaderValue::from_str(header.value()).map_err(|error| error.to_string())?;
            value.set_sensitive(header.sensitive());
            let name = HeaderName::from_bytes(header.name().as_bytes());
            signed.push((name.map_err(|error| error.to_string())?, value));
        }
        Ok(signed)
    }
}

impl<S> Layer<S> for SigV4Layer {
    type Service = SigV4<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SigV4 {
            inner,
            layer: self.clone(),
        }
    }
}

impl fmt::Debug for SigV4Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigV4Layer")
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

// === impl SigV4 ===

impl<S> SigV4<S> {
    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the rest.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody> Service<Request<RequestBody<ReqBody>>> for SigV4<S>
where
    S: Service<Request<RequestBody<ReqBody>>>,
    ReqBody: Body<Data = Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody<ReqBody>>) -> Self::Future {
        let signed = match request.body().known() {
            Some(body) => self.layer.sign(&request, body),
            None => Err("its body is not known".to_owned()),
        };
        match signed {
            Ok(headers) => {
                for (name, value) in headers {
                    request.headers_mut().insert(name, value);
                }
            }
            // It is refused there, in words that say so.
            Err(reason) => tracing::debug!(reason, "request not signed"),
        }
        self.inner.call(request)
    }
}

impl<S: fmt::Debug> fmt::Debug for SigV4<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigV4")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

// === impl AwsCredentials ===

impl AwsCredentials {
    /// A key and its secret.
    ///
    /// # Errors
    /// When one is empty, or the key cannot stand in a header.
    pub fn new(
        access_key_id: impl AsRef<str>,
        secret_access_key: impl AsRef<str>,
    ) -> Result<Self, InvalidConfig> {
        Ok(Self {
            access_key_id: checked("access_key_id", access_key_id.as_ref())?,
            secret_access_key: checked("secret_access_key", secret_access_key.as_ref())?,
            session_token: None,
        })
    }

    /// Adds the token of a session, which keys that end have.
    ///
    /// # Errors
    /// When it is empty or cannot stand in a header.
    pub fn session_token(mut self, token: impl AsRef<str>) -> Result<Self, InvalidConfig> {
        self.session_token = Some(checked("session_token", token.as_ref())?);
        Ok(self)
    }

    /// Those that `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where it is set, `AWS_SESSION_TOKEN` hold.
    ///
    /// # Errors
    /// When one is missing, or wrong.
    pub fn from_env() -> Result<Self, InvalidConfig> {
        let read = |name: &str, field: &'static str| {
            std::env::var(name).map_err(|_| {
                let message = format!("the environment variable `{name}` is not set");
                InvalidConfig::new(field, message)
            })
        };
        let key = read("AWS_ACCESS_KEY_ID", "access_key_id")?;
        let credentials = Self::new(key, read("AWS_SECRET_ACCESS_KEY", "secret_access_key")?)?;
        match std::env::var("AWS_SESSION_TOKEN") {
            Ok(token) if !token.is_empty() => credentials.session_token(token),
            _ => Ok(credentials),
        }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsCredentials(..)")
    }
}

fn checked(field: &'static str, value: &str) -> Result<Arc<str>, InvalidConfig> {
    let value = value.trim();
    if value.is_empty() || HeaderValue::from_str(value).is_err() {
        let message = "is empty or cannot stand in a header";
        return Err(InvalidConfig::new(field, message));
    }
    Ok(value.into())
}

/// The host as clients send it: the header, or the authority without the port that its scheme means.
fn host<B>(request: &Request<B>) -> Option<String> {
    if let Some(host) = request.headers().get(header::HOST) {
        return host.to_str().ok().map(str::to_owned);
    }
    let uri: &Uri = request.uri();
    let host = uri.host()?;
    let is_default = |port| {
        matches!(
            (uri.scheme_str(), port),
            (Some("https"), 443) | (Some("http"), 80)
        )
    };
    Some(match uri.port_u16().filter(|port| !is_default(*port)) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
