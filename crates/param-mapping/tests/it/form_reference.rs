//! Any rules for a form beside a slow reading of them, on random forms of both kinds.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use portcullis_param_mapping::{
    Form, FormFormat, Mapping, ParamMappingLayer, RequestBody, Rule, Source,
};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

#[derive(Clone, Copy, Debug)]
enum Act {
    Move(&'static str, &'static str),
    Copy(&'static str, &'static str),
    Set(&'static str),
    Replace(&'static str),
    Add(&'static str),
    Default(&'static str),
    Append(&'static str),
    Prepend(&'static str),
    Remove(&'static str),
}

type Fields = BTreeMap<String, Vec<String>>;

const CONTENT_TYPES: [&str; 2] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=xyz",
];

// === impl Act ===

impl Act {
    fn rule(self, value: &str) -> Rule {
        let at = |name: &str| format!("form:{name}").parse().unwrap();
        let value = || Source::Value(value.into());
        match self {
            Self::Move(from, to) => Rule::rename(at(from), at(to)),
            Self::Copy(from, to) => Rule::copy(at(from), at(to)),
            Self::Set(to) => Rule::set_from(at(to), value()),
            Self::Replace(to) => Rule::replace(at(to), value()),
            Self::Add(to) => Rule::add(at(to), value()),
            Self::Default(to) => Rule::default_from(at(to), value()),
            Self::Append(to) => Rule::append(at(to), value()),
            Self::Prepend(to) => Rule::prepend(at(to), value()),
            Self::Remove(name) => Rule::remove(at(name)),
        }
    }
}

/// What the rules say of the values of each name.
fn expected(acts: &[Act], fields: &Fields) -> Fields {
    let original = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let acts = || {
        acts.iter()
            .enumerate()
            .map(|(index, act)| (*act, format!("new {index}")))
    };
    let mut result = fields.clone();
    for (act, _) in acts() {
        if let Act::Move(name, _) | Act::Remove(name) = act {
            result.remove(name);
        }
    }
    for (act, value) in acts() {
        let (to, values) = match act {
            Act::Move(from, to) | Act::Copy(from, to) => (to, original(from)),
            Act::Set(to) => (to, vec![value]),
            Act::Replace(to) if !original(to).is_empty() => (to, vec![value]),
            _ => continue,
        };
        if !values.is_empty() {
            result.insert(to.to_owned(), values);
        }
    }
    for (act, value) in acts() {
        match act {
            Act::Append(to) => result.entry(to.to_owned()).or_default().push(value),
            Act::Prepend(to) => result.entry(to.to_owned()).or_default().insert(0, value),
            _ => {}
        }
    }
    for (act, value) in acts() {
        if let Act::Add(to) | Act::Default(to) = act {
            result.entry(to.to_owned()).or_insert_with(|| vec![value]);
        }
    }
    result
}

fn written(content_type: &str, fields: &[(&str, String)]) -> Bytes {
    let is_multipart = content_type.starts_with("multipart");
    let pieces = fields.iter().map(|(name, value)| {
        if is_multipart {
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        } else {
            format!("{name}={value}")
        }
    });
    let pieces: Vec<_> = pieces.collect();
    Bytes::from(if is_multipart {
        format!("{}--xyz--\r\n", pieces.concat())
    } else {
        pieces.join("&")
    })
}

fn by_name<N: ToString, V: ToString>(fields: impl IntoIterator<Item = (N, V)>) -> Fields {
    let mut all = Fields::new();
    for (name, value) in fields {
        all.entry(name.to_string())
            .or_default()
            .push(value.to_string());
    }
    all
}

fn sent(mapping: Mapping, content_type: &'static str, body: Bytes) -> Bytes {
    let upstream = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(body)))
    });
    let service = ParamMappingLayer::new(mapping).layer(upstream);
    let request = Request::post("/").header("content-type", content_type);
    let request = request.body(Full::from(body)).unwrap();
    tokio_test::block_on(async {
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap().to_bytes()
    })
}

fn act() -> impl Strategy<Value = Act> {
    let name = || proptest::sample::select(&["a", "b", "c"][..]);
    prop_oneof![
        (name(), name()).prop_map(|(from, to)| Act::Move(from, to)),
        (name(), name()).prop_map(|(from, to)| Act::Copy(from, to)),
        name().prop_map(Act::Set),
        name().prop_map(Act::Replace),
        name().prop_map(Act::Add),
        name().prop_map(Act::Default),
        name().prop_map(Act::Append),
        name().prop_map(Act::Prepend),
        name().prop_map(Act::Remove),
    ]
}

proptest! {
    #[test]
    fn any_rules_for_a_form_do_what_they_say(
        acts in proptest::collection::vec(act(), 0..6),
        fields in proptest::collection::vec((proptest::sample::select(&["a", "b", "c", "d"][..]), "[a-z]{0,3}"), 0..6),
        content_type in proptest::sample::select(&CONTENT_TYPES[..]),
    ) {
        let rules = acts.iter().enumerate().map(|(index, act)| act.rule(&format!("new {index}")));
        // Two that write one field are a mistake.
        let Ok(mapping) = Mapping::builder().rules(rules).build() else { return Ok(()) };
        let body = written(content_type, &fields);
        // An empty body is no form yet, and gets one only where something is written.
        prop_assume!(!body.is_empty());

        let sent = sent(mapping, content_type, body.clone());

        let format = FormFormat::of_content_type(content_type).unwrap().unwrap();
        let form = Form::parse(sent.clone(), &format).unwrap();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let seen = by_name(form.fields().map(|field| (text(field.name()), text(field.value()))));
        let before = by_name(fields.iter().map(|(name, value)| (*name, value)));
        let expected = expected(&acts, &before);
        prop_assert_eq!(&seen, &expected);
        if expected == before && acts.iter().all(|act| matches!(act, Act::Remove(_) | Act::Add(_) | Act::Default(_) | Act::Replace(_))) {
            prop_assert_eq!(sent, body);
        }
    }
}
