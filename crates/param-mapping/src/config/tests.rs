use super::*;

const ALL: &str = r#"
max_body_bytes: 4096
rules:
  - {move: query:text, to: body:/parameters/input, require: true}
  - {rename: "header:X-Kind", to: header:x-type}
  - {set: body:/stream, value: false}
  - {default: body:/seed, value: null}
  - {remove: header:authorization}
  - {require: query:text}
"#;

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn code_and_yaml_make_the_same_mapping() {
    let from_yaml = Mapping::from_yaml(ALL).unwrap();

    let from_code = Mapping::builder()
        .max_body_bytes(4096)
        .rule(Rule::rename(at("query:text"), at("body:/parameters/input")).required())
        .rule(Rule::rename(at("header:x-kind"), at("header:x-type")))
        .rule(Rule::set(at("body:/stream"), false))
        .rule(Rule::default(at("body:/seed"), Value::Null))
        .rules([
            Rule::remove(at("header:authorization")),
            Rule::require(at("query:text")),
        ])
        .build()
        .unwrap();

    assert_eq!(format!("{from_yaml:?}"), format!("{from_code:?}"));
}

#[test]
fn the_defaults_are_the_same_both_ways() {
    let from_yaml = Mapping::from_yaml("").unwrap();

    let from_code = Mapping::builder().build().unwrap();

    assert_eq!(format!("{from_yaml:?}"), format!("{from_code:?}"));
}

#[test]
fn a_config_is_written_as_it_was_read() {
    let file = portcullis_gateway_error::ConfigFile::parse(ALL).unwrap();
    let config: Config = file.read().unwrap();

    let again = serde_json::to_string(&config).unwrap();

    assert_eq!(serde_json::from_str::<Config>(&again).unwrap(), config);
    assert!(
        again.contains(r#"{"default":"body:/seed","value":null}"#),
        "{again}"
    );
}

#[test]
fn every_mistake_has_its_line_and_field() {
    for (rule, expected) in [
        (
            "{}",
            "rules[1]: has no verb: it is one of `move`, `copy`, `set`, `replace`, `add`, `default`, `append`, `prepend`, `merge`, `update`, `remove`, `allow`, `require`, `test`, `for_each`",
        ),
        (
            "{require: true}",
            "rules[1]: has no verb: it is one of `move`, `copy`, `set`, `replace`, `add`, `default`, `append`, `prepend`, `merge`, `update`, `remove`, `allow`, `require`, `test`, `for_each`",
        ),
        (
            "{require: 1}",
            "rules[1].require: invalid type: integer `1`, expected `true`, `false` or an address",
        ),
        ("{move: query:a}", "rules[1]: `move` needs `to`"),
        ("{set: query:a}", "rules[1]: `set` needs `value`"),
        ("{default: query:a}", "rules[1]: `default` needs `value`"),
        (
            "{remove: query:a, to: query:b}",
            "rules[1].to: has no meaning beside `remove`",
        ),
        (
            "{move: query:a, to: query:b, value: 1}",
            "rules[1].value: has no meaning beside `move`",
        ),
        (
            "{remove: query:a, require: true}",
            "rules[1].require: has no meaning beside `remove`",
        ),
        (
            "{set: query:a, value: 1, remove: query:b}",
            "rules[1].remove: is a second verb, beside `set`: write two rules",
        ),
        (
            "{mov: query:a, to: query:b}",
            "rules[1].mov: unknown field `mov`, expected one of `move`, `rename`, `copy`, `to`, `set`, `replace`, `add`, `default`, `append`, `prepend`, `merge`, `update`, `remove`, `allow`, `require`, `test`, `for_each`, `value`, `template`, `from`, `sum`, `generate`, `with`, `rules`, `keep`, `when`, `on_error`",
        ),
        (
            "{move: query:a, to: body/a}",
            "rules[1].to: has no location: write `body:/a/b`, `query:a` or `header:a`",
        ),
        (
            "{remove: body:a}",
            "rules[1].remove: a pointer must be empty or start with `/`: `body:/a`",
        ),
        (
            "{move: query:a, to: query:a}",
            "rules[1].to: `query:a` is where it comes from",
        ),
        (
            "{move: query:a, to: header:x-first}",
            "rules[1].to: `header:x-first` is written by rules[0] too",
        ),
        (
            "{set: header:connection, value: close}",
            "rules[1].set: `connection` belongs to the connection, not to the request",
        ),
        (
            "{remove: header:Keep-Alive}",
            "rules[1].remove: `keep-alive` belongs to the connection, not to the request",
        ),
        (
            "{move: header:te, to: query:a}",
            "rules[1].move: `te` belongs to the connection, not to the request",
        ),
        (
            "{default: header:content-length, value: 1}",
            "rules[1].default: `content-length` follows from the body",
        ),
        (
            "{set: header:a, value: \"1\\n\"}",
            "rules[1].value: holds a character that no header can hold",
        ),
        (
            "{set: query:a, value: [1]}",
            "rules[1].value: must be a string, a number or a boolean for `query:a`, is an array",
        ),
        (
            "{default: header:a, value: null}",
            "rules[1].value: must be a string, a number or a boolean for `header:a`, is null",
        ),
        (
            "{remove: \"body:\"}",
            "rules[1].remove: the whole body cannot be removed",
        ),
        (
            "{move: \"body:\", to: query:a}",
            "rules[1].to: the whole body can only be moved into the body, not to `query:a`",
        ),
    ] {
        let text = format!("rules:\n  - {{set: header:x-first, value: 1}}\n  - {rule}\n");

        let mistake = Mapping::from_yaml(&text).unwrap_err();

        assert_eq!(mistake.line(), Some(3), "{mistake}");
        let message = format!("{}: {}", mistake.path(), mistake.message());
        assert_eq!(message, expected, "{rule}");
    }
}

#[test]
fn rules_that_cannot_stand_together_are_mistakes() {
    for (rules, expected) in [
        (
            "[{set: body:/a, value: 1}, {move: query:x, to: body:/a/b}]",
            Some("rules[1].to: `body:/a/b` lies below the scalar that rules[0] sets"),
        ),
        (
            "[{default: body:/a/b, value: 1}, {set: body:/a, value: x}]",
            Some("rules[1].set: `body:/a/b`, which rules[0] writes, lies below this scalar"),
        ),
        (
            "[{move: query:x, to: body:/a}, {move: query:y, to: body:/a}]",
            Some("rules[1].to: `body:/a` is written by rules[0] too"),
        ),
        (
            "[{default: header:A, value: 1}, {default: header:a, value: 2}]",
            Some("rules[1].default: `header:a` is written by rules[0] too"),
        ),
        (
            "[{move: query:x, to: body:/a}, {default: body:/a, value: 1}]",
            None,
        ),
        ("[{remove: body:/a}, {set: body:/a, value: 1}]", None),
        (
            "[{set: body:/a, value: {}}, {set: body:/a/b, value: 1}]",
            None,
        ),
        (
            "[{move: query:x, to: query:y}, {move: query:x, to: query:z}]",
            None,
        ),
    ] {
        let mapping = Mapping::from_yaml(&format!("rules: {rules}"));

        let message = mapping
            .err()
            .map(|mistake| format!("{}: {}", mistake.path(), mistake.message()));
        assert_eq!(message.as_deref(), expected, "{rules}");
    }
}

#[test]
fn a_limit_of_zero_is_a_mistake() {
    let mistake = Mapping::from_yaml("rules: []\nmax_body_bytes: 0").unwrap_err();

    assert_eq!(
        mistake.to_string(),
        "line 2, column 1: max_body_bytes: must be at least 1, is 0"
    );
}

#[test]
fn the_example_of_the_crate_page_is_a_mapping() {
    let page = include_str!("../lib.rs");
    let (_, example) = page.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("//! ```").unwrap();
    let lines = example.lines().map(|line| line.trim_start_matches("//!"));
    let text = lines.collect::<Vec<_>>().join("\n");

    let mapping = Mapping::from_yaml(&text).unwrap();

    let body = r#"{"model":"claude-x","top_k":1,"stop":"a","temperature":2,"messages":[{"role":"system"}]}"#;
    let mapped = mapping.apply(&body.into()).unwrap().into_bytes();
    assert_eq!(
        mapped,
        r#"{"model":"claude-x","temperature":1,"messages":[{"role":"system"}],"max_tokens":4096,"stop_sequences":["a"],"system":[{"role":"system"}]}"#
    );
}
