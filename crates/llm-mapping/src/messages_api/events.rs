//! From chunks to the events of a message.

use std::fmt;

use bytes::{Bytes, BytesMut};
use portcullis_param_mapping::{EventParser, Framing, Piece};

use super::reply::{stop_reason, write_usage};
use crate::exchange::first_text;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::{ChatError, Exchange};

/// Writes a stream of chunks as the events of one message.
pub(crate) struct MessageEvents {
    exchange: Exchange,
    parser: EventParser,
    out: BytesMut,
    has_begun: bool,
    /// The block that is open, and the next one's number.
    open: Option<Block>,
    next: u64,
    /// The id of the call that began last.
    call_id: String,
    stop_reason: Option<&'static str>,
    /// As it is written.
    usage: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Block {
    Text,
    /// The call of this number.
    Call(u64),
}

// === impl MessageEvents ===

impl MessageEvents {
    pub(crate) fn new(exchange: Exchange) -> Self {
        Self {
            exchange,
            // What comes is what was made of events that have their limit.
            parser: EventParser::new(Framing::Sse).max_event_bytes(usize::MAX),
            out: BytesMut::new(),
            has_begun: false,
            open: None,
            next: 0,
            call_id: String::new(),
            stop_reason: None,
            usage: None,
        }
    }

    /// Writes the events that whole chunks make.
    pub(crate) fn convert(&mut self, chunks: Bytes) -> Result<(), ChatError> {
        self.parser.push(chunks);
        loop {
            let piece = self.parser.next_piece();
            match piece.map_err(|error| ChatError::bad_reply(error.to_string()))? {
                None => return Ok(()),
                Some(Piece::Other(_)) => {}
                Some(Piece::Event(event)) => {
                    let data = event.data();
                    if data == "[DONE]" {
                        self.end();
                    } else {
                        let json = Json::parse(&data, "a chunk").map_err(ChatError::bad_reply)?;
                        self.chunk(json)?;
                    }
                }
            }
        }
    }

    /// Writes the event that tells an error.
    pub(crate) fn error(&mut self, error: &ChatError) {
        self.write("error", &super::error::json(error));
    }

    /// Writes the event that tells nothing, where no other is written and the message has begun.
    pub(crate) fn ping_if_empty(&mut self) {
        if self.has_begun && self.out.is_empty() {
            self.write("ping", br#"{"type":"ping"}"#);
        }
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    fn chunk(&mut self, chunk: Json<'_>) -> Result<(), ChatError> {
        let [id, model, choices, usage] = chunk.pick(["id", "model", "choices", "usage"]);
        self.begin(id.and_then(Json::as_text), model.and_then(Json::as_text));
        if usage.is_some() {
            let mut out = JsonWriter::new();
            write_usage(usage, &mut out);
            self.usage = Some(out.into_bytes());
        }
        let Some(choice) = choices.into_iter().flat_map(Json::elements).next() else {
            return Ok(());
        };
        let [index, delta, reason] = choice.pick(["index", "delta", "finish_reason"]);
        if index.and_then(Json::as_u64).unwrap_or(0) != 0 {
            // A message is one.
            return Ok(());
        }
        let [content, refusal, calls] = delta.map_or([None; 3], |it| {
            it.pick(["content", "refusal", "tool_calls"])
        });
        for text in [content, refusal].into_iter().flatten() {
            if let Some(text) = text.as_text().filter(|text| !text.is_empty()) {
                self.open(Block::Text, |block| {
                    block.key("type").string("text").key("text").string("");
                });
                self.delta(|delta| {
                    delta
                        .key("type")
                        .string("text_delta")
                        .key("text")
                        .text(text);
                });
            }
        }
        for call in calls.into_iter().flat_map(Json::elements) {
            self.call(call)?;
        }
        if let Some(reason) = reason.and_then(Json::as_text) {
            self.stop_reason = Some(stop_reason(Some(reason)));
        }
        Ok(())
    }

    fn call(&mut self, call: Json<'_>) -> Result<(), ChatError> {
        let [index, id, function] = call.pick(["index", "id", "function"]);
        let [name, arguments] = function.map_or([None; 2], |it| it.pick(["name", "arguments"]));
        let index = index.and_then(Json::as_u64).unwrap_or(0);
        let [id, name] = [id, name].map(|json| json.and_then(Json::as_text));
        let [id, name] = [id, name].map(|text| text.filter(|text| !text.is_empty()));
        let is_open = self.open == Some(Block::Call(index));
        // Some give each call the same number, and an id of its own.
        let is_other = name.is_some() && id.is_some_and(|id| !id.is(&self.call_id));
        if !is_open || is_other {
            let Some(name) = name else {
                // A block that was closed cannot go on.
                let message = "the pieces of calls in the upstream's stream are mixed";
                return Err(ChatError::bad_reply(message));
            };
            self.close();
            self.call_id = first_text(id, || self.exchange.make_id("toolu_")).into_owned();
            let id = self.call_id.clone();
            self.open(Block::Call(index), |block| {
                block.key("type").string("tool_use");
                block.key("id").string(&id).key("name").text(name);
                block.key("input").raw("{}");
            });
        }
        let arguments = arguments.and_then(Json::as_text);
        if let Some(arguments) = arguments.filter(|text| !text.is_empty()) {
            self.delta(|delta| {
                delta.key("type").string("input_json_delta");
                delta.key("partial_json").text(arguments);
            });
        }
        Ok(())
    }

    fn begin(&mut self, id: Option<Text<'_>>, model: Option<Text<'_>>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let mut out = JsonWriter::new();
        out.begin_object().key("type").string("message_start");
        out.key("message").begin_object().key("id");
        match id {
            Some(id) => out.text(id),
            None => out.string(&self.exchange.make_id("msg_")),
        };
        out.key("type").string("message");
        out.key("role").string("assistant").key("model");
        match model {
            Some(model) => out.text(model),
            None => out.string(self.exchange.model()),
        };
        out.key("content").raw("[]");
        out.key("stop_reason").raw("null");
        out.key("stop_sequence").raw("null");
        // What it took is known at the end.
        out.key("usage")
            .raw(r#"{"input_tokens":0,"output_tokens":0}"#);
        out.end_object().end_object();
        self.write("message_start", &out.into_bytes());
    }

    fn open(&mut self, block: Block, write: impl FnOnce(&mut JsonWriter)) {
        if self.open == Some(block) {
            return;
        }
        self.close();
        self.open = Some(block);
        let mut out = JsonWriter::new();
        out.begin_object().key("type").string("content_block_start");
        out.key("index").number(self.next);
        out.key("content_block").begin_object();
        write(&mut out);
        out.end_object().end_object();
        self.write("content_block_start", &out.into_bytes());
    }

    fn delta(&mut self, write: impl FnOnce(&mut JsonWriter)) {
        let mut out = JsonWriter::new();
        out.begin_object().key("type").string("content_block_delta");
        out.key("index").number(self.next);
        out.key("delta").begin_object();
        write(&mut out);
        out.end_object().end_object();
        self.write("content_block_delta", &out.into_bytes());
    }

    fn close(&mut self) {
        if self.open.take().is_none() {
            return;
        }
        let mut out = JsonWriter::new();
        out.begin_object().key("type").string("content_block_stop");
        out.key("index").number(self.next).end_object();
        self.write("content_block_stop", &out.into_bytes());
        self.next += 1;
    }

    fn end(&mut self) {
        self.begin(None, None);
        self.close();
        let mut out = JsonWriter::new();
        out.begin_object().key("type").string("message_delta");
        out.key("delta").begin_object();
        out.key("stop_reason")
            .string(self.stop_reason.unwrap_or("end_turn"));
        out.key("stop_sequence").raw("null").end_object();
        out.key("usage");
        let usage = self.usage.take();
        match usage.as_deref().map(std::str::from_utf8) {
            Some(Ok(usage)) => {
                out.raw(usage);
            }
            _ => write_usage(None, &mut out),
        }
        out.end_object();
        self.write("message_delta", &out.into_bytes());
        self.write("message_stop", br#"{"type":"message_stop"}"#);
    }

    fn write(&mut self, name: &str, data: &[u8]) {
        for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
            self.out.extend_from_slice(part);
        }
    }
}

impl fmt::Debug for MessageEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageEvents")
            .field("open", &self.open)
            .field("next", &self.next)
            .field("stop_reason", &self.stop_reason)
            .finish_non_exhaustive()
    }
}
