//! Any mapping beside a slow one over trees, on random documents and random rules.

use bytes::Bytes;
use portcullis_param_mapping::{Is, Mapping, Rule, Source, Transform, When, Wrap};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

type Path = Vec<&'static str>;

#[derive(Clone, Debug)]
enum Act {
    Move(Path, Path),
    Copy(Path, Path),
    Set(Path, Value),
    Replace(Path, Value),
    Add(Path, Value),
    Default(Path, Value),
    Append(Path, Value),
    Prepend(Path, Value),
    Merge(Path, Value),
    Clamp(Path, i32, i32),
    Wrap(Path),
    Remove(Path),
    Require(Path),
}

#[derive(Clone, Debug)]
struct Row {
    act: Act,
    when: Option<(Path, bool)>,
}

/// What one row comes to: nothing, or what it writes.
#[derive(Clone)]
struct Done<'r> {
    act: &'r Act,
    value: Option<Value>,
}

// === impl Act ===

impl Act {
    fn rule(&self) -> Rule {
        let at = |path: &Path| format!("body:{}", pointer(path)).parse().unwrap();
        let value = |value: &Value| Source::Value(value.clone());
        match self {
            Self::Move(from, to) => Rule::rename(at(from), at(to)),
            Self::Copy(from, to) => Rule::copy(at(from), at(to)),
            Self::Set(to, constant) => Rule::set(at(to), constant.clone()),
            Self::Replace(to, constant) => Rule::replace(at(to), value(constant)),
            Self::Add(to, constant) => Rule::add(at(to), value(constant)),
            Self::Default(to, constant) => Rule::default(at(to), constant.clone()),
            Self::Append(to, constant) => Rule::append(at(to), value(constant)),
            Self::Prepend(to, constant) => Rule::prepend(at(to), value(constant)),
            Self::Merge(to, constant) => Rule::merge(at(to), value(constant)),
            Self::Clamp(path, min, max) => {
                let limits = Transform::clamp(Number::from(*min), Number::from(*max));
                Rule::update(at(path), limits)
            }
            Self::Wrap(path) => Rule::update(at(path), Transform::Wrap(Wrap::IfScalar)),
            Self::Remove(path) => Rule::remove(at(path)),
            Self::Require(path) => Rule::require(at(path)),
        }
    }

    fn target(&self) -> Option<&Path> {
        match self {
            Self::Move(_, to) | Self::Copy(_, to) => Some(to),
            Self::Set(to, _)
            | Self::Replace(to, _)
            | Self::Add(to, _)
            | Self::Default(to, _)
            | Self::Append(to, _)
            | Self::Prepend(to, _)
            | Self::Merge(to, _)
            | Self::Clamp(to, ..)
            | Self::Wrap(to) => Some(to),
            Self::Remove(_) | Self::Require(_) => None,
        }
    }

    fn removed(&self) -> Option<&Path> {
        match self {
            Self::Move(path, _) | Self::Remove(path) => Some(path),
            _ => None,
        }
    }

    /// What it writes, seen from the original; an error where it cannot.
    fn value(&self, original: &Value) -> Result<Option<Value>, ()> {
        let found = |path: &Path| original.pointer(&pointer(path)).cloned();
        Ok(match self {
            Self::Move(from, _) | Self::Copy(from, _) => found(from),
            Self::Replace(to, value) => found(to).map(|_| value.clone()),
            Self::Set(_, value)
            | Self::Add(_, value)
            | Self::Default(_, value)
            | Self::Append(_, value)
            | Self::Prepend(_, value)
            | Self::Merge(_, value) => Some(value.clone()),
            Self::Clamp(path, min, max) => match found(path) {
                None => None,
                Some(value) => {
                    let number = value.as_i64().ok_or(())?;
                    Some(number.clamp((*min).into(), (*max).into()).into())
                }
            },
            Self::Wrap(path) => found(path).map(|value| match value {
                Value::Array(_) => value,
                value => vec![value].into(),
            }),
            Self::Require(path) => found(path).map(|_| None).ok_or(())?,
            Self::Remove(_) => None,
        })
    }
}

fn pointer(path: &[&str]) -> String {
    path.iter()
        .fold(String::new(), |pointer, token| pointer + "/" + token)
}

fn slow(rows: &[Row], original: &Value) -> Result<Value, ()> {
    let mut done = Vec::new();
    for Row { act, when } in rows {
        let holds = when
            .as_ref()
            .is_none_or(|(path, exists)| original.pointer(&pointer(path)).is_some() == *exists);
        if holds {
            let value = act.value(original)?;
            done.push(Done { act, value });
        }
    }
    let built = build(&Vec::new(), Some(original.clone()), &done)?;
    Ok(built.unwrap_or_else(|| original.clone()))
}

/// What is at a path in the end, given what would be there.
fn build(path: &Path, base: Option<Value>, done: &[Done<'_>]) -> Result<Option<Value>, ()> {
    let here = || done.iter().filter(|done| done.act.target() == Some(path));
    let value = |done: &Done<'_>| done.value.clone();
    let sets = here().filter(|done| {
        !matches!(
            done.act,
            Act::Add(..) | Act::Default(..) | Act::Append(..) | Act::Prepend(..) | Act::Merge(..)
        )
    });
    let mut place = match sets.filter_map(value).next_back() {
        Some(value) => Some(value),
        None if done.iter().any(|done| done.act.removed() == Some(path)) => None,
        None => base,
    };
    let was_missing = place.is_none();
    if place.as_ref().is_none_or(Value::is_null) {
        let fills = here().filter(|done| match done.act {
            Act::Add(..) => was_missing,
            Act::Default(..) => true,
            _ => false,
        });
        if let Some(value) = fills.filter_map(value).next_back() {
            place = Some(value);
        }
    }

    let mut tokens: Vec<&'static str> = Vec::new();
    for done in done {
        let paths = [done.act.target(), done.act.removed()]
            .into_iter()
            .flatten();
        for below in paths.filter(|below| below.len() > path.len() && below.starts_with(path)) {
            if !tokens.contains(&below[path.len()]) {
                tokens.push(below[path.len()]);
            }
        }
    }
    let is_new = place.is_none();
    let mut members = match &place {
        Some(Value::Object(members)) => members.clone(),
        None => Map::new(),
        Some(_) => {
            let is_written = done.iter().any(|done| {
                let target = done.act.target();
                let below = |target: &Path| target.len() > path.len() && target.starts_with(path);
                done.value.is_some() && target.is_some_and(below)
            });
            if is_written {
                return Err(());
            }
            return edit(path, place, done);
        }
    };
    for token in tokens {
        let mut child = path.clone();
        child.push(token);
        match build(&child, members.get(token).cloned(), done)? {
            Some(value) => {
                members.insert(token.to_owned(), value);
            }
            None => {
                members.shift_remove(token);
            }
        }
    }
    if !is_new || !members.is_empty() {
        place = Some(members.into());
    }
    edit(path, place, done)
}

fn edit(path: &Path, mut place: Option<Value>, done: &[Done<'_>]) -> Result<Option<Value>, ()> {
    for done in done.iter().filter(|done| done.act.target() == Some(path)) {
        let Some(value) = done.value.clone() else {
            continue;
        };
        match done.act {
            Act::Append(..) | Act::Prepend(..) => {
                let mut array = match place.take() {
                    None => Vec::new(),
                    Some(Value::Array(array)) => array,
                    Some(_) => return Err(()),
                };
                let at = if matches!(done.act, Act::Append(..)) {
                    array.len()
                } else {
                    0
                };
                array.insert(at, value);
                place = Some(array.into());
            }
            Act::Merge(..) => place = Some(merge(place.take(), value)),
            _ => {}
        }
    }
    Ok(place)
}

/// RFC 7396, as it is written there.
fn merge(target: Option<Value>, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch;
    };
    let mut target = match target {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(&name);
        } else {
            let merged = merge(target.get(&name).cloned(), value);
            target.insert(name, merged);
        }
    }
    target.into()
}

fn path() -> impl Strategy<Value = Path> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-20..20_i64).prop_map(Value::from),
        Just(Value::from("\u{e4}\"\n")),
        Just(Value::from(Vec::<Value>::new())),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => proptest::collection::hash_map("[a-d]", inner, 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![3 => leaf(), 1 => document()]
}

fn act() -> impl Strategy<Value = Act> {
    let target = || (path(), value());
    prop_oneof![
        3 => (path(), path()).prop_map(|(from, to)| Act::Move(from, to)),
        1 => (path(), path()).prop_map(|(from, to)| Act::Copy(from, to)),
        1 => target().prop_map(|(to, value)| Act::Set(to, value)),
        1 => target().prop_map(|(to, value)| Act::Replace(to, value)),
        1 => target().prop_map(|(to, value)| Act::Add(to, value)),
        1 => target().prop_map(|(to, value)| Act::Default(to, value)),
        1 => target().prop_map(|(to, value)| Act::Append(to, value)),
        1 => target().prop_map(|(to, value)| Act::Prepend(to, value)),
        1 => target().prop_map(|(to, value)| Act::Merge(to, value)),
        1 => (path(), -9..0, 0..9).prop_map(|(path, min, max)| Act::Clamp(path, min, max)),
        1 => path().prop_map(Act::Wrap),
        2 => path().prop_map(Act::Remove),
        1 => path().prop_map(Act::Require),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let when = prop_oneof![
        3 => Just(None),
        1 => (path(), any::<bool>()).prop_map(Some),
    ];
    (act(), when).prop_map(|(act, when)| Row { act, when })
}

fn mapping(rows: &[Row]) -> Option<Mapping> {
    let rules = rows.iter().map(|Row { act, when }| {
        let rule = act.rule();
        match when {
            None => rule,
            Some((path, exists)) => {
                let address = format!("body:{}", pointer(path)).parse().unwrap();
                let is = if *exists { Is::Exists } else { Is::Missing };
                rule.when(When::at(address, is))
            }
        }
    });
    // Rules that contradict each other are no mapping.
    Mapping::builder().rules(rules).build().ok()
}

fn members() -> impl Strategy<Value = Value> {
    proptest::collection::hash_map("[a-d]", document(), 0..5)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_mapping_does_what_a_slow_one_does(
        rows in proptest::collection::vec(row(), 1..6),
        document in members(),
        pretty in any::<bool>(),
        length in prop_oneof![Just(0_usize), Just(5000)],
    ) {
        let Some(mapping) = mapping(&rows) else {
            return Ok(());
        };
        // With long bodies the output is made of slices.
        let mut document = document;
        if length > 0 {
            document["filler"] = "x".repeat(length).into();
        }
        let text = if pretty { format!("{document:#}") } else { document.to_string() };

        let mapped = mapping.apply(&Bytes::from(text.clone()));

        let expected = slow(&rows, &document);
        match mapped {
            Ok(mapped) => {
                let is_changed = mapped.is_changed();
                let bytes = mapped.into_bytes();
                prop_assert_eq!(is_changed, bytes != text);
                let value: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(Ok(value), expected, "{}", text);
            }
            Err(error) => prop_assert!(expected.is_err(), "{} {}", error, text),
        }
    }

    #[test]
    fn a_mapping_that_changes_nothing_leaves_each_byte(
        document in document(),
        pretty in any::<bool>(),
        space in "[ \t\r\n]{0,3}",
    ) {
        let text = if pretty { format!("{document:#}") } else { document.to_string() };
        let text = format!("{space}{text}{space}");
        let address = |text: &str| text.parse().unwrap();
        let mapping = Mapping::builder()
            .rule(Rule::rename(address("body:/none"), address("body:/a/b")))
            .rule(Rule::remove(address("body:/a/none")))
            .rule(Rule::remove(address("body:$.b[*].none")))
            .rule(Rule::update(address("body:/c"), Transform::Wrap(Wrap::IfScalar))
                .when(When::at(address("body:/none"), Is::Exists)))
            .build()
            .unwrap();

        let mapped = mapping.apply(&Bytes::from(text.clone())).unwrap();

        prop_assert!(!mapped.is_changed());
        prop_assert_eq!(mapped.into_bytes(), text);
    }
}
