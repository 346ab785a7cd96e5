//! What the pages about the language show is so, and they show all of it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use portcullis_param_mapping::{Mapping, json_schema};
use serde_json::Value;

const REFERENCE: &str = include_str!("../../src/reference.rs");
const COOKBOOK: &str = include_str!("../../src/cookbook.rs");
const PAGE: &str = include_str!("../../src/lib.rs");

/// The rows of all tables of the reference.
fn rows() -> Vec<[&'static str; 3]> {
    let lines = REFERENCE.lines().filter_map(|line| {
        let row = line.strip_prefix("//! | `{")?.strip_suffix("` |")?;
        let [rule, body, becomes] = &*row.split("` | `").collect::<Vec<_>>() else {
            panic!("{line}")
        };
        Some([*rule, *body, *becomes])
    });
    lines.collect()
}

fn mapping(rule: &str) -> Mapping {
    // The environment of a test has no such key.
    let rule = rule.replace("secret:env:KEY", "secret:env:CARGO_PKG_NAME");
    let yaml = format!("rules:\n  - {{{rule}");
    crate::schema::assert_fits(&yaml);
    let mapping = Mapping::from_yaml_with(&yaml, |builder| {
        builder
            .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600))
            .function("reversed", |value| match value {
                Value::String(text) => Ok(Some(text.chars().rev().collect::<String>().into())),
                _ => Err("be a string".to_owned()),
            })
    });
    mapping.unwrap_or_else(|mistake| panic!("{rule}: {mistake}"))
}

#[test]
fn each_row_of_the_reference_is_so() {
    let rows = rows();
    assert!(rows.len() > 70, "{}", rows.len());
    for [rule, body, becomes] in rows {
        let mapped = mapping(rule).apply(&body.into());

        let mapped = match mapped {
            Ok(mapped) => String::from_utf8(mapped.into_bytes().to_vec()).unwrap(),
            Err(error) => format!("! {error}"),
        };
        // What is made anew, and what is long, is shown by its beginning.
        match becomes.rsplit_once('"').filter(|_| becomes.ends_with("..")) {
            Some((start, _)) => assert!(mapped.starts_with(start), "{rule}: {mapped}"),
            None => assert_eq!(mapped, becomes, "{rule} on {body}"),
        }
    }
}

#[test]
fn the_pages_know_every_word() {
    let schema = json_schema();
    let fields = |name: &str| -> Vec<String> {
        let members = schema["$defs"][name]["properties"].as_object().unwrap();
        members.keys().cloned().collect()
    };
    let variants = |name: &str| -> Vec<String> {
        let variants = schema["$defs"][name]["oneOf"].as_array().unwrap().iter();
        let name = |variant: &Value| match variant["const"].as_str() {
            Some(word) => word.to_owned(),
            None => variant["required"][0].as_str().unwrap().to_owned(),
        };
        variants.map(name).collect()
    };
    let tests = schema["$defs"]["When"]["additionalProperties"]["anyOf"][1]["properties"].clone();
    let tests = tests.as_object().unwrap().keys().cloned().collect();
    let shown: BTreeSet<_> = REFERENCE
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let named: BTreeSet<_> = PAGE
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();

    for (words, is_on_the_page) in [
        (fields("RuleConfig"), true),
        (variants("Transform"), true),
        (variants("OnError"), true),
        (tests, true),
        (variants("Generate"), false),
        (variants("Now"), false),
    ] {
        for word in words {
            assert!(shown.contains(&*word), "the reference has no `{word}`");
            let is_named = !is_on_the_page || named.contains(&*word);
            assert!(is_named, "the crate page has no `{word}`");
        }
    }
}

#[test]
fn the_mappings_of_the_cookbook_fit_the_schema() {
    let parts = COOKBOOK.split("let mapping = ").skip(1);
    let texts = parts.filter_map(|part| {
        let part = part.trim_start_matches("Mapping::from_yaml(");
        let (text, _) = part.strip_prefix("\"\n")?.split_once("//! \"")?;
        Some(text.replace("//!", ""))
    });
    let texts: Vec<_> = texts.collect();

    assert!(texts.len() >= 12, "{}", texts.len());
    for text in texts {
        crate::schema::assert_fits(&text);
    }
}
