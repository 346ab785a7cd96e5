//! `generateContent`, after its discovery document.

use super::{Members, Shape};

pub(super) static REQUEST: Shape = Shape::Object(members!(
    &[("contents", &Shape::List(&CONTENT))],
    &[
        ("cachedContent", &Shape::Text),
        ("generationConfig", &CONFIG),
        ("safetySettings", &Shape::List(&SAFETY)),
        ("systemInstruction", &SYSTEM),
        ("toolConfig", &TOOL_CONFIG),
        ("tools", &Shape::List(&TOOL)),
    ],
));

static SYSTEM: Shape = Shape::Object(members!(&[("parts", &Shape::List(&TEXT))], &[]));

static TEXT: Shape = Shape::Object(members!(&[("text", &Shape::Text)], &[]));

static CONTENT: Shape = Shape::Object(members!(
    &[
        ("role", &Shape::Word(&["user", "model"])),
        ("parts", &Shape::List(&PART)),
    ],
    &[],
));

static PART: Shape = Shape::Object(Members {
    required: &[],
    optional: &[
        ("thought", &Shape::Bool),
        ("thoughtSignature", &Shape::Text),
    ],
    one_of: &[
        ("text", &Shape::Text),
        ("inlineData", &INLINE_DATA),
        ("fileData", &FILE_DATA),
        ("functionCall", &FUNCTION_CALL),
        ("functionResponse", &FUNCTION_RESPONSE),
    ],
});

static INLINE_DATA: Shape = Shape::Object(members!(
    &[("mimeType", &Shape::Text), ("data", &Shape::Text)],
    &[]
));

static FILE_DATA: Shape = Shape::Object(members!(
    &[("fileUri", &Shape::Text)],
    &[("mimeType", &Shape::Text)]
));

static FUNCTION_CALL: Shape = Shape::Object(members!(
    &[("name", &Shape::Text)],
    &[("id", &Shape::Text), ("args", &Shape::Map(&Shape::Any))],
));

static FUNCTION_RESPONSE: Shape = Shape::Object(members!(
    &[
        ("name", &Shape::Text),
        ("response", &Shape::Map(&Shape::Any)),
    ],
    &[("id", &Shape::Text)],
));

static TOOL: Shape = Shape::Object(members!(
    &[("functionDeclarations", &Shape::List(&FUNCTION))],
    &[]
));

static FUNCTION: Shape = Shape::Object(members!(
    &[("name", &Shape::Text)],
    &[
        ("description", &Shape::Text),
        ("parameters", &SCHEMA),
        ("parametersJsonSchema", &Shape::Any),
    ],
));

static TOOL_CONFIG: Shape = Shape::Object(members!(
    &[],
    &[(
        "functionCallingConfig",
        &Shape::Object(members!(
            &[("mode", &Shape::Word(&["AUTO", "ANY", "NONE"]))],
            &[("allowedFunctionNames", &Shape::List(&Shape::Text))],
        )),
    )],
));

static SAFETY: Shape = Shape::Object(members!(
    &[("category", &Shape::Text), ("threshold", &Shape::Text)],
    &[],
));

static CONFIG: Shape = Shape::Object(members!(
    &[],
    &[
        ("candidateCount", &Shape::Integer(1, 8)),
        ("frequencyPenalty", &Shape::Number(-2.0, 2.0)),
        ("logprobs", &Shape::Integer(0, 20)),
        ("maxOutputTokens", &Shape::Integer(1, i32::MAX as i64)),
        ("presencePenalty", &Shape::Number(-2.0, 2.0)),
        ("responseJsonSchema", &Shape::Any),
        ("responseLogprobs", &Shape::Bool),
        (
            "responseMimeType",
            &Shape::Word(&["application/json", "text/plain"]),
        ),
        (
            "responseModalities",
            &Shape::List(&Shape::Word(&["TEXT", "IMAGE", "AUDIO"])),
        ),
        ("responseSchema", &SCHEMA),
        ("seed", &Shape::Integer(i32::MIN as i64, i32::MAX as i64)),
        ("stopSequences", &Shape::List(&Shape::Text)),
        ("temperature", &Shape::Number(0.0, 2.0)),
        ("thinkingConfig", &THINKING),
        ("topK", &Shape::Integer(1, i32::MAX as i64)),
        ("topP", &Shape::Number(0.0, 1.0)),
    ],
));

static THINKING: Shape = Shape::Object(members!(
    &[],
    &[
        ("includeThoughts", &Shape::Bool),
        ("thinkingBudget", &Shape::Integer(-1, 32768)),
        (
            "thinkingLevel",
            &Shape::Word(&["minimal", "low", "medium", "high"]),
        ),
    ],
));

/// The subset of OpenAPI.
static SCHEMA: Shape = Shape::Object(members!(
    &[],
    &[
        ("anyOf", &Shape::List(&SCHEMA)),
        ("description", &Shape::Text),
        ("enum", &Shape::List(&Shape::Any)),
        ("example", &Shape::Any),
        ("format", &Shape::Text),
        ("items", &SCHEMA),
        ("maxItems", &Shape::Any),
        ("maxLength", &Shape::Any),
        ("maxProperties", &Shape::Any),
        ("maximum", &Shape::Any),
        ("minItems", &Shape::Any),
        ("minLength", &Shape::Any),
        ("minProperties", &Shape::Any),
        ("minimum", &Shape::Any),
        ("nullable", &Shape::Bool),
        ("pattern", &Shape::Text),
        ("properties", &Shape::Map(&SCHEMA)),
        ("propertyOrdering", &Shape::List(&Shape::Text)),
        ("required", &Shape::List(&Shape::Text)),
        ("title", &Shape::Text),
        (
            "type",
            &Shape::Word(&[
                "array", "boolean", "integer", "null", "number", "object", "string",
            ]),
        ),
    ],
));
