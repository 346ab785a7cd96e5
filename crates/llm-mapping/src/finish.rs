use serde::Deserialize;

/// Why a reply ended, in OpenAI's words.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was complete, or a stop sequence came.
    #[default]
    Stop,
    /// It was as long as it may be.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// A filter cut it.
    ContentFilter,
}

// === impl FinishReason ===

impl FinishReason {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}
