use crate::json::Json;
use crate::json::writer::JsonWriter;

/// How many tokens a reply took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Those of the prompt, with those that were read from a cache or written to it.
    pub prompt: u64,
    /// Those of the reply, with those that were thought.
    pub completion: u64,
    /// All, where the provider gives another number than the sum of both.
    pub total: Option<u64>,
    /// Those of the prompt that were read from a cache, where the provider tells.
    pub cached: Option<u64>,
    /// Those of the reply that were thought, where the provider tells.
    pub reasoning: Option<u64>,
}

// === impl Usage ===

impl Usage {
    /// Writes it as OpenAI's `usage`.
    pub fn write(&self, out: &mut JsonWriter) {
        let total = self
            .total
            .unwrap_or(self.prompt.saturating_add(self.completion));
        out.begin_object();
        out.key("prompt_tokens").number(self.prompt);
        out.key("completion_tokens").number(self.completion);
        out.key("total_tokens").number(total);
        if let Some(cached) = self.cached {
            out.key("prompt_tokens_details").begin_object();
            out.key("cached_tokens").number(cached).end_object();
        }
        if let Some(reasoning) = self.reasoning {
            out.key("completion_tokens_details").begin_object();
            out.key("reasoning_tokens").number(reasoning).end_object();
        }
        out.end_object();
    }
}

/// A number of tokens that was told; `None` where it was not.
pub(crate) fn tokens(value: Option<Json<'_>>) -> Option<u64> {
    value.and_then(Json::as_u64)
}
