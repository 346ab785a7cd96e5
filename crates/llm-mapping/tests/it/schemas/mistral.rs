//! `POST /v1/chat/completions` of Mistral, after its OpenAPI document, which forbids extras.

use super::Shape;

pub(super) static REQUEST: Shape = Shape::Object(members!(
    &[
        ("model", &Shape::Text),
        ("messages", &Shape::List(&MESSAGE)),
    ],
    &[
        ("frequency_penalty", &Shape::Number(-2.0, 2.0)),
        ("guardrails", &Shape::List(&Shape::Any)),
        ("max_tokens", &Shape::Integer(0, i64::MAX)),
        ("metadata", &Shape::Map(&Shape::Any)),
        ("n", &Shape::Integer(1, i64::MAX)),
        ("parallel_tool_calls", &Shape::Bool),
        (
            "prediction",
            &Shape::Tagged(
                "type",
                &[("content", members!(&[("content", &Shape::Text)], &[]))],
            ),
        ),
        ("presence_penalty", &Shape::Number(-2.0, 2.0)),
        ("prompt_cache_key", &Shape::Text),
        ("prompt_mode", &Shape::Word(&["reasoning"])),
        ("random_seed", &Shape::Integer(0, i64::MAX)),
        ("reasoning_effort", &Shape::Text),
        ("response_format", &RESPONSE_FORMAT),
        ("safe_prompt", &Shape::Bool),
        (
            "stop",
            &Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]),
        ),
        ("stream", &Shape::Bool),
        ("temperature", &Shape::Number(0.0, 1.5)),
        ("tool_choice", &TOOL_CHOICE),
        ("tools", &Shape::List(&TOOL)),
        ("top_p", &Shape::Number(0.0, 1.0)),
    ],
));

static CONTENT: Shape = Shape::Either(&[Shape::Text, Shape::List(&PART)]);

static MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("system", members!(&[("content", &CONTENT)], &[])),
        ("user", members!(&[("content", &CONTENT)], &[])),
        (
            "assistant",
            members!(
                &[],
                &[
                    ("content", &CONTENT),
                    ("prefix", &Shape::Bool),
                    ("tool_calls", &Shape::List(&TOOL_CALL)),
                ],
            ),
        ),
        (
            "tool",
            members!(
                &[("content", &CONTENT)],
                &[("name", &Shape::Text), ("tool_call_id", &Shape::Id)],
            ),
        ),
    ],
);

static PART: Shape = Shape::Tagged(
    "type",
    &[
        ("text", members!(&[("text", &Shape::Text)], &[])),
        (
            "image_url",
            members!(
                &[(
                    "image_url",
                    &Shape::Either(&[
                        Shape::Text,
                        Shape::Object(members!(
                            &[("url", &Shape::Text)],
                            &[("detail", &Shape::Text)]
                        )),
                    ]),
                )],
                &[],
            ),
        ),
        (
            "input_audio",
            members!(&[("input_audio", &Shape::Any)], &[]),
        ),
        ("file", members!(&[("file_id", &Shape::Text)], &[])),
    ],
);

static TOOL_CALL: Shape = Shape::Object(members!(
    &[
        ("id", &Shape::Id),
        (
            "function",
            &Shape::Object(members!(
                &[("name", &Shape::Text), ("arguments", &Shape::Text)],
                &[]
            )),
        ),
    ],
    &[
        ("index", &Shape::Integer(0, i64::MAX)),
        ("type", &Shape::Word(&["function"])),
    ],
));

static TOOL: Shape = Shape::Tagged(
    "type",
    &[(
        "function",
        members!(
            &[(
                "function",
                &Shape::Object(members!(
                    &[("name", &Shape::Text)],
                    &[
                        ("description", &Shape::Text),
                        ("parameters", &Shape::Map(&Shape::Any)),
                        ("strict", &Shape::Bool),
                    ],
                )),
            )],
            &[],
        ),
    )],
);

static TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["any", "auto", "none"]),
    Shape::Tagged(
        "type",
        &[(
            "function",
            members!(
                &[(
                    "function",
                    &Shape::Object(members!(&[("name", &Shape::Text)], &[]))
                )],
                &[],
            ),
        )],
    ),
]);

static RESPONSE_FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", members!(&[], &[])),
        ("json_object", members!(&[], &[])),
        (
            "json_schema",
            members!(
                &[(
                    "json_schema",
                    &Shape::Object(members!(
                        &[("name", &Shape::Text), ("schema", &Shape::Any)],
                        &[("description", &Shape::Text), ("strict", &Shape::Bool)],
                    )),
                )],
                &[],
            ),
        ),
    ],
);
