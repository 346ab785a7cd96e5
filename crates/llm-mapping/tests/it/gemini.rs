//! What the settings of `Gemini` change, beside its table of cases.

use http::header::AUTHORIZATION;
use portcullis_llm_mapping::providers::Gemini;
use portcullis_llm_mapping::{ApiKey, LlmMappingLayer};
use serde_json::{Value, json};

use crate::exchange::{Got, Scripted, Told, exchange};
use crate::schemas;

async fn asked(gemini: Gemini, request: &Value) -> Told {
    let layer = LlmMappingLayer::new(gemini).unwrap();
    exchange(&layer, request, Scripted::json(&json!({}))).await
}

/// What the provider gets, and its body.
async fn sent(gemini: Gemini, request: &Value) -> (Got, Value) {
    let told = asked(gemini, request).await;
    let got = told.got.unwrap_or_else(|| panic!("{:?}", told.body));
    let body = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(schemas::fault("gemini", &body), None);
    (got, body)
}

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
}

fn history(model: &str) -> Value {
    let call =
        |id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"model": model, "messages": [
        {"role": "assistant", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "tool", "tool_call_id": "b", "content": "y"},
    ]})
}

#[tokio::test]
async fn vertex_has_its_own_path_and_takes_a_bearer() {
    let gemini = Gemini::new().vertex("my project", "europe-west4");
    let layer = LlmMappingLayer::new(gemini)
        .unwrap()
        .base_url("https://europe-west4-aiplatform.googleapis.com")
        .unwrap()
        .api_key(ApiKey::new("ya29").unwrap());

    let told = exchange(&layer, &hello("gemini-x"), Scripted::json(&json!({}))).await;

    let got = told.got.unwrap();
    assert_eq!(
        got.uri,
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/my%20project/locations/europe-west4/publishers/google/models/gemini-x:generateContent"
    );
    assert_eq!(got.headers[AUTHORIZATION], "Bearer ya29");
    assert!(!got.headers.contains_key("x-goog-api-key"));
}

#[tokio::test]
async fn the_version_is_a_setting() {
    for (gemini, path) in [
        (Gemini::new(), "/v1beta/models/m:generateContent"),
        (
            Gemini::new().api_version("v1"),
            "/v1/models/m:generateContent",
        ),
        (
            Gemini::new().vertex("p", "l").api_version("v1beta1"),
            "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
        ),
    ] {
        let (got, _) = sent(gemini, &hello("m")).await;

        assert_eq!(got.uri, path);
    }
}

#[tokio::test]
async fn schemas_are_cleaned_where_that_is_asked_for() {
    let schema = json!({
        "$schema": "s", "type": "object", "additionalProperties": false,
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": ["string", "null"], "default": null}},
    });
    let cleaned = json!({
        "type": "object", "properties": {"a": {"type": "string", "nullable": true}},
    });
    let mut request = hello("m");
    request["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});

    let (_, body) = sent(Gemini::new().clean_schemas(true), &request).await;

    let functions = json!([{"name": "f", "parameters": cleaned}]);
    assert_eq!(body["tools"][0]["functionDeclarations"], functions);
    let config = json!({"responseMimeType": "application/json", "responseSchema": cleaned});
    assert_eq!(body["generationConfig"], config);
}

#[tokio::test]
async fn a_schema_that_refers_to_itself_is_refused_where_it_must_be_cleaned() {
    let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}});
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    for (member, value, place) in [
        ("tools", tool, "tools[0].function.parameters"),
        (
            "response_format",
            format,
            "response_format.json_schema.schema",
        ),
    ] {
        let mut request = hello("m");
        request[member] = value;

        let told = asked(Gemini::new().clean_schemas(true), &request).await;
        let (_, body) = sent(Gemini::new(), &request).await;

        assert_eq!(told.status, 400);
        assert!(told.got.is_none());
        assert_eq!(told.json()["error"]["param"], place);
        assert!(body.to_string().contains("#/$defs/A"), "as it is: {body}");
    }
}

#[tokio::test]
async fn ids_of_calls_are_sent_where_that_is_asked_for() {
    let (_, body) = sent(Gemini::new().send_call_ids(true), &history("m")).await;

    let [calls, answers] = [0, 1].map(|at| body["contents"][at]["parts"].clone());
    assert_eq!(
        calls,
        json!([{"functionCall": {"id": "a", "name": "f", "args": {}}}, {"functionCall": {"id": "b", "name": "f", "args": {}}}])
    );
    assert_eq!(
        answers,
        json!([
            {"functionResponse": {"id": "a", "name": "f", "response": {"output": "x"}}},
            {"functionResponse": {"id": "b", "name": "f", "response": {"output": "y"}}},
        ])
    );
}

#[tokio::test]
async fn the_placeholder_for_signatures_is_a_setting() {
    for (gemini, model, is_sent) in [
        (Gemini::new(), "gemini-2.5-pro", false),
        (Gemini::new(), "models/gemini-3-pro-preview", true),
        (Gemini::new().signature_placeholder(true), "m", true),
        (
            Gemini::new().signature_placeholder(false),
            "gemini-3-pro-preview",
            false,
        ),
    ] {
        let (_, body) = sent(gemini, &history(model)).await;

        let parts = &body["contents"][0]["parts"];
        let expected = is_sent.then(|| json!("skip_thought_signature_validator"));
        assert_eq!(
            parts[0].get("thoughtSignature"),
            expected.as_ref(),
            "{model}"
        );
        assert!(parts[1].get("thoughtSignature").is_none(), "{model}");
    }
}

#[tokio::test]
async fn a_signature_goes_back_with_the_message_that_brought_it() {
    let reply = json!({"candidates": [{"content": {"parts": [
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g"}},
    ]}, "finishReason": "STOP"}]});
    let layer = LlmMappingLayer::new(Gemini::new()).unwrap();
    let mut request = hello("gemini-3-pro-preview");

    let told = exchange(&layer, &request, Scripted::json(&reply)).await;
    let message = told.json()["choices"][0]["message"].clone();
    request["messages"].as_array_mut().unwrap().push(message);
    let (_, body) = sent(Gemini::new(), &request).await;

    let parts = json!([
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {}}},
    ]);
    assert_eq!(body["contents"][1]["parts"], parts);
}

#[tokio::test]
async fn thoughts_are_asked_for_unless_the_caller_says_otherwise() {
    for (said, includes) in [
        (json!(null), json!(true)),
        (json!(true), json!(true)),
        (json!(false), json!(false)),
    ] {
        let mut request = hello("gemini-2.5-flash");
        request["include_thoughts"] = said;

        let (_, body) = sent(Gemini::new().include_thoughts(true), &request).await;

        let config = &body["generationConfig"]["thinkingConfig"]["includeThoughts"];
        assert_eq!(*config, includes);
    }
}

#[tokio::test]
async fn thoughts_are_told_where_the_layer_tells_them() {
    let reply = json!({"candidates": [{"content": {"parts": [{"text": "h", "thought": true}, {"text": "a"}]}, "finishReason": "STOP"}]});
    for is_stream in [false, true] {
        let layer = LlmMappingLayer::new(Gemini::new())
            .unwrap()
            .tell_reasoning(true);
        let mut request = hello("m");
        request["stream"] = json!(is_stream);
        let answer = if is_stream {
            Scripted::typed("text/event-stream", format!("data: {reply}\n\n"))
        } else {
            Scripted::json(&reply)
        };

        let told = exchange(&layer, &request, answer).await;

        let text = String::from_utf8_lossy(&told.body);
        assert!(text.contains(r#""reasoning_content":"h""#), "{text}");
        assert!(text.contains(r#""content":"a""#), "{text}");
    }
}
