use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn cleaned(schema: &str) -> Result<String, ChatError> {
    let json = Json::parse(schema.as_bytes(), "it").unwrap();
    let mut out = JsonWriter::new();
    write(json, "tools[0].function.parameters", &mut out)?;
    Ok(String::from_utf8(out.into_bytes().into()).unwrap())
}

#[test]
fn schemas_become_the_subset() {
    for (schema, expected) in [
        (
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#,
        ),
        // What has no word there.
        (
            r#"{"$schema":"s","$id":"i","strict":true,"default":1,"$defs":{},"definitions":{},"title":"t","type":"integer","minimum":0}"#,
            r#"{"type":"integer","title":"t","minimum":0}"#,
        ),
        // A property may have any name.
        (
            r#"{"type":"object","properties":{"default":{"type":"string"},"$ref":{"type":"string"}}}"#,
            r#"{"type":"object","properties":{"default":{"type":"string"},"$ref":{"type":"string"}}}"#,
        ),
        // References, with what stands beside them.
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A","description":"own"},"b":{"$ref":"#/definitions/B~1C%20"}},"$defs":{"A":{"type":"string","description":"a"}},"definitions":{"B/C ":{"type":"array","items":{"$ref":"#/$defs/A"}}}}"##,
            r#"{"type":"object","properties":{"a":{"type":"string","description":"own"},"b":{"type":"array","items":{"type":"string","description":"a"}}}}"#,
        ),
        (
            r##"{"properties":{"a":{"allOf":[{"$ref":"#/$defs/A"}],"title":"t"}},"$defs":{"A":{"type":"string"}}}"##,
            r#"{"properties":{"a":{"type":"string","title":"t"}}}"#,
        ),
        // What may be null.
        (
            r#"{"type":["string","null"]}"#,
            r#"{"type":"string","nullable":true}"#,
        ),
        (
            r#"{"anyOf":[{"type":"integer"},{"type":"null"}]}"#,
            r#"{"type":"integer","nullable":true}"#,
        ),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"null"},{"type":"string"}]}"#,
            r#"{"anyOf":[{"type":"integer"},{"type":"string"}],"nullable":true}"#,
        ),
        (
            r#"{"type":["integer","null","string"]}"#,
            r#"{"anyOf":[{"type":"integer"},{"type":"string"}],"nullable":true}"#,
        ),
        (
            r#"{"type":"string","enum":["a",null]}"#,
            r#"{"type":"string","enum":["a"],"nullable":true}"#,
        ),
        (
            r#"{"type":"string","nullable":true}"#,
            r#"{"type":"string","nullable":true}"#,
        ),
        // Constants and formats.
        (r#"{"const":"v"}"#, r#"{"enum":["v"]}"#),
        (
            r#"{"type":"string","format":"uuid"}"#,
            r#"{"type":"string"}"#,
        ),
        (
            r#"{"type":"string","format":"date-time"}"#,
            r#"{"type":"string","format":"date-time"}"#,
        ),
        (
            r#"{"type":"string","format":"enum","enum":["a"]}"#,
            r#"{"type":"string","format":"enum","enum":["a"]}"#,
        ),
        (
            r#"{"type":"integer","format":"int64"}"#,
            r#"{"type":"integer","format":"int64"}"#,
        ),
        // Anything.
        (r#"{"properties":{"a":true}}"#, r#"{"properties":{"a":{}}}"#),
    ] {
        let actual = cleaned(schema).unwrap();
        assert_eq!(actual, expected, "{schema}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let doubling: Vec<_> = (0..40)
        .map(|at| {
            let next = at + 1;
            format!(r##""D{at}":{{"properties":{{"a":{{"$ref":"#/$defs/D{next}"}},"b":{{"$ref":"#/$defs/D{next}"}}}}}}"##)
        })
        .collect();
    let doubling = format!(
        r##"{{"$ref":"#/$defs/D0","$defs":{{{},"D40":{{}}}}}}"##,
        doubling.join(",")
    );
    let chain: Vec<_> = (0..100)
        .map(|at| format!(r##""D{at}":{{"$ref":"#/$defs/D{}"}}"##, at + 1))
        .collect();
    let chain = format!(
        r##"{{"$ref":"#/$defs/D0","$defs":{{{}}}}}"##,
        chain.join(",")
    );
    let many: Vec<_> = (0..=MAX_REFERENCES)
        .map(|at| format!(r##""p{at}":{{"$ref":"#/$defs/l/{at}"}}"##))
        .collect();
    let list = vec!["{}"; MAX_REFERENCES + 1].join(",");
    let many = format!(
        r##"{{"properties":{{{}}},"$defs":{{"l":[{list}]}}}}"##,
        many.join(",")
    );
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(MAX_BYTES));
    for (schema, word) in [
        (r##"{"$ref":"#"}"##, "leads to itself: `#`"),
        (
            r##"{"$ref":"#/$defs/A","$defs":{"A":{"properties":{"a":{"items":{"$ref":"#/$defs/A"}}}}}}"##,
            "leads to itself: `#/$defs/A`",
        ),
        (r##"{"$ref":"#/$defs/A"}"##, "leads to nothing"),
        (r#"{"$ref":"other.json"}"#, "leads to nothing"),
        (r#"{"$ref":1}"#, "is no string"),
        (r#"{"allOf":[{},{}]}"#, "`allOf`"),
        (&doubling, "longer than 1048576 bytes without"),
        (&chain, "deeper than 64"),
        (&many, "more than 256"),
        (&long, "longer than 1048576 bytes"),
    ] {
        let error = cleaned(schema).unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(error.error_param(), Some("tools[0].function.parameters"));
        assert!(error.message().contains(word), "{error}");
    }
}

/// Anything that looks like a schema, with references between its parts.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({"type": "string", "format": "uuid", "default": null})),
        Just(json!({"type": ["integer", "null"], "exclusiveMinimum": 0})),
        Just(json!({"const": 1})),
        "#(/\\$defs/[ab]|/properties/[ab]|/c)?".prop_map(|to| json!({"$ref": to, "title": "t"})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let named = proptest::collection::btree_map("[ab]", inner.clone(), 0..3);
        let named = named.prop_map(|map| map.into_iter().collect::<Value>());
        let list = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (named.clone(), named).prop_map(
                |(own, defs)| json!({"type": "object", "properties": own, "$defs": defs})
            ),
            inner.prop_map(|items| json!({"type": "array", "items": items, "minItems": 1})),
            (list, "anyOf|oneOf|allOf")
                .prop_map(|(list, word)| json!({word: list, "additionalProperties": false})),
        ]
    })
}

/// Whether only words of the subset are in it, at each place where a schema is.
fn is_subset(schema: &Value) -> bool {
    let Some(members) = schema.as_object() else {
        return false;
    };
    members.iter().all(|(name, value)| match &**name {
        "properties" => value.as_object().unwrap().values().all(is_subset),
        "items" => is_subset(value),
        "anyOf" => value.as_array().unwrap().iter().all(is_subset),
        "type" => value.is_string(),
        "enum" | "format" | "nullable" => true,
        name => SAME.contains(&name),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_in_the_subset(schema in any_schema()) {
        match cleaned(&schema.to_string()) {
            Ok(text) => prop_assert!(is_subset(&serde_json::from_str(&text).unwrap()), "{text}"),
            Err(error) => prop_assert_eq!(error.status(), 400),
        }
    }
}
