//! `validate`: what a value must be.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use super::{Misfit, number_of, string_of};
use crate::out::Text;
use crate::transform::Type;
use crate::{json, number};

#[derive(Debug)]
pub(crate) struct Validation {
    pub(crate) kind: Option<Type>,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) one_of: Option<Vec<Value>>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) max_length: Option<usize>,
    pub(crate) max_items: Option<usize>,
}

// === impl Validation ===

impl Validation {
    pub(crate) fn check(&self, value: &Text<'_>) -> Result<(), Misfit> {
        let text = &*value.text;
        if let Some(kind) = self.kind
            && !kind.fits(text)
        {
            return Err(Misfit::kind(kind.words(), value));
        }
        let limits = [
            (&self.min, Ordering::Less, "at least"),
            (&self.max, Ordering::Greater, "at most"),
        ];
        for (limit, beyond, words) in limits {
            if let Some(limit) = limit
                && number::compare(number_of(value)?, limit) == beyond
            {
                return Err(Misfit::Must(format!("be {words} {limit}")));
            }
        }
        if let Some(one_of) = &self.one_of
            && !one_of.iter().any(|known| json::equals(text, known))
        {
            return Err(Misfit::Must(
                "be one of the values that are allowed".to_owned(),
            ));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(&string_of(value)?)
        {
            return Err(Misfit::Must(format!("match `{pattern}`")));
        }
        if let Some(limit) = self.max_length
            && string_of(value)?.chars().nth(limit).is_some()
        {
            return Err(Misfit::Must(format!("have at most {limit} characters")));
        }
        if let Some(limit) = self.max_items {
            let items =
                json::items(text).ok_or_else(|| Misfit::kind("an array or an object", value))?;
            if items.take(limit.saturating_add(1)).count() > limit {
                return Err(Misfit::Must(format!("have at most {limit} items")));
            }
        }
        Ok(())
    }
}
