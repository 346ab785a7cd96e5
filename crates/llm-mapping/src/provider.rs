use std::fmt;
use std::str::FromStr;

use portcullis_gateway_error::InvalidConfig;
use portcullis_param_mapping::Mapping;

/// A provider whose chat API has OpenAI's shape but for the names of some parameters.
///
/// See the [crate docs](crate) for examples.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Provider {
    /// Mistral, `https://api.mistral.ai/v1/chat/completions`.
    Mistral,
    /// Together, `https://api.together.xyz/v1/chat/completions`.
    Together,
}

// === impl Provider ===

impl Provider {
    /// Every provider.
    pub const ALL: &[Self] = &[Self::Mistral, Self::Together];

    /// Returns the name, which [`FromStr`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mistral => "mistral",
            Self::Together => "together",
        }
    }

    /// Returns the rules as text, to be looked at, or changed and read by [`Mapping::from_yaml`].
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Mistral => include_str!("provider/mistral/mapping.yaml"),
            Self::Together => include_str!("provider/together/mapping.yaml"),
        }
    }

    /// Returns the mapping of an OpenAI chat request to what this provider takes.
    #[must_use]
    pub fn mapping(self) -> Mapping {
        compile(self.table())
    }
}

impl FromStr for Provider {
    type Err = InvalidConfig;

    /// Finds a provider by its name.
    ///
    /// # Errors
    /// When no provider has this name; the error lists the names.
    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let known = Self::ALL.iter().find(|provider| provider.name() == text);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|one| format!("`{one}`")).collect();
            let names = names.join(", ");
            InvalidConfig::whole(format!("`{text}` is not a provider: it is one of {names}"))
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn compile(table: &str) -> Mapping {
    Mapping::from_yaml(table).expect("the tables are part of this crate, and a test reads each")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use portcullis_param_mapping::{ParamMappingLayer, RequestBody};
    use serde_json::{Value, json};
    use tower::{Layer, ServiceExt};

    use super::*;

    /// What the provider gets when the caller sends this.
    async fn sent(provider: Provider, request: &Value) -> String {
        let echo = tower::service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(body)))
        });
        let service = ParamMappingLayer::new(provider.mapping()).layer(echo);
        let request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .body(Full::from(request.to_string()))
            .unwrap();

        let response = service.oneshot(request).await.unwrap();

        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn every_provider_has_a_table_that_compiles_and_a_name() {
        for provider in Provider::ALL {
            let _ = provider.mapping();
            assert_eq!(provider.to_string().parse(), Ok(*provider));
        }
        let mistake = "openai".parse::<Provider>().unwrap_err();
        assert_eq!(
            mistake.to_string(),
            "`openai` is not a provider: it is one of `mistral`, `together`"
        );
    }

    #[tokio::test]
    async fn requests_are_mapped_as_the_tables_say() {
        use Provider::{Mistral, Together};

        let kept = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "top_p": 1, "stop": "x", "stream": false, "tools": [],
            "presence_penalty": 0.5, "frequency_penalty": -1, "n": 2, "prediction": {}, "parallel_tool_calls": false, "response_format": {"type": "text"},
            "metadata": {}, "reasoning_effort": "low", "prompt_cache_key": "k", "tool_choice": "auto", "logprobs": true, "safe_prompt": true,
        });
        let dropped = json!({
            "logit_bias": {"1": 2}, "safety_identifier": "s", "service_tier": "auto", "store": false, "user": "u", "verbosity": "low",
            "stream_options": {"include_usage": true},
        });
        for (provider, request, expected) in [
            (Mistral, kept.clone(), kept.clone()),
            (Together, kept.clone(), kept),
            (Mistral, dropped, json!({})),
            (
                Mistral,
                json!({"seed": 9_007_199_254_740_993_u64}),
                json!({"random_seed": 9_007_199_254_740_993_u64}),
            ),
            (
                Mistral,
                json!({"max_completion_tokens": 5}),
                json!({"max_tokens": 5}),
            ),
            (
                Mistral,
                json!({"max_tokens": 9, "max_completion_tokens": 5}),
                json!({"max_tokens": 5}),
            ),
            (Mistral, json!({"max_tokens": 0}), json!({"max_tokens": 0})),
            (
                Together,
                json!({"max_tokens": 9, "max_completion_tokens": 0}),
                json!({"max_tokens": 0}),
            ),
            (
                Together,
                json!({"seed": 1, "user": "u"}),
                json!({"seed": 1, "user": "u"}),
            ),
        ] {
            let sent = sent(provider, &request).await;

            let sent: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(sent, expected, "{provider}: {request}");
        }
    }
}
