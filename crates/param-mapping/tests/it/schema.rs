//! The JSON Schema of the language says what the parser says, as far as a schema can.

use portcullis_gateway_error::ConfigFile;
use portcullis_param_mapping::{Mapping, json_schema};
use serde_json::Value;

/// A mapping is what the schema says.
#[track_caller]
pub(crate) fn assert_fits(yaml: &str) {
    assert_eq!(misfit(yaml), None, "{yaml}");
}

fn misfit(yaml: &str) -> Option<String> {
    let file = ConfigFile::parse(yaml).unwrap();
    let schema = json_schema();
    check(&schema, &schema, &file.read().unwrap()).err()
}

/// Checks a value by the keywords that the schema uses; the test below sees to it that there are no others.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return if schema == &Value::Bool(false) {
            Err("nothing fits".to_owned())
        } else {
            Ok(())
        };
    };
    let fits = |schema: &Value| check(root, schema, value);
    let fail = |why: String| Err(format!("{why}: {value}"));
    for (keyword, says) in keywords {
        let list = || says.as_array().into_iter().flatten();
        match &**keyword {
            "$ref" => {
                let name = says.as_str().unwrap().trim_start_matches("#/$defs/");
                fits(&root["$defs"][name])?;
            }
            "anyOf" if !list().any(|one| fits(one).is_ok()) => {
                let told: Vec<_> = list().filter_map(|one| fits(one).err()).collect();
                return fail(told.join(" | "));
            }
            "oneOf" if list().filter(|one| fits(one).is_ok()).count() != 1 => {
                return fail("oneOf".to_owned());
            }
            "not" if fits(says).is_ok() => return fail("not".to_owned()),
            "const" if says != value => return fail(format!("is not {says}")),
            "enum" if !list().any(|one| one == value) => return fail("enum".to_owned()),
            "type" => {
                let kinds = says.as_array().cloned().unwrap_or(vec![says.clone()]);
                if !kinds
                    .iter()
                    .any(|kind| is_of(value, kind.as_str().unwrap()))
                {
                    return fail(format!("is no {says}"));
                }
            }
            "minimum" if value.as_f64() < says.as_f64() => return fail("minimum".to_owned()),
            "pattern" => {
                let pattern = regex::Regex::new(says.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    return fail("pattern".to_owned());
                }
            }
            "minItems" if value.as_array().is_some_and(Vec::is_empty) => {
                return fail("empty".to_owned());
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, says, item)?;
                }
            }
            "minProperties" if value.as_object().is_some_and(|all| all.is_empty()) => {
                return fail("empty".to_owned());
            }
            "required" if value.is_object() => {
                if let Some(name) = list().find(|name| value.get(name.as_str().unwrap()).is_none())
                {
                    return fail(format!("has no {name}"));
                }
            }
            "properties" | "additionalProperties" | "propertyNames" if value.is_object() => {
                for (name, member) in value.as_object().unwrap() {
                    let known = keywords.get("properties").and_then(|all| all.get(name));
                    match (&**keyword, known) {
                        ("propertyNames", _) => check(root, says, &name.as_str().into())?,
                        ("properties", Some(schema)) => check(root, schema, member)?,
                        ("additionalProperties", None) => {
                            check(root, says, member).map_err(|why| format!("{name}: {why}"))?;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_schema_uses_no_keyword_that_is_not_checked_here() {
    let known = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "examples",
        "format",
        "items",
        "minItems",
        "minProperties",
        "minimum",
        "maximum",
        "not",
        "oneOf",
        "pattern",
        "properties",
        "propertyNames",
        "required",
        "title",
        "type",
    ];
    let mut open = vec![json_schema()];
    while let Some(schema) = open.pop() {
        for (keyword, says) in schema.as_object().into_iter().flatten() {
            assert!(known.contains(&&**keyword), "{keyword}");
            match &**keyword {
                "$defs" | "properties" => open.extend(says.as_object().unwrap().values().cloned()),
                "anyOf" | "oneOf" => open.extend(says.as_array().unwrap().iter().cloned()),
                "additionalProperties" | "items" | "not" | "propertyNames" => {
                    open.push(says.clone());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_mistake_of_form_fits_neither_the_schema_nor_the_parser() {
    for yaml in [
        "rulse: []",
        "rules: {}",
        "max_body_bytes: many",
        "max_body_bytes: -1",
        "duplicate_keys: first",
        "request: {base: nothing}",
        "match: {route: /v1}",
        "rules: [{}]",
        "rules: [{mov: query:a, to: query:b}]",
        "rules: [{require: true}]",
        "rules: [{default: 7}]",
        "rules: [{set: query:a, value: 1, remove: query:b}]",
        "rules: [{require: query:a, remove: query:b}]",
        "rules: [{move: query:a, to: body/a}]",
        "rules: [{remove: 'body:a'}]",
        "rules: [{remove: [query:a, 'query:']}]",
        "rules: [{remove: []}]",
        "rules: [{remove: secret:PATH}]",
        "rules: [{update: body:/a, with: {coerce: int}}]",
        "rules: [{update: body:/a, with: {clamp: {minimum: 1}}}]",
        "rules: [{update: body:/a, with: {clamp: {min: low}}}]",
        "rules: [{update: body:/a, with: [trim, uper]}]",
        "rules: [{set: body:/a, generate: {now: unix_seconds}}]",
        "rules: [{remove: body:/a, when: {model: 1}}]",
        "rules: [{remove: body:/a, when: {}}]",
        "rules: [{remove: body:/a, when: {body:/a: [1]}}]",
        "rules: [{remove: body:/a, when: {body:/a: {eq: 1, less: 2}}}]",
        "rules: [{remove: body:/a, when: {any: {body:/a: 1}}}]",
        "rules: [{remove: body:/a, on_error: ignore}]",
        "rules: [{for_each: body:/a, rules: [{remove: item}]}]",
    ] {
        assert!(Mapping::from_yaml(yaml).is_err(), "{yaml}");
        assert!(misfit(yaml).is_some(), "{yaml}");
    }
}

#[test]
fn what_can_be_said_in_two_ways_fits_both() {
    for yaml in [
        "",
        "rules: [{rename: query:a, to: body:/b, default: null}]",
        "rules: [{default: [body:/a, body:/b], value: null}]",
        "rules: [{default: body:/a, from: body:/b, require: true}]",
        "rules: [{require: [body:/a, query:b]}]",
        "rules: [{set: body:/a, from: body:/b, require: true, default: {}}]",
        "rules: [{remove: body:/a, when: {not: {body:/b: null}, header:x: {exists: false}}}]",
        "rules: [{update: body:/a, with: trim}, {update: body:/b, with: [unwrap, {map: {table: {a: 1}, otherwise: {value: 2}}}]}]",
        "match: {path: '/v1/{kind}', methods: [POST]}\nresponse: {rules: [{set: status, value: 503}], unmapped: drop}",
    ] {
        Mapping::from_yaml(yaml).unwrap();
        assert_fits(yaml);
    }
}
