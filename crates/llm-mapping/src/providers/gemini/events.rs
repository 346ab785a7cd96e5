use super::partial::PartialCall;
use super::reply::{Parts, finish_reason, logprobs_of, parts_of};
use crate::json::{Json, Text};
use crate::provider::{EventMapper, Flow, StreamEvent};
use crate::reply::Called;
use crate::{ChatError, Chunks, FinishReason};

/// What is known of a stream of Gemini's. Nothing tells its end but that every candidate said why it ended.
#[derive(Debug, Default)]
pub(super) struct Events {
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    index: u64,
    is_finished: bool,
    /// The call whose arguments come in pieces, until it is complete.
    call: Option<PartialCall>,
}

/// The most candidates of a stream: the most that OpenAI's API lets a caller ask for.
const MAX_CANDIDATES: usize = 128;

// === impl Events ===

impl EventMapper for Events {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let parts = Parts::of(event.json()?)?;
        let id = parts.id.map(Text::decode);
        chunks.begin(id.as_deref(), parts.created, parts.model);
        for candidate in parts.candidates.into_iter().flat_map(Json::elements) {
            self.candidate(candidate, chunks)?;
        }
        if parts.candidates.is_none()
            && let Some(reason) = parts.block_reason
        {
            self.find(0)?.is_finished = true;
            chunks.refusal(0, reason);
            chunks.finish(0, FinishReason::ContentFilter);
        }
        if let Some(usage) = parts.usage {
            chunks.usage(usage);
        }
        Ok(Flow::More)
    }

    fn end(&mut self, chunks: &mut Chunks) -> Result<(), ChatError> {
        let mut candidates = self.candidates.iter();
        if self.candidates.is_empty() || !candidates.all(|candidate| candidate.is_finished) {
            return Err(ChatError::incomplete_stream());
        }
        chunks.end();
        Ok(())
    }
}

impl Events {
    fn candidate(&mut self, json: Json<'_>, chunks: &mut Chunks) -> Result<(), ChatError> {
        let [index, content, reason] = json.pick(["index", "content", "finishReason"]);
        let index = index.and_then(Json::as_u64).unwrap_or(0);
        let candidate = self.find(index)?;
        chunks.role(index);
        if let Some(content) = logprobs_of(json) {
            let content = Json::parse(&content, "it").map_err(ChatError::bad_reply)?;
            chunks.logprobs(index, content);
        }
        for part in parts_of(content) {
            let [text, thought, call, signature] =
                part.pick(["text", "thought", "functionCall", "thoughtSignature"]);
            if let Some(text) = text.and_then(Json::as_text) {
                if thought.and_then(Json::as_bool) == Some(true) {
                    chunks.reasoning(index, text);
                } else {
                    chunks.text(index, text);
                }
            }
            if let Some(call) = call {
                candidate.call(call, signature.and_then(Json::as_text), chunks)?;
            }
        }
        if let Some(reason) = reason.and_then(Json::as_text) {
            candidate.is_finished = true;
            if reason.is("STOP") {
                candidate.complete(chunks)?;
            } else if candidate.call.take().is_some() {
                // It was cut, and half of the arguments could be taken for all of them.
                tracing::debug!(index, "call of a tool was cut");
            }
            let reason = finish_reason(Some(reason), chunks.has_calls(index), chunks.exchange());
            chunks.finish(index, reason);
        }
        Ok(())
    }

    fn find(&mut self, index: u64) -> Result<&mut Candidate, ChatError> {
        let mut known = self.candidates.iter();
        let place = match known.position(|candidate| candidate.index == index) {
            Some(place) => place,
            None if self.candidates.len() == MAX_CANDIDATES => {
                let message =
                    format!("the upstream's stream has more than {MAX_CANDIDATES} candidates");
                return Err(ChatError::bad_reply(message));
            }
            None => {
                self.candidates.push(Candidate {
                    index,
                    is_finished: false,
                    call: None,
                });
                self.candidates.len() - 1
            }
        };
        let candidate = self.candidates.get_mut(place);
        Ok(candidate.expect("the place was found, or is that of the last one pushed"))
    }
}

// === impl Candidate ===

impl Candidate {
    /// A call: as a whole, or the beginning, a piece or the end of one that comes in pieces.
    fn call(
        &mut self,
        call: Json<'_>,
        signature: Option<Text<'_>>,
        chunks: &mut Chunks,
    ) -> Result<(), ChatError> {
        let [id, name, args, pieces, goes_on] =
            call.pick(["id", "name", "args", "partialArgs", "willContinue"]);
        let goes_on = goes_on.and_then(Json::as_bool);
        let [id, name] = [id, name].map(|json| json.and_then(Json::as_text));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.complete(chunks)?;
            let call = Called {
                id,
                name,
                arguments: args,
                signature,
            };
            if args.is_some() || (pieces.is_none() && goes_on != Some(true)) {
                chunks.called(self.index, &call);
                return Ok(());
            }
            self.call = Some(PartialCall::new(&call));
        }
        if let Some(call) = &mut self.call {
            for piece in pieces.into_iter().flat_map(Json::elements) {
                call.add(piece)?;
            }
        }
        // Not every piece says that more will come; an empty one is the end.
        if goes_on == Some(false) || (goes_on.is_none() && name.is_none() && pieces.is_none()) {
            self.complete(chunks)?;
        }
        Ok(())
    }

    /// Tells the call that came in pieces, if there is one.
    fn complete(&mut self, chunks: &mut Chunks) -> Result<(), ChatError> {
        match self.call.take() {
            Some(call) => call.tell(self.index, chunks),
            None => Ok(()),
        }
    }
}
