use std::sync::Arc;

use portcullis_gateway_error::InvalidConfig;

use crate::Rule;
use crate::plan::Plan;

/// A set of rules, checked and compiled. Cloning it is cheap.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Mapping {
    plan: Arc<Plan>,
}

/// Collects what a [`Mapping`] is made of.
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone, Debug)]
pub struct MappingBuilder {
    rules: Vec<Rule>,
    max_body_bytes: usize,
}

/// How many bytes of a body are read where none of the settings says it: 1 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1024 * 1024;

// === impl Mapping ===

impl Mapping {
    /// Starts a mapping without rules.
    pub const fn builder() -> MappingBuilder {
        MappingBuilder {
            rules: Vec::new(),
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
        let file = portcullis_gateway_error::ConfigFile::parse(text)?;
        let config: crate::Config = file.read()?;
        Self::try_from(config).map_err(|mistake| file.locate(mistake))
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

/// A mapping without rules: everything passes as it is.
impl Default for Mapping {
    fn default() -> Self {
        Self {
            plan: Arc::new(Plan {
                steps: Vec::new(),
                body: None,
                max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            }),
        }
    }
}

// === impl MappingBuilder ===

impl MappingBuilder {
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

    /// Replaces the limit for a body that must be read, in bytes. Default: [`DEFAULT_MAX_BODY_BYTES`].
    ///
    /// A longer one is answered with 413. A body that no rule touches is not read and has no limit.
    pub const fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Checks the rules and compiles them.
    ///
    /// # Errors
    /// At the first mistake; the error names the field as the serde form does: `rules[2].to`.
    pub fn build(self) -> Result<Mapping, InvalidConfig> {
        if self.max_body_bytes == 0 {
            return Err(InvalidConfig::new(
                "max_body_bytes",
                "must be at least 1, is 0",
            ));
        }
        let plan = Plan::compile(self.rules, self.max_body_bytes)?;
        Ok(Mapping {
            plan: Arc::new(plan),
        })
    }
}
