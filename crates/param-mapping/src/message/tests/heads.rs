//! Headers, the query, and what they say of a body.

use super::*;

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

        let mapped = mapping(rules).plans.request.map(
            &mut parts,
            Extent::Whole,
            &Bytes::new(),
            &mut KeptVars::default(),
        );

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

        let mapped = mapping("remove body:/a").plans.request.map(
            &mut parts,
            Extent::Whole,
            &body.into(),
            &mut KeptVars::default(),
        );

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
    let gzip = ("content-encoding", "lzw");
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
