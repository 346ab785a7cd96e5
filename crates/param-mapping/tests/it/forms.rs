//! Forms: their fields read, written and moved, and bodies that become forms or cease to be ones.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use portcullis_gateway_error::Problem;
use portcullis_param_mapping::Mapping;

use crate::{Fixture, fixture, send, text};

const URL: &str = "application/x-www-form-urlencoded";
const MULTI: &str = "multipart/form-data; boundary=xyz";

fn mapping(rules: &str) -> Mapping {
    let yaml = format!("rules: [{rules}]");
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(&yaml);
    Mapping::from_yaml(&yaml).unwrap()
}

/// What the upstream gets, or what the caller is told.
async fn through(
    mapping: Mapping,
    method: Method,
    target: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Result<(String, Bytes), (u16, String)> {
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(mapping);
    let body = body.into();
    let request = Request::builder().method(method).uri(target);
    let request = request.header("content-type", content_type);
    let request = request.header("content-length", body.len());

    let response = send(&mut service, request.body(Full::from(body)).unwrap()).await;

    let status = response.status();
    if status != StatusCode::OK {
        let problem = text(response.into_body()).await;
        let problem = Problem::from_slice(problem.as_bytes()).unwrap();
        return Err((status.as_u16(), problem.detail.unwrap()));
    }
    let received = received.lock().unwrap();
    let head = received.head.as_ref().unwrap();
    let header = |name| head.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-length"), received.body.len().to_string());
    Ok((header("content-type"), received.body.clone()))
}

async fn post(
    rules: &str,
    content_type: &str,
    body: &str,
) -> Result<(String, String), (u16, String)> {
    let sent = through(
        mapping(rules),
        Method::POST,
        "/?q=1&q=a%20b",
        content_type,
        body.to_owned(),
    );
    let (content_type, body) = sent.await?;
    Ok((content_type, String::from_utf8(body.to_vec()).unwrap()))
}

fn part(name: &str, value: &str) -> String {
    format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[tokio::test]
async fn one_field_changes_and_the_others_keep_their_bytes() {
    for (rules, before, after) in [
        (
            "{set: form:a, value: x y}",
            "b=%7e&a=1&c&&a=2",
            "b=%7e&a=x%20y&c&",
        ),
        ("{set: form:a, value: 7}", "b=+", "b=+&a=7"),
        ("{remove: form:a}", "a=1&b=%7e&%61=2&c", "b=%7e&c"),
        ("{remove: form:x}", "a=1&b=%7e", "a=1&b=%7e"),
        ("{allow: [form:a, form:c]}", "a=1&b=2&c=+&d", "a=1&c=+"),
        (
            "{move: form:a, to: form:z}",
            "b=1&a=+%7e&c=3",
            "b=1&z=+%7e&c=3",
        ),
        ("{move: form:a, to: form:z}", "a=1&z=2&a=3", "z=1&z=3"),
        (
            "{move: form:a, to: form:b}, {move: form:b, to: form:a}",
            "a=1&b=+",
            "b=1&a=+",
        ),
        ("{move: form:a, to: [form:b, form:c]}", "a=+", "b=+&c=%20"),
        (
            "{move: form:a, to: form:b}, {set: form:a, value: new}",
            "a=1",
            "b=1&a=new",
        ),
        (
            "{copy: form:a, to: form:b}",
            "a=1&a=%20",
            "a=1&a=%20&b=1&b=%20",
        ),
        ("{default: form:a, value: x}", "a=&b=1", "a=&b=1"),
        ("{default: form:a, value: x}", "b=1", "b=1&a=x"),
        (
            "{remove: form:a}, {add: form:a, value: x}",
            "a=1&b=1",
            "b=1&a=x",
        ),
        ("{replace: form:a, value: x}", "b=1", "b=1"),
        ("{replace: form:a, value: x}", "a=1", "a=x"),
        ("{append: form:a, value: x}", "a=1&b=2", "a=1&b=2&a=x"),
        (
            "{prepend: form:a, value: x}, {prepend: form:a, value: y}",
            "a=1",
            "a=y&a=x&a=1",
        ),
        ("{update: form:a, with: upper}", "b=x&a=x+y", "b=x&a=X%20Y"),
        (
            "{update: form:a, with: {map: {table: {x: y}, otherwise: drop}}}",
            "b=x&a=z",
            "b=x",
        ),
        ("{move: query:q, to: form:a}", "a=0&b=1", "b=1&a=1&a=a%20b"),
        (
            "{set: form:b, template: '<{form:a}>'}",
            "a=%C3%A4",
            "a=%C3%A4&b=%3C%C3%A4%3E",
        ),
        (
            "{set: form:b, value: 1, when: {form:a: {gt: 5}}}",
            "a=6",
            "a=6&b=1",
        ),
        (
            "{copy: form:a, to: header:x}, {require: form:a}",
            "a=%26",
            "a=%26",
        ),
    ] {
        let seen = post(rules, URL, before).await;

        assert_eq!(
            seen,
            Ok((URL.to_owned(), after.to_owned())),
            "{rules} {before}"
        );
    }
}

#[tokio::test]
async fn a_part_keeps_its_headers_and_its_bytes() {
    let file = [
        b"--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
        &b"\x89PNG\r\n\x00\xff\r\n"[..],
    ]
    .concat();
    let around = |parts: &[&[u8]]| {
        let end: &[u8] = b"--xyz--\r\n";
        Bytes::from([parts, &[end]].concat().concat())
    };
    let a = part("a", "1");
    let renamed = {
        let text = file
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>();
        let text = text.replace("name=\"f\"", "name=\"file\"");
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect::<Vec<_>>()
    };
    for (rules, after) in [
        (
            "{move: form:f, to: form:file}",
            around(&[a.as_bytes(), &renamed]),
        ),
        ("{remove: form:a}", around(&[&file])),
        (
            "{set: form:a, value: 2}",
            around(&[part("a", "2").as_bytes(), &file]),
        ),
        (
            "{append: form:a, value: 2}",
            around(&[a.as_bytes(), &file, part("a", "2").as_bytes()]),
        ),
        (
            "{prepend: form:b, value: 2}",
            around(&[part("b", "2").as_bytes(), a.as_bytes(), &file]),
        ),
        ("{allow: form:f}", around(&[&file])),
        (
            "{update: form:a, with: {coerce: integer}}",
            around(&[a.as_bytes(), &file]),
        ),
    ] {
        let before = around(&[a.as_bytes(), &file]);

        let seen = through(mapping(rules), Method::POST, "/", MULTI, before).await;

        assert_eq!(seen, Ok((MULTI.to_owned(), after)), "{rules}");
    }
    let before = around(&[a.as_bytes(), &file]);
    let seen = through(
        mapping("{copy: form:f, to: header:x}"),
        Method::POST,
        "/",
        MULTI,
        before,
    )
    .await;
    assert_eq!(
        seen,
        Err((
            400,
            "form:f holds a character that header:x cannot hold".to_owned()
        ))
    );
}

#[tokio::test]
async fn a_form_becomes_json_where_a_field_moves_there_and_the_other_way_round() {
    let json = "application/json";
    let to_json = "{move: form:a, to: body:/a, with: {coerce: integer}}, {default: body:/b, value: true}, {move: form:s, to: body:/s, with: {coerce: array}}";
    let to_form = "{move: body:/a, to: form:a}, {set: form:b, value: 1}";
    for (rules, from, before, to, after) in [
        (to_json, URL, "a=7&x=1", json, r#"{"a":7,"b":true}"#),
        (
            to_json,
            URL,
            "s=1&s=%22",
            json,
            r#"{"b":true,"s":["1","\""]}"#,
        ),
        (to_json, json, r#"{"x":1}"#, json, r#"{"x":1,"b":true}"#),
        (
            to_json,
            MULTI,
            &format!("{}--xyz--", part("a", "7")),
            json,
            r#"{"a":7,"b":true}"#,
        ),
        (to_json, "text/plain", "a", "text/plain", "a"),
        (to_form, json, r#"{"a":"x y","c":1}"#, URL, "a=x%20y&b=1"),
        (to_form, json, r#"{"c":1}"#, URL, "b=1"),
        (to_form, URL, "a=1&c=2", URL, "a=1&c=2&b=1"),
        (to_form, "text/plain", "", URL, "b=1"),
        (
            "{move: body:/a, to: form:a}",
            json,
            r#"{"c":1}"#,
            json,
            r#"{"c":1}"#,
        ),
        ("{move: form:a, to: body:/a}", URL, "c=1", URL, "c=1"),
        (
            "{move: form:a, to: form:b}, {move: body:/a, to: body:/b}",
            URL,
            "a=1",
            URL,
            "b=1",
        ),
        (
            "{move: form:a, to: form:b}, {move: body:/a, to: body:/b}",
            json,
            r#"{"a":1}"#,
            json,
            r#"{"b":1}"#,
        ),
    ] {
        let seen = post(rules, from, before).await;
        assert_eq!(
            seen,
            Ok((to.to_owned(), after.to_owned())),
            "{rules} {from} {before}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_done_to_a_form_is_refused_with_its_place() {
    let deep = "a=&".repeat(1001);
    for (rules, content_type, body, status, detail) in [
        (
            "{require: form:a}",
            URL,
            "b=1",
            400,
            "required parameter form:a is missing",
        ),
        (
            "{move: form:a, to: form:b, require: true}",
            "application/json",
            "{}",
            415,
            "form:a needs a body that is a form, in no coding unknown here",
        ),
        (
            "{set: form:a, value: 1}",
            "text/plain",
            "x",
            415,
            "form:a needs a body that is a form, in no coding unknown here",
        ),
        (
            "{set: form:a, value: 1}, {copy: body:/a, to: body:/b}",
            "application/json",
            "{}",
            415,
            "form:a needs a body that is a form, in no coding unknown here",
        ),
        (
            "{set: body:/a, value: 1}, {copy: form:a, to: form:b}",
            URL,
            "a=1",
            415,
            "body:/a needs a body of type application/json, in no coding unknown here",
        ),
        (
            "{copy: form:a, to: header:x}",
            "multipart/form-data",
            "--",
            400,
            "the content type of the form must have one boundary of 1 to 70 characters",
        ),
        (
            "{copy: form:a, to: header:x}",
            MULTI,
            "--xyz\r\n",
            400,
            "part 1 of the form is malformed: its headers do not end within 8 KiB",
        ),
        (
            "{copy: form:a, to: header:x}",
            URL,
            &deep,
            413,
            "the form has more than 1000 fields",
        ),
        (
            "{set: form:a, template: \"\\r\\n--xyz\\r\\n{form:b}\"}",
            MULTI,
            &format!("{}--xyz--", part("b", "1")),
            400,
            "the value of a part holds the boundary of the form",
        ),
        (
            "{move: form:a, to: body:/a}",
            URL,
            "a=1&a=2",
            400,
            "form:a is given 2 times, once is what fits",
        ),
        (
            "{move: form:a, to: body:/a}",
            URL,
            "a=%ff",
            400,
            "form:a is not UTF-8, or wrongly encoded",
        ),
        (
            "{copy: form:a, to: header:x}",
            URL,
            "a=1%0d%0ay:2",
            400,
            "form:a holds a character that header:x cannot hold",
        ),
        (
            "{move: body:/a, to: form:a}",
            "application/json",
            r#"{"a":[1]}"#,
            400,
            "body:/a is an array, and form:a needs a string, a number or a boolean",
        ),
        (
            "{allow: form:a}",
            URL,
            "%ff=1",
            400,
            "the name of a field is not UTF-8",
        ),
        (
            "{set: body:/a, value: 1}, {set: form:a, value: 1}",
            "text/plain",
            "",
            400,
            "both JSON and a form are written into an empty body",
        ),
    ] {
        let seen = post(rules, content_type, body).await;

        assert_eq!(seen, Err((status, detail.to_owned())), "{rules}");
    }
    let limited = Mapping::from_yaml("max_body_bytes: 3\nrules: [{remove: form:a}]").unwrap();
    let seen = through(limited, Method::POST, "/", URL, "a=12").await;
    assert_eq!(
        seen,
        Err((413, "the body is larger than 3 bytes".to_owned()))
    );
}

#[tokio::test]
async fn a_get_without_a_body_gets_a_form_by_a_move_alone() {
    for (rules, expected) in [
        ("{set: form:a, value: 1}", ""),
        (
            "{move: query:q, to: form:a}, {set: form:b, value: 1}",
            "a=1&b=1",
        ),
    ] {
        let seen = through(mapping(rules), Method::GET, "/?q=1", "x/y", "").await;

        let (content_type, body) = seen.unwrap();
        assert_eq!(body, expected);
        assert_eq!(content_type == URL, !expected.is_empty());
    }
}

#[tokio::test]
async fn what_is_left_out_or_refused_in_json_does_not_pass_as_a_form() {
    for strict in ["base: empty", "unmapped: reject", "unmapped: drop"] {
        let yaml = format!("request: {{{strict}, rules: [{{copy: form:a, to: body:/a}}]}}");
        let mapping = Mapping::from_yaml(&yaml).unwrap();

        let refused = through(mapping.clone(), Method::POST, "/", URL, "secret=1").await;
        assert_eq!(refused.unwrap_err().0, 415, "{strict}");

        let (kind, body) = through(mapping, Method::POST, "/", URL, "a=1")
            .await
            .unwrap();
        assert_eq!((&*kind, &*body), ("application/json", &br#"{"a":"1"}"#[..]));
    }
}

#[tokio::test]
async fn a_field_in_the_preamble_is_refused_and_not_passed_by() {
    let hidden = "\n--xyz\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nadmin\r\n\
                  --xyz\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--xyz--\r\n";

    let refused = post("{remove: form:role}", MULTI, hidden).await;

    assert_eq!(refused.unwrap_err().0, 400);
}

#[tokio::test]
async fn several_values_that_are_put_in_front_keep_their_order() {
    let rules = "{prepend: form:a, from: form:b}, {prepend: query:a, from: query:b}";
    let (_, body) = post(rules, URL, "a=0&b=1&b=2").await.unwrap();

    assert_eq!(body, "a=1&a=2&a=0&b=1&b=2");
}

#[tokio::test]
async fn a_value_goes_through_a_variable_as_it_goes_directly() {
    let direct = "{set: body:/b, from: form:a, require: true}";
    let through_one = "{set: var:x, from: form:a}, {set: body:/b, from: var:x, require: true}";
    let through_two = "{set: body:/b, from: var:y, require: true}, {set: var:y, template: '{var:x}'}, {set: var:x, from: form:a}";
    for rules in [direct, through_one, through_two] {
        let json = ("application/json".to_owned(), r#"{"b":"1"}"#.to_owned());
        assert_eq!(post(rules, URL, "a=1").await, Ok(json), "{rules}");
        let refused = post(rules, "text/plain", "a=1").await;
        assert_eq!(refused.unwrap_err().0, 415, "{rules}");
    }
    let from_query = "{set: var:x, from: query:a}, {set: body:/b, from: var:x, require: true}";
    let refused = post(from_query, "text/plain", "a").await;
    assert_eq!(refused.unwrap_err().0, 415);
}
