//! Functions, which of them are called, and the form of the reply.

use super::{Gemini, schema};
use crate::tables::Policy;
use crate::{Chat, ChatError, Outgoing, ResponseFormat, ToolChoice};

pub(super) fn write(chat: &Chat<'_>, gemini: &Gemini, out: &mut Outgoing) -> Result<(), ChatError> {
    if !chat.functions.is_empty() {
        write_functions(chat, gemini, out)?;
        write_choice(chat, out);
    }
    if chat.parallel_tool_calls == Some(false)
        && out.unsupported("parallel_tool_calls", Policy::Drop)?
    {
        out.body().key("parallel_tool_calls").bool(false);
    }
    write_format(chat, gemini, out)
}

fn write_functions(chat: &Chat<'_>, gemini: &Gemini, out: &mut Outgoing) -> Result<(), ChatError> {
    let body = out.body().key("tools").begin_array().begin_object();
    body.key("functionDeclarations").begin_array();
    for (index, function) in chat.functions.iter().enumerate() {
        function.begin(body);
        match function.parameters {
            None => {}
            Some(parameters) if gemini.cleans_schemas => {
                let place = format!("tools[{index}].function.parameters");
                schema::write(parameters, &place, body.key("parameters"))?;
            }
            Some(parameters) => {
                body.key("parametersJsonSchema").json(parameters);
            }
        }
        body.end_object();
    }
    body.end_array().end_object().end_array();
    Ok(())
}

fn write_choice(chat: &Chat<'_>, out: &mut Outgoing) {
    let (mode, name) = match chat.tool_choice {
        None => return,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Required) => ("ANY", None),
        Some(ToolChoice::Function(name)) => ("ANY", Some(name)),
    };
    let body = out.body().key("toolConfig").begin_object();
    body.key("functionCallingConfig").begin_object();
    body.key("mode").string(mode);
    if let Some(name) = name {
        body.key("allowedFunctionNames").begin_array();
        body.text(name).end_array();
    }
    body.end_object().end_object();
}

/// Tells the table the form of the reply. The name is one that callers' own parameters cannot have.
fn write_format(chat: &Chat<'_>, gemini: &Gemini, out: &mut Outgoing) -> Result<(), ChatError> {
    let Some(format) = &chat.response_format else {
        return Ok(());
    };
    let param = out.param("response_format").begin_object();
    param.key("mime_type").string(match format {
        ResponseFormat::Text => "text/plain",
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => "application/json",
    });
    match format {
        ResponseFormat::JsonSchema { schema, .. } if gemini.cleans_schemas => {
            let place = "response_format.json_schema.schema";
            schema::write(*schema, place, param.key("schema"))?;
        }
        ResponseFormat::JsonSchema { schema, .. } => {
            param.key("json_schema").json(*schema);
        }
        ResponseFormat::Text | ResponseFormat::JsonObject => {}
    }
    param.end_object();
    Ok(())
}
