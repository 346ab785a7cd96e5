use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use tower_layer::Layer;

use crate::ApiKey;
use crate::layer::Base;

pub(super) mod body;
pub(super) mod future;
pub(super) mod service;
mod shared;
mod token;

use self::service::ErnieToken;
use self::shared::Shared;

/// Gives each chat the access token that the first version of ERNIE's API asks for in the query. It stands directly below
/// [`LlmMappingLayer`](crate::LlmMappingLayer), whose requests it can send twice.
///
/// The token is asked for by the inner service, when the first chat comes; it is used until shortly before it expires. However many chats
/// wait for one, it is asked for once, and all of them learn what came of it; when the one that asks is dropped, another one of them asks.
/// A chat that is answered with 110 or 111, which say that the token is invalid or expired, is sent once more with a new one.
///
/// Clones of a layer, and the services that it makes, share the token. A chat that gets none is answered in band with what the server of
/// tokens said. What is no chat passes without a token.
///
/// The token is in no log, error or `Debug` of this crate. It is in the URI of the requests below, as are both keys while one is asked for:
/// no layer below may log those.
///
/// ```
/// use portcullis_llm_mapping::providers::{Ernie, ErnieTokenLayer};
/// use portcullis_llm_mapping::{ApiKey, LlmMappingLayer};
///
/// let token = ErnieTokenLayer::new(ApiKey::new("the access key")?, ApiKey::new("the secret key")?);
/// let chat = LlmMappingLayer::new(Ernie::new())?.base_url("https://aip.baidubce.com")?;
/// # let client = tower::service_fn(|_: http::Request<portcullis_llm_mapping::RequestBody<http_body_util::Empty<bytes::Bytes>>>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
/// # });
/// let service = tower::ServiceBuilder::new().layer(chat).layer(token).service(client);
/// # let _ = service;
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct ErnieTokenLayer {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

/// What a token is asked for with.
#[derive(Clone, Debug)]
struct Settings {
    access_key: ApiKey,
    secret_key: ApiKey,
    /// Where it is asked for; nothing for where the chat goes.
    base: Option<Base>,
    renew_before: Duration,
}

// === impl ErnieTokenLayer ===

impl ErnieTokenLayer {
    /// With the access key and the secret key of an application. [`ApiKey::from_env`] and [`ApiKey::from_file`] read them from elsewhere.
    pub fn new(access_key: ApiKey, secret_key: ApiKey) -> Self {
        Self::of(Settings {
            access_key,
            secret_key,
            base: None,
            renew_before: Duration::from_secs(60),
        })
    }

    /// Replaces where tokens are asked for: scheme and authority, and what stands before `/oauth/2.0/token`. Default: where the chat goes.
    ///
    /// # Errors
    /// When it is not an `http` or `https` URL, or has a query.
    pub fn token_url(self, url: &str) -> Result<Self, InvalidConfig> {
        let mut settings = Settings::clone(&self.settings);
        settings.base = Some(Base::parse(url, "token_url")?);
        Ok(Self::of(settings))
    }

    /// Replaces how long before it expires a token is no longer used. Default: 60 s.
    pub fn renew_before(self, time: Duration) -> Self {
        let mut settings = Settings::clone(&self.settings);
        settings.renew_before = time;
        Self::of(settings)
    }

    fn of(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            shared: Arc::default(),
        }
    }
}

impl<S> Layer<S> for ErnieTokenLayer {
    type Service = ErnieToken<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { settings, shared } = self;
        ErnieToken::new(inner, Arc::clone(settings), Arc::clone(shared))
    }
}

impl fmt::Debug for ErnieTokenLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErnieTokenLayer")
            .field(&self.settings)
            .finish()
    }
}
