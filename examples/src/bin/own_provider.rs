//! A provider that the crates do not know, added from outside: one type, one table, and a caller of OpenAI's API reaches it.
//!
//! `cargo run -p portcullis-examples --bin own_provider` starts a small server with a protocol of its own, asks it through the layer, for a
//! whole reply and for a stream, and prints both.
#![expect(clippy::print_stdout, reason = "it shows what the caller gets")]

use axum::routing::post;
use http::Request;
use http_body_util::{BodyExt, Full};
use portcullis::llm_mapping::{
    Answered, Chat, ChatError, Choice, Chunks, EventMapper, Exchange, Flow, Json, JsonWriter,
    LlmMappingLayer, Outgoing, Provider, Reply, StreamEvent,
};
use tower::{Layer, ServiceExt};

/// `POST /generate {"prompt", "heat"}` answers `{"text"}`, or one `{"piece"}` a line and at last `{"over": true}`.
#[derive(Debug)]
struct Parrot;

impl Provider for Parrot {
    fn name(&self) -> &str {
        "parrot"
    }

    fn tables(&self) -> &str {
        "
        unsupported: {drop: [seed, user, max_tokens], reject: [n]}
        rules: [{move: body:/temperature, to: body:/heat}, {remove: body:/model}]
        "
    }

    fn request(&self, chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
        let kind = if chat.is_stream { "lines" } else { "text" };
        out.path(format!("/generate/{kind}"));
        let messages = chat.messages.iter();
        let texts: Vec<_> = messages.flat_map(|message| message.texts()).collect();
        out.body().key("prompt").joined(&texts, " ");
        Ok(())
    }

    fn reply(
        &self,
        answer: &Answered<'_>,
        exchange: &Exchange,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let mut reply = Reply::default();
        reply.choices.push(Choice {
            texts: answer.body.text("text").into_iter().collect(),
            ..Choice::default()
        });
        reply.write(exchange, out);
        Ok(())
    }

    fn events(&self) -> Box<dyn EventMapper> {
        Box::new(Self)
    }
}

impl EventMapper for Parrot {
    fn event(&mut self, event: &StreamEvent<'_>, chunks: &mut Chunks) -> Result<Flow, ChatError> {
        let [piece, over] = event.json()?.pick(["piece", "over"]);
        chunks.text(0, piece.and_then(Json::as_text).unwrap_or_default());
        if over.is_none() {
            return Ok(Flow::More);
        }
        chunks.end();
        Ok(Flow::Done)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let lines = "{\"piece\": \"Hel\"}\n{\"piece\": \"lo!\"}\n{\"over\": true}\n";
    let ndjson = [("content-type", "application/x-ndjson")];
    let parrot = axum::Router::new()
        .route("/generate/text", post("{\"text\": \"Hello!\"}"))
        .route("/generate/lines", post((ndjson, lines)));
    let service = LlmMappingLayer::new(Parrot)?.layer(parrot);

    for stream in [false, true] {
        let chat = format!(
            r#"{{"model": "grey", "messages": [{{"role": "user", "content": "Hello!"}}], "seed": 7, "stream": {stream}}}"#
        );
        let request = Request::post("/v1/chat/completions").body(Full::from(chat))?;
        let response = service.clone().oneshot(request).await?;
        println!("{}: {:?}", response.status(), response.headers());
        let body = response.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&body));
    }
    Ok(())
}

#[test]
fn both_are_answered() {
    main().unwrap();
}
