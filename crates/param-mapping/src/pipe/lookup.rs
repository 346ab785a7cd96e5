//! Values by the keys beside them.

use super::{Misfit, key_of};
use crate::env::{Env, LookupTable};
use crate::json;
use crate::read::Read;

/// What is at `get` in each element, by the scalar at its `key`. Of equal keys the first one counts.
pub(super) fn table(
    among: &Read,
    key: &[String],
    get: &[String],
    env: &Env<'_>,
) -> Result<LookupTable, Misfit> {
    let mut table = LookupTable::new();
    for node in among.nodes(env).map_err(Misfit::Refused)? {
        let mut add = |element: &str| {
            let part = |tokens| Some(json::slice(element, json::find(element, tokens)?));
            if let Some((held, taken)) = part(key).zip(part(get))
                && let Some(text) = key_of(held)
            {
                let key = (json::type_name(held), text.into_owned());
                table.entry(key).or_insert_with(|| taken.to_owned());
            }
        };
        match json::items(&node.text).filter(|_| node.text.starts_with('[')) {
            None => add(&node.text),
            Some(items) => {
                items.for_each(|item| add(json::slice(&node.text, item.value)));
            }
        }
    }
    Ok(table)
}
