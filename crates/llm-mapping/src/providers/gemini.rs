use http::HeaderName;
use portcullis_param_mapping::Framing;

use crate::failed::{described, of_event};
use crate::json::Json;
use crate::json::writer::JsonWriter;
use crate::provider::{Answered, Authorization, EventMapper, Failed, Provider};
use crate::uri::segment;
use crate::{Chat, ChatError, Exchange, Outgoing};

mod contents;
mod events;
mod partial;
mod reply;
mod schema;
mod tools;

use self::events::Events;

/// Google's Gemini: `https://generativelanguage.googleapis.com`, or Vertex AI.
///
/// ```
/// use portcullis_llm_mapping::{ApiKey, LlmMappingLayer, providers::Gemini};
///
/// let layer = LlmMappingLayer::new(Gemini::new())?
///     .base_url("https://generativelanguage.googleapis.com")?
///     .api_key(ApiKey::new("AIza-secret")?);
///
/// let vertex = LlmMappingLayer::new(Gemini::new().vertex("my-project", "europe-west4"))?
///     .base_url("https://europe-west4-aiplatform.googleapis.com")?;
/// # let _ = (layer, vertex);
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
///
/// Members that OpenAI does not have, such as `safetySettings`, pass as they are.
#[derive(Clone, Debug)]
pub struct Gemini {
    /// `None` for that of the service.
    version: Option<String>,
    vertex: Option<Vertex>,
    cleans_schemas: bool,
    sends_call_ids: bool,
    includes_thoughts: bool,
    /// `None` for what the model needs.
    sends_placeholder: Option<bool>,
}

/// Where models are on Vertex AI.
#[derive(Clone, Debug)]
struct Vertex {
    project: String,
    location: String,
}

// === impl Gemini ===

impl Gemini {
    /// The Gemini API, `v1beta`, with the key in `x-goog-api-key`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            version: None,
            vertex: None,
            cleans_schemas: false,
            sends_call_ids: false,
            includes_thoughts: false,
            sends_placeholder: None,
        }
    }

    /// Asks Vertex AI, `v1`, for the models of Google in this project and location, with the token in `authorization: Bearer`.
    #[must_use]
    pub fn vertex(mut self, project: impl Into<String>, location: impl Into<String>) -> Self {
        self.vertex = Some(Vertex {
            project: project.into(),
            location: location.into(),
        });
        self
    }

    /// Replaces the version in the path. Default: `v1beta`, on Vertex AI `v1`.
    #[must_use]
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sends schemas of tools and replies in the subset of OpenAPI that older models and versions know: `parameters` and `responseSchema`.
    /// Default: no, they are sent as they are, in `parametersJsonSchema` and `responseJsonSchema`.
    ///
    /// References are replaced by what they refer to, up to 256 of them, 64 levels and 1 MiB of schema; one that leads to itself is
    /// answered with 400. What the subset has no word for is left out.
    #[must_use]
    pub const fn clean_schemas(mut self, cleans: bool) -> Self {
        self.cleans_schemas = cleans;
        self
    }

    /// Sends the ids of calls, which not every model and version takes. Default: no, calls and answers belong together by their order.
    #[must_use]
    pub const fn send_call_ids(mut self, sends: bool) -> Self {
        self.sends_call_ids = sends;
        self
    }

    /// Asks for summaries of what the model thinks. Default: what the caller says in `include_thoughts`. The caller gets them where
    /// [`tell_reasoning`](crate::LlmMappingLayer::tell_reasoning) is on, too.
    #[must_use]
    pub const fn include_thoughts(mut self, includes: bool) -> Self {
        self.includes_thoughts = includes;
        self
    }

    /// Whether the first call of a message that has no signature of thoughts gets `skip_thought_signature_validator`, which Google documents
    /// for calls that were not made by the model. Default: for models with `gemini-3` in their name, which refuse calls without one.
    ///
    /// A signature that a reply told, in `extra_content.google.thought_signature` of a call, is always sent where the caller sends it back.
    #[must_use]
    pub const fn signature_placeholder(mut self, sends: bool) -> Self {
        self.sends_placeholder = Some(sends);
        self
    }

    fn sends_placeholder(&self, chat: &Chat<'_>) -> bool {
        let needs = || chat.model.contains("gemini-3");
        self.sends_placeholder.unwrap_or_else(needs)
    }

    /// The path, with the model in it.
    fn path(&self, chat: &Chat<'_>) -> String {
        let model = chat.model.strip_prefix("models/").unwrap_or(&chat.model);
        let (version, resource) = match (&self.vertex, model.strip_prefix("tunedModels/")) {
            (Some(Vertex { project, location }), _) => {
                let [project, location, model] = [&**project, location, model].map(segment);
                let place = format!("projects/{project}/locations/{location}");
                ("v1", format!("{place}/publishers/google/models/{model}"))
            }
            (None, Some(tuned)) => ("v1beta", format!("tunedModels/{}", segment(tuned))),
            (None, None) => ("v1beta", format!("models/{}", segment(model))),
        };
        let version = segment(self.version.as_deref().unwrap_or(version));
        let method = if chat.is_stream {
            "streamGenerateContent?alt=sse"
        } else {
            "generateContent"
        };
        format!("/{version}/{resource}:{method}")
    }
}

impl Default for Gemini {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Gemini {
    fn name(&self) -> &str {
        "gemini"
    }

    fn tables(&self) -> &str {
        include_str!("gemini/mapping.yaml")
    }

    fn authorization(&self) -> Authorization {
        match self.vertex {
            Some(_) => Authorization::Bearer,
            None => Authorization::Header(HeaderName::from_static("x-goog-api-key")),
        }
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        out.path(self.path(chat));
        contents::write(chat, self, out)?;
        tools::write(chat, self, out)?;
        if self.includes_thoughts && chat.json.get("include_thoughts").is_none() {
            out.param("include_thoughts").bool(true);
        }
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        reply::write(answer.body, exchange, out)
    }

    fn error(&self, failed: &Failed<'_>) -> ChatError {
        let error = described(failed);
        match failed.body {
            Some(body) => detailed(error, body),
            None => error,
        }
    }

    fn framing(&self, content_type: &str) -> Option<Framing> {
        // What comes without `alt=sse`: an array whose elements are what the events would be.
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            return Some(Framing::JsonArray);
        }
        Framing::of_content_type(content_type)
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Events::default())
    }
}

/// An error that came in a stream, or with a status that is none.
fn error_of(body: Json<'_>) -> ChatError {
    let body = unwrapped(body);
    detailed(of_event(body, |_| None), body)
}

/// The element of a list of one: so come errors of streams that are arrays.
fn unwrapped(body: Json<'_>) -> Json<'_> {
    body.elements().next().unwrap_or(body)
}

/// Adds the word for the status, and when to come back.
fn detailed(mut error: ChatError, body: Json<'_>) -> ChatError {
    let Some(inner) = unwrapped(body).get("error") else {
        return error;
    };
    let [status, details] = inner.pick(["status", "details"]);
    if let Some(status) = status.and_then(Json::as_text) {
        error = error.code(status.decode().into_owned());
    }
    for detail in details.into_iter().flat_map(Json::elements) {
        let [kind, delay] = detail.pick(["@type", "retryDelay"]);
        let [kind, delay] = [kind, delay].map(|json| json.and_then(Json::as_text));
        if let Some((kind, delay)) = kind.zip(delay)
            && kind.decode().ends_with("google.rpc.RetryInfo")
            && let Some(seconds) = whole_seconds(&delay.decode())
        {
            error = error.retry_after(seconds);
        }
    }
    error
}

/// A duration as JSON has it in protobuf, `34.4s`, in whole seconds that are not less.
fn whole_seconds(duration: &str) -> Option<u64> {
    let number = duration.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let more = fraction.bytes().any(|byte| byte != b'0');
    seconds.checked_add(u64::from(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up() {
        for (duration, seconds) in [
            ("34.4s", Some(35)),
            ("34s", Some(34)),
            ("0.000s", Some(0)),
            ("1.0000001s", Some(2)),
            ("-1s", None),
            ("1.xs", None),
            ("5m", None),
            ("18446744073709551615.5s", None),
        ] {
            assert_eq!(whole_seconds(duration), seconds, "{duration}");
        }
    }
}
