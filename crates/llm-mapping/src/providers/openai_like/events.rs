use super::answer::{said, usage_of};
use super::{Dialect, error_event, error_in};
use crate::chunks::MAX_NAME;
use crate::json::{Json, Text, compact};
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::{ChatError, Chunks, FinishReason};

/// What is known of a stream of a protocol that is nearly OpenAI's.
#[derive(Debug)]
pub(super) struct Events {
    dialect: Dialect,
    /// The calls of tools so far, of all choices.
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    choice: u64,
    /// What the provider tells it by.
    index: Option<u64>,
    id: String,
    /// Its number for the caller.
    number: u64,
}

// === impl Events ===

impl Events {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            calls: Vec::new(),
        }
    }
}

impl EventMapper for Events {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        if event.data() == b"[DONE]" {
            chunks.end();
            return Ok(Flow::Done);
        }
        if event.is_named("error") {
            return Err(error_event(event, self.dialect)?);
        }
        let json = event.json()?;
        if let Some(error) = error_in(json, self.dialect) {
            return Err(error);
        }
        let [id, created, model, choices, usage] =
            json.pick(["id", "created", "model", "choices", "usage"]);
        let id = id.and_then(Json::as_text).map(Text::decode);
        let created = created.and_then(Json::as_u64);
        chunks.begin(id.as_deref(), created, model.and_then(Json::as_text));
        for (position, choice) in choices.into_iter().flat_map(Json::elements).enumerate() {
            if chunks.is_over() {
                break;
            }
            self.choice(choice, position as u64, chunks)?;
        }
        if let Some(usage) = usage {
            chunks.usage(usage_of(usage));
        }
        Ok(Flow::More)
    }

    fn end(&mut self, chunks: &mut Chunks) -> Result<(), ChatError> {
        if !chunks.is_finished() {
            return Err(ChatError::incomplete_stream());
        }
        chunks.end();
        Ok(())
    }
}

impl Events {
    fn choice(
        &mut self,
        choice: Json<'_>,
        position: u64,
        chunks: &mut Chunks,
    ) -> Result<(), ChatError> {
        let [index, delta, reason, is_end] =
            choice.pick(["index", "delta", "finish_reason", "is_end"]);
        let index = index.and_then(Json::as_u64).unwrap_or(position);
        chunks.role(index);
        if let Some(delta) = delta {
            let [content, reasoning, refusal, calls] =
                delta.pick(["content", "reasoning_content", "refusal", "tool_calls"]);
            if let Some(reasoning) = reasoning.and_then(Json::as_text) {
                chunks.reasoning(index, reasoning);
            }
            said(content, &mut |text, is_thought| {
                if is_thought {
                    chunks.reasoning(index, text);
                } else {
                    chunks.text(index, text);
                }
            });
            if let Some(refusal) = refusal.and_then(Json::as_text) {
                chunks.refusal(index, refusal);
            }
            for call in calls.into_iter().flat_map(Json::elements) {
                if chunks.is_over() {
                    break;
                }
                self.call(index, call, chunks);
            }
        }
        match reason
            .and_then(Json::as_text)
            .filter(|reason| !reason.is_empty())
        {
            Some(reason) if reason.is("error") => {
                return Err(ChatError::bad_reply("the upstream failed while it replied"));
            }
            Some(reason) => {
                let reason = chunks.exchange().finish_reason(Some(reason));
                chunks.finish(index, reason);
            }
            None if is_end.and_then(Json::as_bool) == Some(true) => {
                let reason = if chunks.has_calls(index) {
                    FinishReason::ToolCalls
                } else {
                    FinishReason::Stop
                };
                chunks.finish(index, reason);
            }
            None => {}
        }
        Ok(())
    }

    fn call(&mut self, choice: u64, call: Json<'_>, chunks: &mut Chunks) {
        let [index, id, function] = call.pick(["index", "id", "function"]);
        let [name, arguments] = function.map_or([None; 2], |it| it.pick(["name", "arguments"]));
        let index = index.and_then(Json::as_u64);
        let id = id
            .and_then(Json::as_text)
            .filter(|id| (1..=MAX_NAME).contains(&id.escaped().len()));
        let name = name.and_then(Json::as_text).filter(|name| !name.is_empty());
        let number = match (self.find(choice, index, id, name.is_some()), name) {
            (Some(number), _) => number,
            (None, Some(name)) => {
                let number = chunks.begin_call(choice, id, name);
                self.calls.push(Call {
                    choice,
                    index,
                    id: id.map(|id| id.decode().into_owned()).unwrap_or_default(),
                    number,
                });
                number
            }
            // A piece of nothing.
            (None, None) => return,
        };
        match arguments.map(|json| (json.as_text(), json)) {
            Some((Some(text), _)) => chunks.arguments(choice, number, text),
            Some((None, json)) => {
                let text = serde_json::Value::from(&*compact(json)).to_string();
                let quoted = Json::parse(text.as_bytes(), "it").ok();
                let text = quoted.and_then(Json::as_text).unwrap_or_default();
                chunks.arguments(choice, number, text);
            }
            None => {}
        }
    }

    /// The number of the call that a piece belongs to: by its id, else by its index; a piece with neither, and without a name, goes on with the last one.
    fn find(
        &self,
        choice: u64,
        index: Option<u64>,
        id: Option<Text<'_>>,
        is_named: bool,
    ) -> Option<u64> {
        let mut calls = self.calls.iter().rev().filter(|call| call.choice == choice);
        let found = match (id, index) {
            (Some(id), _) => calls.find(|call| id.is(&call.id)),
            (None, Some(index)) => calls.find(|call| call.index == Some(index)),
            (None, None) if is_named => None,
            (None, None) => calls.next(),
        };
        found.map(|call| call.number)
    }
}
