use crate::ChatError;
use crate::json::writer::JsonWriter;
use crate::json::{Json, Text};
use crate::message::required_text;

/// A function that the model may call.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// What it does; none where that is empty.
    pub description: Option<Text<'a>>,
    /// What it takes, as JSON Schema.
    pub parameters: Option<Json<'a>>,
    /// Whether the arguments must follow the schema.
    pub strict: Option<bool>,
}

/// Which functions the model may or must call.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum ToolChoice<'a> {
    /// It decides.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(Text<'a>),
}

/// The form of the reply.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum ResponseFormat<'a> {
    /// A text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// Its name.
        name: Option<Text<'a>>,
        /// The schema.
        schema: Json<'a>,
        /// `response_format.json_schema`.
        json: Json<'a>,
    },
}

// === impl Function ===

impl<'a> Function<'a> {
    pub(crate) fn list(
        tools: Option<Json<'a>>,
        functions: Option<Json<'a>>,
    ) -> Result<Vec<Self>, ChatError> {
        let mut list = Vec::new();
        for (index, tool) in tools.into_iter().flat_map(Json::elements).enumerate() {
            let place = || format!("tools[{index}]");
            let [kind, function] = tool.pick(["type", "function"]);
            if let Some(kind) = kind.and_then(Json::as_text)
                && !kind.is("function")
            {
                let kind = kind.decode();
                let message = format!("tools of the type `{kind}` are not known");
                return Err(ChatError::invalid(place() + ".type", message));
            }
            let place = || place() + ".function";
            let function = function.ok_or_else(|| {
                let place = place();
                let message = format!("`{place}` is missing");
                ChatError::invalid(place, message)
            })?;
            list.push(Self::parse(function, place)?);
        }
        let functions = functions.into_iter().flat_map(Json::elements);
        for (index, function) in functions.enumerate() {
            list.push(Self::parse(function, || format!("functions[{index}]"))?);
        }
        Ok(list)
    }

    /// Writes all of them as OpenAI has them, where `tools` has its value.
    pub(crate) fn write_tools(functions: &[Self], out: &mut JsonWriter) {
        out.begin_array();
        for function in functions {
            out.begin_object().key("type").string("function");
            function.begin(out.key("function"));
            if let Some(parameters) = function.parameters {
                out.key("parameters").json(parameters);
            }
            out.end_object().end_object();
        }
        out.end_array();
    }

    /// Writes it for a provider that must have a schema, which stands under this name.
    pub(crate) fn write_with(&self, schema: &'static str, out: &mut JsonWriter) {
        self.begin(out);
        self.write_schema(out.key(schema));
        out.end_object();
    }

    /// Writes the schema of what it takes: that of nothing where none is given.
    pub(crate) fn write_schema(&self, out: &mut JsonWriter) {
        match self.parameters {
            Some(parameters) => out.json(parameters),
            None => out.raw(r#"{"type":"object","properties":{}}"#),
        };
    }

    /// Begins an object with the name, and the description if there is one.
    pub(crate) fn begin(&self, out: &mut JsonWriter) {
        out.begin_object().key("name").text(self.name);
        if let Some(description) = self.description {
            out.key("description").text(description);
        }
    }

    fn parse(json: Json<'a>, place: impl Fn() -> String) -> Result<Self, ChatError> {
        let [name, description, parameters, strict] =
            json.pick(["name", "description", "parameters", "strict"]);
        Ok(Self {
            name: required_text(name, || place() + ".name")?,
            description: description
                .and_then(Json::as_text)
                .filter(|text| !text.is_empty()),
            parameters,
            strict: strict.and_then(Json::as_bool),
        })
    }
}

// === impl ToolChoice ===

impl<'a> ToolChoice<'a> {
    pub(crate) fn parse(
        choice: Option<Json<'a>>,
        function_call: Option<Json<'a>>,
    ) -> Result<Option<Self>, ChatError> {
        let (choice, place) = match (choice, function_call) {
            (Some(choice), _) => (choice, "tool_choice"),
            (None, Some(call)) => (call, "function_call"),
            (None, None) => return Ok(None),
        };
        if let Some(word) = choice.as_text() {
            let word = word.decode();
            return match &*word {
                "auto" => Ok(Some(Self::Auto)),
                "none" => Ok(Some(Self::None)),
                // Some providers' word for it.
                "required" | "any" => Ok(Some(Self::Required)),
                word => {
                    let message = format!("`{word}` is not a choice of tools");
                    Err(ChatError::invalid(place, message))
                }
            };
        }
        let [function, name, kind] = choice.pick(["function", "name", "type"]);
        let name = function.and_then(|function| function.get("name")).or(name);
        match (kind.and_then(Json::as_text), name) {
            (Some(kind), _) if !kind.is("function") => {
                let kind = kind.decode();
                let message = format!("a choice of the type `{kind}` is not known");
                Err(ChatError::invalid(format!("{place}.type"), message))
            }
            (_, name) => {
                let name = required_text(name, || format!("{place}.function.name"))?;
                Ok(Some(Self::Function(name)))
            }
        }
    }
}

// === impl ResponseFormat ===

impl<'a> ResponseFormat<'a> {
    pub(crate) fn parse(json: Json<'a>) -> Result<Self, ChatError> {
        let [kind, schema] = json.pick(["type", "json_schema"]);
        let kind = required_text(kind, || "response_format.type".to_owned())?.decode();
        match &*kind {
            "text" => Ok(Self::Text),
            "json_object" => Ok(Self::JsonObject),
            "json_schema" => {
                let place = "response_format.json_schema";
                let missing = |what: &str| {
                    let place = format!("{place}{what}");
                    let message = format!("`{place}` is missing");
                    ChatError::invalid(place, message)
                };
                let json = schema.ok_or_else(|| missing(""))?;
                let [name, schema] = json.pick(["name", "schema"]);
                Ok(Self::JsonSchema {
                    name: name.and_then(Json::as_text),
                    schema: schema.ok_or_else(|| missing(".schema"))?,
                    json,
                })
            }
            kind => {
                let message = format!("`{kind}` is not a format of replies");
                Err(ChatError::invalid("response_format.type", message))
            }
        }
    }
}
