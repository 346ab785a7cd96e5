//! `POST /v1/messages`, after its SDKs.

use super::{Members, Shape};

pub(super) static REQUEST: Shape = Shape::Object(members!(
    &[
        ("model", &Shape::Text),
        ("max_tokens", &Shape::Integer(1, i64::MAX)),
        ("messages", &Shape::List(&MESSAGE)),
    ],
    &[
        (
            "metadata",
            &Shape::Object(members!(&[], &[("user_id", &Shape::Text)])),
        ),
        ("output_config", &OUTPUT_CONFIG),
        ("service_tier", &Shape::Word(&["auto", "standard_only"])),
        ("stop_sequences", &Shape::List(&Shape::Text)),
        ("stream", &Shape::Bool),
        (
            "system",
            &Shape::Either(&[Shape::Text, Shape::List(&TEXT_BLOCK)]),
        ),
        ("temperature", &Shape::Number(0.0, 1.0)),
        ("thinking", &THINKING),
        ("tool_choice", &TOOL_CHOICE),
        ("tools", &Shape::List(&TOOL)),
        ("top_k", &Shape::Integer(0, i64::MAX)),
        ("top_p", &Shape::Number(0.0, 1.0)),
    ],
));

static OUTPUT_CONFIG: Shape = Shape::Object(members!(
    &[],
    &[
        (
            "effort",
            &Shape::Word(&["low", "medium", "high", "xhigh", "max"]),
        ),
        (
            "format",
            &Shape::Tagged(
                "type",
                &[("json_schema", members!(&[("schema", &Shape::Any)], &[]))],
            ),
        ),
    ],
));

static THINKING: Shape = Shape::Tagged(
    "type",
    &[
        (
            "enabled",
            members!(&[("budget_tokens", &Shape::Integer(1024, i64::MAX))], &[]),
        ),
        ("disabled", members!(&[], &[])),
        ("adaptive", members!(&[], &[])),
    ],
);

static MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        (
            "user",
            members!(
                &[(
                    "content",
                    &Shape::Either(&[Shape::Text, Shape::List(&USER_BLOCK)]),
                )],
                &[],
            ),
        ),
        (
            "assistant",
            members!(
                &[(
                    "content",
                    &Shape::Either(&[Shape::Text, Shape::List(&ASSISTANT_BLOCK)]),
                )],
                &[],
            ),
        ),
    ],
);

static CACHE_CONTROL: Shape = Shape::Tagged(
    "type",
    &[(
        "ephemeral",
        members!(&[], &[("ttl", &Shape::Word(&["5m", "1h"]))]),
    )],
);

const TEXT: Members = members!(
    &[("text", &Shape::Text)],
    &[("cache_control", &CACHE_CONTROL)],
);

const IMAGE: Members = members!(&[("source", &SOURCE)], &[("cache_control", &CACHE_CONTROL)]);

const DOCUMENT: Members = members!(
    &[("source", &SOURCE)],
    &[
        ("cache_control", &CACHE_CONTROL),
        ("context", &Shape::Text),
        ("title", &Shape::Text),
    ],
);

static TEXT_BLOCK: Shape = Shape::Tagged("type", &[("text", TEXT)]);

static USER_BLOCK: Shape = Shape::Tagged(
    "type",
    &[
        ("text", TEXT),
        ("image", IMAGE),
        ("document", DOCUMENT),
        (
            "tool_result",
            members!(
                &[("tool_use_id", &Shape::Text)],
                &[
                    ("cache_control", &CACHE_CONTROL),
                    (
                        "content",
                        &Shape::Either(&[Shape::Text, Shape::List(&RESULT_BLOCK)]),
                    ),
                    ("is_error", &Shape::Bool),
                ],
            ),
        ),
    ],
);

static RESULT_BLOCK: Shape = Shape::Tagged(
    "type",
    &[("text", TEXT), ("image", IMAGE), ("document", DOCUMENT)],
);

static ASSISTANT_BLOCK: Shape = Shape::Tagged(
    "type",
    &[
        ("text", TEXT),
        (
            "tool_use",
            members!(
                &[
                    ("id", &Shape::Text),
                    ("name", &Shape::Text),
                    ("input", &Shape::Map(&Shape::Any)),
                ],
                &[("cache_control", &CACHE_CONTROL)],
            ),
        ),
        (
            "thinking",
            members!(
                &[("thinking", &Shape::Text), ("signature", &Shape::Text)],
                &[],
            ),
        ),
        (
            "redacted_thinking",
            members!(&[("data", &Shape::Text)], &[]),
        ),
    ],
);

static SOURCE: Shape = Shape::Tagged(
    "type",
    &[
        (
            "base64",
            members!(
                &[
                    (
                        "media_type",
                        &Shape::Word(&[
                            "application/pdf",
                            "image/gif",
                            "image/jpeg",
                            "image/png",
                            "image/webp",
                        ]),
                    ),
                    ("data", &Shape::Text),
                ],
                &[],
            ),
        ),
        ("url", members!(&[("url", &Shape::Text)], &[])),
    ],
);

static TOOL: Shape = Shape::Object(members!(
    &[("name", &Shape::Text), ("input_schema", &INPUT_SCHEMA)],
    &[
        ("cache_control", &CACHE_CONTROL),
        ("description", &Shape::Text),
        ("strict", &Shape::Bool),
    ],
));

static INPUT_SCHEMA: Shape = Shape::Map(&Shape::Any);

static TOOL_CHOICE: Shape = Shape::Tagged(
    "type",
    &[
        ("auto", SINGLE),
        ("any", SINGLE),
        ("none", members!(&[], &[])),
        (
            "tool",
            members!(
                &[("name", &Shape::Text)],
                &[("disable_parallel_tool_use", &Shape::Bool)],
            ),
        ),
    ],
);

const SINGLE: Members = members!(&[], &[("disable_parallel_tool_use", &Shape::Bool)]);
