use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};
use portcullis_param_mapping::{Event, Framing};

use crate::failed::described;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::{Chat, ChatError, Chunks, Exchange, Outgoing};

/// What is different about one provider. See the [guide](crate::guide) for how to add one.
///
/// The layer reads the caller's request, applies the table of [`tables`](Self::tables) to all parameters that are left to it, and reads
/// bodies and streams; a provider says where its own things go.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Returns its name, for messages, logs and the choice of a provider by name.
    fn name(&self) -> &str;

    /// Returns its table, in YAML: what is unsupported, what reasons for the end mean, and rules for parameters.
    fn tables(&self) -> &str;

    /// Returns how it is told who calls. Default: `authorization: Bearer`.
    fn authorization(&self) -> Authorization {
        Authorization::Bearer
    }

    /// Says whether it speaks the protocol of the caller, so that messages and tools are not looked at. Default: no.
    ///
    /// For one that does, [`Chat`] holds no messages and functions.
    fn is_native(&self) -> bool {
        false
    }

    /// Writes its request for a chat: the path, headers, and what no table can say into the body.
    ///
    /// # Errors
    /// When the chat cannot be said to this provider.
    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError>;

    /// Writes its reply as a `chat.completion`; mostly by [`Reply::write`](crate::Reply::write).
    ///
    /// # Errors
    /// When it is no reply, or an error with the status of a success.
    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError>;

    /// Reads its error. The default knows the forms that are in use: OpenAI's, a text, a message alone, RFC 9457.
    fn error(&self, failed: &Failed<'_>) -> ChatError {
        described(failed)
    }

    /// Returns how its streams of this content type are divided into events; nothing for what is no stream.
    fn framing(&self, content_type: &str) -> Option<Framing> {
        Framing::of_content_type(content_type)
    }

    /// Returns what maps the events of one stream.
    fn events(&self) -> Box<dyn EventMapper>;
}

/// Maps the events of one stream, in order.
pub trait EventMapper: Send + Sync {
    /// Takes what the headers of the answer say of the stream, before its first event. Default: nothing.
    fn begin(&mut self, _headers: &HeaderMap, _chunks: &mut Chunks) {}

    /// Maps one event.
    ///
    /// # Errors
    /// When it is an error; the stream ends there with an event that tells it. For the first event of a stream it becomes the status of the answer.
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError>;

    /// Says what the end of the stream means, where no event was the last one. Default: the stream is incomplete.
    ///
    /// # Errors
    /// When it came too early.
    fn end(&mut self, _chunks: &mut Chunks) -> Result<(), ChatError> {
        Err(ChatError::incomplete_stream())
    }
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// More events may come.
    More,
    /// That was the last one. What comes behind it is not looked at.
    Done,
}

/// How a provider is told who calls.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authorization {
    /// `authorization: Bearer` and the key. Without a key of the layer the caller's own header passes.
    Bearer,
    /// The key alone in this header. Without a key of the layer the one of the caller's `authorization` stands there.
    Header(HeaderName),
    /// The key in this header, and the caller's `authorization` passes beside it.
    Beside(HeaderName),
    /// Not at all: the caller's `authorization` is taken away.
    None,
}

/// An answer with the status of a success.
#[non_exhaustive]
#[derive(Clone, Copy)]
pub struct Answered<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: Json<'a>,
}

/// An answer with the status of an error.
#[non_exhaustive]
#[derive(Clone, Copy)]
pub struct Failed<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, where that is JSON.
    pub body: Option<Json<'a>>,
    /// Its body, as far as it was read, with what is no UTF-8 replaced.
    pub text: &'a str,
}

/// An event of a stream.
#[derive(Clone, Copy)]
pub struct StreamEvent<'a> {
    event: &'a Event,
    data: &'a [u8],
}

// === impl Answered ===

impl<'a> Answered<'a> {
    pub(crate) const fn new(headers: &'a HeaderMap, body: Json<'a>) -> Self {
        Self { headers, body }
    }

    /// Returns a header as a text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

// Neither headers nor texts: they may hold cookies, keys, and what people say to each other. So for those below.
impl fmt::Debug for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

// === impl Failed ===

impl<'a> Failed<'a> {
    pub(crate) const fn new(
        status: StatusCode,
        headers: &'a HeaderMap,
        body: Option<Json<'a>>,
        text: &'a str,
    ) -> Self {
        Self {
            status,
            headers,
            body,
            text,
        }
    }

    /// Returns a header as a text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("status", &self.status)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

// === impl StreamEvent ===

impl<'a> StreamEvent<'a> {
    pub(crate) const fn new(event: &'a Event, data: &'a [u8]) -> Self {
        Self { event, data }
    }

    /// Returns the data as they are.
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Returns the event as it came, with its name and its comments.
    #[must_use]
    pub const fn event(&self) -> &'a Event {
        self.event
    }

    /// Says whether it has this name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.event.name() == Some(name.as_bytes())
    }

    /// Returns the data as JSON.
    ///
    /// # Errors
    /// When they are none.
    pub fn json(&self) -> Result<Json<'a>, ChatError> {
        Json::parse(self.data, "an event of the upstream").map_err(ChatError::bad_reply)
    }

    /// Returns the data as JSON with the type that is in them.
    ///
    /// # Errors
    /// When they are no JSON.
    pub fn typed(&self) -> Result<(Option<Text<'a>>, Json<'a>), ChatError> {
        let json = self.json()?;
        Ok((json.text("type"), json))
    }
}

impl fmt::Debug for StreamEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamEvent({} bytes)", self.data.len())
    }
}
