//! The providers that this crate knows.

use std::sync::Arc;

use portcullis_gateway_error::InvalidConfig;

use crate::provider::Provider;

mod anthropic;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod bedrock;
#[cfg(feature = "aws")]
mod bedrock_converse;
mod ernie;
mod ernie_token;
mod gemini;
mod llama2;
mod ollama;
mod open_call;
mod openai_like;
mod tgi;

pub use self::anthropic::Anthropic;
#[cfg(feature = "aws")]
pub use self::bedrock::Bedrock;
#[cfg(feature = "aws")]
pub use self::bedrock_converse::BedrockConverse;
pub use self::ernie::Ernie;
pub use self::ernie_token::ErnieTokenLayer;
pub use self::ernie_token::body::ErnieTokenBody;
pub use self::ernie_token::future::ErnieTokenFuture;
pub use self::ernie_token::service::ErnieToken;
pub use self::gemini::Gemini;
pub use self::llama2::PromptMarks;
pub use self::ollama::Ollama;
pub use self::openai_like::OpenAiLike;
pub use self::tgi::Tgi;

/// The names that [`by_name`] takes; those of Bedrock with the feature `aws`.
pub const NAMES: &[&str] = &[
    "openai",
    "anthropic",
    "gemini",
    #[cfg(feature = "aws")]
    "bedrock",
    #[cfg(feature = "aws")]
    "bedrock-converse",
    "mistral",
    "together",
    "ernie-v1",
    "ernie-v2",
    "ollama",
    "tgi",
    "portkey",
    "apipark",
];

/// Finds a provider by its name, with its defaults.
///
/// ```
/// use portcullis_llm_mapping::{LlmMappingLayer, providers};
///
/// let layer = LlmMappingLayer::shared(providers::by_name("anthropic")?)?;
/// assert_eq!(layer.provider().name(), "anthropic");
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
///
/// # Errors
/// When no provider has this name; the error lists the names.
pub fn by_name(name: &str) -> Result<Arc<dyn Provider>, InvalidConfig> {
    Ok(match name {
        "openai" => Arc::new(OpenAiLike::openai()),
        "anthropic" => Arc::new(Anthropic::new()),
        "gemini" => Arc::new(Gemini::new()),
        #[cfg(feature = "aws")]
        "bedrock" => Arc::new(Bedrock::new()),
        #[cfg(feature = "aws")]
        "bedrock-converse" => Arc::new(BedrockConverse::new()),
        "mistral" => Arc::new(OpenAiLike::mistral()),
        "together" => Arc::new(OpenAiLike::together()),
        "ernie-v1" => Arc::new(Ernie::new()),
        "ernie-v2" => Arc::new(OpenAiLike::ernie_v2()),
        "ollama" => Arc::new(Ollama::new()),
        "tgi" => Arc::new(Tgi::new()),
        "portkey" => Arc::new(OpenAiLike::portkey()),
        "apipark" => Arc::new(OpenAiLike::apipark("/v1/chat/completions")),
        _ => {
            let names: Vec<_> = NAMES.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            let message = format!("`{name}` is not a provider: it is one of {names}");
            return Err(InvalidConfig::new("provider", message));
        }
    })
}
