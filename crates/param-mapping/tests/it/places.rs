//! Cookies and the path: read, written, and moved between all places.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use portcullis_gateway_error::Problem;
use portcullis_param_mapping::Mapping;

use crate::{Fixture, fixture, send, text};

fn mapping(route: &str, rules: &str) -> Mapping {
    let yaml = format!("match: {{path: '{route}'}}\nrules: {rules}");
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(&yaml);
    Mapping::from_yaml(&yaml).unwrap()
}

/// What the upstream gets, as `target | cookies | header x | body`; or what the caller is told.
async fn through(mapping: Mapping, target: &str, cookies: &[&str], body: &str) -> String {
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(mapping);
    let mut request = Request::post(target).header("content-type", "application/json");
    for line in cookies {
        request = request.header("cookie", HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let body = Full::from(Bytes::from(body.to_owned()));

    let response = send(&mut service, request.body(body).unwrap()).await;

    if response.status() != StatusCode::OK {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let problem = text(response.into_body()).await;
        let problem = Problem::from_slice(problem.as_bytes()).unwrap();
        return problem.detail.unwrap();
    }
    let received = received.lock().unwrap();
    let head = received.head.as_ref().unwrap();
    let lines = |name| {
        let lines = head.headers.get_all(name).iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
        lines.join(" / ")
    };
    let body = str::from_utf8(&received.body).unwrap();
    format!(
        "{} | {} | {} | {body}",
        head.uri,
        lines("cookie"),
        lines("x")
    )
}

#[tokio::test]
async fn one_cookie_changes_and_the_others_keep_their_bytes() {
    for (rules, before, after) in [
        (
            "{set: cookie:a, value: x}",
            &["z =1 ;a=1;b=\"2\"; a=3;c"][..],
            "z =1 ;a=x;b=\"2\";c",
        ),
        ("{set: cookie:a, value: 7}", &[], "a=7"),
        (
            "{set: cookie:a, value: x}",
            &["b=1", "c=2"],
            "b=1; c=2; a=x",
        ),
        (
            "{set: cookie:a, value: y, when: {cookie:b: 1}}",
            &["b=1"],
            "b=1; a=y",
        ),
        ("{remove: cookie:a}", &["b=1", "c=2"], "b=1 / c=2"),
        ("{remove: cookie:a}", &["a=1; a=2"], ""),
        ("{remove: cookie:a}", &["b=1; A=1;a=3;c"], "b=1; A=1;c"),
        (
            "{allow: [cookie:a, cookie:b]}",
            &["a=1; x=2; y;b=3"],
            "a=1;b=3",
        ),
        ("{default: cookie:a, value: x}", &["a=1"], "a=1"),
        ("{add: cookie:a, value: x}", &["b=1"], "b=1; a=x"),
        ("{replace: cookie:a, value: x}", &["b=1"], "b=1"),
        ("{replace: cookie:a, value: x}", &["a=1"], "a=x"),
        (
            "{move: cookie:a, to: cookie:b}",
            &["a=1; b=2; c=3"],
            "b=1; c=3",
        ),
        (
            "{move: cookie:a, to: cookie:b}, {move: cookie:b, to: cookie:a}",
            &["a=1; b=2"],
            "b=1; a=2",
        ),
        ("{update: cookie:a, with: upper}", &["a=x; b=x"], "b=x; a=X"),
        (
            "{remove: header:cookie}, {set: cookie:a, value: x}",
            &["b=1"],
            "a=x",
        ),
        (
            "{set: cookie:a, value: x}, {remove: cookie:b}",
            &["b=1; a=\u{e4}; c=1"],
            "a=x; c=1",
        ),
    ] {
        let mapping = mapping("/", &format!("[{rules}]"));

        let seen = through(mapping, "/", before, "{}").await;

        assert_eq!(seen, format!("/ | {after} |  | {{}}"), "{rules} {before:?}");
    }
}

#[tokio::test]
async fn cookies_and_parts_of_the_path_move_to_every_place_and_from_it() {
    for (rule, target, cookie, body, expected) in [
        (
            "{move: cookie:a, to: body:/s}",
            "/p",
            "a=x",
            "{}",
            r#"/p |  |  | {"s":"x"}"#,
        ),
        (
            "{move: cookie:a, to: header:x}",
            "/p",
            "a=x; b=1",
            "{}",
            "/p | b=1 | x | {}",
        ),
        (
            "{copy: cookie:a, to: query:q}",
            "/p",
            "a=x&y",
            "{}",
            "/p?q=x%26y | a=x&y |  | {}",
        ),
        (
            "{copy: cookie:a, to: 'path:{p}'}",
            "/p?q",
            "a=x%20y",
            "{}",
            "/x%2520y?q | a=x%20y |  | {}",
        ),
        (
            "{move: body:/s, to: cookie:a}",
            "/p",
            "b=1",
            r#"{"s":1.0}"#,
            "/p | b=1; a=1.0 |  | {}",
        ),
        (
            "{move: query:q, to: cookie:a}",
            "/p?q=%41",
            "b=1",
            "{}",
            "/p | b=1; a=A |  | {}",
        ),
        (
            "{copy: header:cookie, to: header:x}",
            "/p",
            "b=1",
            "{}",
            "/p | b=1 | b=1 | {}",
        ),
        (
            "{copy: 'path:{p}', to: cookie:a}",
            "/%41",
            "b=1",
            "{}",
            "/%41 | b=1; a=A |  | {}",
        ),
        (
            "{copy: 'path:{p}', to: body:/s}",
            "/a%2fb",
            "b=1",
            "{}",
            r#"/a%2fb | b=1 |  | {"s":"a/b"}"#,
        ),
        (
            "{copy: 'path:{p}', to: header:x}",
            "/a%20b",
            "b=1",
            "{}",
            "/a%20b | b=1 | a b | {}",
        ),
        (
            "{copy: path, to: header:x}",
            "/a%20b",
            "b=1",
            "{}",
            "/a%20b | b=1 | /a%20b | {}",
        ),
        (
            "{move: body:/m, to: 'path:{p}'}",
            "/p?q=1",
            "b=1",
            r#"{"m":"gpt 4/o"}"#,
            "path:{p} cannot be written: a part of the path cannot hold a slash or a backslash",
        ),
        (
            "{move: body:/m, to: 'path:{p}'}",
            "/p?q=1",
            "b=1",
            r#"{"m":"gpt 4"}"#,
            "/gpt%204?q=1 | b=1 |  | {}",
        ),
        (
            "{move: query:m, to: 'path:{p}'}",
            "/p?m=a%26b",
            "b=1",
            "{}",
            "/a%26b | b=1 |  | {}",
        ),
        (
            "{update: 'path:{p}', with: upper}",
            "/p",
            "b=1",
            "{}",
            "/P | b=1 |  | {}",
        ),
        (
            "{set: 'path:{p}', value: new}",
            "/p",
            "b=1",
            "{}",
            "/new | b=1 |  | {}",
        ),
        (
            "{require: 'path:{p}'}",
            "/p",
            "b=1",
            "{}",
            "/p | b=1 |  | {}",
        ),
        (
            "{set: header:x, value: 1, when: {'path:{p}': {glob: 'a*'}}}",
            "/abc",
            "b=1",
            "{}",
            "/abc | b=1 | 1 | {}",
        ),
    ] {
        let mapping = mapping("/{p}", &format!("[{rule}]"));

        assert_eq!(
            through(mapping, target, &[cookie], body).await,
            expected,
            "{rule}"
        );
    }
}

#[tokio::test]
async fn a_path_is_written_as_a_whole_with_each_value_as_one_part() {
    let gemini =
        "[{set: path, template: '/v1/models/{body:/model}:generate'}, {remove: body:/model}]";
    for (rules, body, expected) in [
        (
            gemini,
            r#"{"model":"a b"}"#,
            "/v1/models/a%20b:generate?q=1 |  |  | {}",
        ),
        (gemini, "{}", "/models/x/chat?q=1 |  |  | {}"),
        (
            gemini,
            r#"{"model":"a/../b"}"#,
            "path cannot be written: a part of the path cannot hold a slash or a backslash",
        ),
        (
            gemini,
            r#"{"model":["a"]}"#,
            "body:/model is an array, and a path needs a string, a number or a boolean",
        ),
        (
            "[{set: path, value: /v2/chat}]",
            "{}",
            "/v2/chat?q=1 |  |  | {}",
        ),
        (
            "[{set: path, template: '/{body:/a}', default: /none}]",
            "{}",
            "/none?q=1 |  |  | {}",
        ),
        (
            "[{copy: 'path:{m}', to: body:/model}, {set: path, value: /v2}]",
            "{}",
            r#"/v2?q=1 |  |  | {"model":"x"}"#,
        ),
    ] {
        let mapping = mapping("/models/{m}/{*rest}", rules);

        assert_eq!(
            through(mapping, "/models/x/chat?q=1", &[], body).await,
            expected,
            "{rules}"
        );
    }
}

#[tokio::test]
async fn no_value_climbs_out_of_its_part_of_the_path_or_makes_another() {
    for value in [
        "..",
        ".",
        "",
        "a/b",
        "../../admin",
        "%2e%2e",
        "%2E.",
        "a%2fb",
        "%252f",
        "a\\\\b",
        "%5c",
        "a\\r\\nb",
        "%00",
    ] {
        for rule in [
            "{copy: body:/m, to: 'path:{m}'}",
            "{set: path, template: '/m/{body:/m}/run'}",
        ] {
            let body = format!(r#"{{"m":"{value}"}}"#);
            let mapping = mapping("/m/{m}/run", &format!("[{rule}]"));

            let told = through(mapping, "/m/x/run", &[], &body).await;

            assert!(
                told.contains("cannot be written: a part of the path cannot"),
                "{value} {rule}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn no_value_becomes_another_cookie() {
    for value in [
        "1; b=2",
        "1\\r\\nx: y",
        "1\\n",
        "a b",
        "\u{e4}",
        "a,b",
        "\\u0000",
    ] {
        for rule in [
            "{copy: body:/m, to: cookie:a}",
            "{set: cookie:a, template: 'v{body:/m}'}",
        ] {
            let body = format!(r#"{{"m":"{value}"}}"#);

            let told = through(mapping("/", &format!("[{rule}]")), "/", &["b=1"], &body).await;

            let expected = "cookie:a cannot be written: the value of a cookie cannot hold spaces, quotes, commas, semicolons, backslashes, controls or non-ASCII";
            assert_eq!(told, expected, "{value} {rule}");
        }
    }
}

#[tokio::test]
async fn two_cookies_of_one_name_are_not_chosen_from() {
    for (rule, expected) in [
        (
            "{copy: cookie:a, to: body:/s}",
            "cookie:a is given 2 times, once is what fits",
        ),
        (
            "{copy: cookie:a, to: cookie:b}",
            "cookie:a is given 2 times, once is what fits",
        ),
        (
            "{copy: cookie:a, to: body:/s, with: {coerce: array}}",
            r#"/ | a=1; a=2 |  | {"s":["1","2"]}"#,
        ),
        (
            "{copy: cookie:a, to: header:x}",
            "/ | a=1; a=2 | 1 / 2 | {}",
        ),
        (
            "{copy: cookie:a, to: query:q}",
            "/?q=1&q=2 | a=1; a=2 |  | {}",
        ),
    ] {
        let mapping = mapping("/", &format!("[{rule}]"));

        assert_eq!(
            through(mapping, "/", &["a=1; a=2"], "{}").await,
            expected,
            "{rule}"
        );
    }
}

#[test]
fn what_no_cookie_and_no_path_can_be_is_found_when_the_mapping_is_built() {
    for (route, rule, expected) in [
        (
            "/",
            "{set: cookie:a b, value: 1}",
            "rules[0].set: the name of a cookie must be a token",
        ),
        (
            "/",
            "{copy: 'cookie:a;b', to: header:x}",
            "rules[0].copy: the name of a cookie must be a token",
        ),
        (
            "/",
            "{set: cookie:a, value: 'x;y'}",
            "rules[0].value: the value of a cookie cannot hold",
        ),
        (
            "/",
            "{append: cookie:a, value: x}",
            "rules[0].append: `cookie:a` is one cookie: `set` it",
        ),
        (
            "/{p}",
            "{copy: 'path:{q}', to: header:x}",
            "rules[0].copy: the route of the mapping names no part `{q}`",
        ),
        (
            "/{*p}",
            "{copy: 'path:{p}', to: header:x}",
            "rules[0].copy: the route of the mapping names no part `{p}`",
        ),
        (
            "/{a-b}",
            "{copy: 'path:{a-b}', to: header:x}",
            "rules[0].copy: segment 1 of the path template is malformed",
        ),
        (
            "/{p}",
            "{remove: 'path:{p}'}",
            "rules[0].remove: `path:{p}` cannot be removed",
        ),
        (
            "/{p}",
            "{move: 'path:{p}', to: header:x}",
            "rules[0].move: `path:{p}` cannot be removed",
        ),
        (
            "/{p}",
            "{allow: 'path:{p}'}",
            "rules[0].allow: `path:{p}` stands alone",
        ),
        (
            "/{p}",
            "{default: 'path:{p}', value: x}",
            "rules[0].default: `path:{p}` is always there: `set` it",
        ),
        (
            "/{p}",
            "{set: 'path:{p}', value: a/b}",
            "rules[0].value: a part of the path cannot hold a slash",
        ),
        (
            "/{p}",
            "{set: 'path:{p}', value: ..}",
            "rules[0].value: a part of the path cannot be `.` or `..`",
        ),
        (
            "/{p}",
            "{remove: path}",
            "rules[0].remove: `path` cannot be removed",
        ),
        (
            "/{p}",
            "{set: path, value: a}",
            "rules[0].value: the path template is malformed: it must begin with a slash",
        ),
        (
            "/{p}",
            "{set: path, value: '/{p}'}",
            "rules[0].value: `{p}` is a name, and a constant has none: write `template`",
        ),
        (
            "/{p}",
            "{set: path, value: /a/../b}",
            "rules[0].value: segment 2 of the path template is malformed: it is `.` or `..`",
        ),
        (
            "/{p}",
            "{set: path, template: '/{query:a}{query:b}'}",
            "rules[0].template: segment 1 of the path template is malformed: it has two names",
        ),
        (
            "/{p}",
            "{set: path, template: '/{query:a}', with: trim}",
            "rules[0].with: has no meaning beside `path`",
        ),
        (
            "/{p}",
            "{copy: query:a, to: path}",
            "rules[0].to: `path` is written by `set` with `value` or `template`",
        ),
        (
            "/{p}",
            "{set: path, from: query:a}",
            "rules[0].set: `path` is written by `set` with `value` or `template`",
        ),
    ] {
        let text = format!("match: {{path: '{route}'}}\nrules:\n  - {rule}\n");

        let mistake = Mapping::from_yaml(&text).unwrap_err();

        let message = format!("{}: {}", mistake.path(), mistake.message());
        assert!(
            message.starts_with(expected),
            "{rule}:\n{message}\n{expected}"
        );
        assert_eq!(mistake.line(), Some(3), "{rule}");
    }
    for rules in [
        "[{set: path, value: /a}, {set: 'path:{p}', value: x}]",
        "[{set: 'path:{p}', value: x}, {set: path, template: '/{query:a}'}]",
    ] {
        let mistake = Mapping::from_yaml(&format!(
            "match: {path}\nrules: {rules}",
            path = "{path: '/{p}'}"
        ));
        assert_eq!(
            mistake.unwrap_err().message(),
            "`path` is written as a whole, beside a part of it: see rules[0]"
        );
    }
    let anywhere = Mapping::from_yaml("rules: [{copy: 'path:{p}', to: header:x}]").unwrap_err();
    assert!(
        anywhere
            .to_string()
            .ends_with("parts of the path have no names: give the mapping a route")
    );
    for (address, expected) in [
        (
            "cookie:a",
            "`cookie:a` is no part of a response, `header:set-cookie` is",
        ),
        ("'path:{p}'", "`path:{p}` is no part of a response"),
        ("path", "`path` is no part of a response"),
    ] {
        let text = format!(
            "match: {{path: '/{{p}}'}}\nresponse: {{rules: [{{copy: {address}, to: header:x}}]}}"
        );

        assert_eq!(Mapping::from_yaml(&text).unwrap_err().message(), expected);
    }
}
