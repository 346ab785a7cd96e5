use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::uri::{Authority, Scheme};
use http::{HeaderName, Uri};
use portcullis_gateway_error::{Chance, DEFAULT_NAME, InvalidConfig};
use portcullis_param_mapping::DEFAULT_MAX_EVENT_BYTES;
use tower_layer::Layer;

use crate::provider::Provider;
use crate::providers::ErnieTokenLayer;
use crate::tables::{Policy, Tables};
use crate::{ApiKey, Caller, ChatModel, LlmMapping};

/// Lets a caller of OpenAI's Chat Completions reach one provider: requests, replies, streams and errors.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct LlmMappingLayer {
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) caller: Caller,
    pub(crate) tables: Arc<Tables>,
    pub(crate) base: Option<Base>,
    pub(crate) api_key: Option<ApiKey>,
    pub(crate) token: Option<ErnieTokenLayer>,
    pub(crate) model: Option<ChatModel>,
    pub(crate) report_header: Option<HeaderName>,
    pub(crate) name: Arc<str>,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_reply_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) tells_reasoning: bool,
    pub(crate) waits_for_first_event: bool,
    pub(crate) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    pub(crate) chance: Chance,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// What stands before the provider's path, without a slash at its end.
    pub(crate) prefix: String,
}

/// The longest request and the longest reply that are read unless other limits are set: 32 MiB, the most that Anthropic takes.
pub const DEFAULT_MAX_CHAT_BYTES: usize = 32 * 1024 * 1024;

/// The response header that tells what was left out and changed, unless another is set.
pub const DEFAULT_REPORT_HEADER: HeaderName = HeaderName::from_static("x-portcullis-mapped");

// === impl LlmMappingLayer ===

impl LlmMappingLayer {
    /// A layer for this provider.
    ///
    /// # Errors
    /// When the provider's table has a mistake. Those of this crate have none.
    pub fn new(provider: impl Provider) -> Result<Self, InvalidConfig> {
        Self::shared(Arc::new(provider))
    }

    /// A layer for a provider that is shared, as [`providers::by_name`](crate::providers::by_name) returns it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[expect(clippy::disallowed_methods, reason = "the default of `clock`")]
    pub fn shared(provider: Arc<dyn Provider>) -> Result<Self, InvalidConfig> {
        let tables = Arc::new(Tables::from_yaml(provider.tables())?);
        let settings = Settings {
            provider,
            caller: Caller::OpenAi,
            tables,
            base: None,
            api_key: None,
            token: None,
            model: None,
            report_header: Some(DEFAULT_REPORT_HEADER),
            name: DEFAULT_NAME.into(),
            max_request_bytes: DEFAULT_MAX_CHAT_BYTES,
            max_reply_bytes: DEFAULT_MAX_CHAT_BYTES,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            tells_reasoning: false,
            waits_for_first_event: true,
            clock: Arc::new(SystemTime::now),
            chance: Chance::random(),
        };
        Ok(Self {
            settings: Arc::new(settings),
        })
    }

    /// Replaces where chats are sent: scheme, authority, and a path before the provider's own. Default: the scheme and the authority of the
    /// request, which a layer or a client below may know. With it `host`, `cookie` and `proxy-authorization` of the caller are not sent.
    ///
    /// # Errors
    /// When it is not an `http` or `https` URL, or has a query or a password. Neither is in the error.
    pub fn base_url(self, url: &str) -> Result<Self, InvalidConfig> {
        let base = Base::parse(url, "base_url")?;
        Ok(self.with(|settings| settings.base = Some(base)))
    }

    /// Replaces which API the caller speaks. Default: OpenAI's Chat Completions.
    pub fn caller(self, caller: Caller) -> Self {
        self.with(|settings| settings.caller = caller)
    }

    /// Sets the key that the provider knows us by; the caller's own `authorization` is taken away then. Default: the caller's is used.
    pub fn api_key(self, key: ApiKey) -> Self {
        self.with(|settings| settings.api_key = Some(key))
    }

    /// Sets the model to ask for, whatever the request or a layer further out says. Default: theirs.
    pub fn model(self, model: impl Into<Arc<str>>) -> Self {
        let model = ChatModel::new(model);
        self.with(|settings| settings.model = Some(model))
    }

    /// Keeps the layer that fetches tokens for the first version of ERNIE's API, for whoever builds the stack: it must stand directly below this one.
    /// Default: none.
    pub fn ernie_token(self, token: ErnieTokenLayer) -> Self {
        self.with(|settings| settings.token = Some(token))
    }

    /// Returns the layer that must stand directly below this one, if there is one.
    #[must_use]
    pub fn token_layer(&self) -> Option<&ErnieTokenLayer> {
        self.settings.token.as_ref()
    }

    /// Replaces the provider's table, which is data: take [`Provider::tables`], change it, and give it here.
    ///
    /// # Errors
    /// When there is a mistake in it; the error names the line and the field.
    pub fn tables(self, yaml: &str) -> Result<Self, InvalidConfig> {
        let tables = Arc::new(Tables::from_yaml(yaml)?);
        Ok(self.with(|settings| settings.tables = tables))
    }

    /// Replaces what becomes of one parameter that the provider has nothing like. Default: what the provider's table says.
    pub fn unsupported(self, param: impl Into<String>, policy: Policy) -> Self {
        let param = param.into();
        self.with(|settings| Arc::make_mut(&mut settings.tables).set_policy(param, policy))
    }

    /// Replaces the response header that tells what was left out and changed, or with `None` lets nothing tell it to the caller.
    /// Default: `x-portcullis-mapped`.
    pub fn report_header(self, name: impl Into<Option<HeaderName>>) -> Self {
        let name = name.into();
        self.with(|settings| settings.report_header = name)
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        self.with(|settings| settings.name = name)
    }

    /// Replaces the limit for a request, in bytes; a longer one is answered with 413. Default: [`DEFAULT_MAX_CHAT_BYTES`].
    pub fn max_request_bytes(self, limit: usize) -> Self {
        self.with(|settings| settings.max_request_bytes = limit)
    }

    /// Replaces the limit for a reply that is no stream, in bytes; a longer one is answered with 502. Default: [`DEFAULT_MAX_CHAT_BYTES`].
    pub fn max_reply_bytes(self, limit: usize) -> Self {
        self.with(|settings| settings.max_reply_bytes = limit)
    }

    /// Replaces the limit for one event of a stream, in bytes; at a longer one the stream ends with an error. Default: [`DEFAULT_MAX_EVENT_BYTES`].
    pub fn max_event_bytes(self, limit: usize) -> Self {
        self.with(|settings| settings.max_event_bytes = limit)
    }

    /// Tells the caller what the model thought, in `reasoning_content`, which OpenAI's own API does not have. Default: no.
    pub fn tell_reasoning(self, tells: bool) -> Self {
        self.with(|settings| settings.tells_reasoning = tells)
    }

    /// Whether the answer to a request for a stream waits for the first event, so that one that is an error becomes the status of the answer and
    /// a retry layer further out can try again. Default: yes.
    pub fn wait_for_first_event(self, waits: bool) -> Self {
        self.with(|settings| settings.waits_for_first_event = waits)
    }

    /// Replaces the clock, which `created` is read from where the provider does not tell. Default: that of the system.
    pub fn clock<F>(self, clock: F) -> Self
    where
        F: Fn() -> SystemTime + Send + Sync + 'static,
    {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// Makes the ids repeat, for tests. Default: nobody can repeat them.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|settings| settings.chance = Chance::seeded(seed))
    }

    /// Returns the provider.
    #[must_use]
    pub fn provider(&self) -> &dyn Provider {
        &*self.settings.provider
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for LlmMappingLayer {
    type Service = LlmMapping<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LlmMapping::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for LlmMappingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LlmMappingLayer")
            .field(&self.settings)
            .finish()
    }
}

// === impl Settings ===

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("provider", &self.provider)
            .field("caller", &self.caller)
            .field("tables", &self.tables)
            .field("base", &self.base)
            .field("api_key", &self.api_key)
            .field("token", &self.token)
            .field("model", &self.model)
            .field("report_header", &self.report_header)
            .field("name", &self.name)
            .field("max_request_bytes", &self.max_request_bytes)
            .field("max_reply_bytes", &self.max_reply_bytes)
            .field("max_event_bytes", &self.max_event_bytes)
            .field("tells_reasoning", &self.tells_reasoning)
            .field("waits_for_first_event", &self.waits_for_first_event)
            .finish_non_exhaustive()
    }
}

// === impl Base ===

impl Base {
    pub(crate) fn parse(url: &str, field: &'static str) -> Result<Self, InvalidConfig> {
        // Passwords and keys may stand in it where they must not: they are not repeated.
        let shown = match url.split_once('?') {
            _ if url.contains('@') => "what is given".to_owned(),
            Some((url, _)) => format!("`{url}?…`"),
            None => format!("`{url}`"),
        };
        let mistake = |what: &str| InvalidConfig::new(field, format!("{shown} {what}"));
        let uri: Uri = url.parse().map_err(|_| mistake("is not a URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(mistake("must begin with `http://` or `https://`"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(mistake("must begin with `http://` or `https://`"));
        }
        if authority.as_str().contains('@') {
            return Err(InvalidConfig::new(field, "must not hold a password"));
        }
        let path = parts.path_and_query;
        if path.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(mistake("must have no query"));
        }
        let prefix = path.map_or_else(String::new, |path| {
            path.path().trim_end_matches('/').to_owned()
        });
        Ok(Self {
            scheme,
            authority,
            prefix,
        })
    }
}
