//! `portcullis-map`, as it is started.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const RULES: &str = r#"match: {path: /v1/chat, methods: [POST]}
request:
  unmapped: drop
  rules:
    - {move: [body:/max_completion_tokens, body:/max_tokens], to: body:/max_tokens, default: 4096}
    - {update: body:/temperature, with: [{coerce: number}, {clamp: {max: 1}}], on_error: drop}
    - {remove: body:/top_k, when: {body:/model: {glob: "claude-*"}, not: {body:/n: {gt: 1}}}}
    - {for_each: body:/messages, keep: {item:/role: system}, to: body:/system, rules: [{remove: item:/name}]}
    - {default: header:x-by, value: us}
    - {add: header:x-id, generate: {random_hex: 4}}
    - {test: body:/v, value: 1}
    - {require: [body:/a, body:/b]}
    - {set: body:/t, template: "{body:/a} b", require: true}
response:
  rules: [{move: body:/output, to: body:/result}]
"#;

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis-map"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody may read it, and then there is nothing to write to.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A file of this test.
fn file(name: &str, text: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn check_names_file_and_line_of_each_mistake() {
    let good = file("check-good.yaml", RULES);
    let bad = file(
        "check-bad.yaml",
        "rules:\n  - {remove: body:/a}\n  - {remove: bdy:/a}\n  - {set: body:/a}\n  - {test: body:/a, value: 1}\n  - {mov: body:/a}\n",
    );
    let worse = file("check-worse.yaml", "rules: [\n");

    let wrong = run(&["check", &good, &bad, &worse, "/none"], "");
    let right = run(&["check", &good], "");

    assert_eq!((right.status.code(), &*right.stdout), (Some(0), &b""[..]));
    assert_eq!(wrong.status.code(), Some(1));
    let lines: Vec<_> = said(&wrong.stderr).lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for (line, expected) in lines.into_iter().zip([
        &*format!("{bad}:3: rules[1].remove: `bdy` is not a location"),
        &*format!("{bad}:6: rules[4].mov: unknown field `mov`"),
        &*format!("{bad}:4: rules[2]: `set` needs `value`"),
        &*format!("{worse}:2: "),
        "/none: ",
    ]) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn check_makes_up_no_mistakes_behind_those_that_are_there() {
    for (text, expected) in [
        (
            "stream:\n  rules:\n    - {set: data:/a}\n    - {remove: bdy:/x}\n    - {set: data:/b}\n",
            &[":4: ", ":3: ", ":5: "][..],
        ),
        (
            "rules:\n  - {set: var:x, value: 1, wen: 2}\n  - {set: body:/a, from: var:x}\n  - {set: body:/b, from: var:x}\n",
            &[":2: "],
        ),
    ] {
        let file = file("check-stand-ins.yaml", text);

        let wrong = run(&["check", &file], "");

        let lines: Vec<_> = said(&wrong.stderr).lines().collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{lines:?}");
        }
    }
}

#[test]
fn functions_of_the_program_can_be_named() {
    let mapping = file(
        "functions.yaml",
        "rules: [{update: body:/a, with: {custom: mine}}]",
    );

    let without = run(&["check", &mapping], "");
    let with = run(&["check", "--function", "mine", &mapping], "");

    assert!(said(&without.stderr).contains("there is no function `mine`"));
    assert_eq!(with.status.code(), Some(0));
}

#[test]
fn explain_says_one_sentence_for_each_rule() {
    let mapping = file("explain.yaml", RULES);

    let output = run(&["explain", &mapping], "");

    assert_eq!(
        said(&output.stdout),
        r#"Only for POST /v1/chat.
request: leaves out members that no rule names.
request.rules[0]: moves the first of body:/max_completion_tokens, body:/max_tokens that is there to body:/max_tokens; 4096 stands for what is missing or null.
request.rules[1]: changes body:/temperature, by coerce number, then clamp {"max":1}; drops it where that cannot be done.
request.rules[2]: where body:/model looks like "claude-*" and not (body:/n is more than 1): removes body:/top_k.
request.rules[3]: writes each element of body:/messages for which item:/role is "system" to body:/system.
  request.rules[3].rules[0]: removes item:/name.
request.rules[4]: writes "us" at header:x-by if nothing or null is there.
request.rules[5]: writes a new random_hex 4 at header:x-id if nothing is there.
request.rules[6]: refuses the message where body:/v is not 1.
request.rules[7]: refuses the message where body:/a or body:/b is missing.
request.rules[8]: writes the text "{body:/a} b" at body:/t; refuses the message where there is no value.
response.rules[0]: moves body:/output to body:/result.
"#
    );
}

#[test]
fn apply_writes_what_the_rules_of_a_side_make() {
    let mapping = file(
        "apply.yaml",
        "request: {rules: [{move: body:/a, to: body:/b/c, require: true}]}\nresponse: {rules: [{remove: body:/a}]}",
    );

    let request = run(&["apply", &mapping], r#"{"a": 1e400}"#);
    let response = run(&["apply", "--response", &mapping], r#"{"a": 1e400}"#);
    let refused = run(&["apply", &mapping], r#"{"secret": 1}"#);

    assert_eq!(said(&request.stdout), r#"{"b":{"c":1e400}}"#);
    assert_eq!(said(&response.stdout), "{}");
    assert_eq!(
        (refused.status.code(), &*refused.stdout),
        (Some(1), &b""[..])
    );
    assert_eq!(
        said(&refused.stderr),
        "required parameter body:/a is missing\n"
    );
}

#[test]
fn diff_shows_before_and_after() {
    let mapping = file("diff.yaml", "rules: [{move: body:/a, to: body:/b}]");

    let changed = run(&["diff", &mapping], r#"{"a":1.0,"c":{}}"#);
    let same = run(&["diff", &mapping], r#"{"c":{}}"#);

    let expected = "--- before\n+++ after\n@@ -1,4 +1,4 @@\n {\n-  \"a\": 1.0,\n-  \"c\": {}\n+  \"c\": {},\n+  \"b\": 1.0\n }\n";
    assert_eq!(said(&changed.stdout), expected);
    assert_eq!((said(&same.stdout), same.status.code()), ("", Some(0)));
}

#[test]
fn schema_is_the_one_of_the_library() {
    let output = run(&["schema"], "");

    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema, portcullis_param_mapping::json_schema());
}

#[test]
fn wrong_arguments_are_another_exit_code() {
    let output = run(&["chek"], "");
    let help = run(&["help"], "");

    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        said(&output.stderr),
        "there is no command chek; try `portcullis-map help`\n"
    );
    assert!(said(&help.stdout).contains("portcullis-map check FILE..."));
}
