//! Bugs that other gateways have, or had. Each name says what goes wrong there.

use bytes::Bytes;
use http::{Request, StatusCode};
use portcullis_param_mapping::{Mapping, Rule, Transform, Wrap};

use crate::{Fixture, fixture, full, json_post, moves, send};

fn at(text: &str) -> portcullis_param_mapping::Address {
    text.parse().unwrap()
}

fn map(rules: impl IntoIterator<Item = Rule>, body: &str) -> String {
    let mapping = Mapping::builder().rules(rules).build().unwrap();
    match mapping.apply(&Bytes::copy_from_slice(body.as_bytes())) {
        Ok(mapped) => String::from_utf8(mapped.into_bytes().to_vec()).unwrap(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn zero_false_and_the_empty_text_are_not_lost_nor_overwritten() {
    let rules = [
        moves("body:/temperature", "body:/options/temperature"),
        moves("body:/stream", "body:/options/stream"),
        Rule::default(at("body:/options/temperature"), 1),
        Rule::default(at("body:/options/stream"), true),
        Rule::default(at("body:/user"), "x"),
    ];

    let mapped = map(rules, r#"{"temperature":0,"stream":false,"user":""}"#);

    assert_eq!(
        mapped,
        r#"{"user":"","options":{"temperature":0,"stream":false}}"#
    );
}

#[test]
fn json_values_do_not_become_strings() {
    let mapped = map(
        [moves("body:/a", "body:/b")],
        r#"{"a":[1,true,null,{"x":1.0}]}"#,
    );

    assert_eq!(mapped, r#"{"b":[1,true,null,{"x":1.0}]}"#);
}

#[test]
fn a_string_where_an_array_is_needed_becomes_one() {
    let rule = || moves("body:/stop", "body:/stop_sequences").with(Transform::Wrap(Wrap::IfScalar));

    assert_eq!(
        map([rule()], r#"{"stop":"END"}"#),
        r#"{"stop_sequences":["END"]}"#
    );
    assert_eq!(
        map([rule()], r#"{"stop":["a","b"]}"#),
        r#"{"stop_sequences":["a","b"]}"#
    );
}

#[test]
fn a_required_parameter_is_never_silently_left_out() {
    let rule = || moves("body:/max_completion_tokens", "body:/max_tokens").required();

    assert_eq!(
        map([rule()], "{}"),
        "! required parameter body:/max_completion_tokens is missing"
    );
    let default = moves("body:/max_completion_tokens", "body:/max_tokens").or(4096);
    assert_eq!(map([default], "{}"), r#"{"max_tokens":4096}"#);
}

#[test]
fn all_of_several_system_messages_are_kept() {
    let system = portcullis_param_mapping::When::at(
        at("item:/role"),
        portcullis_param_mapping::Is::Eq("system".into()),
    );
    let rules = [
        Rule::for_each(at("body:/messages"), [])
            .keep(system.clone())
            .to(at("body:/system")),
        Rule::for_each(at("body:/messages"), []).keep(system.negated()),
    ];

    let mapped = map(
        rules,
        r#"{"messages":[{"role":"system","content":"a"},{"role":"user"},{"role":"system","content":"b"}]}"#,
    );

    assert_eq!(
        mapped,
        r#"{"messages":[{"role":"user"}],"system":[{"role":"system","content":"a"},{"role":"system","content":"b"}]}"#
    );
}

#[test]
fn a_penalty_is_converted_into_a_parameter_of_another_range() {
    // -2..2 becomes 0..2, as 1 + half of it.
    let half = serde_json::Number::from_f64(0.5).unwrap();
    let rule = moves("body:/frequency_penalty", "body:/repetition_penalty")
        .with(Transform::scale(half, 1));

    assert_eq!(
        map([rule], r#"{"frequency_penalty":-1}"#),
        r#"{"repetition_penalty":0.5}"#
    );
}

#[test]
fn the_callers_document_is_not_changed_by_the_mapping() {
    let body = Bytes::from(r#"{"a":1,"b":2}"#);
    let before = body.clone();
    let mapping = Mapping::builder()
        .rule(moves("body:/a", "body:/c"))
        .build()
        .unwrap();

    let first = mapping.apply(&body).unwrap().into_bytes();
    let second = mapping.apply(&body).unwrap().into_bytes();

    assert_eq!(body, before);
    assert_eq!(first, second);
}

#[test]
fn members_of_a_schema_are_neither_lost_nor_invented() {
    let body = r#"{"tools":[{"parameters":{"type":"object","additionalProperties":false,"$schema":"x"}}]}"#;

    let mapped = map([moves("body:/tools", "body:/functions")], body);

    assert_eq!(mapped, body.replace("tools", "functions"));
}

#[test]
fn an_empty_array_is_no_reason_to_fail() {
    let rules = [
        Rule::copy(at("body:/choices/0/text"), at("body:/text")),
        Rule::remove(at("body:$.choices[*].index")),
        Rule::copy(at("body:$.choices[-1].text"), at("body:/last")),
    ];

    assert_eq!(map(rules, r#"{"choices":[]}"#), r#"{"choices":[]}"#);
}

#[test]
fn usage_is_summed_over_all_its_parts() {
    let parts = ["input", "cache", "thinking"].map(|part| at(&format!("body:/usage/{part}")));
    let sum = portcullis_param_mapping::Source::Sum(parts.to_vec());

    let mapped = map(
        [Rule::set_from(at("body:/usage/total"), sum)],
        r#"{"usage":{"input":1,"cache":20,"thinking":300}}"#,
    );

    assert_eq!(
        mapped,
        r#"{"usage":{"input":1,"cache":20,"thinking":300,"total":321}}"#
    );
}

#[test]
fn swapping_two_parameters_does_not_depend_on_the_order_of_rules() {
    let mapped = map(
        [moves("body:/a", "body:/b"), moves("body:/b", "body:/a")],
        r#"{"a":1,"b":2}"#,
    );

    assert_eq!(mapped, r#"{"a":2,"b":1}"#);
}

#[test]
fn hostile_documents_are_refused_with_a_clear_reason() {
    let rules = || [Rule::remove(at("body:/a"))];
    for (body, expected) in [
        (
            "[".repeat(1_000_000),
            "! the body is nested deeper than 128 levels",
        ),
        (
            format!("{{\"a\":{}", "{\"a\":".repeat(1_000_000)),
            "! the body is nested deeper than 128 levels",
        ),
        (
            r#"{"x":"\ud800"}"#.to_owned(),
            "! the body holds half of a surrogate pair",
        ),
        (
            r#"{"\udc00":1}"#.to_owned(),
            "! the body holds half of a surrogate pair",
        ),
        (
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            "! body:/a is given twice",
        ),
        (
            "{\"x\":\"\u{1}\"}".to_owned(),
            "! the body is not valid JSON at line 1, column 6",
        ),
        (
            r#"{"x":01}"#.to_owned(),
            "! the body is not valid JSON at line 1, column 7",
        ),
    ] {
        assert_eq!(
            map(rules(), &body),
            expected,
            "{}",
            &body.chars().take(20).collect::<String>()
        );
    }
    let mapping = Mapping::builder().rules(rules()).build().unwrap();
    let invalid = mapping
        .apply(&Bytes::from_static(b"{\"a\":\"\xff\"}"))
        .unwrap_err();
    assert_eq!(invalid.to_string(), "the body is not UTF-8");
}

#[tokio::test]
async fn a_line_end_in_a_value_does_not_become_a_header() {
    let mapping = Mapping::builder()
        .rule(moves("body:/a", "header:x-a"))
        .build()
        .unwrap();
    let Fixture {
        mut service,
        upstream,
        ..
    } = fixture(mapping);

    let response = send(&mut service, json_post(full(r#"{"a":"1\r\nx-evil: 1"}"#))).await;

    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_header_in_several_lines_is_a_list_where_a_list_is_needed() {
    let rules = [
        Rule::copy(at("header:x-beta"), at("body:/beta"))
            .with(Transform::Coerce(portcullis_param_mapping::Kind::Array)),
        Rule::copy(at("header:x-beta"), at("body:/text")).with(Transform::Join(",".to_owned())),
    ];
    let mapping = Mapping::builder().rules(rules).build().unwrap();
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(mapping);
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.header("x-beta", "a").header("x-beta", "b");

    send(&mut service, request.body(full("{}")).unwrap()).await;

    assert_eq!(
        received.lock().unwrap().body,
        r#"{"beta":["a","b"],"text":"a,b"}"#
    );
}

#[test]
fn looking_up_costs_one_table_and_not_one_for_each_element() {
    let lookup = Transform::lookup(at("body:/calls"), "/id", "/name");
    let copy = Rule::copy(at("item:/id"), at("item:/name")).with(lookup);
    let calls: Vec<_> = (0..20_000)
        .map(|id| format!(r#"{{"id":{id},"name":"n"}}"#))
        .collect();
    let results: Vec<_> = (0..20_000).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let body = format!(
        r#"{{"calls":[{}],"results":[{}]}}"#,
        calls.join(","),
        results.join(",")
    );

    // 4 * 10^8 comparisons would take minutes in this build.
    let mapped = map([Rule::for_each(at("body:/results"), [copy])], &body);

    assert_eq!(mapped.matches(r#""name":"n""#).count(), 40_000);
}
