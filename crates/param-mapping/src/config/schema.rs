//! The language as a JSON Schema: derived where serde is, and by hand where serde is.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema};
use serde_json::{Value, json};

use super::Config;
use super::forms::{AddressesOr, Many};
use crate::rule::Verb;
use crate::{Address, State, Type, When};

/// Returns the JSON Schema (draft 2020-12) of what [`Mapping::from_yaml`](crate::Mapping::from_yaml) reads.
///
/// It completes and checks in an editor; what it lets through, `from_yaml` may still refuse: patterns, pointers, rules that cannot stand
/// beside each other. `portcullis-map schema` prints it (feature `cli`), and a first line in a file names it:
/// `# yaml-language-server: $schema=portcullis-mapping.schema.json`.
///
/// ```
/// let schema = portcullis_param_mapping::json_schema();
/// assert_eq!(schema["type"], "object");
/// assert!(schema["properties"]["rules"].is_object());
/// ```
#[must_use]
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Parameter mapping".into());
    schema.insert(
        "description".to_owned(),
        "Rules that map the parameters of requests and responses.".into(),
    );
    let mut schema = schema.to_value();
    for_people(&mut schema);
    schema
}

/// Takes away what is there for Rust alone: `null` for a field that is left out, and links in descriptions.
fn for_people(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        if let Some(list) = schema.as_array_mut() {
            list.iter_mut().for_each(for_people);
        }
        return;
    };
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
    if let Some(fields) = members.get_mut("properties").and_then(Value::as_object_mut) {
        for field in fields.values_mut() {
            let Some(field) = field.as_object_mut() else {
                continue;
            };
            match field
                .get("anyOf")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            {
                Some([Value::Object(one), null]) if *null == json!({"type": "null"}) => {
                    let one = one.clone();
                    field.remove("anyOf");
                    field.extend(one);
                }
                _ => {}
            }
            match field
                .get("type")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            {
                Some([one, null]) if null == "null" => {
                    let one = one.clone();
                    field.insert("type".to_owned(), one);
                }
                _ => {}
            }
        }
    }
    members.values_mut().for_each(for_people);
}

/// What names a verb once, and what stands beside it.
pub(super) fn one_verb(schema: &mut Schema) {
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut)
        && let Some(field) = fields.get("move").cloned()
    {
        fields.insert("rename".to_owned(), field);
    }
    // Beside another verb these two are something else.
    let both = [Verb::Default, Verb::Require];
    let names = Verb::ALL.into_iter().filter(|verb| !both.contains(verb));
    let names: Vec<_> = names.map(Verb::name).chain(["rename"]).collect();
    let required: Vec<_> = names
        .iter()
        .map(|name| json!({"required": [name]}))
        .collect();
    let another = json!({"anyOf": required});
    let flag = json!({"require": {"type": "boolean"}});
    let mut forms: Vec<_> = names
        .iter()
        .map(|name| json!({"required": [name], "properties": flag}))
        .collect();
    forms.push(json!({
        "required": ["default"],
        "not": another,
        "properties": {
            "default": {"$ref": "#/$defs/Addresses"},
            "require": {"type": "boolean"},
        },
    }));
    forms.push(json!({
        "required": ["require"],
        "not": {"anyOf": [another, {"required": ["default"]}]},
        "properties": {"require": {"$ref": "#/$defs/Addresses"}},
    }));
    schema.insert("oneOf".to_owned(), forms.into());
}

// === impl Address ===

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema!({
            "type": "string",
            "description": "Where a parameter is: `body:/a/b`, `body:$.a[*]`, `query:x`, `header:x`, `status` and so on.",
            "pattern": ADDRESS,
            "examples": ["body:/a/b", "query:x", "header:x"],
        })
    }
}

// === impl Many ===

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn schema_name() -> Cow<'static, str> {
        match &*T::schema_name() {
            "Address" => "Addresses".into(),
            name => format!("{name}s").into(),
        }
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

// === impl AddressesOr ===

impl JsonSchema for AddressesOr<bool> {
    fn schema_name() -> Cow<'static, str> {
        "AddressesOrFlag".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let addresses = generator.subschema_for::<Many<Address>>();
        schema!({"anyOf": [{"type": "boolean"}, addresses]})
    }
}

// === impl State ===

impl JsonSchema for State {
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let when = generator.subschema_for::<When>();
        let from = generator.subschema_for::<Many<Address>>();
        schema!({
            "description": "What is kept from one event of a stream to the next.",
            "anyOf": [
                {"type": "string", "enum": ["counter", "once"]},
                {
                    "type": "object",
                    "oneOf": [
                        {"required": ["counter"]},
                        {"required": ["once"]},
                        {"required": ["remember"]},
                        {"required": ["accumulate"]},
                    ],
                    "additionalProperties": false,
                    "properties": {
                        "counter": when,
                        "once": when,
                        "remember": from,
                        "accumulate": from,
                    },
                },
            ],
        })
    }
}

// === impl When ===

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let when = generator.subschema_for::<Self>();
        let kind = generator.subschema_for::<Type>();
        schema!({
            "type": "object",
            "description": "Addresses with what must hold there; all of it must hold.",
            "minProperties": 1,
            "properties": {
                "all": {"type": "array", "items": when},
                "any": {"type": "array", "items": when},
                "not": when,
            },
            "propertyNames": {"anyOf": [{"enum": ["all", "any", "not"]}, {"pattern": ADDRESS}]},
            "additionalProperties": {
                "anyOf": [
                    {"type": ["string", "number", "boolean", "null"]},
                    {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": false,
                        "properties": {
                            "exists": {"type": "boolean"},
                            "missing": {"type": "boolean"},
                            "null": {"type": "boolean"},
                            "eq": true,
                            "ne": true,
                            "in": {"type": "array"},
                            "gt": {"type": "number"},
                            "gte": {"type": "number"},
                            "lt": {"type": "number"},
                            "lte": {"type": "number"},
                            "matches": {"type": "string", "format": "regex"},
                            "glob": {"type": "string"},
                            "type": kind,
                        },
                    },
                ],
            },
        })
    }
}

/// What an address begins with. The rest is for the parser.
const ADDRESS: &str = r"^(status|method|path|event)$|^(body|item|data):($|/|\$)|^(query|header|cookie|form|var):.|^path:\{.+\}$|^secret:(env|file):.";
