//! Messages and tools for a protocol that is nearly OpenAI's.

use super::Dialect;
use crate::json::{Json, Text};
use crate::message::CallId;
use crate::{Chat, ChatError, Function, Message, Outgoing, Role, ToolChoice};

/// What only OpenAI's assistant has in its messages.
const ASSISTANT_ONLY: [&str; 5] = [
    "annotations",
    "audio",
    "function_call",
    "reasoning_content",
    "refusal",
];

pub(super) fn write(
    chat: &Chat<'_>,
    dialect: Dialect,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    out.body().key("messages").begin_array();
    for message in &chat.messages {
        write_message(message, dialect, out)?;
    }
    out.body().end_array();
    write_tools(chat, dialect, out)?;
    for (name, value) in chat.taken() {
        let is_sent = match &*name.decode() {
            "parallel_tool_calls" => !chat.functions.is_empty() || dialect != Dialect::Mistral,
            "response_format" | "stream" => true,
            // Mistral tells the usage of every stream, and does not know the word.
            "stream_options" => dialect != Dialect::Mistral,
            _ => false,
        };
        if is_sent && !value.is_null() {
            out.body().same_key(name).json(value);
        }
    }
    Ok(())
}

fn write_message(
    message: &Message<'_>,
    dialect: Dialect,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    let is_strict = dialect == Dialect::Mistral;
    out.body().begin_object();
    for (name, value) in message.json.members() {
        if value.is_null() {
            continue;
        }
        match &*name.decode() {
            "role" => {
                let role = match message.role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                    Role::Tool => "tool",
                };
                out.body().key("role").string(role);
            }
            // 422 there, but for what a tool answers.
            "name" if is_strict && message.role != Role::Tool => {}
            "tool_calls" | "tool_call_id" => {}
            known if ASSISTANT_ONLY.contains(&known) => {}
            _ => {
                out.body().same_key(name).json(value);
            }
        }
    }
    if let Some(id) = message.tool_call_id {
        out.body().key("tool_call_id");
        write_id(id, dialect, out);
    }
    if !message.tool_calls.is_empty() {
        out.body().key("tool_calls").begin_array();
        for call in &message.tool_calls {
            out.body().begin_object().key("id");
            write_id(call.id, dialect, out);
            let body = out.body();
            body.key("type").string("function");
            body.key("function").begin_object();
            body.key("name").text(call.name).key("arguments");
            match call.arguments {
                Some(arguments) if !arguments.is_blank() => body.text(arguments),
                _ => body.string("{}"),
            };
            body.end_object().end_object();
        }
        out.body().end_array();
    }
    out.body().end_object();
    Ok(())
}

fn write_id(id: CallId<'_>, dialect: Dialect, out: &mut Outgoing) {
    let id = id.decode();
    let is_right = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if dialect == Dialect::Mistral && !is_right {
        out.body().string(&short_id(&id));
    } else {
        out.body().string(&id);
    }
}

/// Nine letters and digits that are the same for the same id, so that calls and answers still belong together: FNV-1a, in base 62.
fn short_id(id: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut short = String::with_capacity(9);
    for _ in 0..9 {
        let digit = usize::try_from(hash % 62)
            .ok()
            .and_then(|at| DIGITS.get(at));
        short.push(char::from(*digit.unwrap_or(&b'0')));
        hash /= 62;
    }
    short
}

fn write_tools(chat: &Chat<'_>, dialect: Dialect, out: &mut Outgoing) -> Result<(), ChatError> {
    let tools = chat.json.get("tools").filter(|tools| tools.is_array());
    match tools {
        Some(tools) if chat.json.get("functions").is_none() => {
            out.body().key("tools");
            write_without_null(tools, out);
        }
        _ if chat.functions.is_empty() => {}
        _ => Function::write_tools(&chat.functions, out.body().key("tools")),
    }
    let word = match chat.tool_choice {
        None => return Ok(()),
        Some(ToolChoice::Auto) => "auto",
        Some(ToolChoice::None) => "none",
        // Every version of Mistral's API knows this word; `required` only newer ones.
        Some(ToolChoice::Required) if dialect == Dialect::Mistral => "any",
        Some(ToolChoice::Required) => "required",
        Some(ToolChoice::Function(name)) => {
            write_choice(name, out);
            return Ok(());
        }
    };
    out.body().key("tool_choice").string(word);
    Ok(())
}

/// Writes the choice of one function.
pub(crate) fn write_choice(name: Text<'_>, out: &mut Outgoing) {
    let body = out.body().key("tool_choice").begin_object();
    body.key("type").string("function");
    body.key("function").begin_object();
    body.key("name").text(name);
    body.end_object().end_object();
}

/// The tools as they came, but for members of theirs that are `null`.
fn write_without_null(tools: Json<'_>, out: &mut Outgoing) {
    let body = out.body().begin_array();
    for tool in tools.elements() {
        body.begin_object();
        for (name, value) in tool.members().filter(|(_, value)| !value.is_null()) {
            body.same_key(name);
            if !name.is("function") {
                body.json(value);
                continue;
            }
            body.begin_object();
            for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
                body.same_key(name).json(value);
            }
            body.end_object();
        }
        body.end_object();
    }
    body.end_array();
}
