//! The same in structs that serde reads and writes: what a careful program without the layer would do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct ChatRequest {
    model: String,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    tools: Vec<Tool>,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
}

#[derive(Deserialize, Serialize)]
struct ToolCall {
    id: String,
    r#type: String,
    function: Called,
}

#[derive(Deserialize, Serialize)]
struct Called {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Tool {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

#[derive(Serialize)]
struct MessagesRequest {
    model: String,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<AnthropicTool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    stream: bool,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Vec<Block>,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        content: String,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

#[derive(Serialize)]
struct AnthropicTool {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    input_schema: Value,
}

pub(crate) fn request(body: &[u8]) -> Vec<u8> {
    let chat: ChatRequest = serde_json::from_slice(body).expect("it is a chat");
    let mut system = Vec::new();
    let mut messages: Vec<Message> = Vec::new();
    for message in chat.messages {
        let (role, blocks) = blocks(message, &mut system);
        match messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ if role.is_empty() => {}
            _ => messages.push(Message {
                role,
                content: blocks,
            }),
        }
    }
    let tools = chat.tools.into_iter().map(|tool| AnthropicTool {
        name: tool.function.name,
        description: tool.function.description,
        input_schema: tool.function.parameters.unwrap_or_default(),
    });
    let request = MessagesRequest {
        model: chat.model,
        max_tokens: chat.max_tokens.unwrap_or(4096),
        system: (!system.is_empty()).then(|| system.join("\n\n")),
        messages,
        tools: tools.collect(),
        temperature: chat
            .temperature
            .map(|temperature| temperature.clamp(0.0, 1.0)),
        stream: chat.stream,
    };
    serde_json::to_vec(&request).expect("it can be written")
}

fn blocks(message: ChatMessage, system: &mut Vec<String>) -> (&'static str, Vec<Block>) {
    let mut blocks = Vec::new();
    match message.content {
        Some(Content::Text(text)) if message.role == "system" => {
            system.push(text);
            return ("", blocks);
        }
        Some(Content::Text(content)) if message.role == "tool" => {
            blocks.push(Block::ToolResult {
                tool_use_id: message.tool_call_id.unwrap_or_default(),
                content,
            });
        }
        Some(Content::Text(text)) => blocks.push(Block::Text { text }),
        Some(Content::Parts(parts)) => blocks.extend(parts.into_iter().map(block)),
        None => {}
    }
    blocks.extend(message.tool_calls.into_iter().map(|call| Block::ToolUse {
        id: call.id,
        name: call.function.name,
        input: serde_json::from_str(&call.function.arguments).expect("it is an object"),
    }));
    (
        if message.role == "assistant" {
            "assistant"
        } else {
            "user"
        },
        blocks,
    )
}

fn block(part: Part) -> Block {
    match part {
        Part::Text { text } => Block::Text { text },
        Part::ImageUrl { image_url } => {
            let data = image_url
                .url
                .strip_prefix("data:")
                .and_then(|rest| rest.split_once(','));
            let source = match data {
                Some((head, data)) => Source::Base64 {
                    media_type: head.trim_end_matches(";base64").to_owned(),
                    data: data.to_owned(),
                },
                None => Source::Url { url: image_url.url },
            };
            Block::Image { source }
        }
    }
}

#[derive(Deserialize)]
struct AnthropicReply {
    id: String,
    model: String,
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: AnthropicUsage,
}

#[derive(Deserialize)]
struct AnthropicUsage {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: u64,
}

#[derive(Serialize)]
struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    message: Answer,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Answer {
    role: &'static str,
    content: String,
    tool_calls: Vec<ToolCall>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

pub(crate) fn reply(body: &[u8]) -> Vec<u8> {
    let reply: AnthropicReply = serde_json::from_slice(body).expect("it is a reply");
    let mut content = String::new();
    let mut tool_calls = Vec::new();
    for block in reply.content {
        match block {
            Block::Text { text } => content.push_str(&text),
            Block::ToolUse { id, name, input } => tool_calls.push(ToolCall {
                id,
                r#type: "function".to_owned(),
                function: Called {
                    name,
                    arguments: input.to_string(),
                },
            }),
            Block::Image { .. } | Block::ToolResult { .. } => {}
        }
    }
    let usage = reply.usage;
    let prompt =
        usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
    let completion = Completion {
        id: reply.id,
        object: "chat.completion",
        created: 1_700_000_000,
        model: reply.model,
        choices: vec![Choice {
            index: 0,
            message: Answer {
                role: "assistant",
                content,
                tool_calls,
            },
            finish_reason: finish_reason(reply.stop_reason.as_deref()),
        }],
        usage: Usage {
            prompt_tokens: prompt,
            completion_tokens: usage.output_tokens,
            total_tokens: prompt + usage.output_tokens,
        },
    };
    serde_json::to_vec(&completion).expect("it can be written")
}

fn finish_reason(reason: Option<&str>) -> &'static str {
    match reason {
        Some("max_tokens") => "length",
        Some("tool_use") => "tool_calls",
        _ => "stop",
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    ContentBlockDelta {
        delta: Delta,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Chunk {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: [ChunkChoice; 1],
}

#[derive(Serialize)]
struct ChunkChoice {
    index: u32,
    delta: ChunkDelta,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct ChunkDelta {
    content: String,
}

/// Each event as a chunk, for a stream that is all there and needs no framing.
pub(crate) fn events(stream: &[u8]) -> impl Iterator<Item = String> + '_ {
    let lines = stream.split(|byte| *byte == b'\n');
    let data = lines.filter_map(|line| line.strip_prefix(b"data: "));
    data.filter_map(|data| {
        let event: Event = serde_json::from_slice(data).expect("it is an event");
        let Event::ContentBlockDelta {
            delta: Delta::TextDelta { text },
        } = event
        else {
            return None;
        };
        let chunk = Chunk {
            id: "msg_1".to_owned(),
            object: "chat.completion.chunk",
            created: 1_700_000_000,
            model: "claude-sonnet-4-5".to_owned(),
            choices: [ChunkChoice {
                index: 0,
                delta: ChunkDelta { content: text },
                finish_reason: None,
            }],
        };
        Some(format!(
            "data: {}\n\n",
            serde_json::to_string(&chunk).expect("it can be written")
        ))
    })
}
