//! Conditions, as objects of addresses and what must hold there.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::when::{Is, When};

struct WhenVisitor;

/// What must hold at one address.
struct Tests(Vec<Is>);

struct TestsVisitor;

// === impl When ===

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WhenVisitor)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::All(list) => map.serialize_entry("all", list)?,
            Self::Any(list) => map.serialize_entry("any", list)?,
            Self::Not(when) => map.serialize_entry("not", when)?,
            Self::At(address, is) => map.serialize_entry(&address.to_string(), is)?,
        }
        map.end()
    }
}

// === impl WhenVisitor ===

impl<'de> Visitor<'de> for WhenVisitor {
    type Value = When;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of addresses, `all`, `any` and `not`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<When, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "all" => all.push(When::All(map.next_value()?)),
                "any" => all.push(When::Any(map.next_value()?)),
                "not" => all.push(When::Not(Box::new(map.next_value()?))),
                address => {
                    let address: crate::Address = address.parse().map_err(de::Error::custom)?;
                    let Tests(tests) = map.next_value()?;
                    all.extend(tests.into_iter().map(|is| When::At(address.clone(), is)));
                }
            }
        }
        match all.pop() {
            None => Err(de::Error::custom("says nothing that could hold")),
            Some(one) if all.is_empty() => Ok(one),
            Some(last) => {
                all.push(last);
                Ok(When::All(all))
            }
        }
    }
}

// === impl Is ===

impl Serialize for Is {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Exists => map.serialize_entry("exists", &true)?,
            Self::Missing => map.serialize_entry("missing", &true)?,
            Self::Null(null) => map.serialize_entry("null", null)?,
            Self::Eq(value) => map.serialize_entry("eq", value)?,
            Self::Ne(value) => map.serialize_entry("ne", value)?,
            Self::In(values) => map.serialize_entry("in", values)?,
            Self::Gt(limit) => map.serialize_entry("gt", limit)?,
            Self::Gte(limit) => map.serialize_entry("gte", limit)?,
            Self::Lt(limit) => map.serialize_entry("lt", limit)?,
            Self::Lte(limit) => map.serialize_entry("lte", limit)?,
            Self::Matches(pattern) => map.serialize_entry("matches", pattern)?,
            Self::Glob(glob) => map.serialize_entry("glob", glob)?,
            Self::Type(kind) => map.serialize_entry("type", kind)?,
        }
        map.end()
    }
}

// === impl Tests ===

impl<'de> Deserialize<'de> for Tests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TestsVisitor)
    }
}

// === impl TestsVisitor ===

impl<'de> Visitor<'de> for TestsVisitor {
    type Value = Tests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar that must be there, or an object of tests")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(Value::Null)]))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(flag.into())]))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(number.into())]))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(number.into())]))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(number.into())]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Tests, E> {
        Ok(Tests(vec![Is::Eq(text.into())]))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tests, A::Error> {
        let mut tests = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            tests.push(match &*key {
                "exists" => match map.next_value()? {
                    true => Is::Exists,
                    false => Is::Missing,
                },
                "missing" => match map.next_value()? {
                    true => Is::Missing,
                    false => Is::Exists,
                },
                "null" => Is::Null(map.next_value()?),
                "eq" => Is::Eq(map.next_value()?),
                "ne" => Is::Ne(map.next_value()?),
                "in" => Is::In(map.next_value()?),
                "gt" => Is::Gt(map.next_value()?),
                "gte" => Is::Gte(map.next_value()?),
                "lt" => Is::Lt(map.next_value()?),
                "lte" => Is::Lte(map.next_value()?),
                "matches" => Is::Matches(map.next_value()?),
                "glob" => Is::Glob(map.next_value()?),
                "type" => Is::Type(map.next_value()?),
                _ => return Err(de::Error::unknown_field(&key, TESTS)),
            });
        }
        if tests.is_empty() {
            return Err(de::Error::custom("says nothing that could hold"));
        }
        Ok(Tests(tests))
    }
}

const TESTS: &[&str] = &[
    "exists", "missing", "null", "eq", "ne", "in", "gt", "gte", "lt", "lte", "matches", "glob",
    "type",
];
