//! How to add a provider, on one page. It needs nothing that is private: a provider of your own is a type in your crate.
//!
//! # 1. The table
//! What is only a matter of names, limits and words is data, in the language of `portcullis-param-mapping`. All members of the caller's request
//! are parameters for it but those that [`Chat`](crate::Chat) takes apart: messages, tools and their choice, `response_format`, `stop`
//! (which comes as a list), `stream`.
//! ```yaml
//! unsupported:
//!   drop: [logit_bias, user]          # hints: left out, and told
//!   reject: [n, logprobs]             # what changes the promise of the reply: 400, unless it says what leaving it out says (`n: 1`)
//! finish_reasons: {done: stop, cut: length}   # the provider's words; others are `stop`, and a warning
//! rules:
//!   - {move: [body:/max_completion_tokens, body:/max_tokens], to: body:/settings/limit}
//!   - {move: body:/temperature, to: body:/settings/heat, with: {clamp: {min: 0, max: 1}}}
//!   - {remove: body:/top_p, when: {body:/model: {glob: "old-*"}}}        # rules for some models
//! ```
//! A caller of the layer can replace it: [`LlmMappingLayer::tables`](crate::LlmMappingLayer::tables).
//!
//! # 2. The request
//! [`Provider::request`](crate::Provider::request) gets the chat and writes what no table can say: the path, headers, messages, tools. It writes
//! into the object of the body, and the members that the table makes are added to it. A word of its own that the table shall see is a
//! [`param`](crate::Outgoing::param). What the chat has and the provider has not is [`unsupported`](crate::Outgoing::unsupported).
//! [`Chat::turns`](crate::Chat::turns) has adjacent messages of one side as one turn, [`Chat::system`](crate::Chat::system) what the system
//! says wherever it stands, [`Chat::answered_function`](crate::Chat::answered_function) the name for the id of a call.
//!
//! # 3. The reply and the errors
//! [`Provider::reply`](crate::Provider::reply) fills a [`Reply`](crate::Reply) and writes it. An error that came with the status of a success is
//! an `Err` with its real status. [`Provider::error`](crate::Provider::error) knows the usual forms by itself.
//!
//! # 4. The stream
//! How it is divided into events is known from the content type; else say it in [`Provider::framing`](crate::Provider::framing). An
//! [`EventMapper`](crate::EventMapper) tells [`Chunks`](crate::Chunks) what each event says, which writes it in the order that clients expect.
//! [`Flow::Done`](crate::Flow::Done) is the provider's last event; one that ends by the end of the stream alone says in
//! [`end`](crate::EventMapper::end) whether that was the end.
//!
//! # The whole
//! ```
//! use portcullis_llm_mapping::{
//!     Answered, Chat, ChatError, Choice, Chunks, EventMapper, Exchange, Flow, Json, JsonWriter,
//!     LlmMappingLayer, Outgoing, Provider, Reply, StreamEvent, Usage,
//! };
//!
//! /// `POST /generate {"model", "prompt", "settings": {"limit", "heat"}}` answers `{"text", "why", "tokens": [in, out]}`,
//! /// or with `"stream": true` one JSON a line: `{"piece"}`, at last `{"why", "tokens"}`.
//! #[derive(Debug)]
//! struct Acme;
//!
//! struct Lines;
//!
//! impl Provider for Acme {
//!     fn name(&self) -> &str {
//!         "acme"
//!     }
//!
//!     fn tables(&self) -> &str {
//!         "
//!         unsupported: {drop: [seed, user], reject: [n, logprobs]}
//!         finish_reasons: {done: stop, cut: length}
//!         rules:
//!           - {move: [body:/max_completion_tokens, body:/max_tokens], to: body:/settings/limit}
//!           - {move: body:/temperature, to: body:/settings/heat, with: {clamp: {min: 0, max: 1}}}
//!         "
//!     }
//!
//!     fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
//!         if !chat.functions.is_empty() {
//!             return Err(ChatError::unsupported("tools", self.name()));
//!         }
//!         out.path("/generate");
//!         let texts: Vec<_> = chat.messages.iter().flat_map(|message| message.texts()).collect();
//!         out.body().key("prompt").joined(&texts, "\n");
//!         out.body().key("stream").bool(chat.is_stream);
//!         Ok(())
//!     }
//!
//!     fn reply(&self, answer: &Answered<'_>, exchange: &Exchange, out: &mut JsonWriter) -> Result<(), ChatError> {
//!         let [text, why, tokens] = answer.body.pick(["text", "why", "tokens"]);
//!         let text = text.and_then(Json::as_text);
//!         let text = text.ok_or_else(|| ChatError::bad_reply("the reply has no text"))?;
//!         let choice = Choice {
//!             texts: vec![text],
//!             finish_reason: exchange.finish_reason(why.and_then(Json::as_text)),
//!             ..Choice::default()
//!         };
//!         let reply = Reply { choices: vec![choice], usage: tokens.map(usage), ..Reply::default() };
//!         reply.write(exchange, out);
//!         Ok(())
//!     }
//!
//!     fn events(&self) -> Box<dyn EventMapper> {
//!         Box::new(Lines)
//!     }
//! }
//!
//! impl EventMapper for Lines {
//!     fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
//!         let [piece, why, tokens] = event.json()?.pick(["piece", "why", "tokens"]);
//!         if let Some(piece) = piece.and_then(Json::as_text) {
//!             chunks.text(0, piece);
//!         }
//!         let Some(why) = why.and_then(Json::as_text) else {
//!             return Ok(Flow::More);
//!         };
//!         let reason = chunks.exchange().finish_reason(Some(why));
//!         chunks.finish(0, reason);
//!         if let Some(tokens) = tokens {
//!             chunks.usage(usage(tokens));
//!         }
//!         chunks.end();
//!         Ok(Flow::Done)
//!     }
//! }
//!
//! fn usage(tokens: Json<'_>) -> Usage {
//!     let mut tokens = tokens.elements().filter_map(Json::as_u64);
//!     Usage {
//!         prompt: tokens.next().unwrap_or(0),
//!         completion: tokens.next().unwrap_or(0),
//!         ..Usage::default()
//!     }
//! }
//!
//! let layer = LlmMappingLayer::new(Acme)?.base_url("https://api.acme.example")?;
//! # let _ = layer;
//! # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
//! ```
//! `own_provider` among the examples is a program that is built of these parts and asks such a server.
//!
//! # What to show
//! - One case for each row of its documentation: requests that it takes, replies, errors. `tests/cases` of this crate has the form.
//! - Its stream cut at every byte, with each line end, and ended and broken off anywhere: no end without `[DONE]` or an error.
//! - That the key is in no error and no log.
