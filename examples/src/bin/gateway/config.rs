//! The settings of the gateway: one YAML file, and a few flags that go before it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use portcullis::gateway_error::{ConfigFile, InvalidConfig};
use portcullis::health_check::{
    Check, Endpoints, Health, PoolConfig, PoolSettings, State, StatusPageConfig,
};
use portcullis::llm_mapping::{self, ApiKeyConfig, Caller};
use portcullis::param_mapping::Mapping;
use portcullis::{Chats, ChatsConfig, Stack};
use serde::Deserialize;

use crate::forward::Upstream;

/// A gateway that tries again when its upstream fails, and says why when that does not help.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway")]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The base URL of the upstream. Without one, an embedded upstream is started that fails on purpose.
    #[arg(long)]
    upstream: Option<String>,
    /// The provider of chats that the upstream is, in place of `chats` in the settings: openai, anthropic, and the others that a wrong one is told.
    #[arg(long, requires = "upstream")]
    provider: Option<String>,
    /// The environment variable that holds the provider's key. Without one, the caller's is used.
    #[arg(long, requires = "provider")]
    api_key_env: Option<String>,
    /// The environment variable that holds the secret key which belongs to it, for the provider `ernie-v1`.
    #[arg(long, requires = "api_key_env")]
    secret_key_env: Option<String>,
    /// The settings, in YAML.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Only says whether the settings are right.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// The form of the log, which goes to stderr.
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) log: LogForm,
    /// What the faults of the embedded upstream are drawn from.
    #[arg(long, default_value_t = 502)]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogForm {
    Human,
    Json,
}

/// The settings, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// Where `/livez`, `/readyz` and the others are; none: where the gateway listens.
    pub(crate) admin: Option<SocketAddr>,
    /// Beside those.
    pub(crate) status_page: Option<StatusPageConfig>,
    /// None: the pool of the stack, providers of chats alone, or the embedded one.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) chats: Option<Chats>,
    pub(crate) max_request_bytes: u64,
    pub(crate) connect_timeout: Duration,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) shutdown: Shutdown,
    /// What monitors, the pool and the own endpoints are made of.
    pub(crate) config: portcullis::Config,
    pub(crate) stack: Stack,
    /// The one of the stack, to give to a stack that runs.
    pub(crate) mapping: Mapping,
}

/// The file. What it leaves out is as `default.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    admin: Option<Admin>,
    status_page: Option<StatusPageConfig>,
    upstream: Option<String>,
    /// Several endpoints in place of one: the section `pool` of the stack.
    upstreams: Option<PoolConfig>,
    /// Providers of chats, and the routes to them.
    chats: Option<ChatsConfig>,
    max_request_bytes: Option<u64>,
    #[serde(default, with = "humantime_serde")]
    connect_timeout: Option<Duration>,
    ca_file: Option<PathBuf>,
    shutdown: Option<Shutdown>,
    stack: Option<portcullis::Config>,
}

/// A listener of its own for what the gateway says of itself.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admin {
    listen: SocketAddr,
}

/// How the gateway ends.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    #[serde(with = "humantime_serde")]
    pub(crate) delay: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
}

// === impl Settings ===

impl Settings {
    /// Reads and checks everything; the error is the one message that the caller sees.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, String> {
        let (name, text) = match &arguments.config {
            None => ("default.yaml".to_owned(), DEFAULT.to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let text =
                    std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
                (name, text)
            }
        };
        let mistake = |mistake: InvalidConfig| format!("{name}: {mistake}");
        let defaults: File = ConfigFile::parse(DEFAULT)
            .and_then(|file| file.read())
            .map_err(mistake)?;
        let file = ConfigFile::parse(&text).map_err(mistake)?;
        let read = file.read().map_err(mistake)?;
        let settings = Self::check(read, defaults).map_err(|found| mistake(file.locate(found)))?;
        settings.with_flags(arguments)
    }

    fn check(file: File, defaults: File) -> Result<Self, InvalidConfig> {
        let missing = |field: &'static str| move || InvalidConfig::new(field, "is missing");
        let upstream = file.upstream.as_deref().map(Upstream::new).transpose();
        let upstream = upstream.map_err(|message| InvalidConfig::new("upstream", message))?;
        let mut config = file.stack.or(defaults.stack).unwrap_or_default();
        add_upstreams(&mut config, file.upstreams)?;
        if upstream.is_some() && config.pool.is_some() {
            let message = "must not be there where several endpoints are";
            return Err(InvalidConfig::new("upstream", message));
        }
        if let Some(page) = &file.status_page {
            let page = page.page(Endpoints::new());
            page.map_err(|mistake| mistake.within("status_page"))?;
        }
        let chats = file.chats.map(Chats::try_from).transpose();
        let chats = chats.map_err(|mistake| mistake.within("chats"))?;
        let mapping = Mapping::try_from(config.param_mapping.clone())
            .map_err(|mistake| mistake.within("param_mapping").within("stack"))?;
        let shutdown = file
            .shutdown
            .or(defaults.shutdown)
            .ok_or_else(missing("shutdown"))?;
        let connect_timeout = file.connect_timeout.or(defaults.connect_timeout);
        let max_request_bytes = file.max_request_bytes.or(defaults.max_request_bytes);
        Ok(Self {
            listen: file
                .listen
                .or(defaults.listen)
                .ok_or_else(missing("listen"))?,
            admin: file.admin.map(|admin| admin.listen),
            status_page: file.status_page,
            upstream,
            chats,
            max_request_bytes: max_request_bytes.ok_or_else(missing("max_request_bytes"))?,
            connect_timeout: connect_timeout.ok_or_else(missing("connect_timeout"))?,
            ca_file: file.ca_file,
            shutdown,
            stack: stack_of(&config).map_err(|mistake| mistake.within("stack"))?,
            config,
            mapping,
        })
    }

    fn with_flags(mut self, arguments: &Arguments) -> Result<Self, String> {
        if let Some(listen) = arguments.listen {
            self.listen = listen;
        }
        if let Some((provider, url)) = arguments.provider.as_ref().zip(arguments.upstream.as_ref())
        {
            self.chats = Some(one_provider(provider, url, arguments)?);
            self.upstream = None;
            self.config.pool = None;
        } else if let Some(url) = &arguments.upstream {
            let upstream =
                Upstream::new(url).map_err(|message| format!("--upstream: {message}"))?;
            self.upstream = Some(upstream);
            self.config.pool = None;
        }
        Ok(self)
    }
}

/// The name of the one check that the gateway has: that calls may go somewhere.
pub(crate) const UPSTREAM: &str = "upstream";

fn one_provider(name: &str, url: &str, arguments: &Arguments) -> Result<Chats, String> {
    let in_env = |name: &Option<String>| name.clone().map(ApiKeyConfig::Env);
    let mut provider = llm_mapping::Config::default();
    name.clone_into(&mut provider.provider);
    provider.base_url = Some(url.to_owned());
    provider.api_key = in_env(&arguments.api_key_env);
    provider.secret_key = in_env(&arguments.secret_key_env);
    let mut config = ChatsConfig::one(provider);
    config.caller = Caller::Any;
    let flag = |mistake: InvalidConfig| {
        let path = mistake.path();
        let flag = match path.rsplit('.').next() {
            Some("base_url") => "--upstream",
            Some("api_key") => "--api-key-env",
            Some("secret_key") => "--secret-key-env",
            _ => "--provider",
        };
        format!("{flag}: {}", mistake.message())
    };
    Chats::try_from(config).map_err(flag)
}

fn add_upstreams(
    config: &mut portcullis::Config,
    upstreams: Option<PoolConfig>,
) -> Result<(), InvalidConfig> {
    let Some(upstreams) = upstreams else {
        return Ok(());
    };
    let within = |mistake: InvalidConfig| mistake.within("upstreams");
    check_urls(&upstreams).map_err(within)?;
    let _checked = PoolSettings::try_from(&upstreams).map_err(within)?;
    if upstreams.endpoints.is_empty() && upstreams.names.is_empty() {
        let message = "must have endpoints or names, and has neither";
        return Err(within(InvalidConfig::whole(message)));
    }
    if config.pool.is_some() {
        let message = "must not be there where stack.pool is";
        return Err(within(InvalidConfig::whole(message)));
    }
    config.pool = Some(upstreams);
    Ok(())
}

/// What is a base URL for a pool may be none for a gateway.
fn check_urls(pool: &PoolConfig) -> Result<(), InvalidConfig> {
    for (index, endpoint) in pool.endpoints.iter().enumerate() {
        let mistake = |message| InvalidConfig::new("url", message).within_index(index);
        let checked = Upstream::new(&endpoint.url).map_err(mistake);
        checked.map_err(|mistake| mistake.within("endpoints"))?;
    }
    Ok(())
}

fn stack_of(config: &portcullis::Config) -> Result<Stack, InvalidConfig> {
    // What makes the check of this name comes when the gateway starts.
    config.endpoints([match config.pool {
        Some(_) => Check::probe(UPSTREAM, async || Ok(())),
        None => Check::health(UPSTREAM, Health::fixed(State::Up)),
    }])?;
    if let Some(pool) = &config.pool {
        check_urls(pool).map_err(|mistake| mistake.within("pool"))?;
    }
    Stack::try_from(config.clone())
}

const DEFAULT: &str = include_str!("default.yaml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_enough_for_one_provider() {
        let settings = |arguments: &str| {
            let words = std::iter::once("gateway").chain(arguments.split(' '));
            Settings::read(&Arguments::try_parse_from(words).map_err(|error| error.to_string())?)
        };

        let right = settings("--provider anthropic --upstream http://127.0.0.1:9000").unwrap();
        assert!(right.chats.is_some() && right.upstream.is_none());
        for (arguments, expected) in [
            (
                "--provider opnai --upstream http://a",
                "--provider: `opnai` is not a provider: it is one of `openai`, ",
            ),
            ("--provider openai --upstream a", "--upstream: `a` "),
            (
                "--provider openai --upstream http://a --api-key-env PORTCULLIS_NOT_SET",
                "--api-key-env: the environment variable `PORTCULLIS_NOT_SET` is not set",
            ),
            (
                "--provider openai",
                "error: the following required arguments were not provided:\n  --upstream",
            ),
        ] {
            let mistake = settings(arguments).unwrap_err();
            assert!(mistake.starts_with(expected), "{arguments}: {mistake}");
        }
    }

    fn read(text: &str) -> Result<Settings, String> {
        let file = ConfigFile::parse(text).map_err(|mistake| mistake.to_string())?;
        let defaults = ConfigFile::parse(DEFAULT).unwrap().read().unwrap();
        let settings = file.read().and_then(|read| Settings::check(read, defaults));
        settings.map_err(|mistake| file.locate(mistake).to_string())
    }

    #[test]
    fn the_default_file_is_right_and_an_empty_one_means_the_same() {
        let default = read(DEFAULT).unwrap();

        assert_eq!(default.listen.to_string(), "127.0.0.1:8080");
        assert!(default.upstream.is_none());
        assert_eq!(
            read("").unwrap().max_request_bytes,
            default.max_request_bytes
        );
    }

    #[test]
    fn every_mistake_has_its_line_and_field() {
        for (text, expected) in [
            (
                "listen: here",
                "line 1, column 1: listen: invalid socket address syntax",
            ),
            (
                "upstream: ftp://a",
                "line 1, column 1: upstream: must start with http:// or https://, and a host",
            ),
            (
                "stack:\n  retry: {max_attempts: 0}",
                "line 2, column 11: stack.retry.max_attempts: must be at least 1, is 0",
            ),
            (
                "stack:\n  retry:\n    retry_on: [gateway-error, 502]",
                "line 3, column 31: stack.retry.retry_on[1]: `502` is no class of failures",
            ),
            (
                "status_page:\n  path: status",
                "line 2, column 3: status_page.path: must be a path that begins with a slash, without a query",
            ),
            (
                "stack:\n  health_check:\n    fall: 0",
                "line 3, column 5: stack.health_check.fall: must be at least 1, is 0",
            ),
            (
                "stack:\n  health_endpoints:\n    checks: {upstream: {max_time_in_error: 1m}}",
                "line 3, column 25: stack.health_endpoints.checks.upstream.max_time_in_error: must not be there where a monitor decides, whose settings say it",
            ),
            (
                "upstreams: {endpoints: [{url: http://a}, {url: http://b?c=d}]}",
                "line 1, column 43: upstreams.endpoints[1].url: must not hold a query",
            ),
            (
                "upstreams:\n  mode: wait\n  names: [{host: a, port: 80}]",
                "line 1, column 1: upstreams.wait_limit: must be there where mode is wait",
            ),
            (
                "upstreams: {}",
                "line 1, column 1: upstreams: must have endpoints or names, and has neither",
            ),
            (
                "upstream: http://a\nupstreams: {endpoints: [{url: http://b}]}",
                "line 1, column 1: upstream: must not be there where several endpoints are",
            ),
            (
                "chats:\n  providers:\n    openai: {base_url: \"http://a\"}\n  routes:\n    - {model: \"*\", targets: [openai, mistral]}",
                "line 5, column 38: chats.routes[0].targets[1]: `mistral` is not one of the providers",
            ),
            (
                "chats:\n  providers: {openai: {base_url: \"http://a\", api_key: {env: PORTCULLIS_NOT_SET}}}",
                "line 2, column 46: chats.providers.openai.api_key: the environment variable `PORTCULLIS_NOT_SET` is not set",
            ),
            (
                "stack:\n  health_endpoints: {checks: {orders: {required: false}}}",
                "line 2, column 31: stack.health_endpoints.checks.orders: no such check",
            ),
        ] {
            assert_eq!(read(text).map(|_| ()).unwrap_err(), expected, "{text}");
        }
        assert!(
            read("chats: {providers: {openai: {api_key: sk-secret}}}")
                .is_err_and(|mistake| !mistake.contains("sk-secret"))
        );
        assert!(
            read("lisen: 1")
                .unwrap_err()
                .starts_with("line 1, column 1: lisen: unknown field")
        );
    }
}
