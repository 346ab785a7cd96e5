//! The prompt of Llama 2's chat models, for providers that take a prompt and no messages.

use crate::json::Text;
use crate::tables::Policy;
use crate::{Chat, ChatError, Message, Outgoing, Part, ResponseFormat, Role};

/// What becomes of a text that holds a mark of the prompt: `[INST]`, `[/INST]`, `<<SYS>>`, `<</SYS>>`, `<s>` or `</s>`. Whoever writes one into
/// a message could speak for the system or the assistant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PromptMarks {
    /// The request is answered with 400, which names the message.
    #[default]
    Reject,
    /// A space is put behind the first character of the mark, so that it is none.
    Escape,
    /// It stands in the prompt as it is.
    Pass,
}

const MARKS: [&str; 6] = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"];

/// Builds the prompt of a chat. Refuses what no prompt can say.
///
/// A chat that ends with the assistant is left open, so that the model goes on with what it said.
pub(super) fn prompt(
    chat: &Chat<'_>,
    marks: PromptMarks,
    out: &mut Outgoing,
) -> Result<String, ChatError> {
    if !chat.functions.is_empty() {
        out.unsupported("tools", Policy::Reject)?;
    }
    match chat.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) => {
            out.unsupported("response_format", Policy::Reject)?;
        }
    }
    let of_system = chat
        .messages
        .iter()
        .filter(|message| message.role == Role::System);
    let mut opening = joined(of_system, "\n\n", marks, out)?;
    if !opening.is_empty() {
        opening = format!("<<SYS>>\n{opening}\n<</SYS>>\n\n");
    }
    let mut prompt = String::new();
    for turn in chat.turns() {
        let text = joined(turn.messages.iter().copied(), "\n", marks, out)?;
        if !turn.is_assistant {
            if !prompt.is_empty() {
                prompt.push_str(" </s>");
            }
            ask(&mut prompt, &mut opening, &text);
            continue;
        }
        if prompt.is_empty() {
            ask(&mut prompt, &mut opening, "");
        }
        prompt.push(' ');
        prompt.push_str(&text);
    }
    if prompt.is_empty() {
        ask(&mut prompt, &mut opening, "");
    }
    Ok(prompt)
}

/// What was generated: without the prompt, where that stands before it, and without the space behind the prompt.
pub(super) fn generated(text: Text<'_>) -> Text<'_> {
    let mut escaped = text.escaped();
    if escaped.starts_with("<s>[INST]")
        && let Some((_, behind)) = escaped.rsplit_once("[/INST]")
    {
        escaped = behind;
    }
    Text::of_escaped(escaped.strip_prefix(' ').unwrap_or(escaped))
}

/// Adds a turn of the user; the first one begins with what the system says.
fn ask(prompt: &mut String, opening: &mut String, text: &str) {
    prompt.push_str("<s>[INST] ");
    prompt.push_str(&std::mem::take(opening));
    prompt.push_str(text);
    prompt.push_str(" [/INST]");
}

/// The texts of messages, those that say something, without the space around them.
fn joined<'c>(
    messages: impl Iterator<Item = &'c Message<'c>>,
    separator: &str,
    marks: PromptMarks,
    out: &Outgoing,
) -> Result<String, ChatError> {
    let mut joined = String::new();
    for message in messages {
        let text = text_of(message, marks, out)?;
        let text = text.trim();
        if !text.is_empty() && !joined.is_empty() {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(joined)
}

fn text_of(message: &Message<'_>, marks: PromptMarks, out: &Outgoing) -> Result<String, ChatError> {
    if message.role == Role::Tool || !message.tool_calls.is_empty() {
        return Err(out.unsupported_part(message, "a tool"));
    }
    let mut text = String::new();
    for part in &message.parts {
        match part {
            Part::Text { text: part, .. } | Part::Refusal(part) => {
                // What the system says in several texts is several texts.
                if message.role == Role::System && !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&part.decode());
            }
            Part::Image { .. } => return Err(out.unsupported_part(message, "an image")),
            Part::Audio { .. } => return Err(out.unsupported_part(message, "audio")),
            Part::File { .. } => return Err(out.unsupported_part(message, "a file")),
        }
    }
    for mark in MARKS {
        match marks {
            PromptMarks::Reject if text.contains(mark) => {
                let place = message.place(".content");
                let message = format!("`{place}` holds `{mark}`, which is a mark of the prompt");
                return Err(ChatError::invalid(place, message));
            }
            PromptMarks::Escape if text.contains(mark) => {
                let (first, rest) = mark.split_at_checked(1).unwrap_or(("", mark));
                text = text.replace(mark, &format!("{first} {rest}"));
            }
            _ => {}
        }
    }
    Ok(text)
}
