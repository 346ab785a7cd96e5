//! `clamp`: a number, brought between two limits.

use std::cmp::Ordering;

use portcullis_gateway_error::InvalidConfig;
use serde_json::Number;

use crate::number;
use crate::transform::Limits;

#[derive(Debug)]
pub(crate) struct Clamp {
    min: Option<Limit>,
    max: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    number: String,
    is_exclusive: bool,
    /// What stands for a number beyond it.
    instead: String,
}

// === impl Clamp ===

impl Clamp {
    pub(crate) fn new(limits: &Limits) -> Result<Self, InvalidConfig> {
        let Limits {
            min,
            max,
            exclusive_min,
            exclusive_max,
            replace_with,
        } = limits;
        if exclusive_min.is_none() && exclusive_max.is_none() && replace_with.is_some() {
            return Err(InvalidConfig::new(
                "replace_with",
                "has a meaning only beside `exclusive_min` or `exclusive_max`",
            ));
        }
        let instead = replace_with.as_ref();
        let clamp = Self {
            min: Limit::new(
                min.as_ref(),
                exclusive_min.as_ref(),
                "exclusive_min",
                instead,
            )?,
            max: Limit::new(
                max.as_ref(),
                exclusive_max.as_ref(),
                "exclusive_max",
                instead,
            )?,
        };
        match (&clamp.min, &clamp.max) {
            (None, None) => return Err(InvalidConfig::whole("needs `min` or `max`")),
            (Some(min), Some(max)) => {
                let order = number::compare(&min.number, &max.number);
                let is_open = min.is_exclusive || max.is_exclusive;
                if order.is_gt() || (order.is_eq() && is_open) {
                    let (low, high) = (min.name("min"), max.name("max"));
                    let than = if is_open { "not less" } else { "more" };
                    let message = format!(
                        "{} is {than} than `{high}`, which is {}",
                        min.number, max.number
                    );
                    return Err(InvalidConfig::new(low, message));
                }
            }
            _ => {}
        }
        if let Some(instead) = instead
            && clamp.instead_of(&instead.to_string()).is_some()
        {
            return Err(InvalidConfig::new(
                "replace_with",
                "lies outside the limits itself",
            ));
        }
        Ok(clamp)
    }

    /// What stands for a number; `None` where it lies within.
    pub(crate) fn instead_of(&self, number: &str) -> Option<&str> {
        for (limit, beyond) in [(&self.min, Ordering::Less), (&self.max, Ordering::Greater)] {
            if let Some(limit) = limit {
                let order = number::compare(number, &limit.number);
                if order == beyond || (limit.is_exclusive && order == Ordering::Equal) {
                    return Some(&limit.instead);
                }
            }
        }
        None
    }
}

// === impl Limit ===

impl Limit {
    fn new(
        inclusive: Option<&Number>,
        exclusive: Option<&Number>,
        field: &'static str,
        instead: Option<&Number>,
    ) -> Result<Option<Self>, InvalidConfig> {
        let limit = match (inclusive, exclusive) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let message = format!("stands beside `{}`", field.trim_start_matches("exclusive_"));
                return Err(InvalidConfig::new(field, message));
            }
            (Some(number), None) => Self {
                number: number.to_string(),
                is_exclusive: false,
                instead: number.to_string(),
            },
            (None, Some(number)) => Self {
                number: number.to_string(),
                is_exclusive: true,
                // The limit itself is outside, and no number is next to it.
                instead: instead
                    .ok_or_else(|| InvalidConfig::new(field, "needs `replace_with`"))?
                    .to_string(),
            },
        };
        Ok(Some(limit))
    }

    fn name(&self, end: &'static str) -> &'static str {
        match (self.is_exclusive, end) {
            (true, "min") => "exclusive_min",
            (true, _) => "exclusive_max",
            (false, end) => end,
        }
    }
}
