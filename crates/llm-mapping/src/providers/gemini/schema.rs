//! JSON Schema in the subset of OpenAPI that `parameters` and `responseSchema` take.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ChatError;
use crate::json::Json;
use crate::json::writer::JsonWriter;

/// Writes a schema in that subset. The place is where it stands in the request.
pub(super) fn write(schema: Json<'_>, place: &str, out: &mut JsonWriter) -> Result<(), ChatError> {
    let mut cleaner = Cleaner {
        root: schema,
        place,
        known: BTreeMap::new(),
        open: vec!["#".to_owned()],
        start: out.len(),
    };
    if schema.raw().len() > MAX_BYTES {
        return Err(cleaner.wrong(&format!("is longer than {MAX_BYTES} bytes")));
    }
    cleaner.write(schema, 0, out)
}

struct Cleaner<'a, 'p> {
    root: Json<'a>,
    place: &'p str,
    /// What references lead to.
    known: BTreeMap<String, Json<'a>>,
    /// The references that lead to what is being written.
    open: Vec<String>,
    /// How long the text was before the schema.
    start: usize,
}

/// A schema with what it refers to.
#[derive(Default)]
struct Flat<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
    is_nullable: bool,
}

/// The most bytes, before and after references are replaced.
const MAX_BYTES: usize = 1024 * 1024;
/// The most different references.
const MAX_REFERENCES: usize = 256;
/// The most levels, references counted.
const MAX_DEPTH: usize = 64;

/// What is the same in both, beside what is written by a rule of its own.
const SAME: [&str; 14] = [
    "description",
    "example",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "propertyOrdering",
    "required",
    "title",
];

// === impl Cleaner ===

impl<'a> Cleaner<'a, '_> {
    fn write(
        &mut self,
        schema: Json<'a>,
        depth: usize,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        if out.len().saturating_sub(self.start) > MAX_BYTES {
            let message = format!("is longer than {MAX_BYTES} bytes without references");
            return Err(self.wrong(&message));
        }
        let open = self.open.len();
        let mut flat = Flat::default();
        self.flatten(schema, depth, &mut flat)?;
        out.begin_object();
        self.write_members(&flat, depth, out)?;
        out.end_object();
        self.open.truncate(open);
        Ok(())
    }

    fn write_members(
        &mut self,
        flat: &Flat<'a>,
        depth: usize,
        out: &mut JsonWriter,
    ) -> Result<(), ChatError> {
        let types = Types::of(flat.get("type"));
        let choices = flat.get("anyOf").or(flat.get("oneOf"));
        let constant = flat.get("const").filter(|_| flat.get("enum").is_none());
        let mut is_nullable = flat.is_nullable || types.has_null;
        if let [kind] = types.names.as_slice() {
            out.key("type").json(*kind);
        }
        for (name, value) in &flat.members {
            match &**name {
                "format" => {
                    let is_text = types.names.iter().all(|kind| kind.raw() == "\"string\"");
                    let is_known = matches!(value.raw(), "\"enum\"" | "\"date-time\"");
                    if is_known || !is_text {
                        out.key("format").json(*value);
                    }
                }
                "enum" => {
                    out.key("enum").begin_array();
                    for value in value.elements() {
                        if value.is_null() {
                            is_nullable = true;
                        } else {
                            out.json(value);
                        }
                    }
                    out.end_array();
                }
                "properties" => {
                    out.key("properties").begin_object();
                    for (name, property) in value.members() {
                        self.write(property, depth + 1, out.same_key(name))?;
                    }
                    out.end_object();
                }
                "items" if value.is_object() => self.write(*value, depth + 1, out.key("items"))?,
                "nullable" => is_nullable |= value.as_bool() == Some(true),
                name => {
                    if let Some(same) = SAME.iter().find(|same| **same == name) {
                        out.key(same).json(*value);
                    }
                }
            }
        }
        if let Some(constant) = constant {
            out.key("enum").begin_array().json(constant).end_array();
        }
        if let Some(choices) = choices {
            out.key("anyOf").begin_array();
            for choice in choices.elements().filter(|choice| !is_null_type(*choice)) {
                self.write(choice, depth + 1, out)?;
            }
            out.end_array();
        } else if types.names.len() > 1 {
            out.key("anyOf").begin_array();
            for kind in &types.names {
                out.begin_object().key("type").json(*kind).end_object();
            }
            out.end_array();
        }
        if is_nullable {
            out.key("nullable").bool(true);
        }
        Ok(())
    }

    /// Collects the members of a schema, and of those that it consists of. What stands beside a reference has the last word.
    fn flatten(
        &mut self,
        schema: Json<'a>,
        depth: usize,
        flat: &mut Flat<'a>,
    ) -> Result<(), ChatError> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        for (name, value) in schema.members() {
            match &*name.decode() {
                "$ref" => {
                    let target = self.follow(value)?;
                    self.flatten(target, depth + 1, flat)?;
                }
                "allOf" => {
                    let mut all = value.elements();
                    if let Some(first) = all.next() {
                        self.flatten(first, depth + 1, flat)?;
                    }
                    if all.next().is_some() {
                        let message = "has an `allOf` of several schemas, which has no form there";
                        return Err(self.wrong(message));
                    }
                }
                "anyOf" | "oneOf" => {
                    let count = value.elements().count();
                    let mut others = value.elements().filter(|choice| !is_null_type(*choice));
                    let (one, more) = (others.next(), others.count());
                    flat.is_nullable |= more + usize::from(one.is_some()) < count;
                    match one {
                        Some(only) if more == 0 => self.flatten(only, depth + 1, flat)?,
                        _ => flat.put(name.decode(), value),
                    }
                }
                _ => {}
            }
        }
        for (name, value) in schema.members() {
            let name = name.decode();
            if !matches!(&*name, "$ref" | "allOf" | "anyOf" | "oneOf") {
                flat.put(name, value);
            }
        }
        Ok(())
    }

    /// What a reference leads to. It stays open until what holds it is written.
    fn follow(&mut self, reference: Json<'a>) -> Result<Json<'a>, ChatError> {
        let Some(text) = reference.as_text() else {
            return Err(self.wrong("has a `$ref` that is no string"));
        };
        let name = text.decode().into_owned();
        if self.open.contains(&name) {
            return Err(self.wrong(&format!("has a reference that leads to itself: `{name}`")));
        }
        let target = match self.known.get(&name) {
            Some(known) => *known,
            None if self.known.len() == MAX_REFERENCES => {
                let message = format!("has more than {MAX_REFERENCES} references");
                return Err(self.wrong(&message));
            }
            None => {
                let found = resolve(self.root, &name);
                let found = found.ok_or_else(|| {
                    self.wrong(&format!("has a reference that leads to nothing: `{name}`"))
                })?;
                self.known.insert(name.clone(), found);
                found
            }
        };
        self.open.push(name);
        Ok(target)
    }

    fn too_deep(&self) -> ChatError {
        self.wrong(&format!("is nested deeper than {MAX_DEPTH} levels"))
    }

    fn wrong(&self, message: &str) -> ChatError {
        ChatError::invalid(self.place, format!("`{}` {message}", self.place))
    }
}

// === impl Flat ===

impl<'a> Flat<'a> {
    fn get(&self, name: &str) -> Option<Json<'a>> {
        let mut members = self.members.iter();
        members
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    fn put(&mut self, name: Cow<'a, str>, value: Json<'a>) {
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.members.push((name, value)),
        }
    }
}

/// The types that a schema lets a value have.
#[derive(Default)]
struct Types<'a> {
    /// None of them is `null`.
    names: Vec<Json<'a>>,
    has_null: bool,
}

// === impl Types ===

impl<'a> Types<'a> {
    fn of(kind: Option<Json<'a>>) -> Self {
        let Some(kind) = kind else {
            return Self::default();
        };
        if !kind.is_array() {
            return Self {
                names: vec![kind],
                has_null: false,
            };
        }
        let (nulls, names): (Vec<_>, _) =
            kind.elements().partition(|name| name.raw() == "\"null\"");
        Self {
            names,
            has_null: !nulls.is_empty(),
        }
    }
}

fn is_null_type(schema: Json<'_>) -> bool {
    schema.text("type").is_some_and(|kind| kind.is("null"))
}

/// What a JSON Pointer in a fragment leads to, [RFC 6901, section 6](https://www.rfc-editor.org/rfc/rfc6901#section-6).
fn resolve<'a>(root: Json<'a>, reference: &str) -> Option<Json<'a>> {
    let pointer = reference.strip_prefix('#')?;
    let pointer = percent_encoding::percent_decode_str(pointer)
        .decode_utf8()
        .ok()?;
    let mut place = root;
    for step in pointer.strip_prefix('/')?.split('/') {
        let step = step.replace("~1", "/").replace("~0", "~");
        place = if place.is_array() {
            place.elements().nth(step.parse().ok()?)?
        } else {
            place.get(&step)?
        };
    }
    Some(place)
}

#[cfg(test)]
mod tests;
