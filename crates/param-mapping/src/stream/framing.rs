use std::error::Error;
use std::fmt;

/// How a stream is divided into events.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum Framing {
    /// `text/event-stream`, after [WHATWG HTML, section 9.2.5](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream):
    /// an event ends at an empty line, and a line ends with CR, LF or CRLF.
    #[default]
    Sse,
    /// One JSON text per line, `application/x-ndjson` and `application/jsonl`: an event ends at LF.
    JsonLines,
    /// One JSON array whose elements come one after another: each element is an event.
    JsonArray,
    /// `application/vnd.amazon.eventstream`, [Amazon's binary encoding]: each message is an event whose data is the payload and whose name is
    /// the header `:event-type`, `:exception-type` or `:error-code`. All checksums are checked, and made for a message with other data.
    ///
    /// [Amazon's binary encoding]: https://smithy.io/2.0/aws/amazon-eventstream.html
    #[cfg(feature = "aws")]
    AwsEventStream,
}

/// What becomes of an event that the end of the stream cuts off.
///
/// For [`Framing::Sse`] that is one without the empty line, for [`Framing::JsonLines`] one without the line end. A
/// cut element of a [`Framing::JsonArray`], or a cut message, is never an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum AtEof {
    /// It counts as complete: several providers end their streams so. An array that does not end, or a cut message, is a
    /// [`FramingError`]. The default.
    #[default]
    Flush,
    /// It is left out, bytes and all, as WHATWG HTML says for event streams.
    Discard,
}

/// Says why a stream could not be divided into events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramingError {
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    TooLarge {
        limit: usize,
    },
    Malformed {
        what: &'static str,
        expected: &'static str,
    },
}

/// The longest event that is read unless another limit is set: 1 MiB.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 1024 * 1024;

// === impl Framing ===

impl Framing {
    /// The framing that a content type stands for; `None` for any other.
    ///
    /// An array is no content type of its own, so `application/json` is `None` as well.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name| essence.eq_ignore_ascii_case(name);
        if is("text/event-stream") {
            Some(Self::Sse)
        } else if JSON_LINES.iter().any(|name| is(name)) {
            Some(Self::JsonLines)
        } else {
            #[cfg(feature = "aws")]
            if is("application/vnd.amazon.eventstream") {
                return Some(Self::AwsEventStream);
            }
            None
        }
    }

    /// Whether the data of every event must be JSON.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::JsonLines | Self::JsonArray)
    }

    /// What its streams are.
    const fn words(self) -> &'static str {
        match self {
            Self::Sse => "event stream",
            Self::JsonLines => "stream of lines",
            Self::JsonArray => "JSON array",
            #[cfg(feature = "aws")]
            Self::AwsEventStream => "stream of messages",
        }
    }
}

// === impl FramingError ===

impl FramingError {
    pub(crate) const fn too_large(limit: usize) -> Self {
        Self {
            fault: Fault::TooLarge { limit },
        }
    }

    pub(crate) const fn malformed(framing: Framing, expected: &'static str) -> Self {
        let what = framing.words();
        Self {
            fault: Fault::Malformed { what, expected },
        }
    }

    /// Whether an event was longer than the limit.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooLarge { .. })
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::TooLarge { limit } => {
                write!(f, "an event of the stream is longer than {limit} bytes")
            }
            Fault::Malformed { what, expected } => {
                write!(f, "the stream is no {what}: expected {expected}")
            }
        }
    }
}

impl Error for FramingError {}

const JSON_LINES: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/stream+json",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_their_framing() {
        for (content_type, expected) in [
            ("text/event-stream", Some(Framing::Sse)),
            ("Text/Event-Stream; charset=utf-8", Some(Framing::Sse)),
            ("application/x-ndjson", Some(Framing::JsonLines)),
            ("application/jsonl ;x", Some(Framing::JsonLines)),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(
                Framing::of_content_type(content_type),
                expected,
                "{content_type}"
            );
        }
    }

    #[test]
    fn errors_name_the_limit_and_what_was_expected() {
        for (error, text) in [
            (
                FramingError::too_large(9),
                "an event of the stream is longer than 9 bytes",
            ),
            (
                FramingError::malformed(Framing::JsonArray, "`[`"),
                "the stream is no JSON array: expected `[`",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
