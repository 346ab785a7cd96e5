//! The stream side: rules for each event, what is kept between events, and which responses are streams.

#[cfg(feature = "aws")]
mod aws;
mod layer;

use bytes::Bytes;
use http_body_util::BodyExt;
use portcullis_param_mapping::{
    Edit, Editor, Event, EventBody, EventParser, Framing, Mapping, StreamEditor,
};
use portcullis_test_support::{ScriptBody, Step};
use proptest::prelude::*;

/// Reads every event, whatever the editor looks for.
struct Attentive(StreamEditor);

impl Editor for Attentive {
    fn edit(&mut self, event: &Event) -> Edit {
        self.0.edit(event)
    }
}

fn mapping(stream: &str) -> Mapping {
    let yaml = format!("stream: {stream}");
    Mapping::from_yaml(&yaml).unwrap_or_else(|mistake| panic!("{stream}: {mistake}"))
}

fn mapped(stream: &str, framing: Framing, input: &'static str) -> String {
    let body = mapping(stream).event_body(ScriptBody::chunks([input]), framing);
    collect(body)
}

fn collect<E: Editor>(body: EventBody<ScriptBody, E>) -> String {
    let bytes = tokio_test::block_on(body.collect()).unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_event_is_mapped_and_all_else_stays() {
    for (rules, input, expected) in [
        (
            "{move: data:/a, to: data:/b/c}",
            "id: 7\ndata: {\"a\": 1.0, \"z\":1e400}\n\n: hello\n\nretry: 5\n\ndata: [DONE]\n\n",
            "id: 7\ndata: {\"z\":1e400,\"b\":{\"c\":1.0}}\n\n: hello\n\nretry: 5\n\ndata: [DONE]\n\n",
        ),
        (
            "{remove: \"data:$.choices[*].logprobs\"}",
            "data: {\"choices\":[{\"i\":0,\"logprobs\":{}},{\"logprobs\":1}]}\r\n\r\n",
            "data: {\"choices\":[{\"i\":0},{}]}\r\n\r\n",
        ),
        (
            "{remove: \"data:\", when: {event: ping}}",
            "event: ping\ndata: {}\n\nevent: pong\ndata: {}\n\nevent: ping\ndata: x\n\n",
            "event: pong\ndata: {}\n\n",
        ),
        (
            "{remove: \"data:\", when: {\"data:\": \"[DONE]\"}}",
            "data: {}\n\ndata: [DONE]\n\n",
            "data: {}\n\n",
        ),
        (
            "{set: data:/type, from: event}",
            "event: a\ndata: {}\n\ndata: {}\n\n",
            "event: a\ndata: {\"type\":\"a\"}\n\ndata: {}\n\n",
        ),
        (
            "{move: event, to: data:/type}",
            "event: a\ndata: {}\n\n",
            "data: {\"type\":\"a\"}\n\n",
        ),
        (
            "{copy: data:/type, to: event}",
            "data: {\"type\":\"a\"}\n\ndata: {}\n\nevent: b\ndata: {\"type\":7}\n\n",
            "event: a\ndata: {\"type\":\"a\"}\n\ndata: {}\n\nevent: 7\ndata: {\"type\":7}\n\n",
        ),
        (
            "{update: event, with: {map: {table: {delta: chunk}, otherwise: pass}}}",
            "event: delta\ndata: 1\n\nevent: stop\ndata: 1\n\n",
            "event: chunk\ndata: 1\n\nevent: stop\ndata: 1\n\n",
        ),
        (
            "{add: event, value: message}",
            "event: delta\ndata: x\n\ndata: x\n\n",
            "event: delta\ndata: x\n\nevent: message\ndata: x\n\n",
        ),
        (
            "{remove: event}",
            "event: delta\ndata: x\nevent: y\n\ndata: x\n\n",
            "data: x\n\ndata: x\n\n",
        ),
        (
            "{move: \"data:\", to: data:/payload}",
            "data: {\"a\":\ndata: 1}\n\n",
            "data: {\"payload\":{\"a\":\ndata: 1}}\n\n",
        ),
        (
            "{move: data:/payload, to: \"data:\"}",
            "data: {\"payload\":[1]}\n\ndata: {}\n\n",
            "data: [1]\n\ndata: {}\n\n",
        ),
        (
            "{set: data:/n, value: 1}",
            "data: {}\n\ndata: [DONE]\n\ndata\n\n",
            "data: {\"n\":1}\n\ndata: [DONE]\n\ndata\n\n",
        ),
        (
            "{require: data:/n}",
            "data: {\"n\":1}\n\ndata: [DONE]\n\n",
            "data: {\"n\":1}\n\ndata: [DONE]\n\n",
        ),
    ] {
        let stream = format!("{{rules: [{rules}]}}");

        assert_eq!(mapped(&stream, Framing::Sse, input), expected, "{rules}");
    }
}

#[test]
fn lines_and_arrays_are_mapped_by_the_same_rules() {
    let rules = "
  rules:
    - {move: data:/a, to: data:/b}
    - {remove: \"data:\", when: {data:/gone: true}}
    - {set: event, value: x}";
    for (framing, input, expected) in [
        (
            Framing::JsonLines,
            "{\"a\":1}\r\n\n {\"c\":1}\n{\"gone\":true}\n{\"a\":2}",
            "{\"b\":1}\r\n\n {\"c\":1}\n{\"b\":2}\n",
        ),
        (
            Framing::JsonArray,
            "[{\"gone\":true},\n{\"a\":1} , {\"c\":1}]",
            "[{\"b\":1} , {\"c\":1}]",
        ),
    ] {
        assert_eq!(mapped(rules, framing, input), expected);
    }
}

#[test]
fn what_is_kept_is_read_by_the_rules() {
    for (stream, input, expected) in [
        (
            "{state: {id: {remember: [data:/message/id, data:/id]}}, rules: [{add: data:/id, from: var:id}]}",
            "data: {\"x\":0}\n\ndata: {\"message\":{\"id\":1.0}}\n\ndata: {}\n\ndata: {\"id\":2}\n\ndata: {}\n\n",
            "data: {\"x\":0}\n\ndata: {\"message\":{\"id\":1.0},\"id\":1.0}\n\ndata: {\"id\":1.0}\n\ndata: {\"id\":2}\n\n\
             data: {\"id\":2}\n\n",
        ),
        (
            "{state: {n: counter, d: {counter: {event: d}}}, rules: [{set: data:/n, from: var:n}, {set: data:/d, from: var:d}]}",
            "data: {}\n\nevent: d\ndata: {}\n\ndata: {}\n\n",
            "data: {\"n\":1,\"d\":0}\n\nevent: d\ndata: {\"n\":2,\"d\":1}\n\ndata: {\"n\":3,\"d\":1}\n\n",
        ),
        (
            "{state: {text: {accumulate: data:/t}}, rules: [{set: data:/all, from: var:text, when: {data:/end: true}}]}",
            "data: {\"t\":\"a\\n\"}\n\ndata: {\"t\":null}\n\ndata: {\"t\":\"\\u00e4\"}\n\ndata: {\"end\":true,\"t\":\"b\"}\n\n",
            "data: {\"t\":\"a\\n\"}\n\ndata: {\"t\":null}\n\ndata: {\"t\":\"\\u00e4\"}\n\n\
             data: {\"end\":true,\"t\":\"b\",\"all\":\"a\\n\\u00e4b\"}\n\n",
        ),
        (
            "{rules: [{copy: data:/a, to: var:a, with: upper}, {set: [data:/b, data:/c], from: var:a}]}",
            "data: {\"a\":\"x\"}\n\ndata: {}\n\n",
            "data: {\"a\":\"x\",\"b\":\"X\",\"c\":\"X\"}\n\ndata: {}\n\n",
        ),
        (
            "{state: {first: once}, rules: [{set: data:/role, value: assistant, when: {var:first: true}}]}",
            ": c\n\ndata: {}\n\ndata: {}\n\n",
            ": c\n\ndata: {\"role\":\"assistant\"}\n\ndata: {}\n\n",
        ),
        (
            "{state: {first: {once: {data:/d: {exists: true}}}}, rules: [{set: data:/role, value: a, when: {var:first: true}}]}",
            "data: {}\n\ndata: {\"d\":1}\n\ndata: {\"d\":2}\n\n",
            "data: {}\n\ndata: {\"d\":1,\"role\":\"a\"}\n\ndata: {\"d\":2}\n\n",
        ),
    ] {
        assert_eq!(mapped(stream, Framing::Sse, input), expected, "{stream}");
    }
}

#[test]
fn an_event_that_cannot_be_mapped_is_an_error_event_and_then_the_end() {
    let rules = "{rules: [{update: data:/n, with: {validate: {type: integer}}}]}";
    let problem = "{\"title\":\"Bad Gateway\",\"status\":502,\"detail\":\"data:/n must be a number without a fraction, is a string\",\
                   \"error\":\"http_protocol_error\",\"param\":\"data:/n\"}";
    for (framing, input, expected) in [
        (
            Framing::Sse,
            "data: {\"n\":1}\n\ndata: {\"n\":\"secret\"}\n\ndata: {\"n\":2}\n\n",
            format!("data: {{\"n\":1}}\n\nevent: error\ndata: {problem}\n\n"),
        ),
        (
            Framing::JsonLines,
            "{\"n\":1}\n{\"n\":\"secret\"}\n{\"n\":2}\n",
            format!("{{\"n\":1}}\n{problem}\n"),
        ),
        (
            Framing::JsonArray,
            "[{\"n\":1},{\"n\":\"secret\"},{\"n\":2}]",
            format!("[{{\"n\":1}},{problem}]"),
        ),
    ] {
        let result = mapped(rules, framing, input);

        assert_eq!(result, expected);
        assert!(!result.contains("secret"));
    }
}

#[test]
fn every_fault_names_its_place() {
    let deep = format!("data: {{\"a\":{}\n\n", "[".repeat(200));
    for (stream, input, detail) in [
        (
            "{rules: [{remove: data:/a}]}",
            "data: {\"a\":\n\n",
            "the data of an event is not valid JSON at line 1, column 5",
        ),
        (
            "{rules: [{remove: data:/a}]}",
            "data: [\"a\",\"?\"]\n\n",
            "the data of an event is not UTF-8",
        ),
        (
            "{rules: [{remove: data:/a}]}",
            "data: {\"a\":1,\"a\":2}\n\n",
            "data:/a is given twice",
        ),
        (
            "{rules: [{remove: data:/a}]}",
            &*deep,
            "the data of an event is nested deeper than 128 levels",
        ),
        (
            "{rules: [{move: data:/a, to: data:/b, require: true}]}",
            "data: {}\n\n",
            "required parameter data:/a is missing",
        ),
        (
            "{rules: [{copy: data:/a, to: event}]}",
            "data: {\"a\":{}}\n\n",
            "data:/a is an object, and event needs a string, a number or a boolean",
        ),
        (
            "{unmapped: reject, rules: [{copy: data:/a, to: data:/b}]}",
            "data: {\"c\":{}}\n\n",
            "data: holds a member that no rule names",
        ),
        (
            "{max_event_bytes: 20, rules: [{remove: data:/a}]}",
            "data: {\"a\":1,\"bcdefghijk\":2}\n\n",
            "an event of the stream is longer than 20 bytes",
        ),
        (
            "{max_state_bytes: 8, state: {t: {accumulate: data:/t}}}",
            "data: {\"t\":\"abcd\"}\n\ndata: {\"t\":\"efg\"}\n\n",
            "the state of the stream is larger than 8 bytes",
        ),
        (
            "{max_state_bytes: 8, state: {s: {remember: data:/s}, t: {remember: data:/t}}}",
            "data: {\"t\":\"abc\",\"s\":1234}\n\n",
            "the state of the stream is larger than 8 bytes",
        ),
        (
            "{state: {t: {accumulate: data:/t}}}",
            "data: {\"t\":7}\n\n",
            "data:/t must be a string, is a number",
        ),
    ] {
        // No character of UTF-8, which a text of Rust cannot hold.
        let input = input.as_bytes().iter();
        let input = input.map(|byte| if *byte == b'?' { 0xff } else { *byte });
        let inner = ScriptBody::new([Step::Data(input.collect())]);
        let result = collect(mapping(stream).event_body(inner, Framing::Sse));

        let expected = format!("\"detail\":\"{detail}\"");
        assert!(result.contains(&expected), "{stream}: {result}");
        assert!(result.contains("event: error\n"), "{result}");
    }
}

#[test]
fn the_end_of_a_stream_flushes_or_discards_what_it_cuts_off() {
    for (eof, expected) in [
        ("flush", "data: {\"b\":1}\n\ndata: {\"b\":2}\n\n"),
        ("discard", "data: {\"b\":1}\n\n"),
    ] {
        let stream = format!("{{eof: {eof}, rules: [{{move: data:/a, to: data:/b}}]}}");
        let input = "data: {\"a\":1}\n\ndata: {\"a\":2}";

        assert_eq!(mapped(&stream, Framing::Sse, input), expected);
    }
}

#[test]
fn every_mistake_in_a_stream_has_its_field() {
    for (stream, expected) in [
        (
            "{state: {a: {once: {var:a: true}}}}",
            "stream.state.a.once.var:a: neither `state` nor a rule writes `var:a`",
        ),
        (
            "{state: {a: {once: {var:b: true}}, b: {once: {any: [{var:a: true}, {var:a: true}]}}}}",
            "stream.state.a.once.var:b: neither `state` nor a rule writes `var:b`",
        ),
        (
            "{state: {'': counter}}",
            "stream.state: no address can name ``",
        ),
        (
            "{rules: [{remove: body:/a}]}",
            "stream.rules[0].remove: a stream has no `body:`, each of its events has `data:`",
        ),
        (
            "{rules: [{set: header:x, value: 1}]}",
            "stream.rules[0].set: `header:x` is sent before the first event: write it by a rule of `response`",
        ),
        (
            "{rules: [{set: status, value: 500}]}",
            "stream.rules[0].set: `status` is sent before the first event: write it by a rule of `response`",
        ),
        (
            "{rules: [{copy: query:x, to: data:/x}]}",
            "stream.rules[0].copy: `query:x` is no part of a response",
        ),
        (
            "{rules: [{copy: var:x, to: data:/x}]}",
            "stream.rules[0].copy: neither `state` nor a rule writes `var:x`",
        ),
        (
            "{state: {x: counter}, rules: [{set: var:x, value: 1}]}",
            "stream.rules[0].set: `var:x` is written by `state`, or by a rule for requests",
        ),
        (
            "{rules: [{append: event, value: 1}]}",
            "stream.rules[0].append: `event` is one name: `set` it",
        ),
        (
            "{rules: [{set: event, value: [1]}]}",
            "stream.rules[0].value: must be a string, a number or a boolean for `event`, is an array",
        ),
        (
            "{rules: [{allow: event}]}",
            "stream.rules[0].allow: `event` stands alone",
        ),
        (
            "{state: {x: {remember: var:y}, y: counter}}",
            "stream.state.x.remember: neither `state` nor a rule writes `var:y`",
        ),
        (
            "{state: {x: {counter: {body:/a: 1}}}}",
            "stream.state.x.counter.body:/a: a stream has no `body:`, each of its events has `data:`",
        ),
        (
            "{state: {x: {remember: []}}}",
            "stream.state.x.remember: names nothing",
        ),
        (
            "{max_event_bytes: 0}",
            "stream.max_event_bytes: must be at least 1, is 0",
        ),
    ] {
        let mistake = Mapping::from_yaml(&format!("stream: {stream}")).unwrap_err();

        let message = format!("{}: {}", mistake.path(), mistake.message());
        assert_eq!(message, expected, "{stream}");
        assert_eq!(mistake.line(), Some(1), "{stream}");
    }
    let mistake = Mapping::from_yaml("rules: [{remove: data:/a}]").unwrap_err();
    assert!(
        mistake
            .to_string()
            .contains("only in the rules of `stream`"),
        "{mistake}"
    );
}

#[test]
fn code_and_yaml_make_the_same_stream() {
    use portcullis_param_mapping::{AtEof, Rule, State, StreamRules, When};

    let from_yaml = mapping(
        "
  framing: json_array
  eof: discard
  max_event_bytes: 9
  max_state_bytes: 8
  state: {n: {counter: {event: x}}, o: once, t: {accumulate: data:/t}}
  rules: [{remove: data:/a}]",
    );

    let at = |text: &str| text.parse().unwrap();
    let when = When::at(at("event"), portcullis_param_mapping::Is::Eq("x".into()));
    let rules = StreamRules::new()
        .framing(Framing::JsonArray)
        .at_eof(AtEof::Discard)
        .max_event_bytes(9)
        .max_state_bytes(8)
        .state("n", State::Counter(Some(when)))
        .state("o", State::Once(None))
        .state("t", State::Accumulate(vec![at("data:/t")]))
        .rule(Rule::remove(at("data:/a")));
    let from_code = Mapping::builder().stream(rules).build().unwrap();
    assert_eq!(format!("{from_yaml:?}"), format!("{from_code:?}"));
}

#[test]
fn an_editor_looks_only_for_what_its_rules_name() {
    let keys = |stream: &str| mapping(stream).editor().keys().cloned();
    for (stream, read, passed) in [
        (
            "{rules: [{remove: data:/a/b}]}",
            "data: {\"b\":1}",
            "data: {\"a\":1}",
        ),
        (
            "{rules: [{move: data:/a/0, to: data:/b}]}",
            "data: {\"a\":1}",
            "data: {\"b\":1}",
        ),
        (
            "{rules: [{set: data:/a, value: 1, when: {data:/type: x}}]}",
            "data: {\"type\":\"x\"}",
            "data: {\"type\":\"y\"}",
        ),
        (
            "{rules: [{set: data:/a, value: 1, when: {event: x}}]}",
            "event: x",
            "event: y",
        ),
        (
            "{rules: [{remove: \"data:$.choices[*].logprobs\"}]}",
            "data: {\"logprobs\":1}",
            "data: {\"choices\":1}",
        ),
        (
            "{state: {t: {accumulate: data:/t}}}",
            "data: {\"t\":1}",
            "data: {}",
        ),
        ("{}", "", "data: {}"),
    ] {
        let keys = keys(stream).unwrap_or_else(|| panic!("{stream} reads all"));

        assert!(
            read.is_empty() || keys.occur_in(read.as_bytes()),
            "{stream}"
        );
        assert!(!keys.occur_in(passed.as_bytes()), "{stream}");
    }
    for stream in [
        "{rules: [{set: data:/a, value: 1}]}",
        "{rules: [{require: data:/a}]}",
        "{rules: [{remove: data:/0}]}",
        "{rules: [{remove: data:/a, when: {data:/b: {missing: true}}}, {default: data:/c, value: 1}]}",
        "{unmapped: drop, rules: [{remove: data:/a}]}",
        "{state: {n: counter}}",
        "{state: {n: once}}",
    ] {
        assert!(keys(stream).is_none(), "{stream}");
    }
}

/// Streams of a few tokens, which meet the rules often.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let event = proptest::sample::select(vec![
        "data: {\"a\":1,\"b\":{\"c\":\"x\"}}\n\n",
        "data: {\"\\u0061\":[1, 2]}\r\n\r\n",
        "event: e\ndata: {\"c\":null}\n\n",
        "event: f\rdata: {\"t\":\"x\"}\r\r",
        "data: {\"k\":\ndata: \"a\"}\n\n",
        ": a\n\n",
        "data: [DONE]\n\n",
        "data: \"a\"\n\n",
        "retry: 1\n\n",
        "data: {\"list\":[{\"a\":1},{\"c\":2}]}\n\n",
        "id: 1\ndata: {\"z\":0}\n\n",
    ]);
    let last = proptest::sample::select(vec!["", "data: {\"a\":\"e\"}", "event: e\ndata: {}\n"]);
    let events = proptest::collection::vec(event, 0..12);
    (events, last).prop_map(|(events, last)| (events.concat() + last).into_bytes())
}

fn rule_sets() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "{rules: [{move: data:/a, to: data:/b/d}]}",
        "{rules: [{remove: \"data:$.list[*].a\"}, {update: data:/t, with: upper}]}",
        "{rules: [{set: data:/n, value: 1, when: {event: e}}, {copy: data:/b/c, to: event}]}",
        "{rules: [{remove: \"data:\", when: {any: [{data:/t: x}, {\"data:\": \"[DONE]\"}]}}]}",
        "{state: {first: once}, rules: [{set: data:/r, value: 1, when: {var:first: true}}]}",
        "{state: {n: {counter: {data:/a: {exists: true}}}, t: {accumulate: [data:/t, data:/k]}}, rules: \
         [{set: data:/n, from: var:n, when: {data:/c: {exists: true}}}, {set: data:/t, from: var:t, when: {event: f}}]}",
        "{rules: [{replace: data:/a, value: 7}, {for_each: data:/list, rules: [{move: item:/c, to: item:/d}]}]}",
        "{rules: [{set: data:/sum, sum: [data:/a, data:/z]}]}",
        "{rules: [{move: event, to: data:/type}]}",
    ])
}

/// JSON objects of a few members that the rules name.
fn documents() -> impl Strategy<Value = String> {
    let value = proptest::sample::select(vec![
        "1.0",
        "null",
        "\"x\"",
        "{\"c\":[1, 2],\"d\":{}}",
        "[{\"a\":1e400},{\"c\":2}]",
        "{}",
    ]);
    let name = proptest::sample::select(vec!["a", "b", "c", "list", "z", "\\u0061"]);
    let members = proptest::collection::vec((name, value), 0..5);
    members.prop_map(|members| {
        let members = members
            .iter()
            .map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(" , "))
    })
}

proptest! {
    #[test]
    fn the_data_of_an_event_become_what_a_body_becomes(
        document in documents(),
        rules in proptest::sample::select(vec![
            "[{move: body:/a, to: body:/b/c}]",
            "[{copy: [body:/z, body:/a], to: body:/list/-}]",
            "[{remove: ['body:$.list[*].a', body:/b/c/0]}]",
            "[{default: body:/a, value: 1}, {append: body:/list, value: 2}]",
            "[{allow: [body:/a, body:/b/c]}]",
            "[{merge: body:/b, value: {c: null, e: 1}, when: {body:/z: {exists: true}}}]",
            "[{for_each: body:/list, keep: {item:/a: {exists: true}}, to: body:/kept}]",
            "[{update: body:/a, with: {coerce: integer}, on_error: drop}]",
            "[{require: body:/a}]",
            "[{replace: body:/c, from: body:/b}]",
        ]),
    ) {
        let body = Mapping::from_yaml(&format!("rules: {rules}")).unwrap();
        let body = body.apply(&Bytes::from(document.clone()));
        let stream = mapping(&format!("{{rules: {}}}", rules.replace("body:", "data:")));
        let event = format!("data: {document}\n\n");
        let mut parser = EventParser::new(Framing::Sse);
        parser.push(event.into());
        let Ok(Some(portcullis_param_mapping::Piece::Event(event))) = parser.next_piece() else {
            panic!("it is an event")
        };

        // Whether it is looked for or not, so that faults are the same too.
        let edit = stream.editor().edit(&event);

        match (body, edit) {
            (Ok(mapped), Edit::Replace(bytes)) => {
                let expected = [b"data: ", &*mapped.into_bytes(), b"\n\n"].concat();
                prop_assert_eq!(bytes, expected);
            }
            (Ok(mapped), Edit::Keep) => prop_assert!(!mapped.is_changed()),
            (Err(error), Edit::Fail(text)) => {
                let expected = error.to_string().replace("body:", "data:");
                let text = String::from_utf8(text.to_vec()).unwrap();
                prop_assert!(text.contains(&expected), "{} {}", text, expected);
            }
            (body, edit) => prop_assert!(false, "{:?} {:?}", body, edit),
        }
    }

    #[test]
    fn what_comes_out_depends_neither_on_the_cuts_nor_on_what_is_looked_for(
        stream in streams(),
        rules in rule_sets(),
        sizes in proptest::collection::vec(1_usize..14, 1..20),
    ) {
        let mapping = mapping(rules);
        let stream = Bytes::from(stream);
        let whole = ScriptBody::new([Step::Data(stream.clone())]);
        let parser = EventParser::new(Framing::Sse);
        let expected = collect(EventBody::new(whole, parser, Attentive(mapping.editor())));

        let mut rest = stream;
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            chunks.push(Step::Data(rest.split_to((*size).min(rest.len()))));
        }
        let result = collect(mapping.event_body(ScriptBody::new(chunks), Framing::Sse));

        prop_assert_eq!(result, expected);
    }
}

#[test]
fn state_does_not_take_the_name_of_a_variable_that_is_written_for_requests() {
    let mistake = Mapping::from_yaml(
        "
        request: {rules: [{set: var:m, value: 1}]}
        stream: {state: {m: {remember: data:/m}}, rules: [{set: data:/x, from: var:m}]}
        ",
    )
    .unwrap_err();

    let text = mistake.to_string();
    assert!(
        text.contains("`m` is a variable that rules for requests write"),
        "{text}"
    );
}

#[test]
fn an_array_that_breaks_off_ends_with_an_error_and_keeps_no_secret() {
    let stream = "{rules: [{remove: data:/secret}]}";
    for input in [r#"[{"a":1},{"secret":"x","b""#, r#"[{"a":1}"#] {
        let result = mapped(stream, Framing::JsonArray, input);

        let elements: Vec<serde_json::Value> = serde_json::from_str(&result).unwrap();
        assert_eq!(elements.len(), 2, "{result}");
        assert!(
            result.contains("expected `]`") && !result.contains("secret"),
            "{result}"
        );
    }
}

#[test]
fn a_name_is_a_text_whatever_it_looks_like() {
    let stream = "{rules: [{set: data:/n, value: 1, when: {event: {gt: 4}}}, {set: data:/t, value: 1, when: {event: true}}]}";
    let input = "event: 5\ndata: {}\n\nevent: true\ndata: {}\n\n";

    let result = mapped(stream, Framing::Sse, input);

    let expected = "event: 5\ndata: {\"n\":1}\n\nevent: true\ndata: {\"t\":1}\n\n";
    assert_eq!(result, expected);
}

#[test]
fn nothing_is_required_where_there_is_nothing_to_replace() {
    let stream = "{rules: [{replace: data:/a, from: data:/b, require: true}, {remove: data:/z}]}";

    let result = mapped(
        stream,
        Framing::Sse,
        "data: {\"y\":1}\n\ndata: {\"y\":1,\"z\":2}\n\n",
    );

    assert_eq!(result, "data: {\"y\":1}\n\ndata: {\"y\":1}\n\n");
}
