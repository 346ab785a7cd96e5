//! What becomes of the path of a request.

use std::borrow::Cow;

use crate::address::Place;
use crate::refusal::Refusal;
use crate::{Address, PathTemplate};

/// Changes of a path, as a whole or in parts.
#[derive(Debug, Default)]
pub(crate) struct PathEdits<'a> {
    /// Encoded.
    whole: Option<Cow<'a, [u8]>>,
    /// Not encoded.
    parts: Vec<(&'a Address, Cow<'a, [u8]>)>,
    removed: Vec<&'a Address>,
}

// === impl PathEdits ===

impl<'a> PathEdits<'a> {
    /// Notes a part that something must be written to, since no path is without it.
    pub(crate) fn remove(&mut self, address: &'a Address) {
        self.removed.push(address);
    }

    pub(crate) fn write(&mut self, address: &'a Address, text: Cow<'a, [u8]>) {
        if matches!(address.0, Place::Segment(_)) {
            self.parts.push((address, text));
        } else {
            self.whole = Some(text);
        }
    }

    /// The path that comes of it; `None` where it stays. Of a path that is written as a whole no part is.
    pub(crate) fn apply(
        &self,
        path: &str,
        template: Option<&PathTemplate>,
    ) -> Result<Option<String>, Refusal> {
        if let Some(whole) = &self.whole {
            let whole = String::from_utf8_lossy(whole);
            return Ok((whole != path).then(|| whole.into_owned()));
        }
        for removed in &self.removed {
            if !self.parts.iter().any(|(written, _)| written == removed) {
                let detail = format!("{removed} has no value, and no path is without it");
                return Err(Refusal::bad(removed, detail));
            }
        }
        let mut changed = None;
        for (address, text) in &self.parts {
            let refused = |why: &dyn std::fmt::Display| {
                Refusal::bad(address, format!("{address} cannot be written: {why}"))
            };
            let (Place::Segment(name), Some(template)) = (&address.0, template) else {
                continue;
            };
            let text = str::from_utf8(text).map_err(|_| refused(&"it is not UTF-8"))?;
            let before = changed.as_deref().unwrap_or(path);
            let after = template.set(before, name, text);
            let after = after.map_err(|error| refused(&error))?;
            changed = Some(after.ok_or_else(|| refused(&"the path has another form"))?);
        }
        Ok(changed.filter(|changed| changed != path))
    }
}
