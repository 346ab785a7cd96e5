//! What was said, as `systemInstruction` and `contents`.

use super::Gemini;
use crate::json::Text;
use crate::json::writer::JsonWriter;
use crate::uri::Source;
use crate::{Chat, ChatError, Message, Outgoing, Part, Role, ToolCall};

pub(super) fn write(chat: &Chat<'_>, gemini: &Gemini, out: &mut Outgoing) -> Result<(), ChatError> {
    write_system(chat, out.body());
    out.body().key("contents").begin_array();
    for turn in chat.turns() {
        // One without parts is refused.
        if !turn.messages.iter().any(|message| says_something(message)) {
            continue;
        }
        let role = if turn.is_assistant { "model" } else { "user" };
        out.body().begin_object().key("role").string(role);
        out.body().key("parts").begin_array();
        for message in turn.messages {
            if message.role == Role::Tool {
                write_answer(chat, gemini, message, out)?;
                continue;
            }
            for part in &message.parts {
                write_part(message, part, out)?;
            }
            write_calls(chat, gemini, message, out)?;
        }
        out.body().end_array().end_object();
    }
    out.body().end_array();
    Ok(())
}

fn write_system(chat: &Chat<'_>, body: &mut JsonWriter) {
    let mut texts = chat.system().peekable();
    if texts.peek().is_none() {
        return;
    }
    body.key("systemInstruction").begin_object();
    body.key("parts").begin_array();
    for text in texts {
        write_text(text, body);
    }
    body.end_array().end_object();
}

fn says_something(message: &Message<'_>) -> bool {
    let is_empty = |part: &Part<'_>| match part {
        Part::Text { text, .. } | Part::Refusal(text) => text.is_empty(),
        _ => false,
    };
    message.role == Role::Tool
        || !message.tool_calls.is_empty()
        || !message.parts.iter().all(is_empty)
}

fn write_text(text: Text<'_>, body: &mut JsonWriter) {
    body.begin_object().key("text").text(text).end_object();
}

fn write_part(message: &Message<'_>, part: &Part<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let place = || message.place(".content");
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => {
            if !text.is_empty() {
                write_text(*text, out.body());
            }
        }
        Part::Image { url, .. } => match Source::parse(*url, place)? {
            Source::Data { mime, data } => write_data(or(&mime, "image/png"), &data, out.body()),
            Source::Url(url) => write_file(url, mime_of(url), out.body()),
        },
        Part::Audio { data, format } => {
            let mime = format!("audio/{}", format.decode());
            write_data(&mime, data.escaped(), out.body());
        }
        Part::File { data, id, name, .. } => {
            let by_name = name.and_then(mime_of);
            let source = data.map(|data| Source::parse(data, place)).transpose()?;
            match (source, *id) {
                (Some(Source::Data { mime, data }), _) => {
                    let mime = or(&mime, by_name.unwrap_or("application/pdf"));
                    write_data(mime, &data, out.body());
                }
                (Some(Source::Url(uri)), _) | (None, Some(uri)) => {
                    write_file(uri, by_name.or_else(|| mime_of(uri)), out.body());
                }
                (None, None) => return Err(out.unsupported_part(message, "a file without data")),
            }
        }
    }
    Ok(())
}

fn or<'t>(given: &'t str, default: &'t str) -> &'t str {
    if given.is_empty() { default } else { given }
}

fn write_data(mime: &str, data: &str, body: &mut JsonWriter) {
    body.begin_object().key("inlineData").begin_object();
    body.key("mimeType").string(mime);
    body.key("data").escaped(data);
    body.end_object().end_object();
}

fn write_file(uri: Text<'_>, mime: Option<&str>, body: &mut JsonWriter) {
    body.begin_object().key("fileData").begin_object();
    if let Some(mime) = mime {
        body.key("mimeType").string(mime);
    }
    body.key("fileUri").text(uri);
    body.end_object().end_object();
}

/// The type that the end of a name stands for.
fn mime_of(name: Text<'_>) -> Option<&'static str> {
    let name = name.decode();
    let path = name.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let (_, extension) = file.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let mut types = MIME_TYPES.iter();
    types
        .find(|(known, _)| *known == extension)
        .map(|(_, mime)| *mime)
}

fn write_calls(
    chat: &Chat<'_>,
    gemini: &Gemini,
    message: &Message<'_>,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    let is_signed = message
        .tool_calls
        .iter()
        .any(|call| signature(call).is_some());
    let placeholder = Text::of_escaped("skip_thought_signature_validator");
    // The model itself signs the first call of several.
    let mut spare = Some(placeholder).filter(|_| !is_signed && gemini.sends_placeholder(chat));
    for (index, call) in message.tool_calls.iter().enumerate() {
        let body = out.body().begin_object();
        body.key("functionCall").begin_object();
        if gemini.sends_call_ids {
            body.key("id").string(&call.id.decode());
        }
        body.key("name").text(call.name).key("args");
        out.arguments(message, index, call)?;
        out.body().end_object();
        if let Some(signature) = signature(call).or_else(|| spare.take()) {
            out.body().key("thoughtSignature").text(signature);
        }
        out.body().end_object();
    }
    Ok(())
}

/// The signature of the thoughts behind a call, where Google's own compatible API tells it.
fn signature<'a>(call: &ToolCall<'a>) -> Option<Text<'a>> {
    let google = call.json.get("extra_content")?.get("google")?;
    google.text("thought_signature")
}

fn write_answer(
    chat: &Chat<'_>,
    gemini: &Gemini,
    message: &Message<'_>,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    let name = chat.answered_function(message)?;
    let texts: Vec<_> = message.texts().collect();
    if texts.len() < message.parts.len() {
        return Err(out.unsupported_part(message, "what is no text from a tool"));
    }
    let body = out.body().begin_object();
    body.key("functionResponse").begin_object();
    if gemini.sends_call_ids
        && let Some(id) = message.tool_call_id
    {
        body.key("id").string(&id.decode());
    }
    body.key("name").text(name);
    body.key("response").begin_object();
    body.key("output").joined(&texts, "");
    body.end_object().end_object().end_object();
    Ok(())
}

/// What Gemini reads, by the end of its name.
const MIME_TYPES: [(&str, &str); 22] = [
    ("aac", "audio/aac"),
    ("csv", "text/csv"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("mov", "video/mov"),
    ("mp3", "audio/mp3"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
];
