use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use portcullis_gateway_error::Chance;

use crate::FinishReason;
use crate::json::Text;
use crate::tables::Tables;

/// What is known of an exchange while its reply is mapped.
#[derive(Clone)]
pub struct Exchange {
    model: String,
    is_stream: bool,
    includes_usage: bool,
    tells_reasoning: bool,
    /// In seconds since 1970.
    created: u64,
    tables: Arc<Tables>,
    chance: Chance,
}

/// What is asked for, for the constructor.
pub(crate) struct Asked {
    pub(crate) model: String,
    pub(crate) is_stream: bool,
    pub(crate) includes_usage: bool,
    pub(crate) tells_reasoning: bool,
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn new(asked: Asked, created: u64, tables: Arc<Tables>, chance: Chance) -> Self {
        let Asked {
            model,
            is_stream,
            includes_usage,
            tells_reasoning,
        } = asked;
        Self {
            model,
            is_stream,
            includes_usage,
            tells_reasoning,
            created,
            tables,
            chance,
        }
    }

    /// Returns the model that was asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Says whether the caller wants a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Says whether the caller wants the usage at the end of the stream.
    #[must_use]
    pub const fn includes_usage(&self) -> bool {
        self.includes_usage
    }

    /// Says whether the caller is told what the model thought, in `reasoning_content`.
    #[must_use]
    pub const fn tells_reasoning(&self) -> bool {
        self.tells_reasoning
    }

    /// Returns when the answer began, in seconds since 1970.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// Returns an id that was not given yet: this and 24 letters and digits.
    #[must_use]
    pub fn make_id(&self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for _ in 0..24 {
            let drawn = self.chance.up_to(ALPHABET.len() as u64 - 1);
            let letter = usize::try_from(drawn).ok().and_then(|at| ALPHABET.get(at));
            id.push(char::from(*letter.unwrap_or(&b'0')));
        }
        id
    }

    /// Returns what the provider's reason for the end means, by its table. None, and one that is not in it, is `stop`; the log tells the latter.
    #[must_use]
    pub fn finish_reason(&self, reason: Option<Text<'_>>) -> FinishReason {
        let Some(reason) = reason.map(Text::decode) else {
            return FinishReason::Stop;
        };
        self.tables.finish_reason(&reason).unwrap_or_else(|| {
            let reason: String = reason.chars().take(64).collect();
            tracing::warn!(reason = %reason, "unknown finish reason");
            FinishReason::Stop
        })
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("model", &self.model)
            .field("is_stream", &self.is_stream)
            .field("includes_usage", &self.includes_usage)
            .finish_non_exhaustive()
    }
}

/// A text in a stream or a reply that is escaped already, or still is plain.
pub(crate) fn first_text<'a>(
    given: Option<Text<'a>>,
    other: impl FnOnce() -> String,
) -> Cow<'a, str> {
    match given.filter(|text| !text.is_empty()) {
        Some(text) => text.decode(),
        None => other().into(),
    }
}

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
