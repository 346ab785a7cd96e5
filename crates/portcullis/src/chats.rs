use std::collections::BTreeMap;

use portcullis_gateway_error::{DefaultClassifier, InvalidConfig};
use portcullis_llm_mapping::{Caller, DEFAULT_MAX_CHAT_BYTES, LlmMappingLayer, ModelRouter};
use portcullis_retry_on_gateway_error::{StatusCodes, deserialize_words};
use serde::Deserialize;

use crate::{Fallback, FallbackLayer, FallbackOn};

/// Providers of chats, and which of them gets which chat: the serde form of [`Chats`].
///
/// ```
/// use portcullis::gateway_error::ConfigFile;
/// use portcullis::{Chats, ChatsConfig};
///
/// let file = ConfigFile::parse(r#"
/// providers:
///   openai: {base_url: "https://api.openai.com"}     # api_key: {env: OPENAI_API_KEY}
///   anthropic: {base_url: "https://api.anthropic.com"}
///   near: {provider: mistral, base_url: "http://10.0.0.7:8080", model: mistral-small-latest}
/// routes:
///   - model: gpt-*
///     targets: [openai, anthropic/claude-sonnet-4-5, near]
///     fallback: {on: [failures, timeouts, 429, 500-599], max_replay_bytes: 1048576}
/// "#)?;
/// let config: ChatsConfig = file.read()?;
/// let chats = Chats::try_from(config)?;
/// # let _ = chats;
/// # Ok::<_, portcullis::gateway_error::InvalidConfig>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ChatsConfig {
    /// Providers by the name that goes before a slash and a model: `anthropic/claude-sonnet-4-5`. Where one does not say its `provider`, that is its name.
    pub providers: BTreeMap<String, portcullis_llm_mapping::Config>,
    /// Which models go elsewhere than to the provider before their slash.
    pub routes: Vec<ChatRouteConfig>,
    /// Which API callers speak, for all providers.
    pub caller: Caller,
    /// The limit for a request, in bytes. Default: 32 MiB.
    pub max_request_bytes: Option<usize>,
}

/// Where the chats for some models go.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ChatRouteConfig {
    /// The models, in which `*` stands for any text: `gpt-*`, `openai/*`.
    pub model: String,
    /// The providers, the first one first, each alone or with the model to ask it for: `openai`, `anthropic/claude-sonnet-4-5`.
    pub targets: Vec<String>,
    /// When the next one is tried.
    #[serde(default)]
    pub fallback: FallbackConfig,
}

/// When the next target is tried: the serde form of what [`FallbackLayer`] has beside its targets.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FallbackConfig {
    /// `failures`, `timeouts`, statuses and ranges of them, as a list or as one text with commas. Default: `[failures, timeouts, 429, 500-599]`.
    #[serde(deserialize_with = "deserialize_words")]
    pub on: Option<Vec<String>>,
    /// How many bytes of a request are kept for another target. Default: for chats the limit for a request, as they are read whole all the same.
    pub max_replay_bytes: Option<usize>,
}

/// Providers of chats and the routes to them, checked.
///
/// See [`ChatsConfig`] for an example.
#[derive(Clone, Debug)]
pub struct Chats {
    routes: Vec<Route>,
    caller: Caller,
    max_request_bytes: usize,
}

/// The service that [`Chats::router`] makes.
pub type ChatsService<S> = ModelRouter<Fallback<S, DefaultClassifier>>;

#[derive(Clone, Debug)]
struct Route {
    prefix: Option<String>,
    pattern: String,
    targets: FallbackLayer<LlmMappingLayer>,
}

// === impl ChatsConfig ===

impl ChatsConfig {
    /// One provider, which gets every chat.
    #[must_use]
    pub fn one(provider: portcullis_llm_mapping::Config) -> Self {
        let name = provider.provider.clone();
        let route = ChatRouteConfig {
            model: "*".to_owned(),
            targets: vec![name.clone()],
            fallback: FallbackConfig::default(),
        };
        Self {
            providers: BTreeMap::from([(name, provider)]),
            routes: vec![route],
            ..Self::default()
        }
    }
}

// === impl Chats ===

impl Chats {
    /// Makes the service: for each target what this makes of its name and its layer. What is no chat is answered with 404, unless
    /// [`other`](ModelRouter::other) gets it.
    pub fn router<S: Clone>(&self, make: impl Fn(&str, &LlmMappingLayer) -> S) -> ChatsService<S> {
        let router = ModelRouter::new()
            .caller(self.caller)
            .max_request_bytes(self.max_request_bytes);
        self.routes.iter().fold(router, |router, route| {
            let service = route.targets.map_targets(&make).into_service();
            let pattern = route.pattern.clone();
            match route.prefix.clone() {
                Some(prefix) => router.prefixed(prefix, pattern, service),
                None => router.model(pattern, service),
            }
        })
    }
}

impl TryFrom<ChatsConfig> for Chats {
    type Error = InvalidConfig;

    fn try_from(config: ChatsConfig) -> Result<Self, InvalidConfig> {
        let max_request_bytes = config.max_request_bytes.unwrap_or(DEFAULT_MAX_CHAT_BYTES);
        if max_request_bytes == 0 {
            let message = "must be at least 1, is 0";
            return Err(InvalidConfig::new("max_request_bytes", message));
        }
        if config.providers.is_empty() {
            let message = "must hold at least one, and holds none";
            return Err(InvalidConfig::new("providers", message));
        }
        let mut providers = BTreeMap::new();
        for (name, mut provider) in config.providers {
            provider.max_request_bytes.get_or_insert(max_request_bytes);
            let layer = layer(&name, provider).map_err(|mistake| {
                let mistake = mistake.within(name.clone());
                mistake.within("providers")
            })?;
            providers.insert(name, layer.caller(config.caller));
        }
        let mut routes = Vec::new();
        for (index, route) in config.routes.into_iter().enumerate() {
            let made = self::route(route, &providers, max_request_bytes);
            let within = |mistake: InvalidConfig| mistake.within_index(index).within("routes");
            routes.push(made.map_err(within)?);
        }
        // A prefix says more than a pattern, whatever the pattern is.
        let (mut routes, patterns): (Vec<_>, Vec<_>) =
            routes.into_iter().partition(|route| route.prefix.is_some());
        routes.extend(providers.iter().map(|(name, layer)| Route {
            prefix: Some(name.clone()),
            pattern: "*".to_owned(),
            targets: FallbackLayer::new(name.as_str(), layer.clone()),
        }));
        routes.extend(patterns);
        Ok(Self {
            routes,
            caller: config.caller,
            max_request_bytes,
        })
    }
}

// === impl FallbackConfig ===

impl FallbackConfig {
    /// Gives a layer these settings.
    ///
    /// # Errors
    /// When a word is none; the error names it.
    pub fn apply<L, C>(
        &self,
        mut layer: FallbackLayer<L, C>,
    ) -> Result<FallbackLayer<L, C>, InvalidConfig> {
        if let Some(words) = &self.on {
            layer = layer.on(on(words).map_err(|mistake| mistake.within("on"))?);
        }
        if let Some(bytes) = self.max_replay_bytes {
            layer = layer.max_replay_bytes(bytes);
        }
        Ok(layer)
    }
}

fn on(words: &[String]) -> Result<FallbackOn, InvalidConfig> {
    let mut on = FallbackOn::nothing();
    let mut statuses = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match word.as_str() {
            "failures" => on = on.failures(true),
            "timeouts" => on = on.timeouts(true),
            _ => {
                let codes = word.parse::<StatusCodes>();
                if codes
                    .map_err(|mistake| mistake.within_index(index))?
                    .is_empty()
                {
                    let mistake = InvalidConfig::whole("must not be empty");
                    return Err(mistake.within_index(index));
                }
                statuses.push(word.as_str());
            }
        }
    }
    Ok(on.statuses(statuses.join(",").parse::<StatusCodes>()?))
}

fn layer(
    name: &str,
    mut config: portcullis_llm_mapping::Config,
) -> Result<LlmMappingLayer, InvalidConfig> {
    if name.is_empty() || name.contains(['/', '*']) {
        let message = "the name of a provider must not be empty, and have no `/` and no `*`";
        return Err(InvalidConfig::whole(message));
    }
    if config.base_url.is_none() {
        return Err(InvalidConfig::new("base_url", "is missing"));
    }
    if config.provider.is_empty() {
        name.clone_into(&mut config.provider);
    }
    config.try_into()
}

fn route(
    route: ChatRouteConfig,
    providers: &BTreeMap<String, LlmMappingLayer>,
    max_request_bytes: usize,
) -> Result<Route, InvalidConfig> {
    let ChatRouteConfig {
        model,
        targets,
        fallback,
    } = route;
    if model.is_empty() {
        return Err(InvalidConfig::new("model", "must not be empty"));
    }
    let mut found = Vec::new();
    for (index, target) in targets.into_iter().enumerate() {
        let within = |mistake: InvalidConfig| mistake.within_index(index).within("targets");
        let layer = self::target(&target, providers).map_err(within)?;
        found.push((target, layer));
    }
    let mut found = found.into_iter();
    let Some((name, first)) = found.next() else {
        return Err(InvalidConfig::new(
            "targets",
            "must hold at least one, and holds none",
        ));
    };
    let layer = FallbackLayer::new(name, first).max_replay_bytes(max_request_bytes);
    let layer = found.fold(layer, |layer, (name, target)| layer.target(name, target));
    let targets = fallback
        .apply(layer)
        .map_err(|mistake| mistake.within("fallback"))?;
    let prefix = model
        .split_once('/')
        .filter(|(name, _)| providers.contains_key(*name));
    let (prefix, pattern) = match prefix {
        Some((name, pattern)) => (Some(name.to_owned()), pattern.to_owned()),
        None => (None, model),
    };
    Ok(Route {
        prefix,
        pattern,
        targets,
    })
}

fn target(
    target: &str,
    providers: &BTreeMap<String, LlmMappingLayer>,
) -> Result<LlmMappingLayer, InvalidConfig> {
    let (name, model) = match target.split_once('/') {
        Some((name, model)) => (name, Some(model)),
        None => (target, None),
    };
    let Some(layer) = providers.get(name) else {
        return Err(InvalidConfig::whole(format!(
            "`{name}` is not one of the providers"
        )));
    };
    match model {
        None => Ok(layer.clone()),
        Some("") => Err(InvalidConfig::whole("must have a model behind its `/`")),
        Some(model) => Ok(layer.clone().model(model)),
    }
}

#[cfg(test)]
mod tests;
