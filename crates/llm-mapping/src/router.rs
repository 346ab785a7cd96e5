use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use portcullis_gateway_error::{Audience, DEFAULT_NAME};
use tower_service::Service;

use crate::layer::DEFAULT_MAX_CHAT_BYTES;
use crate::{Caller, ChatError, RequestBody, ResponseBody};

mod future;

pub use self::future::RouterFuture;

/// Sends each chat to the service that its model chooses: one layer of this crate around a client, several of them behind a fallback, or what you have.
///
/// Routes are asked in their order, and the first that fits has it. The body is read once, up to a limit, and handed on as it came; a service below finds the model
/// without its prefix as the [`ChatModel`](crate::ChatModel) in the extensions.
///
/// ```
/// # use std::convert::Infallible;
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use portcullis_llm_mapping::{ChatModel, ModelRouter, RequestBody};
/// # use tower::{ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # type Sent = Request<RequestBody<Full<Bytes>>>;
/// # let provider = |name: &'static str| tower::util::BoxCloneSyncService::new(service_fn(move |request: Sent| async move {
/// #     let model = request.extensions().get::<ChatModel>().map(ChatModel::as_str).unwrap_or("as it is");
/// #     Ok::<_, Infallible>(Response::builder().header("x-went", format!("{name}: {model}")).body(Full::<Bytes>::default()).unwrap())
/// # }));
/// let router = ModelRouter::new()
///     .model("gpt-*", provider("openai"))
///     .prefix("anthropic", provider("anthropic"));
///
/// # for (model, went) in [("anthropic/claude-sonnet-4-5", "anthropic: claude-sonnet-4-5"), ("gpt-4o", "openai: as it is")] {
/// # let request = Request::post("/v1/chat/completions")
/// #     .body(Full::from(format!(r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "Hi"}}]}}"#))).unwrap();
/// # let response = router.clone().oneshot(request).await.unwrap();
/// # assert_eq!(response.headers()["x-went"], went);
/// # }
/// # }
/// ```
///
/// | what | answer |
/// |---|---|
/// | a model that no route fits | 404 and the code `model_not_found` |
/// | a body that is no chat | 400; over the limit 413 |
/// | no chat, as a list of models | [`other`](Self::other) gets it untouched; without one it is a 404 |
/// | an answer of a layer of ours inside, as of a gate that is closed | its status and headers, in the form of OpenAI's errors |
///
/// It is always ready; the service of a request is made ready once it is known. Dropping the future drops the body, or the call.
#[must_use = "services do nothing unless called"]
#[derive(Clone)]
pub struct ModelRouter<S> {
    routes: Arc<Routes<S>>,
    settings: Settings,
}

/// Where chats go.
#[derive(Clone, Debug)]
pub(crate) struct Routes<S> {
    list: Vec<Route<S>>,
    other: Option<S>,
}

#[derive(Clone, Debug)]
struct Route<S> {
    choice: Choice,
    service: S,
}

#[derive(Clone, Debug)]
struct Choice {
    /// What stands before the model and a slash, and is taken away.
    prefix: Option<String>,
    /// What the rest is, where `*` stands for any text.
    pattern: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    caller: Caller,
    pub(crate) max_request_bytes: usize,
    pub(crate) name: Arc<str>,
}

/// A service that was chosen, and the model without its prefix where it had one.
pub(crate) struct Chosen<S> {
    pub(crate) service: S,
    pub(crate) model: Option<String>,
}

// === impl ModelRouter ===

impl<S> ModelRouter<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self {
            routes: Arc::new(Routes {
                list: Vec::new(),
                other: None,
            }),
            settings: Settings {
                caller: Caller::OpenAi,
                max_request_bytes: DEFAULT_MAX_CHAT_BYTES,
                name: DEFAULT_NAME.into(),
            },
        }
    }

    /// Replaces which API the caller speaks. Default: OpenAI's Chat Completions.
    pub const fn caller(mut self, caller: Caller) -> Self {
        self.settings.caller = caller;
        self
    }

    /// Replaces the limit for a request, in bytes; a longer one is answered with 413. Default: [`DEFAULT_MAX_CHAT_BYTES`].
    pub const fn max_request_bytes(mut self, limit: usize) -> Self {
        self.settings.max_request_bytes = limit;
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: `portcullis`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = name.into();
        self
    }
}

impl<S: Clone> ModelRouter<S> {
    /// Adds a route for the models `name/…`; the service finds the rest as the [`ChatModel`](crate::ChatModel).
    pub fn prefix(self, name: impl Into<String>, service: S) -> Self {
        self.prefixed(name, "*", service)
    }

    /// Adds a route for those of the models `name/…` whose rest is this text, in which `*` stands for any text; the service finds the rest as the
    /// [`ChatModel`](crate::ChatModel).
    pub fn prefixed(self, name: impl Into<String>, pattern: impl Into<String>, service: S) -> Self {
        let prefix = Some(name.into());
        let pattern = pattern.into();
        self.route(Choice { prefix, pattern }, service)
    }

    /// Adds a route for the models that this text is, in which `*` stands for any text: `gpt-*`.
    pub fn model(self, pattern: impl Into<String>, service: S) -> Self {
        let (prefix, pattern) = (None, pattern.into());
        self.route(Choice { prefix, pattern }, service)
    }

    /// Sets the service for whatever is no chat. Default: it is answered with 404.
    pub fn other(mut self, service: S) -> Self {
        Arc::make_mut(&mut self.routes).other = Some(service);
        self
    }

    fn route(mut self, choice: Choice, service: S) -> Self {
        let routes = Arc::make_mut(&mut self.routes);
        routes.list.push(Route { choice, service });
        self
    }
}

impl<S> Default for ModelRouter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ModelRouter<S>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RouterFuture<S, ReqBody>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Whose readiness it is about is not known yet.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let audience = Audience::of(&request);
        let mut settings = self.settings.clone();
        if let Some(caller) = settings.caller.of(&request) {
            settings.caller = caller;
            let routes = Arc::clone(&self.routes);
            return RouterFuture::reading(request, routes, settings, audience);
        }
        match self.routes.other.clone() {
            Some(other) => RouterFuture::passing(request, other, settings, audience),
            None => {
                let error =
                    ChatError::new(StatusCode::NOT_FOUND, "there is nothing here but chats");
                RouterFuture::refused(error, settings, audience)
            }
        }
    }
}

impl<S> fmt::Debug for ModelRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices = self.routes.list.iter().map(|route| &route.choice);
        f.debug_struct("ModelRouter")
            .field("routes", &choices.collect::<Vec<_>>())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

// === impl Routes ===

impl<S: Clone> Routes<S> {
    /// Finds the service for this model.
    pub(crate) fn find(&self, model: &str) -> Result<Chosen<S>, ChatError> {
        let found = self.list.iter().find_map(|route| {
            let model = route.choice.accepts(model)?;
            let service = route.service.clone();
            Some(Chosen { service, model })
        });
        found.ok_or_else(|| {
            let message = format!("the model `{model}` is not served here");
            ChatError::new(StatusCode::NOT_FOUND, message)
                .kind("invalid_request_error")
                .param("model")
                .code("model_not_found")
        })
    }
}

// === impl Choice ===

impl Choice {
    /// Whether it is for this model, and what to ask for then where that is another one.
    fn accepts(&self, model: &str) -> Option<Option<String>> {
        let Some(prefix) = &self.prefix else {
            return is_match(&self.pattern, model).then_some(None);
        };
        let rest = model.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
        let is_one = !rest.is_empty() && is_match(&self.pattern, rest);
        is_one.then(|| Some(rest.to_owned()))
    }
}

// === impl Settings ===

impl Settings {
    pub(crate) fn body_of(&self, error: &ChatError) -> Bytes {
        self.caller.error(error)
    }
}

/// Whether a text is this pattern, in which `*` stands for any text.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "a-gpt-4o", false),
            ("*", "", true),
            ("*-latest", "mistral-large-latest", true),
            ("*-latest", "mistral-latest-2", false),
            ("claude-*-4-*", "claude-sonnet-4-5", true),
            ("claude-*-4-*", "claude-4-5", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
            ("", "x", false),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_route_that_fits_has_it_and_prefixes_are_taken_away() {
        let router = ModelRouter::new()
            .model("openai/o1", "slow")
            .prefixed("openai", "o3*", "o3")
            .prefix("openai", "openai")
            .model("gpt-*", "gpt")
            .prefix("together", "together");
        for (model, expected) in [
            ("openai/o1", Some(("slow", None))),
            ("openai/gpt-4o", Some(("openai", Some("gpt-4o")))),
            ("openai/o3-mini", Some(("o3", Some("o3-mini")))),
            ("gpt-4o", Some(("gpt", None))),
            (
                "together/meta-llama/Llama",
                Some(("together", Some("meta-llama/Llama"))),
            ),
            ("openai/", None),
            ("openai", None),
            ("openai2/x", None),
            ("claude", None),
        ] {
            let found = router.routes.find(model).ok();

            let found = found.map(|chosen| (chosen.service, chosen.model));
            let expected = expected.map(|(service, model)| (service, model.map(str::to_owned)));
            assert_eq!(found, expected, "{model}");
        }
        let error = router.routes.find("claude").err().unwrap();
        assert_eq!(error.error_code(), Some("model_not_found"));
    }
}
