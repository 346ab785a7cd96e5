use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::json::writer::JsonWriter;
use crate::json::{Json, Text, compact};
use crate::reply::{Called, write_signature};
use crate::{Exchange, FinishReason, Usage};

/// Writes the chunks of OpenAI's stream: what a mapper of events tells, in the order and the form that OpenAI's clients expect.
///
/// The role comes once, before anything else of a choice; empty texts are no chunks; calls of tools are counted from 0; why a choice ended
/// comes once, at the end, and behind it the usage where the caller asked for it.
pub struct Chunks {
    exchange: Exchange,
    /// Members that all chunks have in common, with the brace before them and the comma behind.
    head: Vec<u8>,
    out: BytesMut,
    choices: Vec<State>,
    usage: Option<Usage>,
    /// What the next chunk of a choice tells.
    logprobs: Option<(u64, Vec<u8>)>,
    /// How many calls there were, in all choices.
    calls: usize,
    /// So many bytes may wait to be taken.
    max_bytes: usize,
    /// What there is too much of; nothing more is written then.
    excess: Option<&'static str>,
}

/// What is known of a choice.
#[derive(Debug)]
struct State {
    index: u64,
    calls: u64,
    finish_reason: Option<FinishReason>,
}

/// The most choices of a stream: the most that OpenAI's API lets a caller ask for.
const MAX_CHOICES: usize = 128;
/// The most calls of tools in a stream.
const MAX_CALLS: usize = 1024;
/// The longest id, and the longest name of a model, that a provider can give; they stand in every chunk. A longer one is none.
pub(crate) const MAX_NAME: usize = 1024;
/// One event may become so many times as many bytes as one may have.
const MAX_GROWTH: usize = 8;

// === impl Chunks ===

impl Chunks {
    pub(crate) fn new(exchange: Exchange, max_event_bytes: usize) -> Self {
        Self {
            calls: 0,
            // Room for what is mapped while there is not enough to send.
            max_bytes: max_event_bytes.saturating_mul(MAX_GROWTH).max(1024 * 1024),
            excess: None,
            exchange,
            head: Vec::new(),
            out: BytesMut::new(),
            choices: Vec::new(),
            usage: None,
            logprobs: None,
        }
    }

    /// Returns what is known of the exchange.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Says what all chunks have in common; only the first time counts. What is not given, or longer than 1024 bytes, is made, or is what was
    /// asked for.
    pub fn begin(&mut self, id: Option<&str>, created: Option<u64>, model: Option<Text<'_>>) {
        if !self.head.is_empty() {
            return;
        }
        let mut head = JsonWriter::new();
        head.begin_object().key("id");
        match id.filter(|id| (1..=MAX_NAME).contains(&id.len())) {
            Some(id) => head.string(id),
            None => head.string(&self.exchange.make_id("chatcmpl-")),
        };
        head.key("object").string("chat.completion.chunk");
        let created = created.unwrap_or(self.exchange.created());
        head.key("created").number(created).key("model");
        match model.filter(|model| (1..=MAX_NAME).contains(&model.escaped().len())) {
            Some(model) => head.text(model),
            None => head.string(self.exchange.model()),
        };
        self.head = head.into_bytes().into();
        self.head.push(b',');
    }

    /// Begins a choice, if it did not begin yet. More than 128 of them end the stream with an error.
    pub fn role(&mut self, choice: u64) {
        if self.is_over() || self.choices.iter().any(|state| state.index == choice) {
            return;
        }
        if self.choices.len() == MAX_CHOICES {
            self.excess = Some("more than 128 choices");
            return;
        }
        self.choices.push(State {
            index: choice,
            calls: 0,
            finish_reason: None,
        });
        self.chunk(choice, None, |out| {
            out.extend_from_slice(br#""role":"assistant","content":"""#);
        });
    }

    /// Tells a piece of the text.
    pub fn text(&mut self, choice: u64, text: Text<'_>) {
        self.piece(choice, "content", text);
    }

    /// Tells a piece of what the model thought, where the layer is told to.
    pub fn reasoning(&mut self, choice: u64, text: Text<'_>) {
        if self.exchange.tells_reasoning() {
            self.piece(choice, "reasoning_content", text);
        }
    }

    /// Tells a piece of why the model says nothing.
    pub fn refusal(&mut self, choice: u64, text: Text<'_>) {
        self.piece(choice, "refusal", text);
    }

    /// Tells how likely tokens were, as OpenAI has it in `logprobs.content`: an array, with the next chunk of the choice.
    pub fn logprobs(&mut self, choice: u64, content: Json<'_>) {
        self.role(choice);
        let mut logprobs = JsonWriter::new();
        logprobs.begin_object().key("content").json(content);
        logprobs.key("refusal").raw("null").end_object();
        self.logprobs = Some((choice, logprobs.into_bytes().into()));
    }

    /// Begins a call of a tool and returns its number in the choice. Without an id, or with one that is longer than 1024 bytes, one is made.
    /// More than 1024 calls end the stream with an error.
    pub fn begin_call(&mut self, choice: u64, id: Option<Text<'_>>, name: Text<'_>) -> u64 {
        let call = Called {
            id,
            name,
            ..Called::default()
        };
        self.call(choice, &call, "")
    }

    /// Tells a piece of the arguments of a call, by its number: JSON, as a string.
    pub fn arguments(&mut self, choice: u64, call: u64, piece: Text<'_>) {
        if piece.is_empty() {
            return;
        }
        self.role(choice);
        self.chunk(choice, None, |out| {
            let mut delta = JsonWriter::new();
            delta.begin_object().key("index").number(call);
            delta.key("function").begin_object();
            delta.key("arguments").text(piece);
            delta.end_object().end_object();
            out.extend_from_slice(br#""tool_calls":["#);
            out.extend_from_slice(&delta.into_bytes());
            out.extend_from_slice(b"]");
        });
    }

    /// Tells a whole call of a tool: its arguments as the JSON that they are, none as `{}`.
    pub fn whole_call(
        &mut self,
        choice: u64,
        id: Option<Text<'_>>,
        name: Text<'_>,
        arguments: Option<Json<'_>>,
    ) {
        let call = Called {
            id,
            name,
            arguments,
            signature: None,
        };
        self.called(choice, &call);
    }

    /// The same for a call as a reply has it.
    pub fn called(&mut self, choice: u64, call: &Called<'_>) {
        let arguments = match call.arguments {
            None => "{}".into(),
            Some(json) => json.as_text().map_or_else(|| compact(json), Text::decode),
        };
        self.call(choice, call, &arguments);
    }

    /// Says whether tools are called in a choice.
    #[must_use]
    pub fn has_calls(&self, choice: u64) -> bool {
        let mut states = self.choices.iter();
        states.any(|state| state.index == choice && state.calls > 0)
    }

    /// Says why a choice ended; it is told at the end. The last time counts.
    pub fn finish(&mut self, choice: u64, reason: FinishReason) {
        self.role(choice);
        let mut states = self.choices.iter_mut();
        if let Some(state) = states.find(|state| state.index == choice) {
            state.finish_reason = Some(reason);
        }
    }

    /// Says whether it was said of each choice that began why it ended. No: none began.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let mut choices = self.choices.iter();
        !self.choices.is_empty() && choices.all(|state| state.finish_reason.is_some())
    }

    /// Says how many tokens it took so far; it is told at the end. The last time counts.
    pub const fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// Returns what was said last of the usage.
    #[must_use]
    pub fn last_usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    /// Writes bytes of the stream as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes an event whose data are this.
    pub fn event(&mut self, data: &[u8]) {
        self.out.extend_from_slice(b"data: ");
        self.out.extend_from_slice(data);
        self.out.extend_from_slice(b"\n\n");
    }

    /// Ends the stream: why each choice ended, the usage, `[DONE]`.
    pub fn end(&mut self) {
        if self.is_over() {
            return;
        }
        if self.choices.is_empty() {
            self.role(0);
        }
        for state in std::mem::take(&mut self.choices) {
            let reason = state.finish_reason.unwrap_or_default();
            self.chunk(state.index, Some(reason), |_| {});
        }
        if let Some(usage) = self.usage.filter(|_| self.exchange.includes_usage()) {
            let mut tail = JsonWriter::new();
            usage.write(&mut tail);
            self.out.extend_from_slice(b"data: ");
            self.out.extend_from_slice(&self.head);
            self.out.extend_from_slice(br#""choices":[],"usage":"#);
            self.out.extend_from_slice(&tail.into_bytes());
            self.out.extend_from_slice(b"}\n\n");
        }
        self.out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// What there is too much of, if there is: the stream must end then.
    pub(crate) const fn excess(&self) -> Option<&'static str> {
        self.excess
    }

    /// Whether there is too much of something, so that nothing more is written.
    pub(crate) const fn is_over(&self) -> bool {
        self.excess.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    fn piece(&mut self, choice: u64, name: &str, text: Text<'_>) {
        if text.is_empty() {
            return;
        }
        self.role(choice);
        self.chunk(choice, None, |out| {
            for part in ["\"", name, "\":\"", text.escaped(), "\""] {
                out.extend_from_slice(part.as_bytes());
            }
        });
    }

    fn call(&mut self, choice: u64, call: &Called<'_>, arguments: &str) -> u64 {
        self.role(choice);
        if self.calls == MAX_CALLS {
            self.excess = Some("more than 1024 calls of tools");
            return 0;
        }
        self.calls += 1;
        let given = call.id.filter(|id| id.escaped().len() <= MAX_NAME);
        let id = crate::exchange::first_text(given, || self.exchange.make_id("call_"));
        let mut states = self.choices.iter_mut();
        let number = states
            .find(|state| state.index == choice)
            .map_or(0, |state| {
                state.calls += 1;
                state.calls - 1
            });
        self.chunk(choice, None, |out| {
            let mut delta = JsonWriter::new();
            delta.begin_object().key("index").number(number);
            delta.key("id").string(&id).key("type").string("function");
            delta.key("function").begin_object();
            delta.key("name").text(call.name);
            delta.key("arguments").string(arguments);
            delta.end_object();
            if let Some(signature) = call.signature {
                write_signature(signature, &mut delta);
            }
            delta.end_object();
            out.extend_from_slice(br#""tool_calls":["#);
            out.extend_from_slice(&delta.into_bytes());
            out.extend_from_slice(b"]");
        });
        number
    }

    /// Writes one chunk with one choice, whose delta has these members.
    fn chunk(
        &mut self,
        choice: u64,
        finish_reason: Option<FinishReason>,
        delta: impl FnOnce(&mut BytesMut),
    ) {
        if self.is_over() {
            return;
        }
        self.begin(None, None, None);
        let out = &mut self.out;
        out.reserve(self.head.len() + 160);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#""choices":[{"index":"#);
        match choice {
            0 => out.extend_from_slice(b"0"),
            choice => out.extend_from_slice(choice.to_string().as_bytes()),
        }
        out.extend_from_slice(br#","delta":{"#);
        delta(out);
        if let Some((_, logprobs)) = self.logprobs.take_if(|(of, _)| *of == choice) {
            out.extend_from_slice(br#"},"logprobs":"#);
            out.extend_from_slice(&logprobs);
            out.extend_from_slice(br#","finish_reason":"#);
        } else {
            out.extend_from_slice(br#"},"finish_reason":"#);
        }
        match finish_reason {
            None => out.extend_from_slice(b"null"),
            Some(reason) => {
                for part in ["\"", reason.as_str(), "\""] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
        out.extend_from_slice(b"}]");
        if self.exchange.includes_usage() {
            out.extend_from_slice(br#","usage":null"#);
        }
        out.extend_from_slice(b"}\n\n");
        if out.len() > self.max_bytes {
            self.excess = Some("an event that becomes too many chunks");
        }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("exchange", &self.exchange)
            .field("out", &self.out.len())
            .field("choices", &self.choices)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}
