use http::{Request, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Mapping, Rule};

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
    match mapping(rules)
        .plans
        .request
        .map(&mut parts, Extent::Whole, &original)
    {
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
    let mapped = match mapping(rules)
        .plans
        .request
        .map(&mut parts, Extent::Whole, &original)
    {
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
fn headers_and_the_query_are_mapped() {
    for (rules, target, headers, body, expected) in [
        (
            "move query:a query:c",
            "/p?a=%41+1&b=2&a",
            &[][..],
            "",
            "/p?b=2&c=%41+1&c= ",
        ),
        ("remove query:a", "/p?a=1", &[], "", "/p "),
        ("remove query:a", "/p?", &[], "", "/p? "),
        ("remove query:z", "/p?a=%7e&&b=+", &[], "", "/p?a=%7e&&b=+ "),
        ("set query:a true", "/p?a=1&a=2&b", &[], "", "/p?b&a=true "),
        ("default query:a \"x y\"", "/p", &[], "", "/p?a=x%20y "),
        ("default query:a 1", "/p?a", &[], "", "/p?a "),
        (
            "move query:a header:x",
            "/p?a=1+2&a=%C3%A4",
            &[],
            "",
            "/p x=1 2 x=\u{e4} ",
        ),
        (
            "move query:a body:/a",
            "/p?a=1+2",
            &[],
            "{}",
            r#"/p {"a":"1 2"}"#,
        ),
        (
            "move query:a body:/a",
            "/p?a=%22",
            &[],
            "",
            r#"/p {"a":"\""}"#,
        ),
        (
            "move header:x query:a",
            "/p",
            &[("x", "1&2"), ("x", "\u{e4}")],
            "",
            "/p?a=1%262&a=%C3%A4 ",
        ),
        (
            "move header:x header:y",
            "/p",
            &[("x", "1"), ("y", "2"), ("x", "3")],
            "",
            "/p y=1 y=3 ",
        ),
        (
            "move header:x body:/a",
            "/p",
            &[("x", "1")],
            r#"{"b":2}"#,
            r#"/p {"b":2,"a":"1"}"#,
        ),
        (
            "move body:/a header:x",
            "/p",
            &[("x", "old")],
            r#"{"a":"\u00e4"}"#,
            "/p x=\u{e4} {}",
        ),
        (
            "move body:/a query:x",
            "/p?x=0",
            &[],
            r#"{"a":1.0}"#,
            "/p?x=1.0 {}",
        ),
        (
            "move body:/a header:x",
            "/p",
            &[("x", "old")],
            "{}",
            "/p x=old {}",
        ),
        (
            "set header:x 1",
            "/p",
            &[("x", "2"), ("x", "3")],
            "",
            "/p x=1 ",
        ),
        ("default header:x 1", "/p", &[("x", "")], "", "/p x= "),
        (
            "default header:x 1; remove header:x",
            "/p",
            &[("x", "2")],
            "",
            "/p x=1 ",
        ),
        (
            "remove header:authorization",
            "/p",
            &[("authorization", "b"), ("x", "1")],
            "",
            "/p x=1 ",
        ),
        (
            "remove header:x-key; move query:key header:x-key",
            "/p?key=1",
            &[("x-key", "forged")],
            "",
            "/p x-key=1 ",
        ),
        (
            "move! header:x query:x",
            "/p",
            &[],
            "",
            "header:x: required parameter header:x is missing",
        ),
        (
            "move! query:x header:x",
            "/p?y",
            &[],
            "",
            "query:x: required parameter query:x is missing",
        ),
        (
            "move query:a body:/a",
            "/p?a=1&a=2",
            &[],
            "",
            "query:a: query:a is given 2 times, once is what fits",
        ),
        (
            "move query:a body:/a",
            "/p?a=%ff",
            &[],
            "",
            "query:a: query:a is not UTF-8, or wrongly encoded",
        ),
        (
            "move query:a header:a",
            "/p?a=%0d%0ab:1",
            &[],
            "",
            "query:a: query:a holds a character that header:a cannot hold",
        ),
        (
            "move header:x query:a",
            "*",
            &[("x", "1")],
            "",
            "query:: the query cannot be written to this target",
        ),
    ] {
        let mapped = map_all(rules, target, headers, body);

        assert_eq!(mapped, expected, "{rules} on {target} {headers:?} {body}");
    }
}

#[test]
fn an_empty_body_gets_content_only_where_a_rule_gives_it_some() {
    for (rules, method, expected) in [
        ("set body:/a 1", Method::POST, Some(r#"{"a":1}"#)),
        ("default body:/a 1", Method::PUT, Some(r#"{"a":1}"#)),
        ("remove body:/a", Method::POST, None),
        ("move body:/a body:/b", Method::POST, None),
        ("set body:/a 1; default body:/b 2", Method::GET, None),
        (
            "set body:/a 1; move query:q body:/q",
            Method::GET,
            Some(r#"{"a":1,"q":"7"}"#),
        ),
    ] {
        let request = Request::builder().method(&method).uri("/?q=7").body(());
        let (mut parts, ()) = request.unwrap().into_parts();

        let mapped = mapping(rules)
            .plans
            .request
            .map(&mut parts, Extent::Whole, &Bytes::new());

        let mapped = mapped.unwrap().map(|mapped| shown(Some(mapped), ""));
        assert_eq!(mapped.as_deref(), expected, "{method} {rules}");
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        assert_eq!(
            content_type.is_some(),
            expected.is_some(),
            "{method} {rules}"
        );
    }
}

#[test]
fn a_changed_body_is_described_anew_and_an_unchanged_one_is_not() {
    for (body, changed) in [(r#"{"a":1}"#, true), (r#"{"b":1}"#, false)] {
        let mut request = Request::post("/");
        for name in [
            "content-digest",
            "content-length",
            "content-md5",
            "digest",
            "repr-digest",
            "transfer-encoding",
        ] {
            request = request.header(name, "0");
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();

        let mapped =
            mapping("remove body:/a")
                .plans
                .request
                .map(&mut parts, Extent::Whole, &body.into());

        assert_eq!(mapped.unwrap().is_some(), changed);
        let expected = if changed { (1, "2") } else { (6, "0") };
        let length = parts.headers[header::CONTENT_LENGTH].to_str();
        assert_eq!((parts.headers.len(), length.unwrap()), expected);
    }
}

#[test]
fn bodies_are_read_only_where_they_must_and_can_be() {
    let json = ("content-type", "application/json; charset=utf-8");
    let problem = ("content-type", "Application/Problem+JSON");
    let text = ("content-type", "text/plain");
    let gzip = ("content-encoding", "gzip");
    let grpc = ("content-type", "application/grpc+proto");
    for (rules, headers, expected) in [
        ("remove body:/a", &[json][..], Ok(Work::Collect)),
        ("remove body:/a", &[problem], Ok(Work::Collect)),
        (
            "remove body:/a",
            &[json, ("content-encoding", "identity")],
            Ok(Work::Collect),
        ),
        ("remove header:a", &[json], Ok(Work::Pass(Extent::Head))),
        ("require body:/a", &[grpc], Ok(Work::Pass(Extent::Headers))),
        (
            "remove body:/a; default body:/b 1; move body:/c body:/d",
            &[text],
            Ok(Work::Pass(Extent::Head)),
        ),
        ("remove body:/a", &[], Ok(Work::Pass(Extent::Head))),
        (
            "remove body:/a",
            &[json, gzip],
            Ok(Work::Pass(Extent::Head)),
        ),
        (
            "move header:none body:/a",
            &[text],
            Ok(Work::Pass(Extent::Head)),
        ),
        ("move! body:/a body:/b", &[text], Err((415, "body:/a"))),
        ("require body:/a", &[json, gzip], Err((415, "body:/a"))),
        ("set body:/a 1", &[], Err((415, "body:/a"))),
        ("move query:q body:/a", &[text], Err((415, "body:/a"))),
        (
            "require header:none; remove body:/a",
            &[json],
            Err((400, "header:none")),
        ),
    ] {
        let mut request = Request::post("/?q=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();

        let work = mapping(rules)
            .plans
            .request
            .work(&parts, &"body".to_owned());

        let work = work.map_err(|refusal| (refusal.status.as_u16(), refusal.param));
        assert_eq!(
            work,
            expected.map_err(|(status, param)| (status, param.to_owned())),
            "{rules} {headers:?}"
        );
    }
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
        "body:/a needs a body of type application/json without content-encoding"
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
        let _ = mapping(BUSY).plans.request.map(&mut parts, Extent::Whole, &bytes.into());
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
