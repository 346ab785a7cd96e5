//! From a request for a message to a chat.

use bytes::Bytes;
use http::StatusCode;
use portcullis_param_mapping::{ChangeKind, Mapping, Report};
use std::sync::LazyLock;

use crate::ChatError;
use crate::json::writer::JsonWriter;
use crate::json::{Document, Json, Text, compact};
use crate::message::required_text;

/// What of the parameters is only names and words.
static RULES: LazyLock<Mapping> = LazyLock::new(|| {
    let rules = Mapping::from_yaml(include_str!("mapping.yaml"));
    rules.expect("the rules are part of this crate, and a test reads them")
});

/// The members that are taken apart here.
const TAKEN: [&str; 9] = [
    "system",
    "messages",
    "tools",
    "tool_choice",
    "stream",
    "output_config",
    "output_format",
    "thinking",
    "stop_sequences",
];

/// The members that OpenAI's API has nothing like.
const UNKNOWN: [&str; 5] = [
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "top_k",
];

pub(crate) fn chat(body: &Bytes, report: &mut Report) -> Result<Bytes, ChatError> {
    let document = Document::parse(body, "the body")
        .map_err(|reason| ChatError::new(StatusCode::BAD_REQUEST, reason))?;
    let json = document.root();
    if !json.is_object() {
        let message = format!("a request is an object, not {}", json.type_name());
        return Err(ChatError::new(StatusCode::BAD_REQUEST, message));
    }
    if let Some(name) = json.given_twice() {
        let message = format!("`{name}` is given twice");
        return Err(ChatError::invalid(name, message));
    }
    let mut out = JsonWriter::with_source(body);
    out.begin_object();
    let [
        system,
        messages,
        tools,
        choice,
        stream,
        config,
        format,
        thinking,
        stops,
    ] = json.pick(TAKEN);
    out.key("messages").begin_array();
    write_system(system, &mut out);
    let messages = messages.filter(|messages| messages.is_array());
    let messages =
        messages.ok_or_else(|| ChatError::invalid("messages", "`messages` must be an array"))?;
    for (position, message) in messages.elements().enumerate() {
        write_message(message, position, &mut out)?;
    }
    out.end_array();
    write_tools(tools, &mut out)?;
    write_choice(choice, &mut out)?;
    if let Some(stops) = stops {
        out.key("stop").json(stops);
    }
    if stream.and_then(Json::as_bool) == Some(true) {
        out.key("stream").bool(true);
        // What the message ends with has the usage.
        out.key("stream_options").raw(r#"{"include_usage":true}"#);
    }
    let format = config.and_then(|config| config.get("format")).or(format);
    if let Some(schema) = format.and_then(|format| format.get("schema")) {
        let format = out.key("response_format").begin_object();
        format.key("type").string("json_schema");
        format.key("json_schema").begin_object();
        format
            .key("name")
            .string("output")
            .key("schema")
            .json(schema);
        format.end_object().end_object();
    }
    let effort = config.and_then(|config| config.text("effort"));
    write_effort(effort, thinking, &mut out);

    let mut params = JsonWriter::new();
    params.begin_object();
    for (name, value) in json.members() {
        if value.is_null() || name.position(&TAKEN).is_some() {
            continue;
        }
        if let Some(unknown) = name.position(&UNKNOWN).and_then(|at| UNKNOWN.get(at)) {
            tracing::debug!(param = unknown, "parameter dropped");
            report.add(ChangeKind::Dropped, &format!("body:/{unknown}"));
            continue;
        }
        params.same_key(name).json(value);
    }
    params.end_object();
    let params = RULES.apply(&params.into_bytes()).map_err(|error| {
        let param = error.param().trim_start_matches("body:/").replace('/', ".");
        ChatError::invalid(param, error.to_string())
    })?;
    let params = params.into_bytes();
    let params = Json::parse(&params, "it").map_err(ChatError::bad_reply)?;
    for (name, value) in params.members() {
        out.same_key(name).json(value);
    }
    out.end_object();
    Ok(out.into_bytes())
}

/// The texts of a content: a text, or the blocks that are texts.
fn texts<'a>(content: Option<Json<'a>>) -> Vec<Text<'a>> {
    match content.map(|content| (content.as_text(), content)) {
        None => Vec::new(),
        Some((Some(text), _)) => vec![text],
        Some((None, blocks)) => blocks
            .elements()
            .filter_map(|block| block.text("text"))
            .collect(),
    }
}

fn write_system(system: Option<Json<'_>>, out: &mut JsonWriter) {
    let texts = texts(system);
    if !texts.is_empty() {
        out.begin_object().key("role").string("system");
        out.key("content").joined(&texts, "\n\n");
        out.end_object();
    }
}

fn write_message(
    message: Json<'_>,
    position: usize,
    out: &mut JsonWriter,
) -> Result<(), ChatError> {
    let place = |what: &str| format!("messages[{position}]{what}");
    let [role, content] = message.pick(["role", "content"]);
    let role = required_text(role, || place(".role"))?;
    let content = content.ok_or_else(|| {
        let place = place(".content");
        let message = format!("`{place}` is missing");
        ChatError::invalid(place, message)
    })?;
    if content.as_text().is_none() && !content.is_array() {
        let kind = content.type_name();
        let message = format!("a content is a string or an array, not {kind}");
        return Err(ChatError::invalid(place(".content"), message));
    }
    if role.is("assistant") {
        return write_assistant(content, &place, out);
    }
    if !role.is("user") {
        let message = format!("`{}` is not a role", role.decode());
        return Err(ChatError::invalid(place(".role"), message));
    }
    if let Some(text) = content.as_text() {
        out.begin_object().key("role").string("user");
        out.key("content").text(text).end_object();
        return Ok(());
    }
    // What tools answered are messages of their own, before what the user says.
    let is_result = |block: &Json<'_>| {
        block
            .text("type")
            .is_some_and(|kind| kind.is("tool_result"))
    };
    for block in content.elements().filter(is_result) {
        let [id, content] = block.pick(["tool_use_id", "content"]);
        let id = required_text(id, || place(".content.tool_use_id"))?;
        out.begin_object().key("role").string("tool");
        out.key("tool_call_id").text(id);
        out.key("content").joined(&texts(content), "");
        out.end_object();
    }
    let shown = content.elements().filter(is_result);
    let shown = shown.flat_map(|block| block.get("content").into_iter().flat_map(Json::elements));
    let is_shown = |block: &Json<'_>| !block.text("type").is_some_and(|kind| kind.is("text"));
    let mut parts = shown
        .filter(is_shown)
        .chain(content.elements().filter(|block| !is_result(block)))
        .peekable();
    if parts.peek().is_none() {
        return Ok(());
    }
    out.begin_object().key("role").string("user");
    out.key("content").begin_array();
    for part in parts {
        write_part(part, &place, out)?;
    }
    out.end_array().end_object();
    Ok(())
}

fn write_part(
    part: Json<'_>,
    place: &dyn Fn(&str) -> String,
    out: &mut JsonWriter,
) -> Result<(), ChatError> {
    let [kind, text, source, title] = part.pick(["type", "text", "source", "title"]);
    let kind = required_text(kind, || place(".content.type"))?;
    if kind.is("text") {
        let text = required_text(text, || place(".content.text"))?;
        out.begin_object().key("type").string("text");
        out.key("text").text(text).end_object();
        return Ok(());
    }
    let [source_kind, media_type, data, url] = source.map_or([None; 4], |it| {
        it.pick(["type", "media_type", "data", "url"])
    });
    let [source_kind, media_type, data, url] =
        [source_kind, media_type, data, url].map(|it| it.and_then(Json::as_text));
    let is_kind = |word: &str| source_kind.is_some_and(|kind| kind.is(word));
    let is_image = kind.is("image");
    if !is_image && !kind.is("document") {
        let message = format!(
            "a block of the type `{}` has no place in a chat",
            kind.decode()
        );
        let error = ChatError::invalid(place(".content.type"), message);
        return Err(error.code("unsupported_parameter"));
    }
    out.begin_object();
    if let (false, true, Some(data)) = (is_image, is_kind("text"), data) {
        out.key("type").string("text").key("text").text(data);
        out.end_object();
        return Ok(());
    }
    let (outer, inner) = if is_image {
        ("image_url", "url")
    } else {
        ("file", "file_data")
    };
    out.key("type").string(outer).key(outer).begin_object();
    match (data, url) {
        (Some(data), _) if is_kind("base64") => {
            let mime = media_type.map_or("application/octet-stream", Text::escaped);
            let uri = format!("data:{mime};base64,");
            out.key(inner);
            out.joined(&[Text::of_escaped(&uri), data], "");
        }
        (_, Some(url)) => {
            out.key(inner).text(url);
        }
        _ => {
            let message = "the source is neither in base64 nor a URL";
            return Err(ChatError::invalid(place(".content.source"), message));
        }
    }
    if !is_image {
        out.key("filename");
        match title.and_then(Json::as_text) {
            Some(title) => out.text(title),
            None => out.string("document.pdf"),
        };
    }
    out.end_object().end_object();
    Ok(())
}

fn write_assistant(
    content: Json<'_>,
    place: &dyn Fn(&str) -> String,
    out: &mut JsonWriter,
) -> Result<(), ChatError> {
    out.begin_object().key("role").string("assistant");
    let texts = texts(Some(content));
    out.key("content");
    if texts.is_empty() {
        out.raw("null");
    } else {
        out.joined(&texts, "");
    }
    let is_call = |block: &Json<'_>| block.text("type").is_some_and(|kind| kind.is("tool_use"));
    let mut calls = content.elements().filter(is_call).peekable();
    if calls.peek().is_some() {
        out.key("tool_calls").begin_array();
        for call in calls {
            let [id, name, input] = call.pick(["id", "name", "input"]);
            let id = required_text(id, || place(".content.id"))?;
            let name = required_text(name, || place(".content.name"))?;
            out.begin_object().key("id").text(id);
            out.key("type").string("function");
            out.key("function").begin_object().key("name").text(name);
            let input = input.map_or("{}".into(), compact);
            out.key("arguments").string(&input);
            out.end_object().end_object();
        }
        out.end_array();
    }
    out.end_object();
    Ok(())
}

fn write_tools(tools: Option<Json<'_>>, out: &mut JsonWriter) -> Result<(), ChatError> {
    let mut tools = tools
        .into_iter()
        .flat_map(Json::elements)
        .enumerate()
        .peekable();
    if tools.peek().is_none() {
        return Ok(());
    }
    out.key("tools").begin_array();
    for (index, tool) in tools {
        let [kind, name, description, schema] =
            tool.pick(["type", "name", "description", "input_schema"]);
        if let Some(kind) = kind
            .and_then(Json::as_text)
            .filter(|kind| !kind.is("custom"))
        {
            // Those that Anthropic's servers call themselves.
            let message = format!(
                "a tool of the type `{}` has no place in a chat",
                kind.decode()
            );
            let error = ChatError::invalid(format!("tools[{index}].type"), message);
            return Err(error.code("unsupported_parameter"));
        }
        let name = required_text(name, || format!("tools[{index}].name"))?;
        out.begin_object().key("type").string("function");
        out.key("function").begin_object().key("name").text(name);
        if let Some(description) = description {
            out.key("description").json(description);
        }
        if let Some(schema) = schema {
            out.key("parameters").json(schema);
        }
        out.end_object().end_object();
    }
    out.end_array();
    Ok(())
}

fn write_choice(choice: Option<Json<'_>>, out: &mut JsonWriter) -> Result<(), ChatError> {
    let Some(choice) = choice else { return Ok(()) };
    let [kind, name, is_single] = choice.pick(["type", "name", "disable_parallel_tool_use"]);
    let kind = required_text(kind, || "tool_choice.type".to_owned())?.decode();
    let word = match &*kind {
        "auto" => "auto",
        "none" => "none",
        "any" => "required",
        "tool" => {
            let name = required_text(name, || "tool_choice.name".to_owned())?;
            out.key("tool_choice").begin_object();
            out.key("type").string("function");
            out.key("function").begin_object().key("name").text(name);
            out.end_object().end_object();
            ""
        }
        kind => {
            let message = format!("`{kind}` is not a choice of tools");
            return Err(ChatError::invalid("tool_choice.type", message));
        }
    };
    if !word.is_empty() {
        out.key("tool_choice").string(word);
    }
    if is_single.and_then(Json::as_bool) == Some(true) {
        out.key("parallel_tool_calls").bool(false);
    }
    Ok(())
}

/// The effort that was asked for, or that a budget of tokens stands for.
fn write_effort(effort: Option<Text<'_>>, thinking: Option<Json<'_>>, out: &mut JsonWriter) {
    let budget = thinking
        .and_then(|thinking| thinking.get("budget_tokens"))
        .and_then(Json::as_u64);
    let effort = match (effort.map(Text::decode).as_deref(), budget) {
        (Some("max"), _) => "xhigh",
        (Some("high"), _) => "high",
        (Some("medium"), _) => "medium",
        (Some("low"), _) | (None, Some(..2048)) => "low",
        (None, Some(2048..8192)) => "medium",
        (None, Some(_)) => "high",
        _ => return,
    };
    out.key("reasoning_effort").string(effort);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_compile() {
        LazyLock::force(&RULES);
    }
}
