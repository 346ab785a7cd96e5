//! What rules make by themselves: `generate`, `hash`, `hmac`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use portcullis_param_mapping::{Mapping, MappingBuilder};

use crate::{Fixture, fixture, full, json_post, send};

/// One in which time stands still and chance is no chance.
fn still(builder: MappingBuilder) -> MappingBuilder {
    builder
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_millis(1_735_689_600_007))
        .random(|bytes| bytes.fill(0xab))
}

fn map(rules: &str, body: &str) -> String {
    let yaml = format!("rules: [{rules}]");
    #[cfg(feature = "schema")]
    crate::schema::assert_fits(&yaml);
    let mapping = Mapping::from_yaml_with(&yaml, still);
    let mapping = mapping.unwrap_or_else(|mistake| panic!("{rules}: {mistake}"));
    match mapping.apply(&Bytes::copy_from_slice(body.as_bytes())) {
        Ok(mapped) => String::from_utf8(mapped.into_bytes().to_vec()).unwrap(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn what_is_generated_stands_wherever_a_source_does() {
    let uuid = "abababab-abab-4bab-abab-abababababab";
    for (rules, body, expected) in [
        (
            "{set: body:/a, generate: uuid}",
            "{}",
            format!(r#"{{"a":"{uuid}"}}"#),
        ),
        (
            "{add: body:/a, generate: uuid}",
            r#"{"a":1}"#,
            r#"{"a":1}"#.to_owned(),
        ),
        (
            "{default: body:/a, generate: uuid}",
            r#"{"a":null}"#,
            format!(r#"{{"a":"{uuid}"}}"#),
        ),
        (
            "{append: body:/a, generate: {now: unix}}",
            r#"{"a":[1]}"#,
            r#"{"a":[1,1735689600]}"#.to_owned(),
        ),
        (
            "{set: body:/a, generate: {now: unix_millis}}",
            "{}",
            r#"{"a":1735689600007}"#.to_owned(),
        ),
        (
            "{set: body:/a, generate: {now: rfc3339}}",
            "{}",
            r#"{"a":"2025-01-01T00:00:00Z"}"#.to_owned(),
        ),
        (
            "{set: body:/a, generate: uuid_v7}",
            "{}",
            r#"{"a":"01941f29-7c07-7bab-abab-abababababab"}"#.to_owned(),
        ),
        (
            "{set: body:/a, generate: {random_hex: 2}, with: upper}",
            "{}",
            r#"{"a":"ABAB"}"#.to_owned(),
        ),
        (
            "{for_each: body:/m, rules: [{set: item:/id, generate: {random_hex: 1}}]}",
            r#"{"m":[{},{}]}"#,
            r#"{"m":[{"id":"ab"},{"id":"ab"}]}"#.to_owned(),
        ),
    ] {
        assert_eq!(map(rules, body), expected, "{rules} on {body}");
    }
}

#[test]
fn all_targets_of_a_rule_get_the_same() {
    let rules = "rules: [{set: [body:/a, body:/b], generate: uuid}]";
    let mapping = Mapping::from_yaml(rules).unwrap();

    let mapped = mapping.apply(&Bytes::from("{}")).unwrap().into_bytes();

    let ids: serde_json::Value = serde_json::from_slice(&mapped).unwrap();
    assert!(ids["a"].as_str().is_some_and(|id| id.len() == 36), "{ids}");
    assert_eq!(ids["a"], ids["b"]);
}

#[test]
fn a_hash_stands_for_a_value() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (rules, body, expected) in [
        ("{update: body:/user, with: {hash: sha256}}", r#"{"user":"\u0061bc"}"#, format!(r#"{{"user":"{abc}"}}"#)),
        // Of what is no text, the text is its JSON.
        (
            "{update: body:/user, with: {hash: sha256}}",
            r#"{"user":7}"#,
            r#"{"user":"7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451"}"#.to_owned(),
        ),
        // The environment of a test has the licence of its crate, `MIT`.
        (
            r#"{set: body:/by, from: body:/user, with: {hmac: {key: "secret:env:CARGO_PKG_LICENSE"}}}"#,
            r#"{"user":"a"}"#,
            r#"{"user":"a","by":"2ffc089c8aa54e7b1ed77703d7cf87315f8b338b09e4ff7e94665ba71f56cd77"}"#.to_owned(),
        ),
    ] {
        assert_eq!(map(rules, body), expected, "{rules} on {body}");
    }
}

#[test]
fn what_cannot_be_generated_is_a_mistake_of_the_mapping() {
    for (rule, expected) in [
        (
            "{set: body:/a, generate: {random_hex: 65}}",
            "rules[0].generate.random_hex: must be from 1 to 64 bytes, is 65",
        ),
        (
            "{set: body:/a, generate: uuid, value: 1}",
            "rules[0].generate: is a second source, beside `value`",
        ),
        (
            "{move: body:/a, to: body:/b, generate: uuid}",
            "rules[0].generate: has no meaning beside `move`",
        ),
        (
            "{update: body:/a, with: {hmac: {key: body:/b}}}",
            "rules[0].with[0].hmac.key: must be a `secret:`, is `body:/b`",
        ),
    ] {
        let mistake = Mapping::from_yaml(&format!("rules: [{rule}]")).unwrap_err();

        let told = format!("{}: {}", mistake.path(), mistake.message());
        assert_eq!(told, expected, "{rule}");
    }
}

#[tokio::test]
async fn a_request_without_an_id_gets_one() {
    let rule = "rules: [{add: header:x-request-id, generate: uuid}]";
    let Fixture {
        mut service,
        received,
        ..
    } = fixture(Mapping::from_yaml(rule).unwrap());
    let mut ids = Vec::new();

    let with_id: Request<_> = {
        let mut request = json_post(full("{}"));
        request
            .headers_mut()
            .insert("x-request-id", "mine".parse().unwrap());
        request
    };
    for request in [with_id, json_post(full("{}")), json_post(full("{}"))] {
        send(&mut service, request).await;
        let received = received.lock().unwrap();
        let id = &received.head.as_ref().unwrap().headers["x-request-id"];
        ids.push(id.to_str().unwrap().to_owned());
    }

    assert_eq!(ids[0], "mine");
    assert_eq!((ids[1].len(), ids[2].len()), (36, 36));
    assert_ne!(ids[1], ids[2]);
}
