//! Messages and tools for Converse.

use crate::chat::missing_call_id;
use crate::tables::Policy;
use crate::uri::Source;
use crate::{Chat, ChatError, Message, Outgoing, Part, Role, ToolChoice, Turn};

pub(super) fn write(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let mut is_begun = false;
    for text in chat.system() {
        if !std::mem::replace(&mut is_begun, true) {
            out.body().key("system").begin_array();
        }
        out.body().begin_object().key("text").text(text);
        out.body().end_object();
    }
    if is_begun {
        out.body().end_array();
    }
    out.body().key("messages").begin_array();
    for turn in chat.turns() {
        write_turn(&turn, out)?;
    }
    out.body().end_array();
    write_tools(chat, out)
}

fn write_turn(turn: &Turn<'_, '_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let role = if turn.is_assistant {
        "assistant"
    } else {
        "user"
    };
    let body = out.body().begin_object();
    body.key("role").string(role);
    body.key("content").begin_array();
    for message in &turn.messages {
        if message.role == Role::Tool {
            let id = message
                .tool_call_id
                .ok_or_else(|| missing_call_id(message))?;
            let body = out.body().begin_object();
            body.key("toolResult").begin_object();
            body.key("toolUseId").string(&id.decode());
            body.key("content").begin_array();
            write_parts(message, out)?;
            out.body().end_array().end_object().end_object();
            continue;
        }
        write_parts(message, out)?;
        for (index, call) in message.tool_calls.iter().enumerate() {
            let body = out.body().begin_object();
            body.key("toolUse").begin_object();
            body.key("toolUseId").string(&call.id.decode());
            body.key("name").text(call.name).key("input");
            out.arguments(message, index, call)?;
            out.body().end_object().end_object();
        }
    }
    out.body().end_array().end_object();
    Ok(())
}

fn write_parts(message: &Message<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    for part in &message.parts {
        match part {
            // It refuses blocks without a text.
            Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => {}
            Part::Text { text, .. } | Part::Refusal(text) => {
                let body = out.body().begin_object();
                body.key("text").text(*text).end_object();
            }
            Part::Image { url, .. } => {
                let source = Source::parse(*url, || message.place(".content"))?;
                let Source::Data { mime, data } = source else {
                    return Err(out.unsupported_part(message, "an image by its address"));
                };
                let format = match &*mime {
                    "image/png" => "png",
                    "image/jpeg" | "image/jpg" => "jpeg",
                    "image/gif" => "gif",
                    "image/webp" => "webp",
                    mime => {
                        let part = format!("an image of the type `{mime}`");
                        return Err(out.unsupported_part(message, &part));
                    }
                };
                let body = out.body().begin_object();
                body.key("image").begin_object();
                body.key("format").string(format);
                body.key("source").begin_object();
                body.key("bytes").escaped(&data);
                body.end_object().end_object().end_object();
            }
            Part::Audio { .. } => return Err(out.unsupported_part(message, "audio")),
            Part::File { .. } => return Err(out.unsupported_part(message, "a file")),
        }
    }
    Ok(())
}

fn write_tools(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    if chat.functions.is_empty() {
        return Ok(());
    }
    // No Llama 2 knows tools, whoever serves it.
    if chat.model.contains("llama2") && !out.unsupported("tools", Policy::Reject)? {
        return Ok(());
    }
    if matches!(chat.tool_choice, Some(ToolChoice::None)) {
        let calls = |message: &Message<'_>| !message.tool_calls.is_empty();
        if !chat.messages.iter().any(calls) {
            return Ok(());
        }
        out.unsupported("tool_choice", Policy::Drop)?;
    }
    if chat.parallel_tool_calls == Some(false) {
        out.unsupported("parallel_tool_calls", Policy::Drop)?;
    }
    let body = out.body().key("toolConfig").begin_object();
    body.key("tools").begin_array();
    for function in &chat.functions {
        function.begin(body.begin_object().key("toolSpec"));
        function.write_schema(body.key("inputSchema").begin_object().key("json"));
        body.end_object().end_object().end_object();
    }
    body.end_array();
    match chat.tool_choice {
        None | Some(ToolChoice::None) => {}
        Some(ToolChoice::Auto) => {
            body.key("toolChoice").raw(r#"{"auto":{}}"#);
        }
        Some(ToolChoice::Required) => {
            body.key("toolChoice").raw(r#"{"any":{}}"#);
        }
        Some(ToolChoice::Function(name)) => {
            body.key("toolChoice").begin_object();
            body.key("tool").begin_object();
            body.key("name").text(name);
            body.end_object().end_object();
        }
    }
    body.end_object();
    Ok(())
}
