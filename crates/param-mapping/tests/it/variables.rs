//! Variables: what rules write for other rules, on one side and from one side to the other.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use portcullis_param_mapping::{Mapping, ParamMappingLayer, RequestBody};
use tower::{Layer, ServiceExt, service_fn};

fn applied(rules: &str, body: &'static str) -> String {
    let yaml = format!("rules: [{rules}]");
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(&yaml);
    let mapping = Mapping::from_yaml(&yaml).unwrap();
    let document = Bytes::from_static(body.as_bytes());
    match mapping.apply(&document) {
        Ok(mapped) => String::from_utf8(mapped.into_bytes().to_vec()).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_variable_is_known_to_all_rules_whatever_their_order() {
    let add = "{add: body:/v, from: var:v}";
    for (rules, body, expected) in [
        (
            "{set: body:/b, from: var:v}, {copy: body:/a, to: var:v}",
            r#"{"a":1.0}"#,
            r#"{"a":1.0,"b":1.0}"#,
        ),
        (
            "{move: body:/a, to: var:v}, {set: body:/b, from: var:v}",
            r#"{"a":[1, 2]}"#,
            r#"{"b":[1, 2]}"#,
        ),
        // A chain, written backwards.
        (
            "{set: body:/b, from: var:w}, {set: var:w, template: '<{var:v}>'}, {set: var:v, from: body:/a}",
            r#"{"a":"x"}"#,
            r#"{"a":"x","b":"<x>"}"#,
        ),
        (
            "{set: var:v, from: body:/a, with: upper}, {set: body:/b, from: var:v, when: {var:v: X}}",
            r#"{"a":"x"}"#,
            r#"{"a":"x","b":"X"}"#,
        ),
        (
            "{set: var:v, value: 7}, {set: body:/b, from: var:v, when: {var:v: {gt: 6}}}",
            "{}",
            r#"{"b":7}"#,
        ),
        // The later of two that are applied, and what fills a gap.
        (
            &format!(
                "{{set: var:v, value: 1}}, {{set: var:v, value: 2, when: {{body:/x: 1}}}}, {add}"
            ),
            r#"{"x":1}"#,
            r#"{"x":1,"v":2}"#,
        ),
        (
            &format!(
                "{{set: var:v, value: 1}}, {{set: var:v, value: 2, when: {{body:/x: 1}}}}, {add}"
            ),
            r#"{"x":0}"#,
            r#"{"x":0,"v":1}"#,
        ),
        (
            &format!("{{default: var:v, value: 1}}, {{copy: body:/x, to: var:v}}, {add}"),
            r#"{"x":null}"#,
            r#"{"x":null,"v":1}"#,
        ),
        (
            &format!("{{add: var:v, value: 1}}, {{copy: body:/x, to: var:v}}, {add}"),
            r#"{"x":null}"#,
            r#"{"x":null,"v":null}"#,
        ),
        (
            &format!("{{add: var:v, value: 1}}, {{copy: body:/x, to: var:v}}, {add}"),
            "{}",
            r#"{"v":1}"#,
        ),
        // Not written this time: missing.
        (&format!("{{copy: body:/x, to: var:v}}, {add}"), "{}", "{}"),
        (
            "{copy: body:/x, to: var:v}, {require: var:v}",
            "{}",
            "required parameter var:v is missing",
        ),
        (
            "{copy: body:/x, to: var:v}, {set: body:/b, from: var:v, require: true}",
            "{}",
            "required parameter var:v is missing",
        ),
        (
            "{copy: body:/x, to: var:v}, {set: body:/b, from: [var:v, body:/y]}",
            r#"{"y":1}"#,
            r#"{"y":1,"b":1}"#,
        ),
        // Inside `for_each`, and out of one.
        (
            "{copy: body:/m, to: var:v}, {for_each: body:/l, rules: [{set: item:/m, from: var:v}]}",
            r#"{"m":1,"l":[{},{}]}"#,
            r#"{"m":1,"l":[{"m":1},{"m":1}]}"#,
        ),
        (
            "{for_each: body:/l, keep: {item:/k: 1}, to: var:v}, {set: body:/b, from: var:v, with: {get: /0/x}}",
            r#"{"l":[{"k":0},{"k":1,"x":2}]}"#,
            r#"{"l":[{"k":0},{"k":1,"x":2}],"b":2}"#,
        ),
        (
            "{for_each: body:/l, rules: [{set: item:/w, from: var:w}, {set: item:/x, value: 1}], to: var:v}, {set: var:w, value: 7}, {set: body:/b, from: var:v}",
            r#"{"l":[{}]}"#,
            r#"{"l":[{}],"b":[{"w":7,"x":1}]}"#,
        ),
        (
            "{copy: body:/a, to: var:v, with: {coerce: integer}, on_error: drop}, {set: body:/b, from: var:v}",
            r#"{"a":"x"}"#,
            r#"{"a":"x"}"#,
        ),
    ] {
        assert_eq!(applied(rules, body), expected, "{rules}");
    }
}

#[tokio::test]
async fn rules_for_the_response_know_what_was_written_for_the_request() {
    let mapping = "
rules:
  - {copy: body:/model, to: var:model}
  - {copy: query:debug, to: var:debug}
  - {set: body:/model, value: upstream-model}
response:
  rules:
    - {set: body:/model, from: var:model}
    - {set: var:line, template: 'for {var:model}'}
    - {set: header:x-model, from: var:line}
    - {remove: body:/trace, when: {var:debug: {missing: true}}}
";
    let upstream = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
        let sent = request.into_body().collect().await?.to_bytes();
        assert_eq!(sent, r#"{"model":"upstream-model"}"#);
        let answer = Full::from(r#"{"model":"upstream-model","trace":1}"#);
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, std::convert::Infallible>(response.body(answer).unwrap())
    });
    let service = ParamMappingLayer::new(Mapping::from_yaml(mapping).unwrap()).layer(upstream);
    for (target, model, expected) in [
        ("/", "a", r#"{"model":"a"}"#),
        ("/?debug=1", "b", r#"{"model":"b","trace":1}"#),
    ] {
        let body = Full::from(format!(r#"{{"model":"{model}"}}"#));
        let request = Request::post(target).header("content-type", "application/json");

        let response = service
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();

        assert_eq!(response.headers()["x-model"], format!("for {model}"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }
}

#[test]
fn what_no_variable_can_be_is_found_when_the_mapping_is_built() {
    for (rules, expected) in [
        (
            "{copy: var:v, to: body:/a}",
            "rules[0].copy: no rule writes `var:v`",
        ),
        (
            "{set: body:/a, value: 1, when: {var:v: 1}}",
            "rules[0].when.var:v: no rule writes `var:v`",
        ),
        (
            "{set: var:v, from: var:v}",
            "rules[0]: `var:v` needs itself, or one that does",
        ),
        (
            "{set: var:v, value: 1, when: {var:w: 1}}, {set: var:w, template: '{var:v}'}",
            "rules[0]: `var:v` needs itself, or one that does",
        ),
        (
            "{set: var:v, value: 1}, {set: var:v, value: 2}",
            "rules[1].set: `var:v` is written by rules[0] too",
        ),
        (
            "{set: var:v, value: 1}, {remove: var:v}",
            "rules[1].remove: `var:v` cannot be removed",
        ),
        (
            "{set: var:v, value: 1}, {move: var:v, to: body:/a}",
            "rules[1].move: `var:v` cannot be removed",
        ),
        (
            "{set: var:v, value: 1}, {allow: var:v}",
            "rules[1].allow: `var:v` stands alone",
        ),
        (
            "{set: var:v, value: 1}, {append: var:v, value: 1}",
            "rules[1].append: `var:v` is `set`, or filled by `add` or `default`",
        ),
        (
            "{set: var:v, value: 1}, {update: var:v, with: trim}",
            "rules[1].update: `var:v` is `set`, or filled by `add` or `default`",
        ),
        (
            "{copy: body:/a, to: [var:v, body:/b]}",
            "rules[0].to: a variable is written alone: write two rules",
        ),
        (
            "{set: var:v, value: 1}, {for_each: body:/a, rules: [{set: var:v, value: 1}]}",
            "rules[1].rules[0].set: `var:v` cannot be written inside `for_each`, only `item:` can",
        ),
    ] {
        let mistake = Mapping::from_yaml(&format!("rules: [{rules}]")).unwrap_err();

        let message = format!("{}: {}", mistake.path(), mistake.message());
        assert_eq!(message, expected, "{rules}");
        assert_eq!(mistake.line(), Some(1));
    }
    let twice = "{rules: [{set: var:v, value: 1}], response: {rules: [{set: var:v, value: 1}]}}";
    let mistake = Mapping::from_yaml(twice).unwrap_err();
    assert_eq!(mistake.path(), "response.rules[0].set");
    assert_eq!(
        mistake.message(),
        "`var:v` is written by a rule for requests"
    );
    let backwards =
        "{rules: [{copy: var:v, to: body:/a}], response: {rules: [{set: var:v, value: 1}]}}";
    let mistake = Mapping::from_yaml(backwards).unwrap_err();
    assert_eq!(mistake.message(), "no rule writes `var:v`");
}

#[test]
fn a_response_without_its_request_finds_nothing_in_its_variables() {
    let mapping =
        "{rules: [{copy: body:/a, to: var:v}], response: {rules: [{set: body:/b, from: var:v}]}}";
    let mapping = Mapping::from_yaml(mapping).unwrap();

    let mapped = mapping.apply_response(&Bytes::from("{}")).unwrap();

    assert_eq!(mapped.into_bytes(), "{}");
}

#[test]
fn a_table_in_a_variable_is_made_once_for_all_elements() {
    // Made anew for each of them it would take hours.
    let rows: Vec<_> = (0..20_000)
        .map(|row| format!(r#"{{"id":{row},"n":{}}}"#, row + 1))
        .collect();
    let items: Vec<_> = (0..20_000).map(|row| format!(r#"{{"x":{row}}}"#)).collect();
    let document = format!(r#"{{"t":[{}],"m":[{}]}}"#, rows.join(","), items.join(","));
    let mapping = Mapping::from_yaml(
        "
        rules:
          - {set: var:t, from: body:/t}
          - for_each: body:/m
            rules: [{update: item:/x, with: {lookup: {in: var:t, key: /id, get: /n}}}]
        ",
    )
    .unwrap();

    let mapped = mapping.apply(&Bytes::from(document)).unwrap().into_bytes();

    assert!(mapped.ends_with(br#"{"x":19999},{"x":20000}]}"#));
}

#[test]
fn what_rules_make_of_a_message_has_a_limit() {
    let long = "x".repeat(60_000);
    let items = vec!["{}"; 20_000].join(",");
    let document = Bytes::from(format!(r#"{{"b":"{long}","m":[{items}]}}"#));
    for value in ["var:b", "body:/b"] {
        let rules = format!(
            "rules: [{{set: var:b, from: body:/b}}, {{for_each: body:/m, rules: [{{set: item:/x, from: {value}}}]}}]"
        );
        let mapping = Mapping::from_yaml(&rules).unwrap();

        let error = mapping.apply(&document).unwrap_err().to_string();

        assert!(error.contains("too large"), "{error}");
    }
    let doubled: Vec<_> = (1..40)
        .map(|step| {
            let before = step - 1;
            format!("{{set: var:v{step}, template: '{{var:v{before}}}{{var:v{before}}}'}}")
        })
        .collect();
    let rules = format!(
        "rules: [{{set: var:v0, from: body:/b}}, {}, {{set: body:/c, from: var:v39}}]",
        doubled.join(", ")
    );
    let mapping = Mapping::from_yaml(&rules).unwrap();
    let document = Bytes::from_static(br#"{"b":"twice"}"#);
    let error = mapping.apply(&document).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn a_default_and_a_constant_that_can_never_be_right_are_mistakes() {
    for rule in [
        "{move: body:/a, to: body:/b, with: [{coerce: integer}, {clamp: {min: 1}}], default: 0}",
        "{move: body:/a, to: body:/b, with: [trim, {validate: {enum: [a, b]}}], default: c}",
    ] {
        assert!(
            Mapping::from_yaml(&format!("rules: [{rule}]")).is_err(),
            "{rule}"
        );
    }
    for status in ["99", "foo", "600"] {
        let rules = format!("response: {{rules: [{{set: status, value: {status}}}]}}");
        let mistake = Mapping::from_yaml(&rules).unwrap_err().to_string();
        assert!(mistake.contains("200 to 599"), "{mistake}");
    }
    // What is changed after the check may be anything.
    let table = "{move: body:/a, to: body:/b, with: [{validate: {enum: [a]}}, {map: {table: {a: 1}}}], default: 1}";
    assert!(Mapping::from_yaml(&format!("rules: [{table}]")).is_ok());
}
