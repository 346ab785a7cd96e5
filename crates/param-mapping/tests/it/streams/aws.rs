//! Streams of Amazon's messages.

use bytes::Bytes;
use portcullis_param_mapping::Framing;
use portcullis_test_support::{ScriptBody, Step};

use super::mapping;

/// A message of an event with this type.
fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend(name.as_bytes());
        encoded.push(7);
        encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut raw = length(16 + encoded.len() + payload.len()).to_vec();
    raw.extend(length(encoded.len()));
    raw.extend(crc32fast::hash(&raw).to_be_bytes());
    raw.extend(encoded);
    raw.extend(payload.as_bytes());
    raw.extend(crc32fast::hash(&raw).to_be_bytes());
    raw
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":message-type", "event")];
    message(&headers, payload)
}

fn mapped(rules: &str, stream: &[u8], size: usize) -> Vec<u8> {
    let chunks = stream
        .chunks(size)
        .map(Bytes::copy_from_slice)
        .map(Step::Data);
    let body = mapping(rules).event_body(ScriptBody::new(chunks), Framing::AwsEventStream);
    let body = tokio_test::block_on(http_body_util::BodyExt::collect(body));
    body.unwrap().to_bytes().to_vec()
}

#[test]
fn messages_are_mapped_and_have_their_checksums() {
    let rules = "{rules: [{move: data:/p, to: data:/q}, {remove: 'data:', when: {event: metadata}}, \
                 {set: data:/type, from: event, when: {data:/p: 2}}]}";
    let stream = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event("delta", r#"{"p":1}"#),
        event("delta", r#"{"p":2}"#),
        event("initial-response", ""),
        event("metadata", r#"{"usage":1}"#),
    ];
    let expected = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event("delta", r#"{"q":1}"#),
        event("delta", r#"{"q":2,"type":"delta"}"#),
        event("initial-response", ""),
    ];
    for size in [1, 5, 64, 4096] {
        assert_eq!(
            mapped(rules, &stream.concat(), size),
            expected.concat(),
            "{size}"
        );
    }
}

#[test]
fn a_fault_is_an_exception_and_then_the_end() {
    let rules = "{rules: [{update: data:/n, with: {validate: {type: integer}}}]}";
    let mut broken = event("a", r#"{"n":2}"#);
    *broken.last_mut().unwrap() ^= 1;
    for (second, detail) in [
        (
            event("a", r#"{"n":"secret"}"#),
            "\"detail\":\"data:/n must be a number without a fraction, is a string\"",
        ),
        (
            broken,
            "\"detail\":\"the stream is no stream of messages: expected the checksum of the message\"",
        ),
    ] {
        let first = event("a", r#"{"n":1}"#);
        let stream = [first.clone(), second, first.clone()].concat();

        let result = mapped(rules, &stream, 7);

        let exception = result.strip_prefix(&*first).unwrap();
        let text = String::from_utf8_lossy(exception);
        assert!(text.contains(detail), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let (_, problem) = text.split_once("{\"title\"").unwrap();
        let (problem, _) = problem.rsplit_once('}').unwrap();
        let headers = [
            (":message-type", "exception"),
            (":exception-type", "error"),
            (":content-type", "application/json"),
        ];
        let payload = format!("{{\"title\"{problem}}}");
        assert_eq!(exception, message(&headers, &payload));
    }
}

#[test]
fn an_exception_has_a_name_as_an_event_has() {
    let headers = [
        (":exception-type", "throttlingException"),
        (":message-type", "exception"),
    ];
    let stream = message(&headers, r#"{"message":"slow"}"#);
    let removed = "{rules: [{remove: 'data:', when: {event: {glob: '*Exception'}}}]}";
    let named = "{rules: [{set: data:/k, from: event}]}";
    let told = message(&headers, r#"{"message":"slow","k":"throttlingException"}"#);

    assert_eq!(mapped(removed, &stream, 4096), b"");
    assert_eq!(mapped(named, &stream, 4096), told);
}

#[test]
fn a_message_that_is_cut_is_an_exception_and_goes_nowhere() {
    let mut stream = event("a", r#"{"secret":"x"}"#);
    stream.truncate(stream.len() - 3);

    let result = mapped("{rules: [{remove: data:/secret}]}", &stream, 4096);

    let text = String::from_utf8_lossy(&result);
    assert!(
        text.contains("the rest of a message") && !text.contains("secret"),
        "{text}"
    );
}
