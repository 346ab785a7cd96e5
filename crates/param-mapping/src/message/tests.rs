use http::{Method, Request, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Mapping, Rule};

mod heads;

/// One rule per line: `move FROM TO`, `move! FROM TO` (required), `set TO JSON`, `default TO JSON`, `remove AT`, `require AT`.
fn mapping(rules: &str) -> Mapping {
    let at = |text: &str| text.parse::<Address>().unwrap();
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let rule = |line: &str| {
        let words: Vec<_> = line.trim().splitn(3, ' ').collect();
        match *words {
            ["move", from, to] => Rule::rename(at(from), at(to)),
            ["move!", from, to] => Rule::rename(at(from), at(to)).required(),
            ["set", to, json] => Rule::set(at(to), value(json)),
            ["default", to, json] => Rule::default(at(to), value(json)),
            ["remove", address] => Rule::remove(at(address)),
            ["require", address] => Rule::require(at(address)),
            _ => panic!("{line}"),
        }
    };
    let lines = rules
        .split(['\n', ';'])
        .filter(|line| !line.trim().is_empty());
    Mapping::builder().rules(lines.map(rule)).build().unwrap()
}

fn shown(mapped: Option<Mapped>, body: &str) -> String {
    let bytes = mapped.map_or_else(|| body.to_owned().into(), Mapped::into_bytes);
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The body that a POST with this JSON body becomes, or what the refusal says.
fn map(rules: &str, body: &str) -> String {
    let request = Request::post("/").header("content-type", "application/json");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let original = Bytes::copy_from_slice(body.as_bytes());
    match mapping(rules).plans.request.map(
        &mut parts,
        Extent::Whole,
        &original,
        &mut KeptVars::default(),
    ) {
        Ok(mapped) => shown(mapped, body),
        Err(refusal) => format!(
            "{} {}: {}",
            refusal.status.as_u16(),
            refusal.param,
            refusal.detail
        ),
    }
}

/// The target, the headers and the body that a request becomes, or what the refusal says.
fn map_all(rules: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = Request::post(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let original = Bytes::copy_from_slice(body.as_bytes());
    let mapped = match mapping(rules).plans.request.map(
        &mut parts,
        Extent::Whole,
        &original,
        &mut KeptVars::default(),
    ) {
        Ok(mapped) => shown(mapped, body),
        Err(refusal) => return format!("{}: {}", refusal.param, refusal.detail),
    };
    let mut line = parts.uri.to_string();
    for (name, value) in &parts.headers {
        if !["content-length", "content-type"].contains(&name.as_str()) {
            line += &format!(" {name}={}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    format!("{line} {mapped}")
}

#[test]
fn the_example_of_the_readme_holds() {
    let rules = "move body:/input body:/parameters/input
                 move body:/type body:/parameters/map/type";

    let mapped = map(rules, r#"{"input": "a cat", "type": "image"}"#);

    assert_eq!(
        mapped,
        r#"{"parameters":{"input":"a cat","map":{"type":"image"}}}"#
    );
}

#[test]
fn each_verb_does_to_a_body_what_its_row_says() {
    for (rules, body, expected) in [
        // move
        (
            "move body:/a body:/b",
            r#"{"a":1,"c":2}"#,
            r#"{"c":2,"b":1}"#,
        ),
        ("move body:/a body:/b", r#"{"a":1,"b":2}"#, r#"{"b":1}"#),
        ("move body:/a body:/b", r#"{"c":2}"#, r#"{"c":2}"#),
        ("move body:/a body:/b", r#"{"a":null}"#, r#"{"b":null}"#),
        (
            "move body:/a body:/b; move body:/b body:/a",
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
        ),
        ("move body:/a body:/a/b", r#"{"a":1}"#, r#"{"a":{"b":1}}"#),
        (
            "move body:/a body:/b; move body:/a body:/c",
            r#"{"a":1}"#,
            r#"{"b":1,"c":1}"#,
        ),
        (
            "move body:/a/0 body:/first",
            r#"{"a":[1, 2, 3]}"#,
            r#"{"a":[2, 3],"first":1}"#,
        ),
        (
            "move body:/b body:/a/1",
            r#"{"a":[1, 2, 3],"b":7}"#,
            r#"{"a":[1, 7, 3]}"#,
        ),
        (
            "move body: body:/parameters",
            r#"{"a":1}"#,
            r#"{"parameters":{"a":1}}"#,
        ),
        (
            "move body:/data body:",
            r#"{"data":{"a":1},"b":2}"#,
            r#"{"a":1}"#,
        ),
        ("move body:/a~1b body:/~0", r#"{"a\/b":1}"#, r#"{"~":1}"#),
        ("move body:/ä body:/a", r#"{"\u00e4":1}"#, r#"{"a":1}"#),
        (
            "move body:/a body:/__proto__",
            r#"{"a":1}"#,
            r#"{"__proto__":1}"#,
        ),
        ("move! body:/a body:/b", r#"{"a":null}"#, r#"{"b":null}"#),
        // set
        ("set body:/a 1", r#"{"a":2}"#, r#"{"a":1}"#),
        (
            "set body:/a/b/c 1.0",
            r#"{"a":{"x":2}}"#,
            r#"{"a":{"x":2,"b":{"c":1.0}}}"#,
        ),
        ("set body:/a null", "{ }", r#"{"a":null }"#),
        ("set body:/a []", r#"{"b":1}"#, r#"{"b":1,"a":[]}"#),
        ("set body: {\"a\":1}", "[1]", r#"{"a":1}"#),
        (
            "set body:/a/b 1; set body:/a {\"c\":2}",
            r#"{"a":5}"#,
            r#"{"a":{"c":2,"b":1}}"#,
        ),
        // default
        ("default body:/a 4096", "{}", r#"{"a":4096}"#),
        ("default body:/a 4096", r#"{"a":null}"#, r#"{"a":4096}"#),
        ("default body:/a 4096", r#"{"a":0}"#, r#"{"a":0}"#),
        ("default body:/a 4096", r#"{"a":false}"#, r#"{"a":false}"#),
        ("default body:/a 4096", r#"{"a":""}"#, r#"{"a":""}"#),
        ("default body:/a 4096", r#"{"a":[]}"#, r#"{"a":[]}"#),
        (
            "default body:/b 1; move body:/a body:/b",
            r#"{"a":2}"#,
            r#"{"b":2}"#,
        ),
        (
            "default body:/b 1; move body:/a body:/b",
            r#"{"a":null}"#,
            r#"{"b":1}"#,
        ),
        (
            "default body:/b 1; move body:/a body:/b",
            "{}",
            r#"{"b":1}"#,
        ),
        (
            "default body:/a 1; move body:/a body:/b",
            r#"{"a":2}"#,
            r#"{"a":1,"b":2}"#,
        ),
        ("default body:/a/b 1", r#"{"a":{}}"#, r#"{"a":{"b":1}}"#),
        // remove
        ("remove body:/a", r#"{"a":1}"#, "{}"),
        (
            "remove body:/a",
            r#"{ "a" : 1 , "b" : 2 }"#,
            r#"{ "b" : 2 }"#,
        ),
        (
            "remove body:/b",
            r#"{ "a" : 1 , "b" : 2 }"#,
            r#"{ "a" : 1 }"#,
        ),
        (
            "remove body:/a; remove body:/c",
            "{\"a\":1,\n \"b\":2,\n \"c\":3}",
            "{\"b\":2}",
        ),
        ("remove body:/a/b", r#"{"a":5}"#, r#"{"a":5}"#),
        (
            "remove body:/a/1; remove body:/a/7",
            r#"{"a":[1,2,3]}"#,
            r#"{"a":[1,3]}"#,
        ),
        ("remove body:/a", "[1]", "[1]"),
        (
            "remove body:/a; set body:/a/b 1",
            r#"{"a":{"c":2}}"#,
            r#"{"a":{"b":1}}"#,
        ),
        (
            "remove body:/a/b; move body:/a body:/c",
            r#"{"a":{"b":1}}"#,
            r#"{"c":{"b":1}}"#,
        ),
        // require
        ("require body:/a", r#"{"a":null}"#, r#"{"a":null}"#),
    ] {
        assert_eq!(map(rules, body), expected, "{rules} on {body}");
    }
}

#[test]
fn what_cannot_be_mapped_names_the_address_and_no_value() {
    for (rules, body, expected) in [
        (
            "move! body:/a body:/b",
            "{}",
            "400 body:/a: required parameter body:/a is missing",
        ),
        (
            "require body:/a/b",
            r#"{"a":"secret"}"#,
            "400 body:/a/b: required parameter body:/a/b is missing",
        ),
        (
            "set body:/a/b 1",
            r#"{"a":"secret"}"#,
            "400 body:/a/b: body:/a/b cannot be written: body:/a is a string",
        ),
        (
            "default body:/a/b 1",
            r#"{"a":null}"#,
            "400 body:/a/b: body:/a/b cannot be written: body:/a is null",
        ),
        (
            "set body:/a 1",
            "7",
            "400 body:/a: body:/a cannot be written: body: is a number",
        ),
        (
            "set body:/a/x 1",
            r#"{"a":[]}"#,
            "400 body:/a/x: body:/a/x cannot be written: body:/a is an array",
        ),
        (
            "set body:/a/1 1",
            r#"{"a":[0]}"#,
            "400 body:/a/1: body:/a/1 cannot be written: body:/a is an array",
        ),
        (
            "remove body:/a",
            r#"{"a":1,"\u0061":2}"#,
            "400 body:/a: body:/a is given twice",
        ),
        (
            "move body:/a header:x",
            r#"{"a":{"s":1}}"#,
            "400 body:/a: body:/a is an object, and header:x needs a string, a number or a boolean",
        ),
        (
            "move body:/a query:x",
            r#"{"a":null}"#,
            "400 body:/a: body:/a is null, and query:x needs a string, a number or a boolean",
        ),
        (
            "move body:/a header:x",
            r#"{"a":"1\r\nx-evil: 1"}"#,
            "400 body:/a: body:/a holds a character that header:x cannot hold",
        ),
        (
            "move body:/a header:x",
            r#"{"a":"\u0000"}"#,
            "400 body:/a: body:/a holds a character that header:x cannot hold",
        ),
        (
            "remove body:/a",
            r#"{"a":"#,
            "400 body:: the body is not valid JSON at line 1, column 5",
        ),
        (
            "remove body:/a",
            r#"{"b":"\ud800"}"#,
            "400 body:: the body holds half of a surrogate pair",
        ),
    ] {
        assert_eq!(map(rules, body), expected, "{rules} on {body}");
    }
}

#[test]
fn falsy_values_are_not_lost() {
    let rules = "move body:/temperature body:/options/temperature
                 move body:/stream body:/options/stream
                 move body:/stop body:/options/stop
                 default body:/options/temperature 1
                 default body:/options/stream true";

    let mapped = map(rules, r#"{"temperature":0,"stream":false,"stop":""}"#);

    assert_eq!(
        mapped,
        r#"{"options":{"temperature":0,"stream":false,"stop":""}}"#
    );
}

#[test]
fn types_stay_and_numbers_keep_their_text() {
    for number in [
        "9007199254740993",
        "18446744073709551616",
        "1.0",
        "1e400",
        "-0.0",
        "1E+2",
    ] {
        let body = format!(r#"{{"a":{number},"kept":{number}}}"#);

        let mapped = map("move body:/a body:/b/c", &body);

        assert_eq!(
            mapped,
            format!(r#"{{"kept":{number},"b":{{"c":{number}}}}}"#)
        );
    }
    assert_eq!(
        map("move body:/a body:/b", r#"{"a":[true, "1", {"x":null}]}"#),
        r#"{"b":[true, "1", {"x":null}]}"#
    );
}

#[test]
fn what_no_rule_names_keeps_its_bytes_and_its_order() {
    let body =
        "\n { \"z\" : [ 1.0 ,2 ], \"a\":{\"y\" :\"\\u00e4\\/\",\"x\":{}} ,\"z\": 1,\"m\":\t7 }\r\n";

    let mapped = map("set body:/a/y 1; remove body:/m", body);

    assert_eq!(
        mapped,
        "\n { \"z\" : [ 1.0 ,2 ], \"a\":{\"y\" :1,\"x\":{}} ,\"z\": 1 }\r\n"
    );
}

#[test]
fn a_refusal_is_told_without_a_value() {
    let refusal = Refusal::missing(&"body:/input");

    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    assert_eq!(refusal.detail, "required parameter body:/input is missing");
    assert_eq!(
        Refusal::too_large(9).detail,
        "the body is larger than 9 bytes"
    );
    assert_eq!(
        Refusal::not_json(&"body:/a").detail,
        "body:/a needs a body of type application/json, in no coding unknown here"
    );
}

/// Every verb at places that the documents below have, and at some that they have not.
const BUSY: &str = "move body:/a body:/b/x
    move body:/c/0 body:/d
    set body:/e/f {\"g\":[]}
    default body:/b/y 1
    remove body:/c/2
    move body:/b/z query:z
    default body:/h null";

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\u{e4}\u{1f600}\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-h]", inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_a_mapping_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (mut parts, ()) = Request::post("/").body(()).unwrap().into_parts();
        let _ = mapping(BUSY).plans.request.map(&mut parts, Extent::Whole, &bytes.into(), &mut KeptVars::default());
    }

    #[test]
    fn nearly_json_makes_no_mapping_panic(text in r#"[\[{]["\\{}\[\]:, abc0\n]{0,40}"#) {
        let _ = map(BUSY, &text);
    }

    #[test]
    fn what_is_mapped_is_json(document in document()) {
        let mapped = map(BUSY, &document.to_string());
        prop_assert!(
            mapped.starts_with("400 ") || serde_json::from_str::<Value>(&mapped).is_ok(),
            "{mapped}"
        );
    }

    #[test]
    fn a_mapping_that_finds_nothing_leaves_the_bytes(document in document(), pretty in any::<bool>()) {
        let text = if pretty { format!("{document:#}") } else { document.to_string() };

        let rules = "move body:/none body:/other; remove body:/a/none; move body:/c/9 body:/x";

        prop_assert_eq!(map(rules, &text), text);
    }

    #[test]
    fn removals_and_defaults_do_what_they_do_to_a_tree(
        members in proptest::collection::btree_map("[abde]", document(), 0..5),
        array in proptest::collection::vec(document(), 0..6),
        pretty in any::<bool>(),
    ) {
        let mut tree: Value = members.into_iter().collect();
        tree["c"] = Value::from(array.clone());
        let text = if pretty { format!("{tree:#}") } else { tree.to_string() };
        let members = tree.as_object_mut().unwrap();
        members.shift_remove("a");
        members.shift_remove("b");
        let kept = array.into_iter().enumerate().filter(|(index, _)| ![0, 3].contains(index));
        members["c"] = kept.map(|(_, element)| element).collect();
        if members.get("d").is_none_or(Value::is_null) {
            members.insert("d".to_owned(), 7.into());
        }

        let rules = "remove body:/a; remove body:/b; remove body:/c/0; remove body:/c/3; default body:/d 7";
        let mapped: Value = serde_json::from_str(&map(rules, &text)).unwrap();

        // As texts, so that the order of members counts.
        prop_assert_eq!(mapped.to_string(), tree.to_string());
    }

    #[test]
    fn a_moved_value_is_the_same_value(document in document()) {
        let text = document.to_string();

        let mapped = map("move body: body:/deep/in/it", &text);

        prop_assert_eq!(mapped, format!(r#"{{"deep":{{"in":{{"it":{text}}}}}}}"#));
    }

    #[test]
    fn pairs_that_no_rule_names_keep_their_bytes(query in "[a-z=&%+0-9.]{0,30}") {
        let target = format!("/p?{query}");

        // No query of this length can hold these names, not even escaped.
        let rules = "remove query:ZZZZZZZZZZZZ; move query:YYYYYYYYYYYY query:X";
        let mapped = map_all(rules, &target, &[], "");

        prop_assert_eq!(mapped, format!("{target} "));
    }
}
