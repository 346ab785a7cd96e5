//! What each piece of the language does, from YAML.

use bytes::Bytes;
use portcullis_param_mapping::Mapping;

/// What a body becomes by these rules, or why it is not mapped.
fn map(rules: &str, body: &str) -> String {
    let yaml = format!("rules:\n  - {}", rules.replace("; ", "\n  - "));
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(&yaml);
    let mapping = Mapping::from_yaml(&yaml);
    let mapping = mapping.unwrap_or_else(|mistake| panic!("{rules}: {mistake}"));
    match mapping.apply(&Bytes::copy_from_slice(body.as_bytes())) {
        Ok(mapped) => String::from_utf8(mapped.into_bytes().to_vec()).unwrap(),
        Err(error) => format!("! {error}"),
    }
}

fn check(rows: &[(&str, &str, &str)]) {
    for (rules, body, expected) in rows {
        assert_eq!(map(rules, body), *expected, "{rules} on {body}");
    }
}

#[test]
fn sources_and_targets_may_be_lists() {
    check(&[
        (
            "{move: [body:/a, body:/b], to: body:/c}",
            r#"{"a":1,"b":2}"#,
            r#"{"c":1}"#,
        ),
        (
            "{move: [body:/a, body:/b], to: body:/c}",
            r#"{"b":2}"#,
            r#"{"c":2}"#,
        ),
        (
            "{move: [body:/a, body:/b], to: body:/b}",
            r#"{"a":1}"#,
            r#"{"b":1}"#,
        ),
        (
            "{move: [body:/a, body:/b], to: body:/b}",
            r#"{"b":2}"#,
            r#"{"b":2}"#,
        ),
        (
            "{move: [body:/a, body:/b], to: body:/b, default: 4096}",
            "{}",
            r#"{"b":4096}"#,
        ),
        (
            "{move: body:/a, to: body:/b, default: 1}",
            r#"{"a":null}"#,
            r#"{"b":1}"#,
        ),
        (
            "{copy: body:/a, to: [body:/b, body:/c/d]}",
            r#"{"a":1}"#,
            r#"{"a":1,"b":1,"c":{"d":1}}"#,
        ),
        (
            "{move: [body:/a, body:/b], to: body:/c, require: true}",
            "{}",
            "! required parameter body:/a is missing",
        ),
        (
            "{remove: [body:/a, body:/b]}",
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"c":3}"#,
        ),
        (
            "{require: [body:/a, body:/b]}",
            r#"{"a":1}"#,
            "! required parameter body:/b is missing",
        ),
        (
            "{set: [body:/a, body:/b], value: 1}",
            "{}",
            r#"{"a":1,"b":1}"#,
        ),
    ]);
}

#[test]
fn replace_add_and_default_look_at_what_is_there() {
    check(&[
        (
            "{replace: body:/a, value: 1}",
            r#"{"a":null}"#,
            r#"{"a":1}"#,
        ),
        ("{replace: body:/a, value: 1}", "{}", "{}"),
        ("{add: body:/a, value: 1}", r#"{"a":null}"#, r#"{"a":null}"#),
        ("{add: body:/a, value: 1}", "{}", r#"{"a":1}"#),
        (
            "{default: body:/a, value: 1}",
            r#"{"a":null}"#,
            r#"{"a":1}"#,
        ),
        (
            "{default: body:/a, from: body:/b}",
            r#"{"b":2}"#,
            r#"{"b":2,"a":2}"#,
        ),
    ]);
}

#[test]
fn append_and_prepend_add_elements() {
    check(&[
        (
            "{append: body:/a, value: 3}",
            r#"{"a":[1, 2]}"#,
            r#"{"a":[1, 2,3]}"#,
        ),
        (
            "{append: body:/a, value: 3}",
            r#"{"a":[ ]}"#,
            r#"{"a":[3]}"#,
        ),
        ("{append: body:/a, value: 3}", "{}", r#"{"a":[3]}"#),
        (
            "{prepend: body:/a, value: 1}; {prepend: body:/a, value: 0}",
            r#"{"a":[2]}"#,
            r#"{"a":[0,1,2]}"#,
        ),
        (
            "{move: body:/b, to: body:/a/-}",
            r#"{"a":[1],"b":2}"#,
            r#"{"a":[1,2]}"#,
        ),
        (
            "{append: body:/a, value: 3}",
            r#"{"a":"x"}"#,
            "! body:/a must be an array, is a string",
        ),
        (
            "{update: body:/a, with: {wrap: if_scalar}}; {append: body:/a, value: 3}",
            r#"{"a":"x"}"#,
            r#"{"a":["x",3]}"#,
        ),
        (
            "{set: body:/a, template: \"{body:/a}3\"}",
            r#"{"a":"x"}"#,
            r#"{"a":"x3"}"#,
        ),
    ]);
}

#[test]
fn merge_is_a_merge_patch() {
    check(&[
        (
            "{merge: body:/a, value: {b: 1, c: null, d: {e: [2]}}}",
            r#"{"a":{"b":0,"c":1,"x":1.0}}"#,
            r#"{"a":{"b":1,"x":1.0,"d":{"e":[2]}}}"#,
        ),
        (
            "{merge: 'body:', from: body:/data}; {remove: body:/data}",
            r#"{"data":{"a":1,"b":2},"b":3}"#,
            r#"{"b":2,"a":1}"#,
        ),
    ]);
}

#[test]
fn allow_keeps_what_it_names_and_no_more() {
    check(&[
        (
            "{allow: [body:/a, body:/b/c]}",
            r#"{"a":{"x":1},"z":0,"b":{"c":1,"d":2}}"#,
            r#"{"a":{"x":1},"b":{"c":1}}"#,
        ),
        (
            "{allow: body:/a}; {move: body:/z, to: body:/y}",
            r#"{"a":1,"z":0,"b":2}"#,
            r#"{"a":1,"y":0}"#,
        ),
        (
            "{allow: body:/a, when: {body:/b: 2}}",
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"b":1}"#,
        ),
    ]);
}

#[test]
fn test_and_require_stop_what_is_not_so() {
    check(&[
        (
            "{test: body:/a, value: {x: 1}}",
            r#"{"a":{"x":1.0}}"#,
            r#"{"a":{"x":1.0}}"#,
        ),
        (
            "{test: body:/a, value: 1}",
            r#"{"a":"secret"}"#,
            "! body:/a is not what it must be",
        ),
        (
            "{test: body:/a, value: 1}",
            "{}",
            "! body:/a is not what it must be",
        ),
    ]);
}

#[test]
fn coercion_is_exact_or_an_error() {
    for (kind, value, expected) in [
        ("string", "7", r#""7""#),
        ("string", "1.0", r#""1.0""#),
        ("string", "true", r#""true""#),
        ("string", "null", "! body:/a must be a string, is null"),
        ("integer", r#""42""#, "42"),
        ("integer", "7.0", "7"),
        ("integer", "9007199254740993", "9007199254740993"),
        (
            "integer",
            "7.5",
            "! body:/a must be a number without a fraction",
        ),
        (
            "integer",
            r#"" 7""#,
            "! body:/a must be a number without a fraction",
        ),
        ("number", r#""1e400""#, "1e400"),
        (
            "number",
            r#""0x10""#,
            "! body:/a must be the text of a number",
        ),
        ("number", "true", "! body:/a must be a number, is a boolean"),
        ("boolean", r#""false""#, "false"),
        ("boolean", r#""no""#, "! body:/a must be `true` or `false`"),
        ("boolean", "0", "! body:/a must be a boolean, is a number"),
        ("json", r#"" {\"x\": 1.0} ""#, r#"{"x": 1.0}"#),
        (
            "json",
            r#""{""#,
            "! body:/a must be a string that holds JSON",
        ),
        ("text", r#"{"x": 1.0}"#, r#""{\"x\": 1.0}""#),
        ("array", "7", "[7]"),
        ("array", "[7]", "[7]"),
    ] {
        let mapped = map(
            &format!("{{update: body:/a, with: {{coerce: {kind}}}}}"),
            &format!(r#"{{"a":{value}}}"#),
        );

        let expected = if expected.starts_with('!') {
            expected.to_owned()
        } else {
            format!(r#"{{"a":{expected}}}"#)
        };
        assert_eq!(mapped, expected, "{kind} {value}");
    }
}

#[test]
fn transforms_do_what_their_lines_say() {
    for (with, value, expected) in [
        ("{clamp: {min: 0, max: 1}}", "1.5", "1"),
        ("{clamp: {min: 0, max: 1}}", "-1e400", "0"),
        ("{clamp: {min: 0, max: 1}}", "0.50", "0.50"),
        (
            "{clamp: {exclusive_min: 0, replace_with: 0.01, max: 1}}",
            "0.0",
            "0.01",
        ),
        (
            "{clamp: {exclusive_min: 0, replace_with: 0.01, max: 1}}",
            "1e-9",
            "1e-9",
        ),
        (
            "{clamp: {exclusive_min: 0, replace_with: 0.01, max: 1}}",
            "2",
            "1",
        ),
        (
            "{clamp: {min: 0, exclusive_max: 1, replace_with: 0.99}}",
            "1",
            "0.99",
        ),
        (
            "{clamp: {max: 1}}",
            r#""2""#,
            "! body:/a must be a number, is a string",
        ),
        ("{validate: {type: integer, min: 1}}", "1.0", "1.0"),
        ("{validate: {min: 1}}", "0", "! body:/a must be at least 1"),
        (
            "{validate: {type: string, pattern: '^a+$'}}",
            r#""ab""#,
            "! body:/a must match `^a+$`",
        ),
        (
            "{validate: {enum: [a, b]}}",
            r#""c""#,
            "! body:/a must be one of the values that are allowed",
        ),
        (
            "{validate: {max_length: 2}}",
            r#""\u00e4bc""#,
            "! body:/a must have at most 2 characters",
        ),
        (
            "{validate: {max_items: 1}}",
            "[1,2]",
            "! body:/a must have at most 1 items",
        ),
        (
            "{map: {table: {stop: end_turn}}}",
            r#""stop""#,
            r#""end_turn""#,
        ),
        ("{map: {table: {'1': one}}}", "1", r#""one""#),
        (
            "{map: {table: {a: 1}}}",
            r#""b""#,
            "! body:/a must be one of the values that are known",
        ),
        (
            "{map: {table: {a: 1}, otherwise: pass}}",
            r#""b""#,
            r#""b""#,
        ),
        (
            "{map: {table: {a: 1}, otherwise: {value: 0}}}",
            r#""b""#,
            "0",
        ),
        ("{scale: {by: 2, plus: -1}}", "3", "5"),
        ("{scale: {by: 0.5}}", "3", "1.5"),
        ("negate", "true", "false"),
        ("{split: ','}", r#""a,b""#, r#"["a","b"]"#),
        ("{join: '-'}", r#"["a",1,true]"#, r#""a-1-true""#),
        ("trim", r#""  a\n""#, r#""a""#),
        ("lower", r#""\u00c4B""#, "\"\u{e4}b\""),
        ("upper", r#""ab""#, r#""AB""#),
        (
            "{regex_replace: {pattern: '^v(\\d+)', by: 'version $1'}}",
            r#""v12""#,
            r#""version 12""#,
        ),
        ("{wrap: always}", "[1]", "[[1]]"),
        ("{wrap: if_scalar}", "[1]", "[1]"),
        ("{wrap: if_scalar}", r#""x""#, r#"["x"]"#),
        ("unwrap", "[ {} ]", "{}"),
        ("unwrap", "7", "7"),
        (
            "unwrap",
            "[1,2]",
            "! body:/a must be an array of one element",
        ),
        ("{get: /x/0}", r#"{"x":[7]}"#, "7"),
        ("sum", "[1, 2.0, 9007199254740993]", "9007199254740996"),
        ("sum", "[0.5, 1]", "1.5"),
        (
            "{data_uri: split}",
            r#""data:image/png;base64,AA==""#,
            r#"{"mime":"image/png","data":"AA=="}"#,
        ),
        (
            "{data_uri: build}",
            r#"{"data":"AA==","mime":"image/png"}"#,
            r#""data:image/png;base64,AA==""#,
        ),
        (
            "{data_uri: split}",
            r#""http://x""#,
            "! body:/a must be a base64 data URI",
        ),
        (
            "{merge_adjacent: {by: role, join: content, separator: \"\\n\"}}",
            r#"[{"role":"user","content":"a"},{"role":"user","content":"b","x":1},{"role":"bot","content":"c"}]"#,
            r#"[{"role":"user","content":"a\nb"},{"role":"bot","content":"c"}]"#,
        ),
        (
            "{merge_adjacent: {by: role, join: content}}",
            r#"[{"role":"u","content":[1]},{"role":"u","content":[2]},{"role":"u","content":"x"},{"role":"u"}]"#,
            r#"[{"role":"u","content":[1,2]},{"role":"u","content":"x"},{"role":"u"}]"#,
        ),
        (
            "[trim, {split: ' '}, {join: '_'}, upper]",
            r#"" a b ""#,
            r#""A_B""#,
        ),
    ] {
        let mapped = map(
            &format!("{{update: body:/a, with: {with}}}"),
            &format!(r#"{{"a":{value}}}"#),
        );

        let expected = if expected.starts_with('!') {
            expected.to_owned()
        } else {
            format!(r#"{{"a":{expected}}}"#)
        };
        assert_eq!(mapped, expected, "{with} {value}");
    }
}

#[test]
fn templates_and_sums_make_new_values() {
    check(&[
        (
            "{set: body:/id, template: '{body:/a}-{{x}}-{body:/b}'}",
            r#"{"a":"\"q","b":1.0}"#,
            r#"{"a":"\"q","b":1.0,"id":"\"q-{x}-1.0"}"#,
        ),
        ("{set: body:/id, template: 'x{body:/a}'}", "{}", "{}"),
        (
            "{set: body:/id, template: 'x{body:/a}'}",
            r#"{"a":[]}"#,
            "! body:/a is an array, and a template needs a string, a number or a boolean",
        ),
        (
            "{set: body:/t, sum: [body:/a, body:/b, body:/none]}",
            r#"{"a":1,"b":2}"#,
            r#"{"a":1,"b":2,"t":3}"#,
        ),
        (
            "{set: body:/t, sum: 'body:$.u[*].n'}",
            r#"{"u":[{"n":1},{},{"n":2}]}"#,
            r#"{"u":[{"n":1},{},{"n":2}],"t":3}"#,
        ),
        (
            "{set: body:/t, sum: body:/a}",
            r#"{"a":"1"}"#,
            "! body:/a must be a number, is a string",
        ),
    ]);
}

#[test]
fn conditions_hold_as_they_say() {
    for (when, body, expected) in [
        ("{body:/a: {exists: true}}", r#"{"a":null}"#, true),
        ("{body:/a: {missing: true}}", r#"{"a":null}"#, false),
        ("{body:/a: {'null': true}}", r#"{"a":null}"#, true),
        ("{body:/a: {'null': true}}", "{}", false),
        ("{body:/a: 1}", r#"{"a":1.0}"#, true),
        ("{body:/a: true}", r#"{"a":"true"}"#, false),
        ("{body:/a: {ne: 1}}", "{}", true),
        ("{body:/a: {in: [x, y]}}", r#"{"a":"y"}"#, true),
        ("{body:/a: {gt: 1, lte: 2}}", r#"{"a":2}"#, true),
        ("{body:/a: {gt: 1, lt: 2}}", r#"{"a":2}"#, false),
        (
            "{body:/a: {gte: 9007199254740993}}",
            r#"{"a":9007199254740992}"#,
            false,
        ),
        ("{body:/a: {matches: '^b'}}", r#"{"a":"\u0062c"}"#, true),
        (
            "{body:/a: {glob: 'claude-*-?'}}",
            r#"{"a":"claude-opus-4"}"#,
            true,
        ),
        (
            "{body:/a: {glob: 'claude'}}",
            r#"{"a":"claude-opus"}"#,
            false,
        ),
        ("{body:/a: {type: integer}}", r#"{"a":1e3}"#, true),
        ("{body:/a: {type: object}}", r#"{"a":[]}"#, false),
        ("{any: [{body:/a: 1}, {body:/b: 2}]}", r#"{"b":2}"#, true),
        ("{all: [{body:/a: 1}, {body:/b: 2}]}", r#"{"b":2}"#, false),
        ("{not: {body:/a: 1}, body:/b: 2}", r#"{"b":2}"#, true),
        (
            "{'body:$.m[*].role': system}",
            r#"{"m":[{"role":"user"},{"role":"system"}]}"#,
            true,
        ),
        (
            "{'body:$.m[-1].role': system}",
            r#"{"m":[{"role":"system"},{"role":"user"}]}"#,
            false,
        ),
    ] {
        let mapped = map(&format!("{{set: body:/z, value: 0, when: {when}}}"), body);

        assert_eq!(
            mapped.contains("\"z\":0"),
            expected,
            "{when} {body}: {mapped}"
        );
    }
}

#[test]
fn what_a_rule_cannot_do_is_handled_as_it_says() {
    let clamp = "to: body:/b, with: {clamp: {max: 1}}";
    check(&[
        (
            &format!("{{move: body:/a, {clamp}}}"),
            r#"{"a":"x"}"#,
            "! body:/a must be a number, is a string",
        ),
        (
            &format!("{{move: body:/a, {clamp}, on_error: drop}}"),
            r#"{"a":"x"}"#,
            "{}",
        ),
        (
            &format!("{{move: body:/a, {clamp}, on_error: keep}}"),
            r#"{"a":"x"}"#,
            r#"{"a":"x"}"#,
        ),
        (
            &format!("{{move: body:/a, {clamp}, on_error: default, default: 0}}"),
            r#"{"a":"x"}"#,
            r#"{"b":0}"#,
        ),
        (
            "{update: body:/a, with: {clamp: {max: 1}}, on_error: drop}",
            r#"{"a":"x","b":1}"#,
            r#"{"b":1}"#,
        ),
        (
            "{update: body:/a, with: {map: {table: {}, otherwise: drop}}}",
            r#"{"a":"x","b":1}"#,
            r#"{"b":1}"#,
        ),
    ]);
}

#[test]
fn paths_lead_to_many_places() {
    check(&[
        (
            "{remove: 'body:$.m[*].name'}",
            r#"{"m":[{"name":1,"x":2},{"y":3},"s"]}"#,
            r#"{"m":[{"x":2},{"y":3},"s"]}"#,
        ),
        (
            "{remove: 'body:$.m[-1]'}",
            r#"{"m":[1, 2, 3]}"#,
            r#"{"m":[1, 2]}"#,
        ),
        (
            "{remove: 'body:$.m[1:]'}",
            r#"{"m":[1, 2, 3]}"#,
            r#"{"m":[1]}"#,
        ),
        ("{remove: 'body:$.m[*]'}", r#"{"m":[1, 2]}"#, r#"{"m":[]}"#),
        (
            "{remove: 'body:$.m[*].c[*].x'}",
            r#"{"m":[{"c":[{"x":1}]},{"c":"t"}]}"#,
            r#"{"m":[{"c":[{}]},{"c":"t"}]}"#,
        ),
        (
            "{update: 'body:$.m[*].t', with: upper}; {remove: 'body:$.m[*].n'}",
            r#"{"m":[{"t":"a","n":1}]}"#,
            r#"{"m":[{"t":"A"}]}"#,
        ),
        (
            "{update: 'body:$.m[*]', with: {coerce: string}}",
            r#"{"m":[1,"a"]}"#,
            r#"{"m":["1","a"]}"#,
        ),
        (
            "{copy: 'body:$.m[*].t', to: body:/all}",
            r#"{"m":[{"t":"a"},{},{"t":1.0}]}"#,
            r#"{"m":[{"t":"a"},{},{"t":1.0}],"all":["a",1.0]}"#,
        ),
        (
            "{copy: 'body:$.m[-1].t', to: body:/last}",
            r#"{"m":[{"t":"a"},{"t":"b"}]}"#,
            r#"{"m":[{"t":"a"},{"t":"b"}],"last":"b"}"#,
        ),
    ]);
}

#[test]
fn for_each_maps_filters_and_parts() {
    let messages = r#"{"m":[{"role":"system","t":"s"}, {"role":"user","t":"u"}]}"#;
    check(&[
        (
            "{for_each: body:/m, rules: [{move: item:/t, to: item:/parts/0/text}, {set: item:/n, template: '{item:/role}!'}]}",
            r#"{"m":[{"role":"user","t":"u"}]}"#,
            r#"{"m":[{"role":"user","parts":{"0":{"text":"u"}},"n":"user!"}]}"#,
        ),
        (
            "{for_each: body:/m, keep: {item:/role: user}}",
            messages,
            r#"{"m":[{"role":"user","t":"u"}]}"#,
        ),
        (
            "{for_each: body:/m, keep: {item:/role: system}, to: body:/system}; {for_each: body:/m, keep: {not: {item:/role: system}}}",
            messages,
            r#"{"m":[{"role":"user","t":"u"}],"system":[{"role":"system","t":"s"}]}"#,
        ),
        // What is not kept is not made anew by rules, nor refused by them.
        (
            "{for_each: body:/m, keep: {item:/role: user}, to: body:/n, rules: [{set: item:/x, value: 1}, {test: item:/role, value: user}]}",
            messages,
            r#"{"m":[{"role":"system","t":"s"}, {"role":"user","t":"u"}],"n":[{"role":"user","t":"u","x":1}]}"#,
        ),
        (
            "{for_each: body:/m, rules: [{set: item:/model, value: x, when: {body:/on: true}}]}",
            r#"{"m":[{}],"on":true}"#,
            r#"{"m":[{"model":"x"}],"on":true}"#,
        ),
        (
            "{for_each: body:/m, rules: [{for_each: item:/c, rules: [{remove: item:/x}]}]}",
            r#"{"m":[{"c":[{"x":1,"y":2}]}]}"#,
            r#"{"m":[{"c":[{"y":2}]}]}"#,
        ),
        (
            "{for_each: body:/m, rules: [{require: item:/id}]}",
            r#"{"m":[{}]}"#,
            "! required parameter item:/id is missing",
        ),
        (
            "{for_each: body:/m, rules: [{remove: 'item:', when: {item:/x: 1}}]}",
            r#"{"m":[{"x":1},{"x":2}]}"#,
            r#"{"m":[{"x":2}]}"#,
        ),
        (
            "{for_each: body:/r, rules: [{copy: item:/id, to: item:/name, with: {lookup: {in: 'body:$.m[*].calls[*]', key: /id, get: /fn/name}}}]}",
            r#"{"m":[{"calls":[{"id":"a","fn":{"name":"f"}},{"id":"b","fn":{"name":"g"}}]}],"r":[{"id":"b"},{"id":"z"}]}"#,
            r#"{"m":[{"calls":[{"id":"a","fn":{"name":"f"}},{"id":"b","fn":{"name":"g"}}]}],"r":[{"id":"b","name":"g"},{"id":"z"}]}"#,
        ),
    ]);
}

#[test]
fn base_unmapped_and_twins_are_settings_of_a_side() {
    for (settings, body, expected) in [
        (
            "{base: empty, rules: [{copy: body:/a, to: body:/x/y}]}",
            r#"{"a":1,"b":2}"#,
            r#"{"x":{"y":1}}"#,
        ),
        (
            "{base: empty, rules: [{copy: body:/a, to: body:/x}]}",
            r#"{"b":2}"#,
            "{}",
        ),
        (
            "{unmapped: drop, rules: [{require: body:/a}, {move: body:/b, to: body:/c}]}",
            r#"{"z":0,"a":{"x":1},"b":2}"#,
            r#"{"a":{"x":1},"c":2}"#,
        ),
        (
            "{unmapped: drop, rules: [{remove: body:/a/b}]}",
            r#"{"a":{"b":1,"c":2},"d":3}"#,
            r#"{"a":{}}"#,
        ),
        (
            "{unmapped: reject, rules: [{require: body:/a}]}",
            r#"{"a":{"x":1}}"#,
            r#"{"a":{"x":1}}"#,
        ),
        (
            "{unmapped: reject, rules: [{require: body:/a}]}",
            r#"{"a":1,"secret":2}"#,
            "! body: holds a member that no rule names",
        ),
    ] {
        let mapping = Mapping::from_yaml(&format!("request: {settings}")).unwrap();

        let mapped = mapping.apply(&Bytes::copy_from_slice(body.as_bytes()));

        let mapped = mapped.map_or_else(
            |error| format!("! {error}"),
            |mapped| String::from_utf8_lossy(&mapped.into_bytes()).into_owned(),
        );
        assert_eq!(mapped, expected, "{settings} {body}");
    }

    let body = Bytes::from(r#"{ "a":1, "b":2, "a":3 }"#);
    let mapping =
        Mapping::from_yaml("{duplicate_keys: last, rules: [{copy: body:/a, to: body:/c}]}")
            .unwrap();
    assert_eq!(
        mapping.apply(&body).unwrap().into_bytes(),
        r#"{ "b":2, "a":3,"c":3 }"#
    );
    let mapping = Mapping::from_yaml("rules: [{copy: body:/a, to: body:/c}]").unwrap();
    let error = mapping.apply(&body).unwrap_err();
    assert_eq!(
        (error.param(), error.to_string().as_str()),
        ("body:/a", "body:/a is given twice")
    );
}

#[test]
fn secrets_are_read_when_the_mapping_is_built_and_never_shown() {
    let file = std::env::temp_dir().join(format!("portcullis-secret-{}", std::process::id()));
    std::fs::write(&file, "s3cr3t\n").unwrap();
    let rules = format!(
        "rules: [{{set: body:/k, template: 'Bearer {{secret:file:{}}}'}}]",
        file.display()
    );

    let mapping = Mapping::from_yaml(&rules).unwrap();
    std::fs::remove_file(&file).unwrap();

    assert!(!format!("{mapping:?}").contains("s3cr3t"));
    let mapped = mapping.apply(&Bytes::from("{}")).unwrap();
    assert_eq!(mapped.into_bytes(), r#"{"k":"Bearer s3cr3t"}"#);
    let mistake = Mapping::from_yaml("rules: [{copy: secret:env:PORTCULLIS_NONE, to: header:x}]");
    assert_eq!(
        mistake.unwrap_err().to_string(),
        "line 1, column 10: rules[0].copy: the environment has no text in `PORTCULLIS_NONE`"
    );
}

#[test]
fn every_mistake_is_found_when_the_mapping_is_built() {
    for (rule, expected) in [
        (
            "{update: body:/a, with: {clamp: {min: 2, max: 1}}}",
            "rules[0].with[0].clamp.min: 2 is more than `max`, which is 1",
        ),
        (
            "{update: body:/a, with: {clamp: {exclusive_min: 0}}}",
            "rules[0].with[0].clamp.exclusive_min: needs `replace_with`",
        ),
        (
            "{update: body:/a, with: {clamp: {exclusive_min: 0, min: 0, replace_with: 1}}}",
            "rules[0].with[0].clamp.exclusive_min: stands beside `min`",
        ),
        (
            "{update: body:/a, with: {clamp: {exclusive_min: 1, max: 1, replace_with: 1}}}",
            "rules[0].with[0].clamp.exclusive_min: 1 is not less than `max`, which is 1",
        ),
        (
            "{update: body:/a, with: {clamp: {exclusive_min: 0, max: 1, replace_with: 0}}}",
            "rules[0].with[0].clamp.replace_with: lies outside the limits itself",
        ),
        (
            "{update: body:/a, with: {clamp: {max: 1, replace_with: 1}}}",
            "rules[0].with[0].clamp.replace_with: has a meaning only beside `exclusive_min` or `exclusive_max`",
        ),
        (
            "{update: body:/a, with: {clamp: {}}}",
            "rules[0].with[0].clamp: needs `min` or `max`",
        ),
        (
            "{update: body:/a, with: {validate: {pattern: '('}}}",
            "rules[0].with[0].validate.pattern: is not a pattern: unclosed group",
        ),
        (
            "{set: body:/a, value: 1, when: {body:/b: {matches: '['}}}",
            "rules[0].when.body:/b.matches: is not a pattern: unclosed character class",
        ),
        (
            "{copy: body:/a, to: body:/b, with: {validate: {enum: [1]}}, default: 2}",
            "rules[0].default: it must be one of the values that are allowed",
        ),
        (
            "{update: body:/a, with: {clamp: {max: 1}}, default: 2}",
            "rules[0].default: it lies outside the limits of `clamp`",
        ),
        (
            "{update: body:/a, with: {custom: f}}",
            "rules[0].with[0].custom: there is no function `f`",
        ),
        ("{update: body:/a}", "rules[0]: `update` needs `with`"),
        (
            "{for_each: body:/a, rules: [{copy: form:a, to: item:/a}]}",
            "rules[0].rules[0].copy: `form:a` is no part of a body with elements",
        ),
        (
            "{copy: query:a, to: [body:/a, form:a]}",
            "rules[0].to: a body is a form or JSON: write two rules",
        ),
        (
            "{set: data:/a, value: 1}",
            "rules[0].set: `data:` has a meaning only in the rules of `stream`",
        ),
        (
            "{copy: item:/a, to: body:/b}",
            "rules[0].copy: `item:` has a meaning only inside `for_each`",
        ),
        (
            "{for_each: body:/a, rules: [{set: body:/b, value: 1}]}",
            "rules[0].rules[0].set: `body:/b` cannot be written inside `for_each`, only `item:` can",
        ),
        (
            "{set: method, value: GET}",
            "rules[0].set: `method` cannot be written",
        ),
        (
            "{set: status, value: 200}",
            "rules[0].set: `status` is no part of a request",
        ),
        (
            "{set: 'body:$.a[*]', value: 1}",
            "rules[0].set: `body:$['a'][*]` is a path, and a pointer is written: only `remove`, `update` and `for_each` take paths",
        ),
        (
            "{set: body:/a, template: '{body:/b'}",
            "rules[0].template: a `{` is not closed: write `{{` for a brace",
        ),
        (
            "{set: body:/a, value: 1, with: trim}",
            "rules[0].with: has no meaning beside `value`",
        ),
        (
            "{set: body:/a, value: 1, template: x}",
            "rules[0].template: is a second source, beside `value`",
        ),
        (
            "{copy: body:/a, to: body:/b, on_error: default}",
            "rules[0].on_error: `default` needs a `default`",
        ),
        (
            "{merge: header:x, value: {}}",
            "rules[0].value: must be a string, a number or a boolean for `header:x`, is an object",
        ),
        (
            "{set: body:/a, value: 1, when: {}}",
            "rules[0].when: says nothing that could hold",
        ),
        (
            "{update: body:/a, with: {clam: {max: 1}}}",
            "rules[0].with.clam: unknown variant `clam`",
        ),
        (
            "{update: body:/a, with: {get: a}}",
            "rules[0].with[0].get: a pointer must be empty or start with `/`: `:/a`",
        ),
    ] {
        let mistake = Mapping::from_yaml(&format!("rules: [{rule}]")).unwrap_err();

        let message = format!("{}: {}", mistake.path(), mistake.message());
        assert!(
            message.starts_with(expected),
            "{rule}:\n{message}\n{expected}"
        );
        assert_eq!(mistake.line(), Some(1), "{rule}");
    }
}
