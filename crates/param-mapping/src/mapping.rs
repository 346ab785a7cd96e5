use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use portcullis_gateway_error::InvalidConfig;
use serde_json::Value;

use crate::events::{EventPlan, StreamEditor, StreamRules};
#[cfg(feature = "generate")]
use crate::generate::make::Sources;
use crate::message::{Extent, Plan};
use crate::pipe::Function;
use crate::plan::compile::{Settings, program};
use crate::plan::{Program, Side};
use crate::vars::KeptVars;
use crate::{
    Base, DuplicateKeys, EventBody, Framing, MapError, Mapped, Route, Rule, Unmapped, vars,
};

/// A set of rules, checked and compiled. Cloning it is cheap.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(crate) plans: Arc<Plans>,
}

/// What a mapping does, and to what.
#[derive(Debug)]
pub(crate) struct Plans {
    pub(crate) route: Route,
    pub(crate) request: Plan,
    pub(crate) response: Plan,
    /// `None` where streams are responses like any other.
    pub(crate) stream: Option<EventPlan>,
}

/// Collects what a [`Mapping`] is made of.
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone, Debug)]
pub struct MappingBuilder {
    route: Route,
    request: Rules,
    /// The rules for requests were given as such, and mistakes in them are told so.
    is_request_named: bool,
    response: Rules,
    stream: Option<StreamRules>,
    duplicate_keys: DuplicateKeys,
    functions: HashMap<String, Function>,
    #[cfg(feature = "generate")]
    sources: Sources,
    max_body_bytes: usize,
}

/// The rules of one side of a [`Mapping`].
#[must_use = "rules do nothing until they are in a mapping"]
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
    base: Base,
    unmapped: Unmapped,
}

/// How many bytes of a body are read where none of the settings says it: 2 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

// === impl Mapping ===

impl Mapping {
    /// Starts a mapping without rules.
    pub fn builder() -> MappingBuilder {
        MappingBuilder {
            route: Route::any(),
            request: Rules::new(),
            is_request_named: false,
            response: Rules::new(),
            stream: None,
            duplicate_keys: DuplicateKeys::default(),
            functions: HashMap::new(),
            #[cfg(feature = "generate")]
            sources: Sources::default(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }

    /// Reads a mapping from YAML, and so from JSON too.
    ///
    /// ```
    /// use portcullis_param_mapping::Mapping;
    ///
    /// let mapping = Mapping::from_yaml(
    ///     "
    ///     rules:
    ///       - {move: body:/input, to: body:/parameters/input, require: true}
    ///       - {move: body:/type, to: body:/parameters/map/type}
    ///     ",
    /// );
    /// assert!(mapping.is_ok());
    ///
    /// let mistake = Mapping::from_yaml("rules: [{remove: header:te}]").unwrap_err();
    /// assert_eq!(
    ///     mistake.to_string(),
    ///     "line 1, column 10: rules[0].remove: `te` belongs to the connection, not to the request"
    /// );
    /// ```
    ///
    /// # Errors
    /// When it is not YAML, or not a mapping; the error names the line and the field.
    #[cfg(feature = "config")]
    pub fn from_yaml(text: &str) -> Result<Self, InvalidConfig> {
        Self::from_yaml_with(text, |builder| builder)
    }

    /// The same, with what no file can say: functions, a clock.
    ///
    /// ```
    /// use portcullis_param_mapping::Mapping;
    ///
    /// let text = "rules: [{update: body:/a, with: {custom: nothing}}]";
    /// let mapping = Mapping::from_yaml_with(text, |builder| builder.function("nothing", |_| Ok(None)))?;
    /// assert_eq!(mapping.apply(&r#"{"a":1}"#.into())?.into_bytes(), "{}");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::from_yaml`].
    #[cfg(feature = "config")]
    pub fn from_yaml_with(
        text: &str,
        finish: impl FnOnce(MappingBuilder) -> MappingBuilder,
    ) -> Result<Self, InvalidConfig> {
        let file = portcullis_gateway_error::ConfigFile::parse(text)?;
        let config: crate::Config = file.read()?;
        let mapping = MappingBuilder::try_from(config).and_then(|builder| finish(builder).build());
        mapping.map_err(|mistake| file.locate(mistake))
    }

    /// Applies the rules for requests to a JSON document, without HTTP. Rules for the head find nothing there and write nothing.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use portcullis_param_mapping::{Mapping, Rule};
    ///
    /// let mapping = Mapping::builder()
    ///     .rule(Rule::rename("body:/a".parse()?, "body:/b/c".parse()?))
    ///     .build()?;
    /// let mapped = mapping.apply(&Bytes::from(r#"{"a": 1.0}"#))?;
    /// assert_eq!(mapped.into_bytes(), r#"{"b":{"c":1.0}}"#);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the document is not valid JSON or nested too deeply, or a rule cannot do what it says. Its length has no limit here.
    pub fn apply(&self, document: &Bytes) -> Result<Mapped, MapError> {
        self.plans.request.apply(document).map_err(MapError::new)
    }

    /// Applies the rules for requests to the head and the body of a request that was read, without a service: what a layer of your own calls.
    /// The body counts as the head describes it, so it is JSON where its `content-type` says so. What was dropped, clamped and coerced is a
    /// [`Report`](crate::Report) in the extensions.
    ///
    /// ```
    /// use http::Request;
    /// use portcullis_param_mapping::{Mapping, Rule};
    ///
    /// let mapping = Mapping::builder()
    ///     .rule(Rule::rename("body:/key".parse()?, "header:x-api-key".parse()?))
    ///     .build()?;
    /// let request = Request::post("/").header("content-type", "application/json").body(())?;
    /// let (mut parts, ()) = request.into_parts();
    ///
    /// let mapped = mapping.apply_request(&mut parts, &r#"{"key":"k","n":1.0}"#.into())?;
    /// assert_eq!(mapped.into_bytes(), r#"{"n":1.0}"#);
    /// assert_eq!(parts.headers["x-api-key"], "k");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the body is not valid JSON or nested too deeply, or a rule cannot do what it says. The head is as it was then. The length of the body
    /// has no limit here.
    pub fn apply_request(&self, parts: &mut Parts, body: &Bytes) -> Result<Mapped, MapError> {
        let mut vars = KeptVars::default();
        let mapped = self
            .plans
            .request
            .map(parts, Extent::Whole, body, &mut vars);
        let mapped = mapped.map_err(MapError::new)?;
        Ok(mapped.unwrap_or_else(|| Mapped::unchanged(body.clone())))
    }

    /// Applies the rules for responses to a JSON document, without HTTP.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_response(&self, document: &Bytes) -> Result<Mapped, MapError> {
        self.plans.response.apply(document).map_err(MapError::new)
    }

    /// Applies the rules for streams to events, without HTTP: an editor for one stream. Rules for the head find nothing there.
    ///
    /// ```
    /// use portcullis_param_mapping::{Edit, Editor, EventParser, Framing, Mapping, Piece, Rule, Rules};
    ///
    /// let rules = Rules::new().rule(Rule::rename("data:/a".parse()?, "data:/b".parse()?));
    /// let mut editor = Mapping::builder().stream(rules).build()?.editor();
    /// let mut parser = EventParser::new(Framing::JsonLines);
    /// parser.push("{\"a\":1.0}\n".into());
    ///
    /// let Some(Piece::Event(event)) = parser.next_piece()? else { panic!("it is complete") };
    /// assert_eq!(editor.edit(&event), Edit::Replace("{\"b\":1.0}\n".into()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn editor(&self) -> StreamEditor {
        StreamEditor::new(Arc::clone(&self.plans), None, &KeptVars::default())
    }

    /// Applies the rules for streams to a body that is divided so, without the head that it came with.
    ///
    /// ```
    /// # use http_body_util::{BodyExt, Full};
    /// # use portcullis_param_mapping::{Framing, Mapping, Rule, Rules};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let rules = Rules::new().rule(Rule::remove("data:/usage".parse()?));
    /// let mapping = Mapping::builder().stream(rules).build()?;
    ///
    /// let inner = Full::from("data: {\"usage\":{},\"n\":1}\n\ndata: [DONE]\n\n");
    /// let body = mapping.event_body(inner, Framing::Sse);
    /// assert_eq!(body.collect().await?.to_bytes(), "data: {\"n\":1}\n\ndata: [DONE]\n\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn event_body<B>(&self, inner: B, framing: Framing) -> EventBody<B, StreamEditor> {
        self.editor().body(inner, framing)
    }
}

/// A mapping without rules: everything passes as it is.
impl Default for Mapping {
    fn default() -> Self {
        let plan = |side| Plan::new(side, Program::empty(), DEFAULT_MAX_BODY_BYTES);
        Self {
            plans: Arc::new(Plans {
                route: Route::any(),
                request: plan(Side::Request),
                response: plan(Side::Response),
                stream: None,
            }),
        }
    }
}

// === impl MappingBuilder ===

impl MappingBuilder {
    /// Adds a rule for requests.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.request = self.request.rule(rule);
        self
    }

    /// Adds these rules for requests.
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.request = self.request.rules(rules);
        self
    }

    /// Replaces what is done to requests. Default: nothing.
    pub fn request(mut self, rules: Rules) -> Self {
        self.request = rules;
        self.is_request_named = true;
        self
    }

    /// Replaces what is done to responses. Default: nothing.
    pub fn response(mut self, rules: Rules) -> Self {
        self.response = rules;
        self
    }

    /// Replaces what is done to the events of responses that are streams. Default: streams are responses like any other.
    ///
    /// With it, of the rules for responses only those without `body:` are applied to streams.
    pub fn stream(mut self, rules: impl Into<StreamRules>) -> Self {
        self.stream = Some(rules.into());
        self
    }

    /// Replaces which requests are mapped, and their responses. Default: all.
    pub fn route(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    /// Replaces what happens where a member that a rule names is given twice. Default: the message is refused.
    pub const fn duplicate_keys(mut self, duplicate_keys: DuplicateKeys) -> Self {
        self.duplicate_keys = duplicate_keys;
        self
    }

    /// Gives rules a function to call, by its name: `custom: name`. It gets the value and returns another, or nothing to write, or what the
    /// value must be, as in `be a colour`. That text is told to the caller.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use portcullis_param_mapping::{Mapping, Rule, Transform};
    /// use serde_json::Value;
    ///
    /// let mapping = Mapping::builder()
    ///     .function("reverse", |value| match value {
    ///         Value::String(text) => Ok(Some(text.chars().rev().collect::<String>().into())),
    ///         _ => Err("be a string".to_owned()),
    ///     })
    ///     .rule(Rule::update("body:/a".parse()?, Transform::Custom("reverse".to_owned())))
    ///     .build()?;
    /// assert_eq!(mapping.apply(&Bytes::from(r#"{"a":"bc"}"#))?.into_bytes(), r#"{"a":"cb"}"#);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn function<F>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Value) -> Result<Option<Value>, String> + Send + Sync + 'static,
    {
        let name = name.into();
        let function = Function {
            name: name.as_str().into(),
            call: Arc::new(function),
        };
        self.functions.insert(name, function);
        self
    }

    /// Replaces the clock of `generate`. Default: that of the system.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bytes::Bytes;
    /// use portcullis_param_mapping::{Generate, Mapping, Now, Rule, Source};
    ///
    /// let mapping = Mapping::builder()
    ///     .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(7))
    ///     .rule(Rule::set_from("body:/at".parse()?, Source::Generate(Generate::Now(Now::Unix))))
    ///     .build()?;
    /// assert_eq!(mapping.apply(&Bytes::from("{}"))?.into_bytes(), r#"{"at":7}"#);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "generate")]
    pub fn clock<F>(mut self, clock: F) -> Self
    where
        F: Fn() -> std::time::SystemTime + Send + Sync + 'static,
    {
        self.sources.clock = Arc::new(clock);
        self
    }

    /// Replaces what `generate` draws random bytes from; it must fill all of them. Default: the operating system. For tests: UUIDs and keys
    /// that somebody can guess are worth nothing.
    #[cfg(feature = "generate")]
    pub fn random<F>(mut self, random: F) -> Self
    where
        F: Fn(&mut [u8]) + Send + Sync + 'static,
    {
        self.sources.random = Arc::new(move |bytes| {
            random(bytes);
            true
        });
        self
    }

    /// Replaces the limit for a body that must be read, in bytes. Default: [`DEFAULT_MAX_BODY_BYTES`].
    ///
    /// A longer one is answered with 413, or with 502 if it is that of a response. The limit is for a body as it comes, and for what it is
    /// decoded to. A body that no rule touches is not read and has no limit.
    pub const fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Checks the rules and compiles them.
    ///
    /// # Errors
    /// At the first mistake; the error names the field as the serde form does: `rules[2].to`, `response.rules[0].set`.
    pub fn build(self) -> Result<Mapping, InvalidConfig> {
        if self.max_body_bytes == 0 {
            return Err(InvalidConfig::new(
                "max_body_bytes",
                "must be at least 1, is 0",
            ));
        }
        let vars = vars::written(&self.request.rules);
        let response_vars = vars::written(&self.response.rules);
        let settings = |side, rules: &Rules| Settings {
            side,
            base: rules.base,
            unmapped: rules.unmapped,
            duplicate_keys: self.duplicate_keys,
            functions: &self.functions,
            #[cfg(feature = "generate")]
            sources: &self.sources,
            route: &self.route,
            given: &[],
            vars: &[],
        };
        let plan = |side, rules: Rules| {
            let settings = Settings {
                given: if side == Side::Response { &vars } else { &[] },
                vars: if side == Side::Response {
                    &response_vars
                } else {
                    &vars
                },
                ..settings(side, &rules)
            };
            let program = program(rules.rules, settings)?;
            Ok(Plan::new(side, program, self.max_body_bytes))
        };
        let response = plan(Side::Response, self.response)
            .map_err(|mistake: InvalidConfig| mistake.within("response"))?;
        let request = plan(Side::Request, self.request).map_err(|mistake: InvalidConfig| {
            if self.is_request_named {
                mistake.within("request")
            } else {
                mistake
            }
        })?;
        let stream = self.stream.map(|stream| {
            let settings = Settings {
                given: &vars,
                ..settings(Side::Stream, &stream.rules)
            };
            EventPlan::new(stream, settings).map_err(|mistake| mistake.within("stream"))
        });
        let stream = stream.transpose()?;
        Ok(Mapping {
            plans: Arc::new(Plans {
                route: self.route,
                request: request.before(&response, stream.as_ref()),
                response,
                stream,
            }),
        })
    }
}

// === impl Rules ===

impl Rules {
    /// No rules.
    pub const fn new() -> Self {
        Self {
            rules: Vec::new(),
            base: Base::Copy,
            unmapped: Unmapped::Pass,
        }
    }

    /// Whether all that no rule names stays as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.base == Base::Copy && self.unmapped == Unmapped::Pass
    }

    /// Adds a rule.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds these rules.
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Replaces what the body is before rules write to it. Default: what came in.
    pub const fn base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// Replaces what becomes of members of the body that no rule names. Default: they pass.
    pub const fn unmapped(mut self, unmapped: Unmapped) -> Self {
        self.unmapped = unmapped;
        self
    }
}
